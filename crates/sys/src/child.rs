//! Programs of the host: those that change storage (`mkfs.*`, `e2fsck`, `lvcreate`) and those that only
//! tell of it (`vgs`).
//!
//! What changes storage runs to its end; what only reads has a deadline. All run in a process group of their own so that an interrupt at the terminal
//! does not reach them, with no shell, a fixed search path and an empty environment. A secret reaches one by
//! its standard input alone, which is a pipe.

use crate::error::{Context, Result};
use crate::{Errno, Error};
use rustix::event::{PollFd, PollFlags, Timespec};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

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
    let path = find(program).ok_or_else(|| not_installed(program))?;
    finish(prepared(&path, arguments).spawn().on("run", &path)?, &path)
}

/// [`run`], with `variables` in its environment and `input` on its standard input.
pub fn run_fed(
    program: &str,
    arguments: &[&OsStr],
    variables: &[(&str, &str)],
    input: &[u8],
) -> Result<Ended> {
    let path = find(program).ok_or_else(|| not_installed(program))?;
    finish(fed(&path, arguments, variables, input)?, &path)
}

fn finish(child: Child, path: &Path) -> Result<Ended> {
    // Both pipes are drained while waiting, so a talkative program cannot block on a full one.
    let output = child.wait_with_output().on("wait for", path)?;
    let mut words = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let errors = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    if !words.is_empty() && !errors.is_empty() {
        words.push('\n');
    }
    words.push_str(&errors);
    Ok(Ended { status: number_of(output.status), words })
}

/// What a program told before its deadline.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its exit status; 128 + the signal's number when a signal ended it.
    pub status: i32,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr, trimmed.
    pub stderr: String,
}

/// Runs a `program` that changes nothing, for at most `longest`; then it is killed with all that it
/// started, and the answer is `TIMEDOUT`.
///
/// Fails with `NOENT` when the host does not have the program.
pub fn ask(program: &str, arguments: &[&OsStr], longest: Duration) -> Result<Told> {
    let path = find(program).ok_or_else(|| not_installed(program))?;
    listen(program, prepared(&path, arguments).spawn().on("run", &path)?, longest)
}

/// [`ask`], with `variables` in its environment and `input` on its standard input.
pub fn ask_fed(
    program: &str,
    arguments: &[&OsStr],
    variables: &[(&str, &str)],
    input: &[u8],
    longest: Duration,
) -> Result<Told> {
    let path = find(program).ok_or_else(|| not_installed(program))?;
    listen(program, fed(&path, arguments, variables, input)?, longest)
}

fn listen(program: &str, mut child: Child, longest: Duration) -> Result<Told> {
    let deadline = Instant::now() + longest;
    let pipes = (child.stdout.take(), child.stderr.take());
    let ended = drain(pipes, deadline).and_then(|told| Ok((told, wait(&mut child, deadline)?)));
    match ended {
        Ok(((stdout, stderr), status)) => {
            let stderr = String::from_utf8_lossy(&stderr).trim().to_owned();
            Ok(Told { status: number_of(status), stdout, stderr })
        }
        Err(errno) => {
            // One that the kernel does not let go of is left to itself; it can do no harm but wait.
            let group = rustix::process::Pid::from_child(&child);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = wait(&mut child, Instant::now() + Duration::from_secs(1));
            let error = Error::new("run", program, errno);
            Err(match errno {
                Errno::TIMEDOUT => {
                    error.detail(format!("it did not end within {} s", longest.as_secs_f64()))
                }
                _ => error,
            })
        }
    }
}

/// The output of both pipes until their ends.
type Output = (Vec<u8>, Vec<u8>);

fn drain(
    (stdout, stderr): (Option<ChildStdout>, Option<ChildStderr>),
    deadline: Instant,
) -> std::result::Result<Output, Errno> {
    let mut pipes =
        [stdout.map(OwnedFd::from).map(File::from), stderr.map(OwnedFd::from).map(File::from)];
    let mut told = [Vec::new(), Vec::new()];
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let open: Vec<usize> = (0..2).filter(|index| pipes[*index].is_some()).collect();
        if open.is_empty() {
            let [stdout, stderr] = told;
            return Ok((stdout, stderr));
        }
        let mut waits: Vec<PollFd<'_>> =
            pipes.iter().flatten().map(|pipe| PollFd::new(pipe, PollFlags::IN)).collect();
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
        match rustix::event::poll(&mut waits, Some(&left)) {
            Ok(0) => return Err(Errno::TIMEDOUT),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        let ready: Vec<bool> = waits.iter().map(|wait| !wait.revents().is_empty()).collect();
        for (index, _) in open.into_iter().zip(ready).filter(|(_, ready)| *ready) {
            let read = pipes[index].as_mut().map_or(Ok(0), |pipe| pipe.read(&mut buffer));
            match read.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))? {
                0 => pipes[index] = None,
                length => told[index].extend_from_slice(&buffer[..length]),
            }
        }
    }
}

/// Waits for a program that has closed its output, which most do by ending.
fn wait(child: &mut Child, deadline: Instant) -> std::result::Result<ExitStatus, Errno> {
    let mut pause = Duration::from_micros(50);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() >= deadline => return Err(Errno::TIMEDOUT),
            Ok(None) => std::thread::sleep(pause),
            Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
        }
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

fn prepared(path: &Path, arguments: &[&OsStr]) -> Command {
    let mut command = Command::new(path);
    command
        .args(arguments)
        .env_clear()
        .env("PATH", DIRECTORIES.join(":"))
        .env("LC_ALL", "C")
        // Programs share the lock of the volume they work on, and lvm would complain of it.
        .env("LVM_SUPPRESS_FD_WARNINGS", "1")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    command
}

/// The most that a program is fed: a pipe takes it at once, whether it is read or not.
const MOST_INPUT: usize = 32 * 1024;

fn fed(
    path: &Path,
    arguments: &[&OsStr],
    variables: &[(&str, &str)],
    input: &[u8],
) -> Result<Child> {
    if input.len() > MOST_INPUT {
        return Err(Error::new("run", path.to_string_lossy(), Errno::TOOBIG));
    }
    let mut command = prepared(path, arguments);
    command.envs(variables.iter().copied()).stdin(Stdio::piped());
    let mut child = command.spawn().on("run", path)?;
    if let Some(mut pipe) = child.stdin.take() {
        // One that ended without reading says why by its status.
        let _ = pipe.write_all(input);
    }
    Ok(child)
}

fn not_installed(program: &str) -> Error {
    Error::new("run", program, Errno::NOENT).detail("this host does not have it installed")
}

fn number_of(status: ExitStatus) -> i32 {
    let signal = std::os::unix::process::ExitStatusExt::signal(&status).unwrap_or(0);
    status.code().unwrap_or(128 + signal)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str, longest: u64) -> Result<Told> {
        ask("sh", &["-c".as_ref(), script.as_ref()], Duration::from_millis(longest))
    }

    #[test]
    fn what_a_program_says_comes_back_apart_and_whole() {
        let told = shell("head -c 300000 /dev/zero; echo words >&2; exit 3", 20_000).unwrap();
        assert_eq!((told.status, told.stdout.len(), told.stderr.as_str()), (3, 300_000, "words"));
    }

    #[test]
    fn what_a_program_is_fed_reaches_it_by_a_pipe_alone() {
        let script: &[&OsStr] = &["-c".as_ref(), "cat; echo $WORD >&2".as_ref()];
        let told = ask_fed("sh", script, &[("WORD", "w")], b"a\n\0b", Duration::from_secs(20));
        let told = told.unwrap();
        assert_eq!((told.stdout.as_slice(), told.stderr.as_str()), (&b"a\n\0b"[..], "w"));
        let deaf: &[&OsStr] = &["-c".as_ref(), "exit 4".as_ref()];
        assert_eq!(run_fed("sh", deaf, &[], &[7; MOST_INPUT]).unwrap().status, 4);
        let large = run_fed("sh", deaf, &[], &[7; MOST_INPUT + 1]).unwrap_err();
        assert_eq!(large.errno, Errno::TOOBIG);
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_its_children_at_its_deadline() {
        for script in ["sleep 600 & sleep 600", "exec >&- 2>&-; sleep 600"] {
            let begun = Instant::now();
            assert_eq!(shell(script, 100).unwrap_err().errno, Errno::TIMEDOUT);
            assert!(begun.elapsed() < Duration::from_secs(60), "it was waited for");
        }
    }
}
