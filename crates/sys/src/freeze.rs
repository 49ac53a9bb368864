//! A filesystem held still (`FIFREEZE`, ioctl_fs(2)), and thawed whatever happens.
//!
//! A frozen filesystem outlives the process that froze it, and every writer on it hangs until
//! somebody thaws it. So a guard, a forked child, exists before the freeze: it thaws when its
//! pipe closes, be it because we are done or because we were killed, and at its deadline.

use crate::error::{Context, Result};
use crate::{Errno, Error};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

const FIFREEZE: u64 = 0xC004_5877;
const FITHAW: u64 = 0xC004_5878;

/// A frozen filesystem; dropping it thaws.
#[derive(Debug)]
pub struct Frozen {
    pipe: Option<OwnedFd>,
    guard: libc::pid_t,
    until: Instant,
    name: String,
}

/// Freezes the filesystem that `root` is on for at most `longest`.
///
/// `BUSY` means somebody else froze it; `OPNOTSUPP` that it cannot be frozen.
pub fn freeze(root: &File, name: &Path, longest: Duration) -> Result<Frozen> {
    let (read, write) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).on("make a pipe for", name)?;
    let until = Instant::now() + longest;
    let milliseconds = i32::try_from(longest.as_millis()).unwrap_or(i32::MAX);
    let (root_fd, read_fd, write_fd) = (root.as_raw_fd(), read.as_raw_fd(), write.as_raw_fd());
    // SAFETY: the child of a fork may be a copy of one thread of many, so it calls only
    // async-signal-safe functions (signal-safety(7)): close, poll, ioctl, _exit.
    let guard = unsafe { libc::fork() };
    if guard == 0 {
        // SAFETY: as above; the descriptors are open copies of the parent's and `wait` is a local.
        unsafe {
            libc::close(write_fd);
            let mut wait = libc::pollfd { fd: read_fd, events: libc::POLLIN, revents: 0 };
            while libc::poll(&raw mut wait, 1, milliseconds) < 0 {}
            libc::ioctl(root_fd, FITHAW as _, 0);
            libc::_exit(0);
        }
    }
    if guard < 0 {
        return Err(std::io::Error::last_os_error()).on("start a guard for", name);
    }
    // From here on the drop of `frozen` ends the guard, and the guard thaws.
    let frozen =
        Frozen { pipe: Some(write), guard, until, name: name.to_string_lossy().into_owned() };
    // SAFETY: FIFREEZE ignores its argument.
    if unsafe { libc::ioctl(root_fd, FIFREEZE as _, 0) } != 0 {
        return Err(std::io::Error::last_os_error()).on("freeze", name);
    }
    Ok(frozen)
}

impl Frozen {
    /// Thaws, and fails with `TIMEDOUT` when the deadline had passed, so that what was read since
    /// the freeze may be torn.
    pub fn thaw(self) -> Result<()> {
        let late = Instant::now() >= self.until;
        let name = self.name.clone();
        drop(self);
        match late {
            true => Err(Error::new("keep frozen", name, Errno::TIMEDOUT)),
            false => Ok(()),
        }
    }

    /// True once the guard has thawed because time was up.
    pub fn expired(&self) -> bool {
        Instant::now() >= self.until
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.pipe.take());
        // SAFETY: `guard` is our own child and not waited for elsewhere; a null status is allowed.
        unsafe { libc::waitpid(self.guard, std::ptr::null_mut(), 0) };
    }
}
