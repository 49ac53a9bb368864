//! Our own checker finds nothing in our own drivers, killed or not.

use becket_tests::{CsiDriver, Node, Share, VolumeGroup, binary, start_within};
use std::time::Duration;

/// Makes the driver's pool; `more` says on what.
fn make_pool(node: &Node, driver: &str, more: &[&str]) {
    // What is deleted goes at once: it comes to many times the size of what is there.
    let pool = if driver == "image" { "default" } else { driver };
    let create = ["pool", "create", pool, "--backend", driver, "--trash-retention", "0s"];
    node.becket(&[&create[..], more].concat()).succeeds();
}

/// Runs `becket check csi` on a driver that it starts, and kills, itself.
fn check(node: &Node, driver: &str, more: &[&str]) {
    let endpoint = format!("unix://{}", node.text("checked.sock"));
    let state = node.text("state");
    let becket = binary();
    let command = format!(
        "exec env BECKET_STATE_DIR={state} {} serve --node-id n1 --drivers {driver} --attach \
         --max-volumes-per-node 30 --endpoint {endpoint} 2>> {}",
        becket.display(),
        node.text("checked.log")
    );
    let mut arguments = vec!["check", "csi", &endpoint, "--restart-command", &command];
    arguments.extend(["--mutable-parameter", "trashRetention=1h", "--junit"]);
    let junit = node.text("checked.xml");
    arguments.push(&junit);
    arguments.extend(more);
    let mut command = node.command();
    command.args(&arguments);
    let ran = start_within(command, Duration::from_secs(1800));
    assert!(ran.code == 0, "{}\n{}", ran.stdout, ran.stderr);
    let findings = std::fs::read_to_string(&junit).unwrap();
    assert!(findings.contains("<testsuite") && !findings.contains("<failure"), "{findings}");
    assert!(!ran.stdout.contains(" failed ("), "{}", ran.stdout);
    // What it made is gone.
    let served = CsiDriver::start(node, driver, &[]);
    assert!(served.volumes().is_empty(), "{:?}", served.volumes());
}

#[test]
fn the_checker_finds_nothing_in_image() {
    let node = Node::new();
    make_pool(&node, "image", &[]);
    // xfs, because growing a mounted ext4 takes a capability that some containers lack.
    check(
        &node,
        "image",
        &[
            "--fs-type",
            "xfs",
            "--size",
            "320Mi",
            "--expand-size",
            "640Mi",
            "--ephemeral",
            "size=320Mi",
            "--other-parameter",
            "provisioning=thick",
        ],
    );
}

#[test]
fn the_checker_finds_nothing_in_directory() {
    let node = Node::new();
    make_pool(&node, "directory", &[]);
    check(&node, "directory", UNLIMITED);
}

#[test]
fn the_checker_finds_nothing_in_nfs() {
    let node = Node::new();
    let Some(share) = Share::new(&node) else { return };
    make_pool(&node, "nfs", &share.arguments());
    check(&node, "nfs", UNLIMITED);
}

#[test]
fn the_checker_finds_nothing_in_lvm_with_thick_volumes() {
    let node = Node::new();
    let Some(group) = VolumeGroup::new(&node) else { return };
    make_pool(&node, "lvm", &group.arguments());
    check(&node, "lvm", LVM);
}

#[test]
fn the_checker_finds_nothing_in_lvm_with_thin_volumes() {
    let node = Node::new();
    let Some(group) = VolumeGroup::new(&node) else { return };
    make_pool(&node, "lvm", &[&group.arguments()[..], &["--thin"]].concat());
    check(&node, "lvm", LVM);
}

/// For volumes whose sizes limit nothing.
const UNLIMITED: &[&str] = &[
    "--parameter",
    "limit=none",
    "--no-limit",
    "--ephemeral",
    "limit=none",
    "--size",
    "64Mi",
    "--expand-size",
    "128Mi",
];

/// Whoever has a device mapper may grow a mounted ext4, too.
const LVM: &[&str] = &["--ephemeral", "size=64Mi", "--other-parameter", "wipe=none"];
