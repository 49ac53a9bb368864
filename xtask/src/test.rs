//! `cargo xtask test`: everything that must hold before a change lands.

use crate::run::{Failed, Outcome, cargo, command, is_there};
use crate::{crash_matrix, setup, tidy};
use std::path::Path;
use std::time::Instant;

/// Runs all stages, the later ones too when an earlier one fails, and says how each went.
pub fn everything() -> Outcome {
    if !is_root() {
        return Err(Failed::new(
            "the tests mount filesystems and attach loop devices: run this as root",
        ));
    }
    let mut stages = Stages::default();
    setup::for_building()?;
    setup::host_programs()?;
    stages.take("tidy", tidy::everything);
    let binary = setup::binary()?;
    stages.take("tests", || {
        let arguments = ["test", "--workspace", "--no-fail-fast"];
        cargo(&arguments).env("BECKET", &binary).run()
    });
    stages.take("crash sample", || crash_matrix::run(&binary, true));
    stages.take("kubelet", || kubelet(&binary));
    stages.close()
}

#[derive(Default)]
struct Stages {
    done: Vec<(&'static str, f64, Outcome)>,
}

impl Stages {
    fn take(&mut self, name: &'static str, stage: impl FnOnce() -> Outcome) {
        eprintln!("\n== {name}");
        let started = Instant::now();
        let outcome = stage();
        if let Err(failed) = &outcome {
            eprintln!("xtask: {failed}");
        }
        self.done.push((name, started.elapsed().as_secs_f64(), outcome));
    }

    fn close(self) -> Outcome {
        eprintln!();
        for (name, seconds, outcome) in &self.done {
            let word = if outcome.is_ok() { "ok" } else { "FAILED" };
            eprintln!("{name:14} {seconds:7.1} s  {word}");
        }
        match self.done.iter().filter(|(_, _, outcome)| outcome.is_err()).count() {
            0 => Ok(()),
            failed => Err(Failed::new(format!("{failed} of {} stages failed", self.done.len()))),
        }
    }
}

/// Kubernetes' own FlexVolume code against the installed drivers.
pub fn kubelet(binary: &Path) -> Outcome {
    let wanted = wanted_go()?;
    let found = command("go").args(&["env", "GOVERSION"]).read();
    let version = found.as_deref().map(|text| text.trim().trim_start_matches("go"));
    if version.is_none_or(|version| numbers(version) < numbers(&wanted)) {
        let found =
            version.map_or("Go is not installed".to_owned(), |version| format!("Go is {version}"));
        eprintln!(
            "\n!! NOT RUN: the kubelet's own FlexVolume code against our drivers (tests/kubelet)."
        );
        eprintln!(
            "!! {found}; it takes Go {wanted} or newer: install it from go.dev/dl or your distribution.\n"
        );
        return Err(Failed::new(format!(
            "the kubelet tests were not run: {found}, {wanted} is needed"
        )));
    }
    command("go")
        .args(&["test", "-count=1", "./..."])
        .directory("tests/kubelet")
        .env("BECKET", binary)
        .run()
}

/// The version in the `go` line of the module.
fn wanted_go() -> Outcome<String> {
    let path = crate::run::root().join("tests/kubelet/go.mod");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failed::new(format!("cannot read `{}`: {error}", path.display())))?;
    let line = text.lines().find_map(|line| line.strip_prefix("go "));
    line.map(|version| version.trim().to_owned())
        .ok_or_else(|| Failed::new("tests/kubelet/go.mod has no go line"))
}

fn numbers(version: &str) -> Vec<u32> {
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>();
    version.split('.').map(|part| digits(part).parse().unwrap_or(0)).collect()
}

fn is_root() -> bool {
    if !is_there("id") {
        return true;
    }
    command("id").args(&["-u"]).read().is_some_and(|id| id.trim() == "0")
}
