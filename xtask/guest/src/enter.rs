//! On the host, first: bound to the life of `xtask` and to one processor, into namespaces of its own.

use crate::failure::{Doing, Result};
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Becomes `unshare`, whose child goes on in `confine.rs` as process 1 of its namespaces. The chain has
/// no gap: `xtask` ends, however it ends, so this process is killed, so its child is, so all are.
pub(crate) fn run(parent: &str, processor: &str) -> Result {
    set_parent_process_death_signal(Some(Signal::KILL)).doing(|| "ask to end with `xtask`")?;
    // It may have ended before that was asked for.
    if getppid().map(Pid::as_raw_nonzero).is_none_or(|id| id.to_string() != parent) {
        return Err("`xtask` is gone".into());
    }
    pin(processor)?;
    let program = std::env::current_exe().doing(|| "find this program")?;
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--pid", "--net", "--ipc", "--fork", "--kill-child=KILL"]);
    if !rustix::process::geteuid().is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let failed = unshare.arg(program).arg("confine").exec();
    Err(failed).doing(|| "run `unshare`")
}

/// User-Mode Linux is one thread at a time, in many processes: handing over between two processors
/// doubles its time.
fn pin(processor: &str) -> Result {
    let number: usize = processor.parse().doing(|| format!("use processor `{processor}`"))?;
    let mut one = CpuSet::new();
    one.set(number);
    sched_setaffinity(None, &one).doing(|| format!("run on processor {number}"))
}
