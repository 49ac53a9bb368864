//! `cargo xtask guest` as its callers see it: what comes back, what tests of storage find in a guest, and
//! that a guest does nothing to its host.

mod answers;
mod safety;
mod storage;

use std::process::{Command, Output};

/// The exit status that says that no guest is possible here; see `xtask/src/guest.rs`.
const IMPOSSIBLE: i32 = 77;

/// `xtask guest` with these arguments, to be run.
fn xtask_guest(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.arg("guest").args(arguments);
    command
}

/// Runs `xtask guest` to its end; `None` on a machine that cannot have a guest, where there is nothing to
/// test but that it says so.
fn guest(arguments: &[&str]) -> Option<Output> {
    let output = xtask_guest(arguments).output().expect("xtask can be run");
    if output.status.code() == Some(IMPOSSIBLE) {
        let words = text(&output.stderr);
        assert!(words.contains("xtask: no guest is possible here: "), "{words}");
        eprintln!("NOT TESTED: {words}");
        return None;
    }
    Some(output)
}

/// Runs a script in a guest that fails where one of its lines does, and gives its stdout.
fn script(options: &[&str], lines: &str) -> Option<String> {
    let output = guest(&[options, &["--", "bash", "-euxc", lines]].concat())?;
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{}\n{stdout}\n{stderr}", output.status);
    Some(stdout)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
