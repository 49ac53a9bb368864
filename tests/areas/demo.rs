//! `becket demo`: it works, and leaves nothing behind, however it ends.

use becket_tests::{Node, loop_files, start, status_of, until};
use rustix::process::{Pid, Signal, kill_process};
use std::process::Stdio;
use std::time::Duration;

/// Nothing of a demo that had this directory for its temporary files.
fn nothing_is_left(node: &Node, how: &str) {
    let place = node.path("tmp");
    let entries = || -> Vec<String> {
        let entries = std::fs::read_dir(&place).unwrap().flatten();
        entries.map(|entry| entry.path().display().to_string()).collect()
    };
    assert_eq!(entries(), Vec::<String>::new(), "left by a demo that {how}");
    assert!(node.mounts().is_empty(), "{:?} left by a demo that {how}", node.mounts());
    assert!(until(|| loop_files(&place).is_empty()), "{:?}: {how}", loop_files(&place));
}

fn node() -> Node {
    let node = Node::new();
    std::fs::create_dir(node.path("tmp")).unwrap();
    node
}

#[test]
fn the_demo_shows_a_whole_life_and_leaves_nothing() {
    let node = node();
    let before = node.fingerprint();
    let run = |arguments: &[&str]| {
        let mut command = node.command();
        command.env("TMPDIR", node.path("tmp")).arg("demo").args(arguments);
        start(command).succeeds()
    };
    let shown = run(&[]);
    assert!(shown.stdout.starts_with("STEP"), "{}", shown.stdout);
    assert!(shown.stderr.ends_with("nothing is left behind\n"), "{}", shown.stderr);
    assert!(!shown.stderr.contains('\x1b') && !shown.stdout.contains('\x1b'));
    nothing_is_left(&node, "ran to its end");
    let steps = run(&["-o", "json"]).json();
    let steps = steps.as_array().unwrap();
    for wanted in [
        "serve",
        "CreateVolume",
        "NodeStageVolume",
        "NodePublishVolume",
        "CreateSnapshot",
        "ControllerExpandVolume",
        "NodeUnpublishVolume",
        "NodeUnstageVolume",
        "DeleteVolume",
        "install",
        "init",
        "mount",
        "write",
        "read",
        "limit",
        "snapshot",
        "expandfs",
        "unmount",
        "restore",
        "delete",
        "empty",
        "uninstall",
        "attach",
        "isattached",
        "waitforattach",
        "mountdevice",
        "unmountdevice",
        "detach",
    ] {
        assert!(steps.iter().any(|step| step["action"] == wanted), "no step {wanted}");
    }
    assert!(steps.iter().all(|step| step["milliseconds"].is_f64() && step["result"].is_string()));
    // Not on the node's own state and plugins either.
    node.unchanged_since(&before, "two demos");
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    let node = node();
    for signal in [Signal::INT, Signal::TERM] {
        for milliseconds in [0, 5, 20, 40, 60, 150, 400, 800] {
            let how = format!("was sent {signal:?} after {milliseconds} ms");
            let mut command = node.command();
            command.env("TMPDIR", node.path("tmp")).arg("demo");
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
            let child = command.spawn().unwrap();
            std::thread::sleep(Duration::from_millis(milliseconds));
            let _ = kill_process(Pid::from_child(&child), signal);
            let output = child.wait_with_output().unwrap();
            let words = String::from_utf8_lossy(&output.stderr);
            nothing_is_left(&node, &how);
            match status_of(output.status) {
                0 => assert!(words.contains("nothing is left behind"), "{how}: {words}"),
                1 => assert!(words.contains("interrupted"), "{how}: {words}"),
                // Before it had set up anything, which takes a loaded machine longer.
                status => assert!(status > 128 && words.is_empty(), "{how}: {status}: {words}"),
            }
        }
    }
}

#[test]
fn a_demo_that_nobody_reads_leaves_nothing() {
    let node = node();
    let mut command = node.command();
    command.env("TMPDIR", node.path("tmp")).arg("demo").stdin(Stdio::null());
    let (reader, writer) = std::io::pipe().unwrap();
    command.stdout(writer.try_clone().unwrap()).stderr(writer);
    let mut child = command.spawn().unwrap();
    drop((reader, command));
    child.wait().unwrap();
    nothing_is_left(&node, "had no reader");
}
