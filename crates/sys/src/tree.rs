//! Copies of whole directory trees with everything a workload can see: owner, mode, times,
//! extended attributes (ACLs and SELinux labels among them), hard links, holes, special files.
//!
//! Links are copied as links and never followed, and the walk stays on one mount.

use crate::Errno;
use crate::beneath::Dir;
use crate::copy::{self, Advance};
use crate::error::{Context, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Copies everything below `from` into the empty directory `to`, and the attributes of `from`
/// itself. `advance` is told how many bytes have been copied so far.
pub fn copy(from: &Dir, to: &Dir, advance: Advance<'_>) -> Result<()> {
    let mut walk = Walk { top: to, links: HashMap::new(), copied: 0, advance };
    walk.directory(from, to, Path::new(""))
}

struct Walk<'a> {
    /// The top of the copy, from which hard links are made.
    top: &'a Dir,
    /// Where the first name of a file with several names was copied to.
    links: HashMap<(u64, u64), PathBuf>,
    copied: u64,
    advance: Advance<'a>,
}

impl Walk<'_> {
    fn directory(&mut self, from: &Dir, to: &Dir, below: &Path) -> Result<()> {
        for entry in rustix::fs::Dir::read_from(from).on("list", from.path())? {
            let entry = entry.on("list", from.path())?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                self.entry(from, to, below, Path::new(OsStr::from_bytes(name)))?;
            }
        }
        // Last, because filling a directory changes its times.
        let stat = rustix::fs::fstat(from).on("look at", from.path())?;
        attributes(from.as_fd(), to.as_fd(), &stat, from.path())
    }

    fn entry(&mut self, from: &Dir, to: &Dir, below: &Path, name: &Path) -> Result<()> {
        let path = from.path().join(name);
        let stat =
            rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW).on("look at", &path)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind != FileType::Directory && stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)) {
                return rustix::fs::linkat(self.top, first, to, name, AtFlags::empty())
                    .on("link", &path);
            }
            self.links.insert((stat.st_dev, stat.st_ino), below.join(name));
        }
        match kind {
            FileType::Directory => {
                to.create_dir(name, 0o700)?;
                self.directory(
                    &from.open_dir_same_mount(name)?,
                    &to.open_dir(name)?,
                    &below.join(name),
                )
            }
            FileType::RegularFile => self.file(from, to, name, &stat),
            FileType::Symlink => symlink(from, to, name, &stat),
            _ => special(to, name, kind, &stat),
        }
    }

    fn file(&mut self, from: &Dir, to: &Dir, name: &Path, stat: &Stat) -> Result<()> {
        let path = from.path().join(name);
        let source = from.open_file(name, OFlags::RDONLY | OFlags::NOFOLLOW)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let copy = to.open_file(name, flags)?;
        if !copy::reflink(&source, &copy, &path)? {
            let (before, advance) = (self.copied, &mut self.advance);
            copy::sparse(&source, &copy, &path, &mut |done| advance(before + done))?;
        }
        self.copied += stat.st_size as u64;
        attributes(source.as_fd(), copy.as_fd(), stat, &path)
    }
}

fn symlink(from: &Dir, to: &Dir, name: &Path, stat: &Stat) -> Result<()> {
    let path = from.path().join(name);
    let target = rustix::fs::readlinkat(from, name, Vec::new()).on("read link", &path)?;
    rustix::fs::symlinkat(&*target, to, name).on("copy link", &path)?;
    own(to, name, stat).on("set owner of copy of", &path)
}

fn special(to: &Dir, name: &Path, kind: FileType, stat: &Stat) -> Result<()> {
    let path = to.path().join(name);
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777);
    rustix::fs::mknodat(to, name, kind, mode, stat.st_rdev).on("make", &path)?;
    own(to, name, stat).on("set owner of", &path)?;
    rustix::fs::chmodat(to, name, mode, AtFlags::empty()).on("set mode of", &path)
}

fn own(to: &Dir, name: &Path, stat: &Stat) -> rustix::io::Result<()> {
    let (user, group) = owners(stat);
    rustix::fs::chownat(to, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW)
}

fn owners(stat: &Stat) -> (rustix::fs::Uid, rustix::fs::Gid) {
    (rustix::fs::Uid::from_raw(stat.st_uid), rustix::fs::Gid::from_raw(stat.st_gid))
}

/// Owner, extended attributes, mode and times, in the order in which none undoes another.
fn attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>, stat: &Stat, path: &Path) -> Result<()> {
    let (user, group) = owners(stat);
    rustix::fs::fchown(to, Some(user), Some(group)).on("set owner of copy of", path)?;
    extended_attributes(from, to).on("copy extended attributes of", path)?;
    rustix::fs::fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))
        .on("set mode of copy of", path)?;
    let times = Timestamps {
        last_access: Timespec { tv_sec: stat.st_atime, tv_nsec: stat.st_atime_nsec as _ },
        last_modification: Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ },
    };
    rustix::fs::futimens(to, &times).on("set times of copy of", path)
}

fn extended_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> rustix::io::Result<()> {
    let mut names = vec![0; 64 * 1024];
    let length = match rustix::fs::flistxattr(from, &mut names) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(errno) => return Err(errno),
    };
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = OsStr::from_bytes(name);
        let mut value = vec![0; 64 * 1024];
        let length = rustix::fs::fgetxattr(from, name, &mut value)?;
        rustix::fs::fsetxattr(to, name, &value[..length], rustix::fs::XattrFlags::empty())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn a_copied_tree_has_the_same_files_links_modes_and_times() {
        let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::create_dir_all(from.path().join("a/b")).unwrap();
        fs::write(from.path().join("a/b/file"), b"content").unwrap();
        fs::set_permissions(from.path().join("a/b/file"), fs::Permissions::from_mode(0o4751))
            .unwrap();
        fs::hard_link(from.path().join("a/b/file"), from.path().join("a/second")).unwrap();
        symlink("/etc/passwd", from.path().join("a/link")).unwrap();

        let (source, copy_to) = (Dir::open(from.path()).unwrap(), Dir::open(to.path()).unwrap());
        copy(&source, &copy_to, &mut |_| std::ops::ControlFlow::Continue(())).unwrap();

        let file = fs::metadata(to.path().join("a/b/file")).unwrap();
        let original = fs::metadata(from.path().join("a/b/file")).unwrap();
        assert_eq!(fs::read(to.path().join("a/second")).unwrap(), b"content");
        assert_eq!(file.ino(), fs::metadata(to.path().join("a/second")).unwrap().ino());
        assert_ne!(file.ino(), original.ino());
        assert_eq!((file.mode(), file.mtime_nsec()), (original.mode(), original.mtime_nsec()));
        assert_eq!(fs::read_link(to.path().join("a/link")).unwrap(), Path::new("/etc/passwd"));
    }
}
