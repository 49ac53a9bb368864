//! A run: connect, ask the driver what it is, run the checks one after the other, clean up after
//! each, and add it all up.

use super::calls::Calls;
use super::check::{Area, Check, Stop};
use super::driver::Driver;
use super::ground::Ground;
use super::options::Options;
use super::places::Places;
use super::survey::Survey;
use super::{SPECIFICATION, areas, together};
use crate::grade::Grade;
use crate::report::{AreaSummary, Outcome, Report, Verdict};
use becket_core::{Error, Kind, Result};
use std::time::Instant;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Told how a run goes on.
pub trait Watch {
    /// Check number `number` of `of` begins.
    fn begins(&self, id: &str, number: usize, of: usize);
    /// It ended.
    fn ends(&self, outcome: &Outcome);
}

/// Runs the checks that `options` ask for. A signal ends the run early, with everything cleaned up.
///
/// `Invalid` for options that make no sense, `Unavailable` when there is no driver to check.
pub fn run(options: Options, watch: &dyn Watch) -> Result<Report> {
    let chosen = chosen(&options.only)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| {
        Error::new(Kind::Internal, format!("cannot start the checker's runtime: {error}"))
    })?;
    runtime.block_on(checked(options, &chosen, watch))
}

/// The checks of these ids and areas, or all.
fn chosen(only: &[String]) -> Result<Vec<(Area, &'static Check)>> {
    let is = |word: &str, area: Area, check: &Check| check.id == word || area.word() == word;
    if let Some(word) =
        only.iter().find(|word| !areas::all().any(|(area, check)| is(word, area, check)))
    {
        let shown = becket_core::error::shown(word);
        return Err(Error::new(Kind::Invalid, format!("`{shown}` is no check and no area"))
            .hint("--list shows all of them"));
    }
    let wanted = |(area, check): &(Area, &Check)| {
        only.is_empty() || only.iter().any(|word| is(word, *area, check))
    };
    Ok(areas::all().filter(wanted).collect())
}

async fn checked(
    options: Options,
    chosen: &[(Area, &'static Check)],
    watch: &dyn Watch,
) -> Result<Report> {
    let started = Instant::now();
    let mut signals = Signals::new()?;
    let ground = prepare(options).await?;
    let mut checks: Vec<Outcome> = Vec::new();
    let mut interrupted = false;
    for (number, (area, check)) in chosen.iter().enumerate() {
        watch.begins(check.id, number + 1, chosen.len());
        let work = judged(&ground, *area, check);
        let outcome = together::until(work, signals.next()).await;
        interrupted = outcome.is_none();
        // Cleaning goes on after a signal, and ends with the next one.
        let troubles = loop {
            match together::until(ground.clean(), signals.next()).await {
                Some(troubles) => break troubles,
                None if interrupted => break Vec::new(),
                None => interrupted = true,
            }
        };
        let told = troubles.iter().map(|trouble| format!("after {}: {trouble}", check.id));
        ground.troubles.borrow_mut().extend(told);
        if let Some(outcome) = outcome {
            watch.ends(&outcome);
            checks.push(outcome);
        }
        if interrupted {
            break;
        }
    }
    let mut left: Vec<String> =
        ground.calls.ledger.borrow().things().iter().map(ToString::to_string).collect();
    left.extend(ground.places.end());
    if let Some(driver) = &ground.driver {
        driver.end();
    }
    Ok(Report { interrupted, left_behind: left, ..report(&ground, checks, started) })
}

async fn prepare(options: Options) -> Result<Ground> {
    let controller = options.controller_endpoint.clone();
    let mut endpoints = vec![options.endpoint.clone()];
    endpoints.extend(controller.clone());
    let driver = match &options.restart_command {
        Some(command) => Some(Driver::start(command, endpoints, options.deadline).await?),
        None => None,
    };
    let node = options.endpoint.connect(options.deadline).await?;
    let controller = match controller {
        Some(endpoint) => endpoint.connect(options.deadline).await?,
        None => node.clone(),
    };
    let calls = Calls::new(node, controller, &options);
    let survey = Survey::take(&calls, &options).await?;
    let places = Places::new(options.staging_dir.as_deref(), options.target_dir.as_deref())?;
    calls.take_record();
    Ok(Ground { calls, survey, options, places, driver, troubles: Vec::new().into() })
}

async fn judged(ground: &Ground, area: Area, check: &'static Check) -> Outcome {
    let started = Instant::now();
    let unmet = check.needs.iter().find_map(|need| ground.missing(*need));
    let ended = match unmet {
        Some(reason) => Err(Stop::Skip(reason)),
        None => (check.run)(ground).await,
    };
    let (verdict, reason, findings) = match ended {
        Ok(()) => (Verdict::Passed, None, Vec::new()),
        Err(Stop::Fail(findings)) => (Verdict::Failed, None, findings),
        Err(Stop::Skip(reason)) => (Verdict::Skipped, Some(reason), Vec::new()),
        Err(Stop::CannotRun(reason)) => (Verdict::CouldNotRun, Some(reason), Vec::new()),
    };
    let mut calls = ground.calls.take_record();
    if matches!(verdict, Verdict::Passed | Verdict::Skipped) {
        calls.clear();
    }
    Outcome {
        id: check.id,
        area,
        severity: check.severity,
        clause: check.clause,
        verdict,
        reason,
        findings,
        calls,
        milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

fn report(ground: &Ground, checks: Vec<Outcome>, started: Instant) -> Report {
    let mut areas: Vec<AreaSummary> = Vec::new();
    for outcome in &checks {
        if areas.iter().all(|summary| summary.area != outcome.area) {
            let of: Vec<&Outcome> =
                checks.iter().filter(|other| other.area == outcome.area).collect();
            areas.push(AreaSummary::of(outcome.area, &of));
        }
    }
    Report {
        specification: SPECIFICATION,
        endpoint: ground.options.endpoint.to_string(),
        driver: ground.survey.name.clone(),
        version: ground.survey.version.clone(),
        interrupted: false,
        left_behind: Vec::new(),
        grade: Grade::of(&checks.iter().collect::<Vec<_>>()),
        areas,
        checks,
        milliseconds: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
    }
}

/// The signals that end a run.
struct Signals(Vec<Signal>);

impl Signals {
    fn new() -> Result<Signals> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let registered: std::io::Result<Vec<Signal>> = kinds.into_iter().map(signal).collect();
        let failed = |error| Error::new(Kind::Internal, format!("cannot catch signals: {error}"));
        Ok(Signals(registered.map_err(failed)?))
    }

    /// The next one.
    async fn next(&mut self) {
        std::future::poll_fn(|context| {
            let ready = |signal: &mut Signal| signal.poll_recv(context).is_ready();
            match self.0.iter_mut().any(ready) {
                true => std::task::Poll::Ready(()),
                false => std::task::Poll::Pending,
            }
        })
        .await;
    }
}
