//! Unmounting what a file server holds, which waits for the server to take what was written.
//!
//! The process that unmounts is never killed: what it has not yet written back would be lost with it. It
//! is left alone when it takes too long, and ends when the kernel lets it.

use super::line::{Line, Message};
use super::{MARK, Operation, Request, silent};
use crate::{Error, Kind, Result};
use becket_sys::expendable::Expendable;
use becket_sys::mountinfo::{self, Entry};
use std::ffi::OsStr;
use std::io::ErrorKind::{TimedOut, WouldBlock};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a server that answers may take to be given what was written to it.
const PATIENCE: Duration = Duration::from_secs(90);

/// Unmounts what is mounted at `path`: `entry`, of a server that `answers` asks. Where that does not, what
/// waits for it is ended and the mount goes away all the same.
pub(in crate::engine) fn unmount(
    path: &Path,
    entry: &Entry,
    answers: &dyn Fn() -> bool,
) -> Result<()> {
    let process = Unmounting::begin(Operation::Unmount(path.to_owned()))?;
    let begun = Instant::now();
    loop {
        match process.hear() {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) if answers() || error.kind() != Kind::InUse => {
                return Err(error);
            }
            Ok(Err(_)) => break,
            Err(reason) if !matches!(reason.kind(), TimedOut | WouldBlock) => {
                return Err(silent(&entry.source.display().to_string(), reason));
            }
            Err(_) if begun.elapsed() < PATIENCE && answers() => {}
            Err(_) => break,
        }
    }
    process.leave();
    if !is_mounted(entry)? {
        log::warn!("`{}` is unmounted, and not all of it is written back", path.display());
        return Ok(());
    }
    match answers() {
        false => lazily(path, entry),
        // It is only slow, and may yet take what was written to it.
        true => Err(Error::new(
            Kind::Timeout,
            format!(
                "`{}` is still being unmounted from `{}`",
                entry.source.display(),
                path.display()
            ),
        )
        .hint("it is safe to try again")),
    }
}

/// Unmounts it although its server is gone.
fn lazily(path: &Path, entry: &Entry) -> Result<()> {
    log::warn!(
        "`{}` is unmounted although its server does not answer: `{}`",
        path.display(),
        entry.source.display()
    );
    let process = Unmounting::begin(Operation::UnmountLazily(path.to_owned()))?;
    let outcome = process.hear();
    process.leave();
    if !is_mounted(entry)? {
        return Ok(());
    }
    match outcome {
        Ok(Err(error)) => Err(error),
        _ => Err(Error::new(
            Kind::Unavailable,
            format!("`{}` does not let go of `{}`", path.display(), entry.source.display()),
        )
        .hint("it is safe to try again")),
    }
}

fn is_mounted(entry: &Entry) -> Result<bool> {
    let same = |now: &Entry| now.id == entry.id && now.point == entry.point;
    Ok(mountinfo::read()?.iter().any(same))
}

struct Unmounting {
    process: Expendable,
    line: Line,
}

impl Unmounting {
    fn begin(operation: Operation) -> Result<Unmounting> {
        let limit = operation.limit();
        let failed = |reason| silent("the process that unmounts", reason);
        let process = Expendable::start(&[OsStr::new(MARK), OsStr::new("--exact")])?;
        let line = Line::over(process.socket(), Some(limit)).map_err(failed)?;
        let request =
            Request { state: PathBuf::new(), wait: Duration::ZERO, pool: None, operation };
        line.say(&request).map_err(failed)?;
        Ok(Unmounting { process, line })
    }

    fn hear(&self) -> std::io::Result<Result<()>> {
        loop {
            match self.line.hear()? {
                Message::Done(_) => return Ok(Ok(())),
                Message::Failed { kind, message, hint } => {
                    return Ok(Err(super::told_error(kind, message, hint)));
                }
                _ => {}
            }
        }
    }

    fn leave(self) {
        self.process.abandon();
    }
}
