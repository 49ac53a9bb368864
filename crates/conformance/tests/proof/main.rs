//! Proof that no check is a dummy: each is run against a real driver through a proxy that makes it
//! wrong in one way, and must find that; and it must find nothing where nothing is wrong.
//!
//! The real driver is `becket serve`; build it first, or name it by `BECKET`. Root is needed.

// What serves several parts of one program; it has no outside.
// What it cannot do ends the test, with the place it happened at.
#![allow(unreachable_pub, clippy::unwrap_used)]

mod driver;
mod fault;
mod faults;
mod proxy;
mod rules;

use becket_conformance::csi::{Options, Watch, descriptions, run};
use becket_conformance::report::{Outcome, Report, Verdict};
use becket_csi::endpoint::Endpoint;
use driver::{Driver, Place, wait_for};
use fault::Fault;
use faults::Part;
use proxy::{Proxy, Rule};
use std::collections::BTreeSet;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Says nothing.
struct Silent;

impl Watch for Silent {
    fn begins(&self, _: &str, _: usize, _: usize) {}
    fn ends(&self, _: &Outcome) {}
}

fn options(socket: PathBuf) -> Options {
    let one = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    Options {
        other_parameters: one("provisioning", "thick"),
        mutable_parameters: one("trashRetention", "0s"),
        ephemeral: one("size", "32Mi"),
        secrets: [("password".to_owned(), "open sesame".to_owned())].into(),
        ..Options::new(Endpoint::Unix(socket))
    }
}

/// Runs checks against a new driver that is wrong as `rules` say.
fn checked(rules: Vec<Rule>, only: &[&str], with: fn(&mut Options)) -> Report {
    let driver = Driver::start();
    let socket = driver.place.path().join("proxy.sock");
    let (near, far) = (socket.clone(), driver.place.socket());
    proxy::on_own_thread(async move { Proxy::serve(&near, &far, rules).await });
    wait_for(&socket);
    let mut options = options(socket);
    options.only = only.iter().map(|id| (*id).to_owned()).collect();
    with(&mut options);
    run(options, &Silent).unwrap()
}

/// What is wrong with how `report` saw a driver without `fault`.
fn unpassed(fault: &Fault, report: &Report) -> Option<String> {
    let passed = |outcome: &Outcome| outcome.verdict == Verdict::Passed;
    let words = format!("without `{}` not all passes:{}", fault.name, report.words());
    (!report.checks.iter().all(passed)).then_some(words)
}

/// What is wrong with how `report` saw `fault`.
fn unseen(fault: &Fault, report: &Report) -> Vec<String> {
    let mut words = Vec::new();
    for (id, least) in fault.wanted() {
        let outcome = report.checks.iter().find(|outcome| outcome.id == id).unwrap();
        let seen = outcome.verdict == Verdict::Failed && outcome.findings.len() >= least;
        if !seen {
            let (verdict, findings) = (outcome.verdict, outcome.findings.len());
            let reason = outcome.reason.as_deref().unwrap_or_default();
            words.push(format!(
                "`{}` is not seen by {id}: {verdict:?} {reason}, {findings} findings of {least}",
                fault.name
            ));
        }
    }
    words
}

fn every_fault_is_seen(parts: &[Part]) {
    let mut wrong = Vec::new();
    for fault in parts.iter().flat_map(|part| part()).filter(|fault| !fault.after_restart) {
        let ids: Vec<&str> = fault.wanted().map(|(id, _)| id).collect();
        let base = || fault.base.as_ref().map(|base| base()).unwrap_or_default();
        if fault.base.is_some() {
            let report = checked(base(), &ids, fault.with);
            wrong.extend(unpassed(&fault, &report));
        }
        let mut rules = base();
        rules.extend((fault.rules)());
        let only: Vec<&str> = ids.iter().chain(fault.beside).copied().collect();
        wrong.extend(unseen(&fault, &checked(rules, &only, fault.with)));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_check_is_in_the_table_and_the_table_knows_no_others() {
    let proven: BTreeSet<&str> = faults::all()
        .iter()
        .flat_map(|fault| fault.wanted().map(|(id, _)| id).collect::<Vec<_>>())
        .collect();
    let all: BTreeSet<&str> = descriptions().into_iter().map(|check| check.id).collect();
    let unproven: Vec<_> = all.difference(&proven).collect();
    let strange: Vec<_> = proven.difference(&all).collect();
    assert!(
        unproven.is_empty() && strange.is_empty(),
        "unproven {unproven:?}, strange {strange:?}"
    );
}

#[test]
fn a_driver_that_is_right_passes() {
    let based: BTreeSet<&str> = faults::all()
        .iter()
        .filter(|fault| fault.base.is_some() || fault.after_restart)
        .flat_map(|fault| fault.wanted().map(|(id, _)| id).collect::<Vec<_>>())
        .collect();
    let report = checked(Vec::new(), &[], |_| {});
    let wrong: Vec<String> = report
        .checks
        .iter()
        .filter(|outcome| outcome.verdict != Verdict::Passed && !based.contains(outcome.id))
        .map(|outcome| format!("{} {:?} {:?}", outcome.id, outcome.verdict, outcome.reason))
        .collect();
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), report.words());
}

#[test]
fn faults_of_identity_are_seen() {
    every_fault_is_seen(&[faults::IDENTITY]);
}

#[test]
fn faults_of_judging_requests_are_seen() {
    every_fault_is_seen(faults::REQUESTS);
}

#[test]
fn faults_of_controllers_are_seen() {
    every_fault_is_seen(faults::CONTROLLER);
}

#[test]
fn faults_of_snapshots_groups_and_health_are_seen() {
    every_fault_is_seen(faults::SNAPSHOTS);
}

#[test]
fn faults_of_nodes_are_seen() {
    every_fault_is_seen(faults::NODE);
}

#[test]
fn faults_of_growing_and_of_haste_are_seen() {
    every_fault_is_seen(faults::REST);
}

/// The variable by which a child of the test is told which fault it is to be, and its place.
const FAULT: &str = "BECKET_PROOF_FAULT";
const DRIVER: &str = "BECKET_PROOF_DRIVER";

#[test]
fn faults_after_a_restart_are_seen() {
    let mut wrong = Vec::new();
    for fault in (faults::CRASH)() {
        let place = Place::new();
        let report = killed(&place, "");
        let ids: Vec<&str> = fault.wanted().map(|(id, _)| id).collect();
        wrong.extend(unpassed(&fault, &report(&ids)));
        let place = Place::new();
        let report = killed(&place, fault.name)(&ids);
        wrong.extend(unseen(&fault, &report));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Runs checks that kill the driver together with the proxy in front of it.
fn killed(place: &Place, fault: &str) -> impl Fn(&[&str]) -> Report {
    let socket = place.path().join("proxy.sock");
    let program = std::env::current_exe().unwrap();
    let command = format!(
        "exec env {FAULT}='{fault}' {DRIVER}='{}' {} --exact be_a_driver_that_is_killed --ignored",
        place.path().display(),
        program.display()
    );
    move |only| {
        let mut options = options(socket.clone());
        options.only = only.iter().map(|id| (*id).to_owned()).collect();
        options.restart_command = Some(command.clone());
        options.crash_moments = 3;
        run(options, &Silent).unwrap()
    }
}

/// Not a test: the process that `faults_after_a_restart_are_seen` starts and kills.
#[test]
#[ignore = "run by another test"]
fn be_a_driver_that_is_killed() {
    let (Some(directory), Some(name)) = (std::env::var_os(DRIVER), std::env::var_os(FAULT)) else {
        return;
    };
    let directory = PathBuf::from(directory);
    let (near, far) = (directory.join("proxy.sock"), directory.join("csi.sock"));
    // The driver that was killed together with the proxy before may take longer to be gone.
    while UnixStream::connect(&far).is_ok() {
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut child = driver::serve(&directory).spawn().unwrap();
    let started = directory.join("started");
    let again = started.exists();
    std::fs::write(&started, "").unwrap();
    let rules = match (faults::CRASH)().into_iter().find(|fault| *fault.name == *name) {
        Some(fault) if again => (fault.rules)(),
        _ => Vec::new(),
    };
    // Nobody may be met at the old socket before the driver is there.
    let _ = std::fs::remove_file(&near);
    serve_for_ever(&near, &far, rules);
    let _ = child.wait();
}

fn serve_for_ever(near: &Path, far: &Path, rules: Vec<Rule>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Proxy::serve(near, far, rules));
}
