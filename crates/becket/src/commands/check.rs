//! `becket check`: other people's plugins, and ours, held to their specification.

use super::csi::secrets::Secrets;
use crate::args::check::{CheckCommand, CheckCsi};
use crate::output::{self, Form};
use becket_conformance::csi::{self, AccessTypes, Options, Watch};
use becket_conformance::junit;
use becket_conformance::report::{Conclusion, Outcome, Report, Verdict};
use becket_core::{Error, Kind, Result};
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

/// Exit status of a run in which something could not be checked.
const INCOMPLETE: u8 = 2;

pub(super) fn run(command: &CheckCommand, form: Form) -> Result<ExitCode> {
    match command {
        CheckCommand::Csi(arguments) if arguments.list => {
            list(form)?;
            Ok(ExitCode::SUCCESS)
        }
        CheckCommand::Csi(arguments) => match check_csi(arguments, form) {
            Ok(code) => Ok(code),
            // Nothing was found out about the driver, which is not the same as a bad driver.
            Err(error) => {
                output::error(&error);
                Ok(ExitCode::from(INCOMPLETE))
            }
        },
    }
}

fn list(form: Form) -> Result<()> {
    let checks = csi::descriptions();
    let row = |check: &csi::Description| {
        vec![
            check.area.word().to_owned(),
            check.id.to_owned(),
            check.severity.word().to_owned(),
            check.needs.join(", "),
            check.clause.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = checks.iter().map(row).collect();
    output::list(form, &checks, &["area", "check", "severity", "needs", "clause"], &rows)
}

fn check_csi(arguments: &CheckCsi, form: Form) -> Result<ExitCode> {
    let report = csi::run(options(arguments)?, &Shown)?;
    if let Some(path) = &arguments.junit {
        write(path, &junit::xml(&report))?;
    }
    show(&report, form)?;
    Ok(match report.conclusion() {
        Conclusion::Passed => ExitCode::SUCCESS,
        Conclusion::Findings => ExitCode::FAILURE,
        Conclusion::Incomplete => ExitCode::from(INCOMPLETE),
    })
}

fn options(arguments: &CheckCsi) -> Result<Options> {
    let endpoint = arguments.endpoint.clone();
    let endpoint = endpoint.ok_or_else(|| Error::new(Kind::Invalid, "no endpoint was given"))?;
    let map = |pairs: &[(String, String)]| pairs.iter().cloned().collect::<HashMap<_, _>>();
    let size = arguments.size;
    let expand_size = arguments.expand_size.unwrap_or(size.saturating_mul(2));
    if expand_size <= size {
        return Err(Error::new(Kind::Invalid, "--expand-size is not larger than --size"));
    }
    let (secrets, secrets_by_rpc) = Secrets::read(arguments.secrets.as_deref())?.into_parts();
    Ok(Options {
        controller_endpoint: arguments.controller_endpoint.clone(),
        staging_dir: arguments.staging_dir.clone(),
        target_dir: arguments.target_dir.clone(),
        remote: arguments.remote,
        parameters: map(&arguments.parameters),
        other_parameters: map(&arguments.other_parameters),
        mutable_parameters: map(&arguments.mutable_parameters),
        ephemeral: map(&arguments.ephemeral),
        size,
        expand_size,
        fs_type: arguments.fs_type.clone(),
        no_limit: arguments.no_limit,
        access_types: match (arguments.mount_only, arguments.block_only) {
            (true, _) => AccessTypes::MountOnly,
            (_, true) => AccessTypes::BlockOnly,
            _ => AccessTypes::Both,
        },
        secrets,
        secrets_by_rpc,
        only: arguments.only.clone(),
        restart_command: arguments.restart_command.clone(),
        crash_moments: arguments.crash_moments,
        deadline: arguments.deadline,
        ..Options::new(endpoint)
    })
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| {
        Error::new(Kind::Internal, format!("cannot write `{}`: {error}", path.display()))
    })
}

fn show(report: &Report, form: Form) -> Result<()> {
    let (header, rows) = report.table();
    if form == Form::Table {
        let Report { driver, version, specification, .. } = report;
        output::print(&format!("{driver} {version}, checked against CSI {specification}\n\n"))?;
    }
    output::list(form, report, &header, &rows)?;
    if form == Form::Table {
        output::print(&report.words())?;
    }
    if report.interrupted {
        output::say("interrupted; the other checks did not run");
    }
    Ok(())
}

/// Progress on a terminal, findings as they come.
struct Shown;

impl Watch for Shown {
    fn begins(&self, id: &str, number: usize, of: usize) {
        let mut stderr = std::io::stderr();
        if stderr.is_terminal() {
            let _ = write!(stderr, "\r\x1b[K{number}/{of} {id}\r");
        }
    }

    fn ends(&self, outcome: &Outcome) {
        let word = match outcome.verdict {
            Verdict::Failed => "failed",
            Verdict::CouldNotRun => "could not run",
            Verdict::Passed | Verdict::Skipped => return,
        };
        output::say(format_args!("{} {word}", outcome.id));
    }
}
