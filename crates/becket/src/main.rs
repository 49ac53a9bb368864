//! Becket: Kubernetes volumes from what a node already has.
//!
//! One binary with two faces, and a third that only it sees: a second process of its own, for one operation
//! that may hang with a file server. Run under a FlexVolume driver's name (`…/becket~image/image`) it is
//! that driver and answers one callout; that is decided before anything else is set up. Under any
//! other name it is the command line.

mod args;
mod callout;
mod commands;
mod install;
mod log_lines;
mod output;

use clap::{CommandFactory, Parser};
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if becket_core::engine::apart_requested(&arguments) {
        return becket_core::engine::perform_apart(becket_backends::all_apart());
    }
    if let Some(call) = callout::requested(&arguments) {
        return callout::answer(&call);
    }
    let args = match args::Args::try_parse_from(&arguments) {
        Ok(args) => args,
        Err(error) => return refuse(&error, &arguments),
    };
    match args.command {
        // A callout answers on stdout alone, also when it is asked for by the command line.
        args::Command::Flex(_) => {}
        args::Command::Serve(_) | args::Command::Controller(_) => {
            log_lines::of_server(args.global.verbose)
        }
        _ => log_lines::to_stderr(args.global.verbose),
    }
    match commands::run(&args) {
        Ok(code) => code,
        Err(error) => {
            output::error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Says what is wrong with the command line, or shows the help that it asks for. `becket csi` has gRPC's
/// codes as its exit statuses, so that wrong use of it has another one than the usual 2.
fn refuse(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let _ = error.print();
    let lenient = args::Args::command().ignore_errors(true).try_get_matches_from(arguments);
    let of_csi = lenient.is_ok_and(|matches| matches.subcommand_name() == Some("csi"));
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ if of_csi => ExitCode::from(commands::csi::USAGE),
        code => ExitCode::from(u8::try_from(code).unwrap_or(2)),
    }
}
