//! One lock per volume, shared by all processes on the node: `flock` on a file in the state directory.
//!
//! The kernel drops a lock with its process, so a killed callout never leaves one behind.

use crate::{Error, Kind, Result};
use becket_sys::beneath::Dir;
use rustix::fs::{FlockOperation, OFlags};
use std::fs::File;
use std::time::{Duration, Instant};

/// A lock that is held until dropped.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct Lock {
    file: File,
}

/// Takes the lock `key` in `dir`, waiting at most `wait` for whoever holds it.
///
/// `Busy` when it is still held then.
pub fn acquire(dir: &Dir, key: &str, wait: Duration) -> Result<Lock> {
    let deadline = Instant::now() + wait;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(lock) = attempt(dir, key)? {
            return Ok(lock);
        }
        if Instant::now() >= deadline {
            return Err(Error::new(Kind::Busy, format!("another operation on `{key}` is running"))
                .hint("it is safe to try again"));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Takes the lock if nobody holds it.
pub fn attempt(dir: &Dir, key: &str) -> Result<Option<Lock>> {
    let name = format!("{key}.lock");
    let file = dir.open_file(&name, OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW)?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Lock { file })),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(errno) => Err(becket_sys::Error::new("lock", key, errno).into()),
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing would do as well, unless a child that is just being spawned holds a copy.
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
        let held = acquire(&dir, "volume", Duration::ZERO).unwrap();
        let busy = acquire(&dir, "volume", Duration::from_millis(5)).unwrap_err();
        assert_eq!(busy.kind(), Kind::Busy);
        assert!(acquire(&dir, "other", Duration::ZERO).is_ok());
        drop(held);
        assert!(acquire(&dir, "volume", Duration::ZERO).is_ok());
    }
}
