//! The benchmarks: on this machine, or in a guest where they take a kernel that this machine does not have.

use crate::guest::{self, Output};
use crate::run::{Failed, Outcome, cargo, command};
use crate::setup;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// What `becket-bench --of` measures in a guest.
const IN_GUEST: [&str; 2] = ["lvm", "nfs"];

/// Runs them, optimised, with these arguments.
pub fn run(arguments: &[&str]) -> Outcome {
    let binary = setup::binary()?;
    setup::host_programs()?;
    cargo(&["build", "--quiet", "--release", "--package", "becket-bench"]).run()?;
    let program = setup::target_directory().join("release/becket-bench");
    match arguments.iter().any(|word| IN_GUEST.contains(word)) && guest::needed() {
        true => in_guest(&program, &binary, arguments),
        false => command(program).arg("--becket").arg(&binary).args(arguments).run(),
    }
}

fn in_guest(program: &Path, binary: &Path, arguments: &[&str]) -> Outcome {
    let mut command: Vec<OsString> = vec![program.into(), "--becket".into(), binary.into()];
    command.extend(arguments.iter().map(OsString::from));
    let command = guest::export::around(command);
    let failed = |reason: &dyn std::fmt::Display| Failed::new(reason.to_string());
    let options = guest::Options {
        // Half of it are disks, on which there are three volumes of a GiB at a time.
        memory: "13G".to_owned(),
        nfs_server: true,
        timeout: Duration::from_secs(3600),
        ..guest::Options::default()
    };
    let ended = guest::run(&options, &command, Output::Shown).map_err(|reason| failed(&reason))?;
    match ended.status {
        0 => Ok(()),
        status => Err(Failed::new(format!("the benchmark in the guest ended with {status}"))),
    }
}
