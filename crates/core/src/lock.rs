//! One lock per volume, shared by all processes on the node: `flock` on a file in the state directory.
//!
//! The kernel drops a lock with its process, so a killed callout never leaves one behind. The programs
//! that a process runs share its lock, though: one that outlives it is still writing to the volume, and
//! keeps others off until it ends.

use crate::{Error, Kind, Result};
use becket_sys::Errno;
use becket_sys::beneath::Dir;
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::FdFlags;
use std::fs::File;
use std::time::{Duration, Instant};

/// A lock that is held until dropped.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct Lock {
    file: File,
}

/// Who else may hold the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nobody.
    Exclusive,
    /// Others who take it shared: readers of what does not change.
    Shared,
}

/// Takes the lock `key` in `dir`, waiting at most `wait` for whoever holds it.
///
/// `Busy` when it is still held then.
pub fn acquire(dir: &Dir, key: &str, mode: Mode, wait: Duration) -> Result<Lock> {
    let deadline = Instant::now() + wait;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(lock) = attempt(dir, key, mode)? {
            return Ok(lock);
        }
        if Instant::now() >= deadline {
            let running = format!("another operation on `{key}` is running");
            return Err(Error::new(Kind::Busy, running).hint("it is safe to try again"));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Takes the lock if that is possible now.
pub fn attempt(dir: &Dir, key: &str, mode: Mode) -> Result<Option<Lock>> {
    let name = file_name(key);
    let operation = match mode {
        Mode::Exclusive => FlockOperation::NonBlockingLockExclusive,
        Mode::Shared => FlockOperation::NonBlockingLockShared,
    };
    let failed = |errno| Error::from(becket_sys::Error::new("lock", key, errno));
    loop {
        let file = dir.open_file(&name, OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW)?;
        match rustix::fs::flock(&file, operation) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(errno) => return Err(failed(errno)),
        }
        // The file may have been removed with what it locked since it was opened: then the lock is
        // on nothing, and the next one to come makes a new file.
        if rustix::fs::fstat(&file).map_err(failed)?.st_nlink > 0 {
            rustix::io::fcntl_setfd(&file, FdFlags::empty()).map_err(failed)?;
            return Ok(Some(Lock { file }));
        }
    }
}

impl Lock {
    /// Removes the file of an exclusive lock on something that does not exist any more, and releases
    /// it.
    pub fn retire(self, dir: &Dir, key: &str) -> Result<()> {
        Ok(dir.remove_file(file_name(key))?)
    }
}

fn file_name(key: &str) -> String {
    format!("{key}.lock")
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would not do: a child that another thread is just spawning may hold a copy.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_busy_and_a_dropped_one_is_free() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open(place.path()).unwrap();
        let take = |key, wait| acquire(&dir, key, Mode::Exclusive, Duration::from_millis(wait));
        let held = take("volume", 0).unwrap();
        assert_eq!(take("volume", 5).unwrap_err().kind(), Kind::Busy);
        assert!(take("other", 0).is_ok());
        drop(held);
        assert!(take("volume", 0).is_ok());
    }

    #[test]
    fn readers_share_a_lock_and_keep_a_writer_out() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open(place.path()).unwrap();
        let one = attempt(&dir, "snapshot", Mode::Shared).unwrap();
        let other = attempt(&dir, "snapshot", Mode::Shared).unwrap();
        assert!(one.is_some() && other.is_some());
        assert!(attempt(&dir, "snapshot", Mode::Exclusive).unwrap().is_none());
    }

    #[test]
    fn a_lock_on_a_removed_file_is_not_taken_for_one() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open(place.path()).unwrap();
        let held = attempt(&dir, "volume", Mode::Exclusive).unwrap().unwrap();
        let waiting = std::thread::scope(|scope| {
            let dir = &dir;
            let waiting = scope
                .spawn(move || acquire(dir, "volume", Mode::Exclusive, Duration::from_secs(10)));
            std::thread::sleep(Duration::from_millis(10));
            held.retire(dir, "volume").unwrap();
            waiting.join().unwrap().unwrap()
        });
        assert!(attempt(&dir, "volume", Mode::Exclusive).unwrap().is_none(), "two hold it");
        drop(waiting);
    }
}
