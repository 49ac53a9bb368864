//! Directories as handles, and what is beneath them.
//!
//! Every path component that comes from outside is opened below a [`Dir`] with
//! `openat2(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS)` (Linux 5.6, openat2(2)), so neither `..` nor a
//! planted symbolic link can lead out of it.

mod rename;

use crate::error::{Context, Result};
use crate::{Errno, Error};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// An open directory. The path it was opened by is kept for messages and for host programs.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

impl Dir {
    /// Opens a directory that the operator named; links on the way are followed.
    pub fn open(path: impl AsRef<Path>) -> Result<Dir> {
        let path = path.as_ref();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(path, flags, Mode::empty()).on("open directory", path)?;
        Ok(Dir { fd, path: path.to_owned() })
    }

    /// The directory that `file` is, under the name `path`.
    pub fn of(file: File, path: impl Into<PathBuf>) -> Dir {
        Dir { fd: file.into(), path: path.into() }
    }

    /// The path this directory was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the directory `relative` beneath this one. Fails with `NOENT` when it is absent and
    /// with `LOOP`, `NOTDIR` or `XDEV` when something else is in its place.
    pub fn open_dir(&self, relative: impl AsRef<Path>) -> Result<Dir> {
        let fd = self.open_at(
            relative.as_ref(),
            OFlags::RDONLY | OFlags::DIRECTORY,
            Mode::empty(),
            BENEATH,
        )?;
        Ok(Dir { fd, path: self.path.join(relative) })
    }

    /// Like [`Dir::open_dir`], and refuses (`XDEV`) to cross into another mount.
    pub fn open_dir_same_mount(&self, relative: impl AsRef<Path>) -> Result<Dir> {
        let resolve = BENEATH | ResolveFlags::NO_XDEV;
        let fd = self.open_at(
            relative.as_ref(),
            OFlags::RDONLY | OFlags::DIRECTORY,
            Mode::empty(),
            resolve,
        )?;
        Ok(Dir { fd, path: self.path.join(relative) })
    }

    /// Opens the file `relative` beneath this directory; `flags` as in open(2).
    pub fn open_file(&self, relative: impl AsRef<Path>, flags: OFlags) -> Result<File> {
        let mode = if flags.intersects(OFlags::CREATE | (OFlags::TMPFILE - OFlags::DIRECTORY)) {
            Mode::from_raw_mode(0o600)
        } else {
            Mode::empty()
        };
        Ok(File::from(self.open_at(relative.as_ref(), flags, mode, BENEATH)?))
    }

    /// A handle (`O_PATH`) on whatever is at `relative`, links excepted: what mounts attach to.
    pub fn open_place(&self, relative: impl AsRef<Path>) -> Result<OwnedFd> {
        self.open_at(relative.as_ref(), OFlags::PATH | OFlags::NOFOLLOW, Mode::empty(), BENEATH)
    }

    fn open_at(
        &self,
        relative: &Path,
        flags: OFlags,
        mode: Mode,
        resolve: ResolveFlags,
    ) -> Result<OwnedFd> {
        let flags = flags | OFlags::CLOEXEC;
        rustix::fs::openat2(&self.fd, relative, flags, mode, resolve)
            .on("open", self.path.join(relative))
    }

    /// Makes the directory `name`; `mode` without the process' umask.
    pub fn create_dir(&self, name: impl AsRef<Path>, mode: u32) -> Result<()> {
        let (name, mode) = (name.as_ref(), Mode::from_raw_mode(mode));
        rustix::fs::mkdirat(&self.fd, name, mode).on("make directory", self.path.join(name))?;
        let made = self.open_dir(name)?;
        rustix::fs::fchmod(&made.fd, mode).on("set mode of", made.path())
    }

    /// Opens the directory `name`, making it first where it is absent.
    pub fn ensure_dir(&self, name: impl AsRef<Path>, mode: u32) -> Result<Dir> {
        let name = name.as_ref();
        match self.create_dir(name, mode) {
            Err(error) if error.errno != Errno::EXIST => Err(error),
            _ => self.open_dir(name),
        }
    }

    /// True when something, a dangling link included, has the name.
    pub fn contains(&self, name: impl AsRef<Path>) -> Result<bool> {
        let name = name.as_ref();
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno).on("look up", self.path.join(name)),
        }
    }

    /// The names in this directory, sorted. Names that are not UTF-8 are given with U+FFFD, so they
    /// can be reported and never match a name of ours.
    pub fn names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd).on("list", &self.path)? {
            let entry = entry.on("list", &self.path)?;
            let name = entry.file_name().to_string_lossy();
            if name != "." && name != ".." {
                names.push(name.into_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// The bytes of the file `relative`; `None` when it is absent; `FBIG` above `most` bytes.
    pub fn read(&self, relative: impl AsRef<Path>, most: u64) -> Result<Option<Vec<u8>>> {
        let relative = relative.as_ref();
        let file =
            match self.open_file(relative, OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK) {
                Ok(file) => file,
                Err(error) if error.errno == Errno::NOENT => return Ok(None),
                Err(error) => return Err(error),
            };
        // Room for all of it and for the end of it: two reads instead of many small ones.
        let length = file.metadata().on("look at", self.path.join(relative))?.len();
        let mut bytes = Vec::with_capacity(length.min(most) as usize + 1);
        file.take(most + 1).read_to_end(&mut bytes).on("read", self.path.join(relative))?;
        if bytes.len() as u64 > most {
            return Err(Errno::FBIG).on("read", self.path.join(relative));
        }
        Ok(Some(bytes))
    }

    /// Makes the file `name`, which a power cut may take away or tear: for what is thrown away then.
    pub fn write_passing(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let mut file = self.open_file(name, flags)?;
        file.write_all(bytes).on("write", self.path.join(name))
    }

    /// Replaces the file `name` so that a reader, or the next boot, sees the old bytes or the new
    /// ones and nothing between: written beside, synced, renamed, directory synced.
    pub fn write_atomic(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let file = self.write_beside(name, bytes)?;
        file.sync_all().on("sync", self.path.join(name))?;
        self.put_in_place(name)?;
        self.sync()
    }

    /// Replaces the file `name` so that a reader sees the old bytes or the new ones; a power cut may
    /// take both away: for what means nothing after one.
    pub fn replace_passing(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.write_beside(name, bytes)?;
        self.put_in_place(name)
    }

    fn write_beside(&self, name: &str, bytes: &[u8]) -> Result<File> {
        let beside = format!(".{name}.new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW;
        let mut file = self.open_file(&beside, flags)?;
        file.write_all(bytes).on("write", self.path.join(&beside))?;
        Ok(file)
    }

    fn put_in_place(&self, name: &str) -> Result<()> {
        rustix::fs::renameat(&self.fd, format!(".{name}.new"), &self.fd, name)
            .on("replace", self.path.join(name))
    }

    /// Renames `name` to `new_name` in `to`; fails with `EXIST` rather than replace anything.
    /// The new directory is synced, so the move survives a power cut: it is one transaction of the
    /// filesystem, which takes the old name away and gives the new one.
    pub fn rename_into(&self, name: &str, to: &Dir, new_name: &str) -> Result<()> {
        rename::without_replacing(self.as_fd(), name.as_ref(), to.as_fd(), new_name.as_ref())
            .on("move", self.path.join(name))?;
        to.sync()
    }

    /// Writes this directory's entries to the medium.
    pub fn sync(&self) -> Result<()> {
        rustix::fs::fsync(&self.fd).on("sync", &self.path)
    }

    /// Removes the file `name`; an absent one is fine.
    pub fn remove_file(&self, name: impl AsRef<Path>) -> Result<()> {
        self.remove(name.as_ref(), AtFlags::empty())
    }

    /// Removes the empty directory `name`; an absent one is fine.
    pub fn remove_dir(&self, name: impl AsRef<Path>) -> Result<()> {
        self.remove(name.as_ref(), AtFlags::REMOVEDIR)
    }

    fn remove(&self, name: &Path, flags: AtFlags) -> Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, flags) {
            Err(Errno::NOENT) => Ok(()),
            other => other.on("remove", self.path.join(name)),
        }
    }

    /// Removes `name` and all below it, **for a pool's trash and the demo's own directory alone**.
    ///
    /// Links are removed, never followed, and another mount below stops it (`BUSY`, `XDEV`) before
    /// anything in that mount is touched. Directories below are moved up beside `name` first, as
    /// `NAME.0` and so on, so that no depth of a tree exhausts descriptors or the stack.
    pub fn purge(&self, name: impl AsRef<Path>) -> Result<()> {
        let top = name.as_ref();
        let mut left = vec![top.to_owned()];
        let mut moved = 0;
        while let Some(name) = left.pop() {
            if self.remove_unless_directory(&name)? {
                continue;
            }
            let inner = match self.open_dir_same_mount(&name) {
                // Somebody else was removing it too.
                Err(error) if error.errno == Errno::NOENT => continue,
                other => other?,
            };
            for entry in rustix::fs::Dir::read_from(&inner.fd).on("list", &inner.path)? {
                let entry = entry.on("list", &inner.path)?;
                let below = Path::new(OsStr::from_bytes(entry.file_name().to_bytes()));
                let itself = below == Path::new(".") || below == Path::new("..");
                if !itself && !inner.remove_unless_directory(below)? {
                    left.extend(inner.move_up(below, self, top, &mut moved)?);
                }
            }
            self.remove_dir(&name)?;
        }
        Ok(())
    }

    /// True when `name` is gone, false when it is a directory. unlinkat(2) answers `ISDIR` (`PERM` on some
    /// filesystems) for one, so nothing can change between a look and the removal.
    fn remove_unless_directory(&self, name: &Path) -> Result<bool> {
        match self.remove_file(name) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.errno, Errno::ISDIR | Errno::PERM) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Moves `name` into `up` under a name made of `top`, and gives that; `None` when somebody else has
    /// moved or removed it.
    fn move_up(
        &self,
        name: &Path,
        up: &Dir,
        top: &Path,
        moved: &mut u64,
    ) -> Result<Option<PathBuf>> {
        loop {
            let mut new_name = top.as_os_str().to_owned();
            new_name.push(format!(".{moved}"));
            *moved += 1;
            let moved_to = Path::new(&new_name);
            match rename::without_replacing(self.as_fd(), name, up.as_fd(), moved_to) {
                Ok(()) => return Ok(Some(new_name.into())),
                Err(Errno::NOENT) => return Ok(None),
                // An earlier removal that was cut short left one of that name.
                Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno).on("move", self.path.join(name)),
            }
        }
    }
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Makes `path` and its missing parents (mode 0755) for a directory the operator named, and opens it.
pub fn ensure_path(path: &Path) -> Result<Dir> {
    match Dir::open(path) {
        Err(error) if error.errno == Errno::NOENT => {}
        other => return other,
    }
    if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        ensure_path(parent)?;
    }
    match rustix::fs::mkdirat(CWD, path, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Dir::open(path),
        Err(errno) => Err(Error::new("make directory", path.to_string_lossy(), errno)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_deeper_than_descriptors_and_stack_is_removed_and_links_are_not_followed() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open(place.path()).unwrap();
        std::fs::write(place.path().join("kept"), b"").unwrap();
        let mut deep = dir.ensure_dir("tree", 0o700).unwrap();
        for _ in 0..3000 {
            rustix::fs::symlinkat(place.path(), &deep, "link").unwrap();
            deep = deep.ensure_dir("d", 0o700).unwrap();
        }
        dir.purge("tree").unwrap();
        assert_eq!(dir.names().unwrap(), ["kept"]);
    }

    #[test]
    fn a_removal_that_was_cut_short_is_finished() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open(place.path()).unwrap();
        std::fs::create_dir_all(place.path().join("tree/a/b")).unwrap();
        std::fs::create_dir_all(place.path().join("tree.0/left")).unwrap();
        dir.purge("tree").unwrap();
        assert_eq!(dir.names().unwrap(), ["tree.0"]);
        dir.purge("tree.0").unwrap();
        assert!(dir.names().unwrap().is_empty());
    }
}
