//! A guest from its first process on the host to its last word.

use super::{Ended, NoGuest, Output, host, processor, tree};
use crate::run::Failed;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::{ScopedJoinHandle, scope};
use std::time::Duration;

/// Runs a guest with these settings to its end.
///
/// When this process is killed, all of the guest's are: see `xtask/guest/src/enter.rs`.
pub fn run(
    program: &Path,
    settings: &[u8],
    timeout: Duration,
    output: Output,
) -> Result<Ended, NoGuest> {
    let processor = processor::take(&tree::cache()?)?;
    let (mut ours, theirs) = UnixStream::pair().map_err(|error| broken("make a socket", &error))?;
    let mut guest = Command::new(program)
        .args(["enter", &std::process::id().to_string(), &processor.number.to_string()])
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| broken("start the guest", &error))?;
    let (stdout, stderr) = (guest.stdout.take(), guest.stderr.take());
    scope(|scope| {
        let stdout = scope.spawn(|| copy(stdout, output, std::io::stdout()));
        let stderr = scope.spawn(|| copy(stderr, output, std::io::stderr()));
        let word = converse(&mut ours, settings, timeout);
        if word.is_err() {
            let _ = guest.kill();
        }
        // With the last process of the guest the last writer of the pipes is gone: this ends.
        let (stdout, stderr) = (joined(stdout), joined(stderr));
        let ended = wait(&mut guest)?;
        let status = judge(&word?, &ended)?;
        Ok(Ended { status, stdout, stderr })
    })
}

/// Hands the settings over and waits for the guest's last word, which is empty if it ended without one.
fn converse(
    socket: &mut UnixStream,
    settings: &[u8],
    timeout: Duration,
) -> Result<String, NoGuest> {
    // A guest that has ended already reads nothing; why, its other end tells.
    let _ = socket.write_all(settings).and_then(|()| socket.shutdown(Shutdown::Write));
    let failed = |error| broken("wait for the guest", &error);
    socket.set_read_timeout(Some(timeout)).map_err(failed)?;
    // The word comes whole, when all is over: one time limit for its first byte is enough.
    let mut word = String::new();
    match socket.read_to_string(&mut word) {
        Ok(_) => Ok(word),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(NoGuest::TimedOut(timeout)),
        Err(error) => Err(failed(error)),
    }
}

/// The command's exit status, from the guest's last word.
fn judge(word: &str, ended: &std::process::ExitStatus) -> Result<u8, NoGuest> {
    if let Some(status) = word.strip_prefix("exit ").and_then(|status| status.parse().ok()) {
        return Ok(status);
    }
    if let Some(reason) = word.strip_prefix("failed ") {
        return Err(NoGuest::Broken(format!("the guest failed: {}", reason.trim_end())));
    }
    Err(host::no_namespaces().unwrap_or_else(|| {
        NoGuest::Broken(format!("the guest ended with {ended} and without a word"))
    }))
}

/// Passes output on to `shown`, or gives it when it has come to its end.
fn copy(stream: Option<impl Read>, output: Output, mut shown: impl Write) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else { return kept };
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return kept,
            Ok(length) if output == Output::Kept => kept.extend_from_slice(&buffer[..length]),
            // A reader that has gone away is no reason to stop the guest.
            Ok(length) => drop(shown.write_all(&buffer[..length]).and_then(|()| shown.flush())),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return kept,
        }
    }
}

fn joined(copy: ScopedJoinHandle<'_, Vec<u8>>) -> Vec<u8> {
    copy.join().unwrap_or_default()
}

fn wait(guest: &mut Child) -> Result<std::process::ExitStatus, NoGuest> {
    guest.wait().map_err(|error| broken("wait for the guest", &error))
}

fn broken(what: &str, error: &std::io::Error) -> NoGuest {
    Failed::new(format!("cannot {what}: {error}")).into()
}
