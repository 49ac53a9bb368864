//! A second process of this program, for work that may hang in the kernel.
//!
//! It talks over one socket, which is its standard input; what it and the programs it runs write
//! elsewhere is lost. Whoever waits for it waits with a deadline, and can end it: what it does must
//! therefore be what may be done again.

use crate::Error;
use crate::error::{Context, Result};
use rustix::process::{Pid, Signal};
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// This program, as it runs.
const ITSELF: &str = "/proc/self/exe";

/// A running second process.
#[derive(Debug)]
pub struct Expendable {
    child: Option<Child>,
    socket: UnixStream,
}

/// Those that nobody waits for any more: a process that the kernel holds ends once the kernel lets go of
/// it.
static ENDING: Mutex<Vec<Child>> = Mutex::new(Vec::new());

impl Expendable {
    /// Starts this program again with `arguments`, in a process group of its own.
    pub fn start(arguments: &[&OsStr]) -> Result<Expendable> {
        reap();
        let (ours, theirs) = UnixStream::pair().on("make a socket for", ITSELF)?;
        let child = Command::new(ITSELF)
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .on("run", ITSELF)?;
        Ok(Expendable { child: Some(child), socket: ours })
    }

    /// The socket to it.
    pub fn socket(&self) -> &UnixStream {
        &self.socket
    }

    /// Waits until it has ended by itself, at most `limit`; then it is ended.
    pub fn finish(mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let Some(mut child) = self.child.take() else { return };
        while Instant::now() < deadline {
            match child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(1)),
                _ => return,
            }
        }
        end(child);
    }
}

impl Expendable {
    /// Lets it run to its end, which nobody waits for.
    pub fn abandon(mut self) {
        if let Some(child) = self.child.take() {
            ENDING.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        }
    }
}

impl Drop for Expendable {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            end(child);
        }
    }
}

/// Kills it with its process group, and does not wait for what the kernel does not give back.
fn end(mut child: Child) {
    if let Some(group) = Pid::from_raw(child.id() as i32) {
        let _ = rustix::process::kill_process_group(group, Signal::KILL);
    }
    for _ in 0..20 {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            _ => return,
        }
    }
    ENDING.lock().unwrap_or_else(PoisonError::into_inner).push(child);
}

fn reap() {
    let mut ending = ENDING.lock().unwrap_or_else(PoisonError::into_inner);
    ending.retain_mut(|child| matches!(child.try_wait(), Ok(None)));
}

/// The socket to whoever started this process, from within it.
pub fn socket_to_parent() -> Result<UnixStream> {
    let copy = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)
        .map_err(|errno| Error::new("copy", "stdin", errno))?;
    // What this process runs has nothing to say there.
    let nothing = std::fs::File::open("/dev/null").on("open", Path::new("/dev/null"))?;
    rustix::stdio::dup2_stdin(&nothing).map_err(|errno| Error::new("close", "stdin", errno))?;
    Ok(UnixStream::from(copy))
}
