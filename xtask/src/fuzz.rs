//! `cargo xtask fuzz`: the parsers of what comes from outside, under a coverage-guided fuzzer.

use crate::run::{self, Failed, Outcome, cargo, command, is_there};

const TARGETS: [&str; 5] = ["authority", "callout", "mountinfo", "superblock", "record"];

/// Runs each target for `seconds`.
pub fn everything(seconds: u64) -> Outcome {
    let nightly = command("rustup").args(&["toolchain", "list"]).read();
    if !nightly.is_some_and(|list| list.contains("nightly")) {
        return Err(Failed::new(
            "the fuzzer needs the nightly compiler: rustup toolchain install nightly",
        ));
    }
    if !is_there("cargo-fuzz") {
        eprintln!("building cargo-fuzz, once; it takes some minutes");
        cargo(&["install", "cargo-fuzz", "--locked", "--quiet"]).run()?;
    }
    for target in TARGETS {
        let time = format!("-max_total_time={seconds}");
        // The corpus grows outside of the tree's history; the seeds are the tests' own inputs.
        run::command("cargo").args(&["+nightly", "fuzz", "run", target, "--", &time]).run()?;
    }
    Ok(())
}
