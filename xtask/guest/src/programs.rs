//! Programs that the first process runs to their end.

use crate::failure::{Doing, Result};
use std::process::{Command, Stdio};

/// Where programs of the guest are looked for.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program with its arguments, on the guest's search path, with its words in the log.
pub(crate) fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).env_clear().env("PATH", PATH).stdin(Stdio::null());
    command
}

/// Runs it; anything but exit status 0 is a failure.
pub(crate) fn run(name: &str, arguments: &[&str]) -> Result {
    let status = program(name, arguments).status().doing(|| format!("run `{name}`"))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{name} {}` ended with {status}", arguments.join(" ")).into())
    }
}
