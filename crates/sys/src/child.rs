//! Programs of the host that change storage: `mkfs.*`, `e2fsck`, `resize2fs`, `xfs_admin`.
//!
//! They run to their end, in a process group of their own so that an interrupt at the terminal
//! does not reach them, with no shell, a fixed search path and an empty environment.

use crate::error::{Context, Result};
use crate::{Errno, Error};
use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the host's programs are looked for, in this order.
const DIRECTORIES: [&str; 6] =
    ["/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/sbin", "/usr/local/bin"];

/// The full path of `program`, or `None` when the host does not have it.
pub fn find(program: &str) -> Option<PathBuf> {
    DIRECTORIES
        .iter()
        .map(|directory| Path::new(directory).join(program))
        .find(|path| path.is_file())
}

/// How a program ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Its exit status; 128 + the signal's number when a signal ended it.
    pub status: i32,
    /// What it wrote to stdout and stderr, the latter last, trimmed.
    pub words: String,
}

/// Runs `program` to its end and gives its status.
///
/// Fails with `NOENT` when the host does not have the program.
pub fn run(program: &str, arguments: &[&OsStr]) -> Result<Ended> {
    let path = find(program).ok_or_else(|| {
        Error::new("run", program, Errno::NOENT).detail("this host does not have it installed")
    })?;
    let child = Command::new(&path)
        .args(arguments)
        .env_clear()
        .env("PATH", DIRECTORIES.join(":"))
        .env("LC_ALL", "C")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .on("run", &path)?;
    // Both pipes are drained while waiting, so a talkative program cannot block on a full one.
    let output = child.wait_with_output().on("wait for", &path)?;
    let mut words = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let errors = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if !words.is_empty() && !errors.is_empty() {
        words.push('\n');
    }
    words.push_str(&errors);
    let signal = std::os::unix::process::ExitStatusExt::signal(&output.status).unwrap_or(0);
    Ok(Ended { status: output.status.code().unwrap_or(128 + signal), words })
}

/// Like [`run`], and any status but 0 is an error that carries the program's last words.
pub fn run_well(program: &'static str, arguments: &[&OsStr]) -> Result<()> {
    let ended = run(program, arguments)?;
    if ended.status == 0 {
        return Ok(());
    }
    let last: Vec<&str> = ended.words.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = last[last.len().saturating_sub(3)..].join("; ");
    Err(Error::new("run", program, Errno::IO)
        .detail(format!("it ended with {}: {last}", ended.status)))
}
