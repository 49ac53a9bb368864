//! One letter for many checks.
//!
//! | grade | of the checks that ran |
//! |---|---|
//! | A | all passed |
//! | B | only judgements failed |
//! | C | a *should* failed, and no *must* |
//! | D | less than one in twenty *musts* failed |
//! | E | less than one in five *musts* failed |
//! | F | more |
//!
//! Skipped checks count for nothing, neither way. A check that could not run counts as a failed
//! *should*: nobody knows, and that is no reason for an A.

use crate::csi::check::Severity;
use crate::report::{Outcome, Verdict};
use serde::Serialize;

/// A grade from A to F.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Grade {
    /// All passed.
    A,
    /// Only judgements failed.
    B,
    /// A *should* failed, and no *must*.
    C,
    /// Less than one in twenty *musts* failed.
    D,
    /// Less than one in five *musts* failed.
    E,
    /// More.
    F,
}

impl Grade {
    /// The letter.
    pub fn letter(self) -> &'static str {
        match self {
            Grade::A => "A",
            Grade::B => "B",
            Grade::C => "C",
            Grade::D => "D",
            Grade::E => "E",
            Grade::F => "F",
        }
    }

    /// The grade of `outcomes`; none when none of them ran.
    pub(crate) fn of(outcomes: &[&Outcome]) -> Option<Grade> {
        let ran = |outcome: &&&Outcome| outcome.verdict != Verdict::Skipped;
        let failed = |severity: Severity| {
            let that = move |outcome: &&&Outcome| outcome.severity == severity;
            outcomes.iter().filter(that).filter(|one| one.verdict == Verdict::Failed).count()
        };
        if outcomes.iter().filter(ran).count() == 0 {
            return None;
        }
        let judged = |outcome: &&&Outcome| {
            outcome.severity == Severity::Must
                && matches!(outcome.verdict, Verdict::Passed | Verdict::Failed)
        };
        let musts = outcomes.iter().filter(judged).count();
        let unknown = outcomes.iter().any(|one| one.verdict == Verdict::CouldNotRun);
        Some(match failed(Severity::Must) {
            0 if failed(Severity::Should) > 0 || unknown => Grade::C,
            0 if failed(Severity::Judgement) > 0 => Grade::B,
            0 => Grade::A,
            broken if broken * 20 < musts => Grade::D,
            broken if broken * 5 < musts => Grade::E,
            _ => Grade::F,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::csi::check::Area;

    fn outcome(severity: Severity, verdict: Verdict) -> Outcome {
        Outcome {
            id: "some-check",
            area: Area::Identity,
            severity,
            clause: "",
            verdict,
            reason: None,
            findings: Vec::new(),
            calls: Vec::new(),
            milliseconds: 0,
        }
    }

    fn grade(failed: &[Severity], passed_musts: usize) -> Option<Grade> {
        let failed = failed.iter().map(|severity| outcome(*severity, Verdict::Failed));
        let passed = (0..passed_musts).map(|_| outcome(Severity::Must, Verdict::Passed));
        let outcomes: Vec<Outcome> = failed.chain(passed).collect();
        Grade::of(&outcomes.iter().collect::<Vec<_>>())
    }

    #[test]
    fn each_grade_is_given_by_its_own_rule() {
        use Severity::{Judgement, Must, Should};
        assert_eq!(grade(&[], 3), Some(Grade::A));
        assert_eq!(grade(&[Judgement], 3), Some(Grade::B));
        assert_eq!(grade(&[Judgement, Should], 3), Some(Grade::C));
        assert_eq!(grade(&[Must], 20), Some(Grade::D));
        assert_eq!(grade(&[Must], 19), Some(Grade::E));
        assert_eq!(grade(&[Must], 4), Some(Grade::F));
    }

    #[test]
    fn skipped_checks_give_no_grade_and_unknown_ones_no_a() {
        let skipped = outcome(Severity::Must, Verdict::Skipped);
        assert_eq!(Grade::of(&[&skipped]), None);
        let passed = outcome(Severity::Must, Verdict::Passed);
        let unknown = outcome(Severity::Must, Verdict::CouldNotRun);
        assert_eq!(Grade::of(&[&passed, &skipped]), Some(Grade::A));
        assert_eq!(Grade::of(&[&passed, &unknown]), Some(Grade::C));
    }
}
