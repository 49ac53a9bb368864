//! What a check is, and how it can end.

use super::ground::Ground;
use serde::Serialize;
use std::future::Future;
use std::pin::Pin;

/// How binding the clause is that a check tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The specification says MUST, SHALL or REQUIRED.
    Must,
    /// The specification says SHOULD.
    Should,
    /// The specification leaves it open; workloads or Kubernetes suffer otherwise.
    Judgement,
}

impl Severity {
    /// The word of reports.
    pub fn word(self) -> &'static str {
        match self {
            Severity::Must => "must",
            Severity::Should => "should",
            Severity::Judgement => "judgement",
        }
    }
}

/// The subject of a group of checks, in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    /// Who the driver is and what it claims.
    Identity,
    /// Requests with missing, malformed and oversized fields, and ids nobody knows.
    Requests,
    /// Creating, validating, listing, attaching, modifying and deleting volumes.
    Controller,
    /// Snapshots, and volumes made from snapshots and volumes.
    Snapshots,
    /// Snapshots of several volumes at one moment.
    Groups,
    /// Staging and publishing, seen on the node itself.
    Node,
    /// The specification's table of second `NodePublishVolume` calls.
    Publish,
    /// Which blocks of a snapshot are allocated or changed.
    Metadata,
    /// Health of volumes and of the storage.
    Health,
    /// Growing volumes.
    Expansion,
    /// Lists in pages.
    Pagination,
    /// Many calls at once.
    Concurrency,
    /// The driver killed in the middle of its work.
    Crash,
    /// What holds for all answers of the whole run.
    Answers,
}

impl Area {
    /// The word of reports.
    pub fn word(self) -> &'static str {
        match self {
            Area::Identity => "identity",
            Area::Requests => "requests",
            Area::Controller => "controller",
            Area::Snapshots => "snapshots",
            Area::Groups => "groups",
            Area::Node => "node",
            Area::Publish => "publish",
            Area::Metadata => "metadata",
            Area::Health => "health",
            Area::Expansion => "expansion",
            Area::Pagination => "pagination",
            Area::Concurrency => "concurrency",
            Area::Crash => "crash",
            Area::Answers => "answers",
        }
    }
}

/// What a driver did wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was asked of it, or looked at.
    pub asked: String,
    /// What it answered, or what was there.
    pub got: String,
    /// What should have been.
    pub wanted: String,
}

/// Why a check did not pass.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The driver breaks the clause.
    Fail(Vec<Finding>),
    /// There is nothing to judge, for this reason.
    Skip(String),
    /// What the check stands on did not work, which is another check's subject.
    CannotRun(String),
}

/// How a check ends: `Ok` is passed.
pub(crate) type Verdict<T = ()> = Result<T, Stop>;

/// A running check.
pub(crate) type Running<'a> = Pin<Box<dyn Future<Output = Verdict> + 'a>>;

/// One check.
pub(crate) struct Check {
    /// Its name for `--only`, kebab-case.
    pub(crate) id: &'static str,
    pub(crate) severity: Severity,
    /// What must be there for it to run; otherwise it is skipped.
    pub(crate) needs: &'static [super::need::Need],
    /// The RPC and the rule, in one sentence.
    pub(crate) clause: &'static str,
    pub(crate) run: for<'a> fn(&'a Ground) -> Running<'a>,
}

/// One entry of an area's table: `check!(ID, SEVERITY, [NEEDS] => FUNCTION, CLAUSE)`.
macro_rules! check {
    ($id:expr, $severity:ident, [$($need:expr),*] => $run:expr, $clause:expr) => {
        $crate::csi::check::Check {
            id: $id,
            severity: $crate::csi::check::Severity::$severity,
            needs: &[$($need),*],
            clause: $clause,
            run: |ground| Box::pin($run(ground)),
        }
    };
}
pub(crate) use check;

/// The end of a check that found one thing wrong.
pub(crate) fn fail(
    asked: impl Into<String>,
    got: impl Into<String>,
    wanted: impl Into<String>,
) -> Stop {
    let finding = Finding { asked: asked.into(), got: got.into(), wanted: wanted.into() };
    Stop::Fail(vec![finding])
}

/// Passes when `holds`, and fails otherwise.
pub(crate) fn want(
    holds: bool,
    asked: impl Into<String>,
    got: impl Into<String>,
    wanted: impl Into<String>,
) -> Verdict {
    if holds { Ok(()) } else { Err(fail(asked, got, wanted)) }
}

/// The end of a check that has nothing to judge.
pub(crate) fn skip<T>(reason: impl Into<String>) -> Verdict<T> {
    Err(Stop::Skip(reason.into()))
}

/// The end of a check whose ground does not hold.
pub(crate) fn cannot_run(reason: impl Into<String>) -> Stop {
    Stop::CannotRun(reason.into())
}

/// The end of a check for which the storage has no room.
pub(crate) fn no_room(asked: &str, got: &str) -> Stop {
    cannot_run(format!("{NO_ROOM}: {asked} answered {got}"))
}

const NO_ROOM: &str = "the storage is full";

impl Stop {
    /// For checks about what stands in the way of others: what could not run is a finding, unless
    /// there was no room.
    pub(crate) fn into_finding(self, asked: &str) -> Stop {
        match self {
            Stop::CannotRun(reason) if !reason.starts_with(NO_ROOM) => fail(asked, reason, "OK"),
            other => other,
        }
    }
}

/// Findings of a check that goes on after the first.
#[derive(Default)]
pub(crate) struct Tally(Vec<Finding>);

impl Tally {
    /// Keeps the findings of one part. Anything but a finding ends the check.
    pub(crate) fn take(&mut self, part: Verdict) -> Verdict {
        match part {
            Err(Stop::Fail(findings)) => self.0.extend(findings),
            other => return other,
        }
        Ok(())
    }

    /// Passed when nothing was found.
    pub(crate) fn verdict(self) -> Verdict {
        if self.0.is_empty() { Ok(()) } else { Err(Stop::Fail(self.0)) }
    }
}
