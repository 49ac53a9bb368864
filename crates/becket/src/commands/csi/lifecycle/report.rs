//! What the life came to, step by step: told at once, and as a table at the end.

use crate::output::{self, Form};
use becket_core::Result;
use serde::Serialize;

/// One step.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Step {
    step: String,
    /// The RPC, or `here` for what this program did itself.
    call: String,
    /// `OK`, another gRPC code, `wrong` or `skipped`.
    outcome: String,
    milliseconds: Option<f64>,
    result: String,
}

/// All steps so far.
#[derive(Debug, Default)]
pub(super) struct Report {
    steps: Vec<Step>,
}

impl Report {
    /// Notes a step and shows it.
    pub(super) fn note(
        &mut self,
        step: &str,
        call: &str,
        outcome: &str,
        took: Option<std::time::Duration>,
        result: &str,
    ) {
        let milliseconds = took.map(|took| (took.as_secs_f64() * 10_000.0).round() / 10.0);
        let time = milliseconds.map_or_else(String::new, |time| format!("{time:.1} ms"));
        let said = if outcome == "OK" { result.to_owned() } else { format!("{outcome}: {result}") };
        output::say(format!("{step:<18} {call:<27} {time:>11}  {said}").trim_end());
        self.steps.push(Step {
            step: step.to_owned(),
            call: call.to_owned(),
            outcome: outcome.to_owned(),
            milliseconds,
            result: result.to_owned(),
        });
    }

    /// Whether a step with this result is noted.
    pub(super) fn has(&self, step: &str, result: &str) -> bool {
        self.steps.iter().any(|one| one.step == step && one.result == result)
    }

    /// The closing table, or all of it as JSON.
    pub(super) fn show(&self, form: Form) -> Result<()> {
        if form == Form::Table {
            output::say("");
        }
        let rows: Vec<Vec<String>> = self
            .steps
            .iter()
            .map(|step| {
                let time = step.milliseconds.map_or_else(String::new, |time| format!("{time:.1}"));
                let (outcome, result) = (step.outcome.clone(), step.result.clone());
                vec![step.step.clone(), step.call.clone(), outcome, time, result]
            })
            .collect();
        output::list(form, &self.steps, &["step", "call", "outcome", "ms", "result"], &rows)
    }
}
