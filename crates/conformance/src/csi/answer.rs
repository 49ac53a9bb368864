//! What a driver answered to one call, and the judgements that checks make of it.

use super::check::{Stop, Verdict, cannot_run, fail, no_room};
use tonic::{Code, Status};

/// An answer, with what it answers.
#[derive(Debug)]
pub(crate) struct Answer<T> {
    rpc: &'static str,
    circumstance: Option<String>,
    pub(crate) result: Result<T, Status>,
}

impl<T> Answer<T> {
    pub(crate) fn new(rpc: &'static str, result: Result<T, Status>) -> Answer<T> {
        Answer { rpc, circumstance: None, result }
    }

    /// Adds what is special about the request, for the report.
    pub(crate) fn when(mut self, circumstance: impl Into<String>) -> Answer<T> {
        self.circumstance = Some(circumstance.into());
        self
    }

    /// The answer's code.
    pub(crate) fn code(&self) -> Code {
        self.result.as_ref().map_or_else(Status::code, |_| Code::Ok)
    }

    /// Code and message, as a report shows them.
    pub(crate) fn shown(&self) -> String {
        self.result.as_ref().map_or_else(shown, |_| "OK".to_owned())
    }

    /// What was asked, as a report shows it.
    pub(crate) fn asked(&self) -> String {
        match &self.circumstance {
            Some(circumstance) => format!("{}: {circumstance}", self.rpc),
            None => self.rpc.to_owned(),
        }
    }

    /// Passes when the code is one of `codes`.
    pub(crate) fn is(self, codes: &[Code]) -> Verdict {
        match codes.contains(&self.code()) {
            true => Ok(()),
            false => Err(self.unlike(&names(codes))),
        }
    }

    /// Passes when the call succeeded, and gives what it answered.
    pub(crate) fn ok(self) -> Verdict<T> {
        match self.result {
            Ok(value) => Ok(value),
            Err(_) => Err(self.unlike("OK")),
        }
    }

    /// Like [`Answer::ok`], for calls about places: there, RESOURCE_EXHAUSTED is about the place.
    pub(crate) fn placed(self) -> Verdict<T> {
        match self.result {
            Ok(value) => Ok(value),
            Err(_) => Err(fail(self.asked(), self.shown(), "OK")),
        }
    }

    /// Passes when the call failed, with whichever code.
    pub(crate) fn refused(self) -> Verdict {
        match self.result {
            Ok(_) => Err(self.unlike("an error")),
            Err(_) => Ok(()),
        }
    }

    /// For calls that only prepare the ground: an error means that the check cannot run.
    pub(crate) fn prepared(self) -> Verdict<T> {
        match self.result {
            Ok(value) => Ok(value),
            Err(_) if self.code() == Code::ResourceExhausted => {
                Err(no_room(&self.asked(), &self.shown()))
            }
            Err(_) => Err(cannot_run(format!("{} answered {}", self.asked(), self.shown()))),
        }
    }

    fn unlike(&self, wanted: &str) -> Stop {
        match self.code() {
            // A full disk is nobody's fault, and says nothing about the clause.
            Code::ResourceExhausted => no_room(&self.asked(), &self.shown()),
            _ => fail(self.asked(), self.shown(), wanted),
        }
    }
}

/// A status as `CODE: message`.
pub(crate) fn shown(status: &Status) -> String {
    let message = becket_core::error::shown(status.message());
    match message.is_empty() {
        true => name(status.code()).to_owned(),
        false => format!("{}: {message}", name(status.code())),
    }
}

fn names(codes: &[Code]) -> String {
    let names: Vec<&str> = codes.iter().map(|code| name(*code)).collect();
    names.join(" or ")
}

/// A code as the specification writes it.
pub(crate) fn name(code: Code) -> &'static str {
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
