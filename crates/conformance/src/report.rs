//! The outcome of a run: for programs as it is, for people in words.

use crate::csi::calls::Call;
use crate::csi::check::{Area, Finding, Severity};
use crate::grade::Grade;
use serde::Serialize;
use std::collections::BTreeMap;

/// How one check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The driver keeps the clause, as far as the check can tell.
    Passed,
    /// It does not.
    Failed,
    /// There was nothing to judge.
    Skipped,
    /// What the check stands on did not work.
    CouldNotRun,
}

/// One check and what came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Its id, as `--only` takes it.
    pub id: &'static str,
    /// Its area.
    pub area: Area,
    /// How binding its clause is.
    pub severity: Severity,
    /// The clause.
    pub clause: &'static str,
    /// How it ended.
    pub verdict: Verdict,
    /// Why it was skipped or could not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// The calls it made, unless it passed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    /// How long it took.
    pub milliseconds: u64,
}

/// A whole run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Version of the specification that was checked against.
    pub specification: &'static str,
    /// Where the driver listens.
    pub endpoint: String,
    /// The driver's name, as it says.
    pub driver: String,
    /// The driver's version, as it says.
    pub version: String,
    /// True when a signal ended the run before all checks ran.
    pub interrupted: bool,
    /// What the checks made and could not undo again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_behind: Vec<String>,
    /// The grade of the whole run; none when nothing was judged.
    pub grade: Option<Grade>,
    /// Counts by area.
    pub areas: Vec<AreaSummary>,
    /// All checks that were asked for, in the order in which they ran.
    pub checks: Vec<Outcome>,
    /// How long it took.
    pub milliseconds: u64,
}

/// Counts of one area.
#[derive(Debug, Clone, Serialize)]
pub struct AreaSummary {
    /// The area.
    pub area: Area,
    /// Checks that passed.
    pub passed: usize,
    /// Checks that failed.
    pub failed: usize,
    /// Checks that had nothing to judge.
    pub skipped: usize,
    /// Checks whose ground did not hold.
    pub could_not_run: usize,
    /// The grade; none when nothing was judged.
    pub grade: Option<Grade>,
}

impl Report {
    /// Whether the run as a whole passed.
    pub fn conclusion(&self) -> Conclusion {
        let failed = |outcome: &Outcome| {
            outcome.verdict == Verdict::Failed && outcome.severity != Severity::Judgement
        };
        let unrun = |outcome: &Outcome| outcome.verdict == Verdict::CouldNotRun;
        let judged =
            |outcome: &Outcome| matches!(outcome.verdict, Verdict::Passed | Verdict::Failed);
        match () {
            () if self.checks.iter().any(failed) => Conclusion::Findings,
            () if self.interrupted || self.checks.iter().any(unrun) => Conclusion::Incomplete,
            () if self.checks.iter().any(judged) => Conclusion::Passed,
            () => Conclusion::Incomplete,
        }
    }

    /// The header and rows of the table of areas, with a last row for all.
    pub fn table(&self) -> (Vec<&'static str>, Vec<Vec<String>>) {
        let header = vec!["area", "passed", "failed", "skipped", "could not run", "grade"];
        let mut rows: Vec<Vec<String>> = self.areas.iter().map(AreaSummary::row).collect();
        let mut all = AreaSummary::of(Area::Identity, &self.checks.iter().collect::<Vec<_>>());
        all.grade = self.grade;
        let mut row = all.row();
        "all".clone_into(&mut row[0]);
        rows.push(row);
        (header, rows)
    }

    /// The findings, what could not run, and why things were skipped, in words.
    pub fn words(&self) -> String {
        let of = |verdict| self.checks.iter().filter(move |outcome| outcome.verdict == verdict);
        let mut text = String::new();
        for outcome in of(Verdict::Failed) {
            let severity = outcome.severity.word();
            text += &format!("\n{} failed ({severity})\n", outcome.id);
            text += &format!("  clause  {}\n", outcome.clause);
            for finding in &outcome.findings {
                text += &format!("  asked   {}\n", finding.asked);
                text += &format!("  got     {}\n", finding.got);
                text += &format!("  wanted  {}\n", finding.wanted);
            }
        }
        for outcome in of(Verdict::CouldNotRun) {
            let reason = outcome.reason.as_deref().unwrap_or_default();
            text += &format!("\n{} could not run: {reason}\n", outcome.id);
        }
        let mut skipped: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for outcome in of(Verdict::Skipped) {
            let reason = outcome.reason.as_deref().unwrap_or_default();
            skipped.entry(reason).or_default().push(outcome.id);
        }
        if !skipped.is_empty() {
            text += "\nskipped, which is not passed:\n";
        }
        for (reason, ids) in skipped {
            text += &format!("  {reason}: {}\n", ids.join(" "));
        }
        if !self.left_behind.is_empty() {
            text += "\nleft behind, because the driver did not take it back:\n";
        }
        for thing in &self.left_behind {
            text += &format!("  {thing}\n");
        }
        text
    }
}

impl AreaSummary {
    pub(crate) fn of(area: Area, outcomes: &[&Outcome]) -> AreaSummary {
        let count = |verdict| outcomes.iter().filter(|outcome| outcome.verdict == verdict).count();
        AreaSummary {
            area,
            passed: count(Verdict::Passed),
            failed: count(Verdict::Failed),
            skipped: count(Verdict::Skipped),
            could_not_run: count(Verdict::CouldNotRun),
            grade: Grade::of(outcomes),
        }
    }

    fn row(&self) -> Vec<String> {
        let counts = [self.passed, self.failed, self.skipped, self.could_not_run];
        let mut row = vec![self.area.word().to_owned()];
        row.extend(counts.iter().map(usize::to_string));
        row.push(self.grade.map_or("-".to_owned(), |grade| grade.letter().to_owned()));
        row
    }
}

/// What a run as a whole says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// Everything that ran passed, apart from judgements. Exit status 0.
    Passed,
    /// The driver breaks a clause that is a must or a should. Exit status 1.
    Findings,
    /// Nothing of that kind was found, but something could not run. Exit status 2.
    Incomplete,
}
