//! What an error is called in gRPC.

use becket_core::{Error, Kind};
use tonic::{Code, Status};

/// The gRPC code of each kind.
pub fn code(kind: Kind) -> Code {
    match kind {
        Kind::Invalid => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::Conflict => Code::AlreadyExists,
        Kind::InUse | Kind::WrongState => Code::FailedPrecondition,
        Kind::Busy => Code::Aborted,
        Kind::Timeout => Code::DeadlineExceeded,
        Kind::Unavailable => Code::Unavailable,
        Kind::NoSpace => Code::ResourceExhausted,
        Kind::OutOfRange => Code::OutOfRange,
        Kind::Denied => Code::PermissionDenied,
        Kind::Unsupported => Code::Unimplemented,
        Kind::Internal => Code::Internal,
    }
}

/// The status: its message is always there, and its details never are (section "Error Scheme").
pub fn of(error: &Error) -> Status {
    Status::new(code(error.kind()), error.to_string())
}
