//! A becket that is killed while a program of the host works for it.
//!
//! The program runs to its end, as everything does that changes storage, and until then nobody else may
//! touch its volume: two `mkfs` on one image, or a mount of what `resize2fs` is moving, destroy it.

use becket_tests::{Node, until};
use rustix::process::{Pid, Signal, kill_process};
use std::process::{Child, Stdio};
use std::time::Duration;

/// The first process that `parent` runs; `None` when it ends without.
fn child_of(parent: &mut Child) -> Option<Pid> {
    let children = format!("/proc/{0}/task/{0}/children", parent.id());
    while parent.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&children).unwrap_or_default();
        if let Some(number) = text.split(' ').next().and_then(|number| number.parse().ok()) {
            return Pid::from_raw(number);
        }
    }
    None
}

/// True once the process has stopped; false when it ended first.
fn stopped(process: Pid) -> bool {
    let mut state = None;
    let stat = format!("/proc/{}/stat", process.as_raw_nonzero());
    until(|| {
        let text = std::fs::read_to_string(&stat).unwrap_or_default();
        // "PID (NAME) STATE ...", without a state where there is no process.
        state = text.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
        matches!(state, None | Some('T' | 'Z' | 'X'))
    });
    state == Some('T')
}

/// Starts making the volume, kills that, and gives the program that is still at it, stopped. `None` when
/// the program was too fast to be caught.
fn killed_while_made(node: &Node, name: &str) -> Option<Pid> {
    let mut killed = create(node, name);
    let program = child_of(&mut killed)?;
    killed.kill().unwrap();
    killed.wait().unwrap();
    // Not before: the kernel hangs up on what is stopped when its parent goes.
    kill_process(program, Signal::STOP).ok()?;
    stopped(program).then_some(program)
}

fn create(node: &Node, name: &str) -> Child {
    let mut command = node.command();
    command.args(["volume", "create", name, "--size", "4Gi"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn a_program_that_outlives_its_killed_becket_keeps_others_off_its_volume() {
    let node = Node::new();
    let names = (0..100).map(|number| format!("v{number}"));
    let (name, program) = names
        .filter_map(|name| killed_while_made(&node, &name).map(|program| (name, program)))
        .next()
        .unwrap();
    let mut next = create(&node, &name);
    std::thread::sleep(Duration::from_millis(300));
    let waits = next.try_wait().unwrap().is_none();
    let found = node.becket(&["reconcile"]).succeeds().stdout;
    kill_process(program, Signal::CONT).unwrap();
    assert!(waits, "`{name}` was made beside a program that was still making it");
    assert!(found.contains("is being made"), "{found}");
    assert!(next.wait().unwrap().success());
    node.becket(&["reconcile"]).succeeds();
    node.at_rest();
}
