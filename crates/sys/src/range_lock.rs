//! Locks on one byte of a file, which a file server keeps for all its clients.
//!
//! Open file description locks (`F_OFD_SETLK`, fcntl(2), Linux 3.15): they belong to the open file, so
//! they go with its last descriptor, however its holder ends. On NFSv4 they are the server's; on NFSv3
//! they are the lock daemon's, and the node's own where there is none.

use crate::error::{Context, Result};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

/// Locks the byte at `place` of the open file `file`: alone, or shared with others who share it. False
/// when somebody else has it. Two locks on one open file do not exclude each other, so open it for each.
pub fn attempt(file: &File, place: u64, shared: bool, name: &Path) -> Result<bool> {
    // Offsets are signed; the lowest bit is given up, which leaves 63.
    let start = (place >> 1) as libc::off_t;
    let kind = if shared { libc::F_RDLCK } else { libc::F_WRLCK };
    match set(file, kind, start, 1) {
        Ok(()) => Ok(true),
        Err(error) => match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EACCES) => Ok(false),
            _ => Err(error).on("lock a byte of", name),
        },
    }
}

/// True when somebody else has the byte at `place`, by another open file than `file`.
pub fn is_held(file: &File, place: u64, name: &Path) -> Result<bool> {
    let mut lock = range(libc::F_WRLCK, (place >> 1) as libc::off_t, 1);
    // SAFETY: the descriptor is open for the whole call, and the pointer is to an initialised `flock`,
    // which is all that the kernel writes to.
    match unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) } {
        0 => Ok(lock.l_type != libc::F_UNLCK as libc::c_short),
        _ => Err(std::io::Error::last_os_error()).on("look at the locks of", name),
    }
}

/// Gives back all locks of the open file, also those that other processes hold by copies of it.
pub fn release(file: &File) -> std::io::Result<()> {
    // Length 0 is to the end.
    set(file, libc::F_UNLCK, 0, 0)
}

fn set(
    file: &File,
    kind: libc::c_int,
    start: libc::off_t,
    length: libc::off_t,
) -> std::io::Result<()> {
    let lock = range(kind, start, length);
    // SAFETY: the descriptor is open for the whole call, and the pointer is to an initialised `flock`
    // that the kernel only reads for this command.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) };
    if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
}

fn range(kind: libc::c_int, start: libc::off_t, length: libc::off_t) -> libc::flock {
    // SAFETY: `flock` is plain data, of which all zeros is a valid value.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as libc::c_short;
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = start;
    lock.l_len = length;
    lock
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_byte_keeps_others_out_and_leaves_the_next_one_free() {
        let place = tempfile::NamedTempFile::new().unwrap();
        let open = || File::options().read(true).write(true).open(place.path()).unwrap();
        let (one, other) = (open(), open());
        let lock = |file: &File, at, shared| attempt(file, at, shared, place.path()).unwrap();
        assert!(lock(&one, u64::MAX, false));
        assert!(!lock(&other, u64::MAX, false) && !lock(&other, u64::MAX, true));
        let held = |file: &File, at| is_held(file, at, place.path()).unwrap();
        assert!(held(&other, u64::MAX) && !held(&one, u64::MAX) && !held(&other, 4));
        assert!(lock(&other, 4, false));
        drop(one);
        assert!(lock(&other, u64::MAX, true) && lock(&open(), u64::MAX, true));
    }
}
