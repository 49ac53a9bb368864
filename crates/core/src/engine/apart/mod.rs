//! Operations that may hang with a file server, done in an expendable second process.
//!
//! A thread that waits for a dead server waits for as long as the kernel likes, and cannot be ended. So
//! nothing of this process touches what such a backend keeps: each operation on one of its pools is
//! written down as an [`Operation`], handed to a second process of this program, and done there by the
//! ordinary engine, which has the backend that reaches its medium. It is waited for with a deadline,
//! ends with it, and what it leaves is what a killed process leaves anywhere: the retry adopts it.
//!
//! The whole of it stays behind [`Engine`]: callers ask for an operation and do not see where it runs.

mod line;
mod operation;
mod perform;
mod unmount;

pub use perform::perform;

pub(super) use operation::Operation;
pub(super) use unmount::unmount;

use super::Engine;
use crate::pool::Pool;
use crate::{Error, Kind, Name, Result};
use becket_sys::expendable::Expendable;
use line::{Line, Message};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::time::Duration;

/// The first argument by which this program knows that it is a second process; it is no command of ours,
/// and a name that the tests' own programs can take as well.
pub const MARK: &str = "becket_operation_apart";

/// True when this process was started to do one operation; then [`perform`] is to be called, and nothing
/// else.
pub fn requested(arguments: &[impl AsRef<OsStr>]) -> bool {
    arguments.get(1).is_some_and(|first| first.as_ref() == MARK)
}

/// What a second process is told.
#[derive(Debug, Serialize, Deserialize)]
struct Request {
    state: PathBuf,
    wait: Duration,
    pool: Option<Name>,
    operation: Operation,
}

/// A pool whose operations are done apart.
pub(super) struct Apart<'a> {
    engine: &'a Engine,
    pool: &'a Pool,
}

impl Engine {
    /// The way to the second process, for a pool whose medium this one must not touch.
    pub(super) fn apart<'a>(&'a self, pool: &'a Pool) -> Option<Apart<'a>> {
        let apart = self.backend(pool).is_ok_and(|backend| backend.is_apart());
        apart.then_some(Apart { engine: self, pool })
    }

    /// Does an operation apart that is not one on a pool that is there.
    pub(super) fn ask_apart<T: DeserializeOwned>(
        &self,
        whom: &str,
        pool: Option<&Name>,
        operation: Operation,
    ) -> Result<T> {
        let limit = operation.limit() + self.wait;
        let request = Request {
            state: self.state.path().to_owned(),
            wait: self.wait,
            pool: pool.cloned(),
            operation,
        };
        let process = Expendable::start(&[OsStr::new(MARK), OsStr::new("--exact")])?;
        match self.converse(&process, &request, limit) {
            Ok(answer) => {
                process.finish(Duration::from_secs(1));
                answer.and_then(|value| serde_json::from_value(value).map_err(garbled))
            }
            Err(reason) => Err(silent(whom, reason)),
        }
    }

    /// Hears the process until it has told how it ended; the outer error is that it did not.
    fn converse(
        &self,
        process: &Expendable,
        request: &Request,
        limit: Duration,
    ) -> std::result::Result<Result<serde_json::Value>, std::io::Error> {
        let line = Line::over(process.socket(), Some(limit))?;
        line.say(request)?;
        loop {
            match line.hear()? {
                Message::Done(value) => return Ok(Ok(value)),
                Message::Failed { kind, message, hint } => {
                    return Ok(Err(told_error(kind, message, hint)));
                }
                Message::Log { level, text } => log::log!(line::level(&level), "{text}"),
                Message::Wanted => line.say(&(self.wanted)())?,
                Message::Progress { what, done, total } => {
                    let on = self.progress.advance(&what, done, total).is_continue();
                    line.say(&on)?;
                }
            }
        }
    }
}

impl Apart<'_> {
    /// Does the operation there, and gives what it gives.
    pub(super) fn ask<T: DeserializeOwned>(&self, operation: Operation) -> Result<T> {
        let medium = self.engine.backend(self.pool)?.medium_named(&self.pool.record.parameters);
        self.engine.ask_apart(&medium, Some(self.pool.name()), operation)
    }

    /// Why an operation that gives nothing that could be handed over is refused.
    pub(super) fn refusal(&self, operation: Operation) -> Error {
        self.ask::<()>(operation)
            .err()
            .unwrap_or_else(|| Error::new(Kind::Internal, "what was done apart cannot be told"))
    }
}

fn told_error(kind: Kind, message: String, hint: Option<String>) -> Error {
    let error = Error::new(kind, message);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

fn garbled_request(error: std::io::Error) -> Error {
    Error::new(Kind::Internal, format!("what is to be done apart cannot be read: {error}"))
}

fn garbled(error: serde_json::Error) -> Error {
    Error::new(Kind::Internal, format!("what was done apart cannot be told: {error}"))
}

fn silent(whom: &str, reason: std::io::Error) -> Error {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    match reason.kind() {
        WouldBlock | TimedOut => {
            Error::new(Kind::Unavailable, format!("`{whom}` did not answer in time"))
                .hint("what was begun is finished by the next try")
        }
        _ => Error::new(
            Kind::Unavailable,
            format!("the process that talked to `{whom}` ended before it was done: {reason}"),
        )
        .hint("it is safe to try again"),
    }
}
