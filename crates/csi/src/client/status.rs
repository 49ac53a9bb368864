//! How a call ended.

use crate::shape::printable;
use std::fmt;
use std::time::Duration;
use tonic::Code;

/// How a call ended, and how long it took.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// How it ended.
    pub status: Status,
    /// From the request's first byte until it ended.
    pub elapsed: Duration,
}

/// A gRPC status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its code; `Ok` when nothing went wrong.
    pub code: Code,
    /// What the driver says about it, or what went wrong on the way.
    pub message: String,
    /// Whether the driver said so: not so for a deadline, or for a connection that broke.
    pub answered: bool,
}

impl Status {
    /// The status of a call that went well.
    pub fn ok() -> Status {
        Status { code: Code::Ok, message: String::new(), answered: true }
    }

    /// Whether the call went well.
    pub fn is_ok(&self) -> bool {
        self.code == Code::Ok
    }

    pub(super) fn of(status: &tonic::Status) -> Status {
        let mut message = status.message().to_owned();
        let mut source = std::error::Error::source(status);
        let answered = source.is_none();
        // The innermost error says what happened; those around it only where.
        while let Some(inner) = source {
            message = inner.to_string();
            source = inner.source();
        }
        Status { code: status.code(), message, answered }
    }

    pub(super) fn late(deadline: Duration) -> Status {
        let deadline = humantime::format_duration(deadline);
        let message = format!("nothing within {deadline}");
        Status { code: Code::DeadlineExceeded, message, answered: false }
    }
}

/// A call that did not go well, in words: `NodeStageVolume answered NOT_FOUND: …`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The RPC.
    pub rpc: String,
    /// How it ended.
    pub status: Status,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rpc, code) = (&self.rpc, code_name(self.status.code));
        let verb = if self.status.answered { "answered" } else { "got no answer:" };
        write!(f, "{rpc} {verb} {code}")?;
        match self.status.message.as_str() {
            "" => f.write_str(", without a message"),
            message => write!(f, ": {}", printable(message)),
        }
    }
}

/// The code as the specification spells it, such as `NOT_FOUND`.
pub fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
