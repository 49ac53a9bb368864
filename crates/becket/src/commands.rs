//! What the command line's words do.

mod check;
mod controller;
pub(crate) mod csi;
mod demo;
mod pool;
mod serve;
mod snapshot;
mod trash;
mod volume;

use crate::args::{Args, Command, Global, InPool};
use crate::callout::{self, Call};
use crate::install;
use crate::output::{self, Form, TerminalProgress};
use becket_core::engine::Outcome;
use becket_core::pool::State;
use becket_core::{Engine, Error, Kind, Name, Result};
use clap::CommandFactory;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

/// Runs the command. An error is shown by the caller.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let form = args.global.output;
    match &args.command {
        Command::Demo => demo::run(form)?,
        Command::Check(command) => return check::run(command, form),
        Command::Serve(arguments) => serve::run(&args.global, arguments)?,
        Command::Controller(arguments) => controller::run(&args.global, arguments)?,
        Command::Pool(command) => pool::run(&engine(&args.global), command, form)?,
        Command::Volume(command) => volume::run(&engine(&args.global), command, form)?,
        Command::Snapshot(command) => snapshot::run(&engine(&args.global), command, form)?,
        Command::Trash(command) => trash::run(&engine(&args.global), command, form)?,
        Command::Reconcile(at) => return reconcile(&engine(&args.global), at, form),
        Command::Csi(csi) => return Ok(csi::run(csi, form)),
        Command::Flex(flex) => {
            let call = Call::by_command(&flex.driver, &flex.arguments, &args.global.state_dir);
            let call = call.ok_or_else(|| install::unknown_driver(&flex.driver))?;
            return Ok(callout::answer(&call));
        }
        Command::Install(arguments) => install::install(arguments, &args.global.state_dir, form)?,
        Command::Uninstall(arguments) => install::uninstall(arguments, form)?,
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Args::command(), "becket", &mut script);
            output::print(&String::from_utf8_lossy(&script))?;
        }
        Command::Man { directory } => manual_pages(directory)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn engine(global: &Global) -> Engine {
    let state = State::new(install::real(&global.state_dir));
    let engine = Engine::new(state, becket_backends::all());
    // Elsewhere progress goes to the log, which is the engine's own way.
    match std::io::stderr().is_terminal() {
        true => engine.reporting(Box::new(TerminalProgress::default())),
        false => engine,
    }
}

/// Says what became of something that was to be deleted.
fn say_deleted(engine: &Engine, pool: &Name, what: &str, name: &Name, existed: bool) -> Result<()> {
    if !existed {
        output::say(format_args!(
            "{what} `{name}` does not exist in pool `{pool}`; nothing was deleted"
        ));
        return Ok(());
    }
    output::say(format_args!("{what} `{name}` is deleted"));
    if engine.open(pool)?.record.trash_retention_seconds > 0 {
        output::say(format_args!(
            "`becket trash list --pool {pool}` shows until when it can come back"
        ));
    }
    Ok(())
}

/// Exit status 1 says that something is left for a person to look at.
fn reconcile(engine: &Engine, at: &InPool, form: Form) -> Result<ExitCode> {
    let findings = engine.reconcile(&at.pool)?;
    let word = |outcome| match outcome {
        Outcome::Repaired => "repaired",
        Outcome::AtWork => "at work",
        Outcome::Reported => "look",
    };
    let rows: Vec<Vec<String>> = findings
        .iter()
        .map(|finding| vec![word(finding.outcome).to_owned(), finding.what.clone()])
        .collect();
    let objects: Vec<_> = findings
        .iter()
        .map(|finding| serde_json::json!({"outcome": word(finding.outcome), "what": finding.what}))
        .collect();
    output::list(form, &objects, &["outcome", "what"], &rows)?;
    match findings.iter().any(|finding| finding.outcome == Outcome::Reported) {
        true => Ok(ExitCode::FAILURE),
        false => Ok(ExitCode::SUCCESS),
    }
}

fn manual_pages(directory: &Path) -> Result<()> {
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Args::command(), directory))
        .map_err(|error| {
            Error::new(
                Kind::Internal,
                format!("cannot write manual pages to `{}`: {error}", directory.display()),
            )
        })
}
