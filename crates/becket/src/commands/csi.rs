//! `becket csi`: a client of any CSI driver.

mod call;
mod lifecycle;
pub(crate) mod secrets;
mod show;

use crate::args::{CsiArgs, CsiCommand};
use crate::output::{self, Form};
use becket_core::{Error, Kind};
use becket_csi::client::{Client, Code, Refused};
use becket_csi::endpoint::Endpoint;
use std::process::ExitCode;
use std::time::Duration;

/// Exit status for wrong use: gRPC's codes end at 16. It is `EX_USAGE` of sysexits.h.
pub(crate) const USAGE: u8 = 64;

/// Exit status when the driver answered OK and it is not so (`EX_DATAERR`).
const WRONG: u8 = 65;

/// Exit status when this program cannot do its own part (`EX_SOFTWARE`).
const INTERNAL: u8 = 70;

/// Why a command ended without success.
#[derive(Debug)]
enum Failure {
    /// A call did not go well.
    Refused(Refused),
    /// The driver answered OK, and what it says or did is wrong.
    Wrong(Error),
    /// Something else: wrong use, no connection.
    Own(Error),
    /// A signal ended it.
    Interrupted,
}

/// What a command comes to; what it has to show, it has shown.
type Done = std::result::Result<(), Failure>;

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Own(error)
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        Failure::Refused(refused)
    }
}

/// Runs the command, shows its error, and says by the exit status what became of it.
pub(super) fn run(args: &CsiArgs, form: Form) -> ExitCode {
    let done = match &args.command {
        Some(CsiCommand::List) => show::rpcs(&args.reach, form),
        Some(CsiCommand::Describe { rpc }) => show::description(rpc, form),
        Some(CsiCommand::Lifecycle(life)) => lifecycle::run(&args.reach, life, form),
        None => call::run(args, form),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => ExitCode::from(failure.tell()),
    }
}

impl Failure {
    /// Shows the error; gives its exit status.
    fn tell(&self) -> u8 {
        match self {
            Failure::Refused(refused) => {
                let error = Error::new(Kind::Internal, refused.to_string());
                output::error(&match (refused.status.code, refused.status.answered) {
                    (Code::Unimplemented, true) => {
                        error.hint("`becket csi list` shows what the driver claims to have")
                    }
                    (Code::DeadlineExceeded, false) => {
                        error.hint("--timeout gives it longer; the driver may still be at work")
                    }
                    _ => error,
                });
                refused.status.code as u8
            }
            Failure::Wrong(error) => {
                output::error(error);
                WRONG
            }
            Failure::Own(error) => {
                output::error(error);
                match error.kind() {
                    Kind::Unavailable => Code::Unavailable as u8,
                    Kind::Internal => INTERNAL,
                    _ => USAGE,
                }
            }
            Failure::Interrupted => {
                output::say("interrupted");
                128 + signal_hook::consts::SIGINT as u8
            }
        }
    }
}

/// Connects, or says that no endpoint is given.
fn connect(endpoint: Option<&Endpoint>, timeout: Duration) -> Result<Client, Failure> {
    let endpoint = endpoint.ok_or_else(|| {
        Error::new(Kind::Invalid, "it is not said where the driver listens")
            .hint("give --endpoint unix:///path/to/csi.sock, or set CSI_ENDPOINT")
    })?;
    Ok(Client::connect(endpoint, timeout)?)
}
