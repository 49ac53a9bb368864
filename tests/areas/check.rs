//! `becket check csi`: what it lists, says, writes, and leaves behind.

use becket_tests::{CsiDriver, Node, mounts, status_of, until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::process::Stdio;

fn socket(served: &CsiDriver) -> String {
    format!("unix://{}", served.socket.display())
}

#[test]
fn every_check_is_listed_with_its_clause_and_needs_no_driver() {
    let node = Node::new();
    let listed = node.becket(&["check", "csi", "--list", "--output", "json"]).json();
    let checks = listed.as_array().unwrap();
    assert!(checks.len() > 300, "{} checks", checks.len());
    for check in checks {
        assert!(check["clause"].as_str().unwrap().contains(": "), "{check}");
        let severity = check["severity"].as_str().unwrap();
        assert!(["must", "should", "judgement"].contains(&severity), "{check}");
    }
    let table = node.becket(&["check", "csi", "--list"]).succeeds().stdout;
    assert_eq!(table.lines().count(), checks.len() + 1);
}

#[test]
fn a_run_in_which_all_passes_is_status_0_with_a_report_for_programs_and_build_servers() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    let junit = node.text("junit.xml");
    let arguments = ["check", "csi", &socket(&served), "--only", "identity", "--junit", &junit];
    let report = node.becket(&[&arguments[..], &["-o", "json"]].concat()).json();
    assert_eq!(report["driver"], "image.becket.dev");
    assert_eq!(report["grade"], "A");
    let verdict = |check: &Value| check["verdict"].as_str().unwrap().to_owned();
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.iter().any(|check| verdict(check) == "passed"));
    assert!(checks.iter().all(|check| ["passed", "skipped"].contains(&verdict(check).as_str())));
    let xml = std::fs::read_to_string(&junit).unwrap();
    assert!(xml.contains("<testsuite name=\"identity\"") && !xml.contains("<failure"), "{xml}");
    let shown = node.becket(&arguments).succeeds().stdout;
    assert!(shown.contains("AREA") && shown.contains("identity"), "{shown}");
}

#[test]
fn a_finding_is_status_1_and_says_its_clause_and_both_sides() {
    let node = Node::new();
    let image = CsiDriver::start(&node, "image", &[]);
    let other = CsiDriver::start(&node, "directory", &[]);
    // Two drivers that are said to be one: they do not claim the same.
    let (near, far) = (socket(&image), socket(&other));
    let arguments = ["check", "csi", &near, "--controller-endpoint", &far];
    let found = node.becket(&[&arguments[..], &["--only", "answers-stable"]].concat());
    assert_eq!(found.code, 1, "{}", found.stderr);
    for word in ["answers-stable failed (must)", "clause", "asked", "got", "wanted"] {
        assert!(found.stdout.contains(word), "no `{word}` in: {}", found.stdout);
    }
}

#[test]
fn what_cannot_be_checked_is_status_2() {
    let node = Node::new();
    let nobody = format!("unix://{}", node.text("nobody.sock"));
    node.becket(&["check", "csi", &nobody]).fails(2, &["cannot connect"]);
    node.becket(&["check", "csi", &nobody, "--only", "no-such"]).fails(2, &["no-such", "--list"]);
    let served = CsiDriver::start(&node, "image", &[]);
    // Nothing is judged, which is not the same as passed.
    let skipped = node.becket(&[
        "check",
        "csi",
        &socket(&served),
        "--only",
        "ephemeral-publish",
        "-o",
        "json",
    ]);
    assert_eq!(skipped.code, 2, "{}", skipped.stderr);
    assert!(skipped.stdout.contains("--ephemeral"), "{}", skipped.stdout);
}

#[test]
fn an_interrupted_run_cleans_up_and_is_status_2() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    for below in ["staging", "targets"] {
        std::fs::create_dir_all(node.path(below)).unwrap();
    }
    let has_volumes = || !served.volumes().is_empty();
    let has_mounts = || !mounts(&node.path("targets")).is_empty();
    // Each part is interrupted as soon as there is something that it has to take back.
    let parts: [(&str, &dyn Fn() -> bool); 3] =
        [("snapshots", &has_volumes), ("node", &has_mounts), ("concurrency", &has_volumes)];
    for (part, has_begun) in parts {
        let mut command = node.command();
        command.args(["check", "csi", &socket(&served), "--only", part]);
        command.args(["--staging-dir", &node.text("staging")]);
        command.args(["--target-dir", &node.text("targets")]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        assert!(until(has_begun), "{part} made nothing that could be seen");
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        assert_eq!(status_of(child.wait().unwrap()), 2, "{part}");
        assert_eq!(served.volumes(), [""; 0], "{part}");
        for below in ["staging", "targets"] {
            let left = std::fs::read_dir(node.path(below)).unwrap().count();
            assert_eq!(left, 0, "{part} left something in {below}");
        }
    }
}
