//! One lock per volume, shared by all processes on the node: `flock` on a file in the state directory.
//!
//! The kernel drops a lock with its process, so a killed callout never leaves one behind. The programs
//! that a process runs share its lock, though: one that outlives it is still writing to the volume, and
//! keeps others off until it ends.
//!
//! A lock's file goes with the lock, so what never was leaves none, whatever ids are asked for. Only who
//! has the lock alone removes the file, and who has locked a file that was removed begins again.

use crate::pool::Pool;
use crate::record::{PoolRecord, Record};
use crate::{Error, Kind, Result};
use becket_sys::Errno;
use becket_sys::beneath::Dir;
use becket_sys::range_lock;
use rustix::fs::{FlockOperation, OFlags};
use rustix::io::FdFlags;
use std::fs::File;
use std::time::{Duration, Instant};

/// A lock that is held until dropped.
#[derive(Debug)]
#[must_use = "the lock is released when this is dropped"]
pub struct Lock {
    file: File,
    dir: Dir,
    name: String,
    /// On the pool's medium, where other nodes have the pool too.
    beyond: Option<File>,
}

/// The file on the medium of a shared pool by whose bytes nodes keep each other out. Each key has a byte;
/// the file stays empty, for bytes beyond its end can be locked as well.
const BEYOND: &str = "locks";

/// True for the files that stand beside a pool's areas.
pub(crate) fn is_file(name: &str) -> bool {
    name == PoolRecord::FILE || name == BEYOND
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
    patiently(key, wait, || attempt(dir, key, mode))
}

/// Takes the lock `key` of a pool: on this node, and on the pool's medium where others have it too.
pub fn acquire_on(pool: &Pool, key: &str, mode: Mode, wait: Duration) -> Result<Lock> {
    patiently(key, wait, || attempt_on(pool, key, mode))
}

/// [`acquire_on`], if that is possible now.
pub fn attempt_on(pool: &Pool, key: &str, mode: Mode) -> Result<Option<Lock>> {
    let Some(mut lock) = attempt(&pool.locks, key, mode)? else {
        return Ok(None);
    };
    if pool.shared {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW;
        let file = pool.dir.open_file(BEYOND, flags)?;
        let path = pool.dir.path().join(BEYOND);
        if !range_lock::attempt(&file, byte(pool, key), mode == Mode::Shared, &path)? {
            return Ok(None);
        }
        rustix::io::fcntl_setfd(&file, FdFlags::empty())
            .map_err(|errno| becket_sys::Error::new("lock", key, errno))?;
        lock.beyond = Some(file);
    }
    // What was known of the pool before may have changed until now.
    pool.memory.forget();
    Ok(Some(lock))
}

/// Removes the file of a shared pool's locks, when the pool is gone.
pub(crate) fn forget_beyond(pool: &Pool) -> Result<()> {
    Ok(pool.dir.remove_file(BEYOND)?)
}

/// The byte of a key: two keys have the same one about never.
fn byte(pool: &Pool, key: &str) -> u64 {
    uuid::Uuid::new_v5(&pool.record.uuid, key.as_bytes()).as_u64_pair().0
}

fn patiently(
    key: &str,
    wait: Duration,
    attempt: impl Fn() -> Result<Option<Lock>>,
) -> Result<Lock> {
    let deadline = Instant::now() + wait;
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(lock) = attempt()? {
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
        // The file may have been removed since it was opened: then the lock is on nothing, and the
        // next one to come makes a new file.
        if is_there(&file).map_err(failed)? {
            rustix::io::fcntl_setfd(&file, FdFlags::empty()).map_err(failed)?;
            return Ok(Some(Lock { file, dir: dir.open_dir(".")?, name, beyond: None }));
        }
    }
}

/// How the names of lock files end.
const ENDING: &str = ".lock";

fn file_name(key: &str) -> String {
    format!("{key}{ENDING}")
}

/// True while the file has its name. Only who has it locked alone takes the name away, so it is the file
/// that everybody finds by it.
fn is_there(file: &File) -> rustix::io::Result<bool> {
    Ok(rustix::fs::fstat(file)?.st_nlink > 0)
}

/// Removes the files of locks that nobody holds: processes that were killed left them.
pub fn sweep(dir: &Dir) -> Result<()> {
    for name in dir.names()? {
        if let Some(key) = name.strip_suffix(ENDING) {
            drop(attempt(dir, key, Mode::Exclusive)?);
        }
    }
    Ok(())
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Some(beyond) = &self.beyond {
            let _ = range_lock::release(beyond);
        }
        // The last of several readers is the one that gets it for itself. A file that cannot be removed
        // is in nobody's way.
        let alone = rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive).is_ok();
        if alone && is_there(&self.file).unwrap_or(false) {
            let _ = self.dir.remove_file(&self.name);
        }
        // Closing would not do: a child that another thread is just spawning may hold a copy.
        let _ = rustix::fs::flock(&self.file, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

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
    fn a_lock_that_nobody_holds_leaves_no_file() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open(place.path()).unwrap();
        let one = attempt(&dir, "snapshot", Mode::Shared).unwrap();
        let other = attempt(&dir, "snapshot", Mode::Shared).unwrap();
        drop(one);
        assert!(attempt(&dir, "snapshot", Mode::Exclusive).unwrap().is_none(), "a reader lost it");
        drop(other);
        drop(attempt(&dir, "volume", Mode::Exclusive).unwrap());
        assert_eq!(dir.names().unwrap(), Vec::<String>::new());
        // Killed processes leave theirs.
        let held = attempt(&dir, "held", Mode::Shared).unwrap();
        std::fs::write(place.path().join("killed.lock"), b"").unwrap();
        sweep(&dir).unwrap();
        assert_eq!(dir.names().unwrap(), ["held.lock"]);
        drop(held);
    }

    #[test]
    fn a_lock_is_one_persons_although_its_file_comes_and_goes() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open(place.path()).unwrap();
        let (readers, writers) = (AtomicU32::new(0), AtomicU32::new(0));
        let work = |number: u32| {
            let mode = if number.is_multiple_of(4) { Mode::Shared } else { Mode::Exclusive };
            for _ in 0..400 {
                let lock = acquire(&dir, "volume", mode, Duration::from_secs(60)).unwrap();
                let own = if mode == Mode::Shared { &readers } else { &writers };
                let before = own.fetch_add(1, Ordering::SeqCst);
                std::thread::yield_now();
                let others = if mode == Mode::Shared { &writers } else { &readers };
                assert_eq!(others.load(Ordering::SeqCst), 0, "a reader and a writer hold it");
                assert!(mode == Mode::Shared || before == 0, "two writers hold it");
                own.fetch_sub(1, Ordering::SeqCst);
                drop(lock);
            }
        };
        let work = &work;
        std::thread::scope(|scope| {
            (0..8).for_each(|number| drop(scope.spawn(move || work(number))));
        });
        assert_eq!(dir.names().unwrap(), Vec::<String>::new());
    }
}
