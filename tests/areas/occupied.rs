//! Volumes that are in use, and places where something else is mounted.

use becket_tests::{Node, volume};
use std::path::Path;

#[test]
fn a_volume_that_is_still_used_says_so_and_goes_when_it_is_not() {
    let node = Node::installed(&[]);
    let (pod, other) = (node.pod("a"), node.pod("b"));
    let json = volume("v").size("16Mi").json();
    for path in [&pod, &other] {
        node.image(&["mount", path, &json]).succeeds();
    }
    let file = std::fs::File::create(format!("{pod}/file")).unwrap();
    let before = node.fingerprint();
    for _ in 0..2 {
        node.image(&["unmount", &pod]).fails(&["busy", "fuser"]);
    }
    node.unchanged_since(&before, "an unmount of a busy volume");
    // The other pod is not held up by it.
    node.image(&["unmount", &other]).succeeds();
    node.becket(&["volume", "delete", "v"]).fails(1, &["in use"]);
    drop(file);
    node.image(&["unmount", &pod]).succeeds();
    node.at_rest();
}

#[test]
fn a_place_where_something_else_is_mounted_is_not_covered() {
    let node = Node::installed(&[]);
    let pod = node.pod("a");
    becket_tests::mount(&["-t", "tmpfs", "tmpfs", &pod]);
    node.make_volume("v", "16Mi");
    node.make_volume("w", "16Mi");
    node.image(&["mount", &pod, &volume("v").json()]).fails(&["something else is mounted"]);
    assert_eq!(node.mounts(), [Path::new(&pod)]);
    becket_tests::unmount(Path::new(&pod));
    // Nor by a second volume.
    node.image(&["mount", &pod, &volume("v").json()]).succeeds();
    let before = node.fingerprint();
    node.image(&["mount", &pod, &volume("w").json()]).fails(&["something else is mounted"]);
    assert!(before.changes(&node.fingerprint()).iter().all(|change| !change.contains("mount ")));
    node.image(&["unmount", &pod]).succeeds();
    node.at_rest();
}

#[test]
fn mounts_that_others_stacked_on_a_volume_are_taken_away_with_it() {
    let node = Node::installed(&[]);
    let pod = node.pod("a");
    node.image(&["mount", &pod, &volume("v").size("16Mi").json()]).succeeds();
    becket_tests::mount(&["-t", "tmpfs", "tmpfs", &pod]);
    becket_tests::mount(&["-t", "tmpfs", "tmpfs", &pod]);
    node.image(&["unmount", &pod]).succeeds();
    assert!(!node.is_mounted(&pod));
    node.at_rest();
}
