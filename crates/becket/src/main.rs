//! Becket: Kubernetes volumes from what a node already has.
//!
//! One binary with two faces. Run under a FlexVolume driver's name (`…/becket~image/image`) it is
//! that driver and answers one callout; that is decided before anything else is set up. Under any
//! other name it is the command line.

mod args;
mod callout;
mod commands;
mod install;
mod log_lines;
mod output;

use clap::Parser;
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    if let Some(call) = callout::requested(&arguments) {
        return callout::answer(&call);
    }
    let args = args::Args::parse_from(&arguments);
    match args.command {
        // A callout answers on stdout alone, also when it is asked for by the command line.
        args::Command::Flex(_) => {}
        args::Command::Serve(_) => log_lines::of_server(args.global.verbose),
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
