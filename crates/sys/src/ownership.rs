//! A group's share of a filesystem: what Kubernetes calls `fsGroup`.

use crate::beneath::Dir;
use crate::error::Context;
use crate::{Errno, Result};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags};
use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What the group may do with a directory, and that what is made in it belongs to the group too.
const DIRECTORY: u32 = 0o2770;

/// What the group may do with a file.
const FILE: u32 = 0o660;

/// Lets `group` write in the directory `top`; and what is made there from now on belongs to it. One
/// that has it already is left alone.
pub fn give_top(top: BorrowedFd<'_>, group: u32, name: &Path) -> Result<()> {
    let stat = rustix::fs::fstat(top).on("look at", name)?;
    if stat.st_gid != group {
        rustix::fs::fchown(top, None, Some(Gid::from_raw(group))).on("set group of", name)?;
    }
    let wanted = stat.st_mode & 0o7777 | DIRECTORY;
    if stat.st_mode & 0o7777 != wanted {
        rustix::fs::fchmod(top, Mode::from_raw_mode(wanted)).on("set mode of", name)?;
    }
    Ok(())
}

/// Gives everything below `top` to `group`, unless `top` shows that it has it: then nothing below is
/// looked at. The top is last, so that what is cut short is done again. Links are not followed, and
/// other mounts are left alone.
pub fn give(top: &Dir, group: u32) -> Result<()> {
    let stat = rustix::fs::fstat(top.as_fd()).on("look at", top.path())?;
    if stat.st_gid == group && stat.st_mode & DIRECTORY == DIRECTORY {
        return Ok(());
    }
    // Directories that are open, each with those below it that are still to be gone into.
    let mut open = vec![give_entries(top.open_dir_same_mount(".")?, group)?];
    while let Some((dir, below)) = open.last_mut() {
        let Some(name) = below.pop() else {
            open.pop();
            continue;
        };
        match dir.open_dir_same_mount(&name) {
            Ok(next) => open.push(give_entries(next, group)?),
            // Another mount, which is not ours; or its owner removed it meanwhile.
            Err(error) if matches!(error.errno, Errno::XDEV | Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => return Err(error),
        }
    }
    give_top(top.as_fd(), group, top.path())
}

/// Gives the entries of a directory to the group, and gives it back with the directories among them.
fn give_entries(dir: Dir, group: u32) -> Result<(Dir, Vec<PathBuf>)> {
    let mut below = Vec::new();
    for entry in rustix::fs::Dir::read_from(&dir).on("list", dir.path())? {
        let entry = entry.on("list", dir.path())?;
        let name = Path::new(OsStr::from_bytes(entry.file_name().to_bytes()));
        if name == Path::new(".") || name == Path::new("..") {
            continue;
        }
        match give_entry(&dir, name, group) {
            Ok(FileType::Directory) => below.push(name.to_owned()),
            // Whoever uses the volume removed it meanwhile.
            Err(error) if error.errno == Errno::NOENT => {}
            other => drop(other?),
        }
    }
    Ok((dir, below))
}

/// Gives one entry of `dir` to the group and says what it is.
fn give_entry(dir: &Dir, name: &Path, group: u32) -> Result<FileType> {
    let path = dir.path().join(name);
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Held open, so that what is changed is what was looked at.
    let place = rustix::fs::openat(dir.as_fd(), name, flags, Mode::empty()).on("open", &path)?;
    let stat = rustix::fs::fstat(&place).on("look at", &path)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    let owner = Some(Gid::from_raw(group));
    rustix::fs::chownat(&place, "", None, owner, AtFlags::EMPTY_PATH).on("set group of", &path)?;
    let share = match kind {
        FileType::Symlink => return Ok(kind),
        FileType::Directory => DIRECTORY,
        _ => FILE,
    };
    // A chown takes set-uid and set-gid bits away, so the mode comes from before it.
    let mode = Mode::from_raw_mode(stat.st_mode & 0o7777 | share);
    let through = format!("/proc/self/fd/{}", place.as_raw_fd());
    rustix::fs::chmod(through.as_str(), mode).on("set mode of", &path)?;
    Ok(kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn no_depth_of_directories_is_too_deep_for_a_path() {
        let top = tempfile::tempdir().unwrap();
        let name = "d".repeat(200);
        let mut dir = Dir::open(top.path()).unwrap();
        for _ in 0..40 {
            dir = dir.ensure_dir(&name, 0o700).unwrap();
        }
        give(&Dir::open(top.path()).unwrap(), 4321).unwrap();
        assert_eq!(rustix::fs::fstat(dir.as_fd()).unwrap().st_gid, 4321);
    }

    #[test]
    fn everything_below_is_given_once_and_links_are_not_followed() {
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("secret");
        std::fs::write(&secret, "").unwrap();
        let before = std::fs::metadata(&secret).unwrap();
        let top = tempfile::tempdir().unwrap();
        let at = |below: &str| top.path().join(below);
        std::fs::create_dir_all(at("a/b")).unwrap();
        std::fs::write(at("a/b/file"), "").unwrap();
        symlink(&secret, at("a/link")).unwrap();
        let dir = Dir::open(top.path()).unwrap();
        give(&dir, 4321).unwrap();
        for below in [".", "a", "a/b", "a/b/file"] {
            let found = std::fs::metadata(at(below)).unwrap();
            assert_eq!((found.gid(), found.mode() & 0o060), (4321, 0o060), "{below}");
        }
        let after = std::fs::metadata(&secret).unwrap();
        assert_eq!((after.gid(), after.mode()), (before.gid(), before.mode()));
        // The top says that it is done, so the second time costs nothing and changes nothing.
        std::fs::write(at("new"), "").unwrap();
        std::os::unix::fs::chown(at("new"), None, Some(7)).unwrap();
        give(&dir, 4321).unwrap();
        assert_eq!(std::fs::metadata(at("new")).unwrap().gid(), 7);
    }
}
