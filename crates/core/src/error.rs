//! One error type with a closed set of kinds, on which every frontend matches exhaustively.

use becket_sys::Errno;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What an error means for the caller. The set is closed: a new kind is a new protocol decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// The request itself is wrong; the same request will never succeed.
    Invalid,
    /// The object is absent, and the pool that would hold it is healthy.
    NotFound,
    /// The object exists and differs from what was asked for.
    Conflict,
    /// The object is used, so what was asked for cannot be done now.
    InUse,
    /// The object or the host is in a state that forbids the operation.
    WrongState,
    /// Another operation on the same object is running.
    Busy,
    /// The operation took longer than its deadline.
    Timeout,
    /// The pool or what it stands on cannot be reached now.
    Unavailable,
    /// The pool cannot hold that much.
    NoSpace,
    /// A number is outside of what is possible.
    OutOfRange,
    /// The host does not let us.
    Denied,
    /// A fixed fact: this backend, pool or kernel cannot do that, now or later.
    Unsupported,
    /// A bug, or a host that behaves as it should not.
    Internal,
}

/// An error: its kind, a sentence that names operation and object, and what to do, if that is known.
#[derive(Debug, Clone)]
pub struct Error {
    kind: Kind,
    message: String,
    hint: Option<String>,
}

impl Error {
    /// An error of `kind`. `message` is a lower-case sentence without a full stop, its object in
    /// backticks.
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), hint: None }
    }

    /// The same error with a hint: what the person who reads it can do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// The same error, seen from the operation it happened in: `cannot stage `v`: MESSAGE`.
    #[must_use]
    pub fn during(mut self, operation: impl fmt::Display) -> Error {
        self.message = format!("{operation}: {}", self.message);
        self
    }

    /// What the error means.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The sentence, without the hint.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    pub fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// All of `errors` as one: the first one's kind and hint, every message. For cleanup paths,
    /// which go on after a failure and report all of them.
    pub fn all(errors: Vec<Error>) -> Result<()> {
        let mut errors = errors.into_iter();
        let Some(mut first) = errors.next() else {
            return Ok(());
        };
        for error in errors {
            first.message = format!("{}; also: {}", first.message, error.message);
        }
        Err(first)
    }
}

impl fmt::Display for Error {
    /// The sentence and, behind it, the hint: for places that have one line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " (hint: {hint})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<becket_sys::Error> for Error {
    /// A failed system call, by what its number means for a caller. `NOENT` is deliberately not
    /// "not found": a missing path below a volume is no proof that the volume is absent.
    fn from(error: becket_sys::Error) -> Error {
        let kind = match error.errno {
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Kind::NoSpace,
            Errno::ACCESS | Errno::PERM => Kind::Denied,
            Errno::ROFS => Kind::WrongState,
            Errno::BUSY => Kind::InUse,
            Errno::TIMEDOUT => Kind::Timeout,
            Errno::LOOP | Errno::NOTDIR | Errno::XDEV => Kind::Invalid,
            Errno::NODEV | Errno::NOSYS | Errno::OPNOTSUPP => Kind::WrongState,
            Errno::STALE | Errno::HOSTDOWN | Errno::NOTCONN | Errno::MFILE | Errno::NFILE => {
                Kind::Unavailable
            }
            _ => Kind::Internal,
        };
        let hint = match error.errno {
            Errno::NOSPC => Some("the filesystem below the pool is full"),
            Errno::ACCESS | Errno::PERM => Some("becket needs to run as root on the node"),
            Errno::ROFS => Some("the filesystem below is mounted read-only"),
            Errno::NOSYS => Some("becket needs Linux 5.12 or newer"),
            _ => None,
        };
        let plain = Error::new(kind, error.to_string());
        match hint {
            Some(hint) => plain.hint(hint),
            None => plain,
        }
    }
}

/// `text` from outside, as a message may show it: on one line, and not endless.
pub fn shown(text: &str) -> String {
    const LONGEST: usize = 160;
    let mut shown: String = text.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_errors_keeps_every_message_and_the_first_kind() {
        let errors = vec![Error::new(Kind::InUse, "one"), Error::new(Kind::Internal, "two")];
        let error = Error::all(errors).unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::InUse, "one; also: two"));
        assert!(Error::all(Vec::new()).is_ok());
    }
}
