//! Directories of a cache outside of the tree: each is made once, and whole when it is there. A cache may be
//! removed at any time when nothing uses it.

use crate::run::{Failed, Outcome, failed, made};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A directory of a cache.
pub struct Kept {
    pub path: PathBuf,
    /// Locked, shared with other users: as long as this is kept, nobody removes the directory.
    _lock: File,
}

/// The directory of this kind and key, made by `make` if it is not there. It appears by one rename.
///
/// `make` gets an empty directory and a locked file, to be the stdin of every program it runs: if this
/// process is killed, the lock is held until the last of them has ended, and nobody else works in the
/// directory meanwhile.
pub fn ready(
    cache: &Path,
    kind: &str,
    key: u64,
    make: impl FnOnce(&Path, &File) -> Outcome,
) -> Outcome<Kept> {
    made(cache)?;
    let path = cache.join(format!("{kind}-{key:016x}"));
    if let Some(kept) = take(&path) {
        return Ok(kept);
    }
    // One at a time; who had to wait finds what the other one made.
    let lock = cache.join("lock");
    let lock = File::create(&lock).map_err(|error| failed("make", &lock, &error))?;
    lock.lock().map_err(|error| failed("lock", cache, &error))?;
    if let Some(kept) = take(&path) {
        return Ok(kept);
    }
    remove_unused(cache, kind)?;
    let making = cache.join("making");
    made(&making)?;
    make(&making, &lock)?;
    fs::rename(&making, &path).map_err(|error| failed("finish", &path, &error))?;
    take(&path).ok_or_else(|| failed("use", &path, &std::io::ErrorKind::NotFound.into()))
}

fn take(path: &Path) -> Option<Kept> {
    let lock = File::open(path).ok()?;
    lock.lock_shared().ok()?;
    // It may have been removed between the two, by who locked it first.
    path.is_dir().then(|| Kept { path: path.to_owned(), _lock: lock })
}

/// Removes what one who was killed left, and directories of this kind with other keys, if nobody has them.
fn remove_unused(cache: &Path, kind: &str) -> Outcome {
    let entries = fs::read_dir(cache).map_err(|error| failed("list", cache, &error))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let of_this_kind = name.rsplit_once('-').is_some_and(|(before, _)| before == kind);
        if name != "making" && !of_this_kind {
            continue;
        }
        let lock = File::open(&path).map_err(|error| failed("open", &path, &error))?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path, &error)),
            Ok(()) => {}
        }
        fs::remove_dir_all(&path).map_err(|error| failed("remove", &path, &error))?;
    }
    Ok(())
}

/// Runs a program that makes a directory of a cache; `lock` is what [`ready`] gave.
pub fn run(command: &mut Command, lock: &File) -> Outcome {
    finish(command.stdin(shared(lock)?))
}

/// The locked file once more, to be a program's stdin.
pub fn shared(lock: &File) -> Outcome<File> {
    lock.try_clone().map_err(|error| Failed::new(format!("cannot share a lock: {error}")))
}

/// Runs a program with its words on stderr, because stdout is that of a command to come.
pub fn finish(command: &mut Command) -> Outcome {
    let shown = command.get_program().display().to_string();
    match command.stdout(std::io::stderr()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failed::new(format!("`{shown}` ended with {status}"))),
        Err(error) => Err(Failed::new(format!("`{shown}` cannot be run: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache(name: &str) -> PathBuf {
        let own = format!("becket-kept-{name}-{}", std::process::id());
        std::env::temp_dir().join(own)
    }

    fn write(making: &Path, _lock: &File) -> Outcome {
        fs::write(making.join("file"), "x").map_err(|error| failed("write", making, &error))
    }

    fn forbidden(_: &Path, _: &File) -> Outcome {
        Err(Failed::new("made again"))
    }

    #[test]
    fn a_directory_is_made_once_and_whole() {
        let cache = cache("once");
        let broken = |making: &Path, lock: &File| {
            write(making, lock)?;
            Err(Failed::new("half made"))
        };
        assert!(ready(&cache, "tree", 1, broken).is_err());
        assert!(take(&cache.join("tree-0000000000000001")).is_none());
        let kept = ready(&cache, "tree", 1, write).unwrap();
        assert!(kept.path.join("file").is_file());
        ready(&cache, "tree", 1, forbidden).unwrap();
        fs::remove_dir_all(&cache).unwrap();
    }

    #[test]
    fn what_somebody_uses_or_is_of_another_kind_is_not_removed() {
        let cache = cache("used");
        let used = ready(&cache, "tree", 1, write).unwrap();
        let other = ready(&cache, "tree-house", 1, write).unwrap().path;
        let unused = ready(&cache, "tree", 2, write).unwrap().path;
        ready(&cache, "tree", 3, write).unwrap();
        assert!(used.path.is_dir() && other.is_dir() && !unused.is_dir());
        fs::remove_dir_all(&cache).unwrap();
    }
}
