//! Names are used again, and what they stood for before is not taken for what they stand for now.

use becket_tests::{Node, volume};

#[test]
fn a_snapshot_is_of_the_volume_it_was_taken_of_and_not_of_a_later_one() {
    let node = Node::new();
    node.make_volume("v", "16Mi");
    let take = ["snapshot", "create", "s", "--volume", "v"];
    for _ in 0..2 {
        node.becket(&take).succeeds();
    }
    node.becket(&["volume", "delete", "v"]).succeeds();
    // While there is no volume of the name, its snapshot is the one that was asked for.
    node.becket(&take).succeeds();
    node.make_volume("v", "16Mi");
    node.becket(&take).fails(1, &["`s` exists", "another volume"]);
    node.becket(&["snapshot", "create", "t", "--volume", "v"]).succeeds();
}

#[test]
fn a_copy_is_of_the_origin_it_was_made_from_and_not_of_a_later_one() {
    let node = Node::new();
    node.make_volume("v", "16Mi");
    let snapshot = ["snapshot", "create", "s", "--volume", "v"];
    let copies = [
        ["volume", "create", "restored", "--from-snapshot", "s"],
        ["volume", "create", "cloned", "--from-volume", "v"],
    ];
    node.becket(&snapshot).succeeds();
    for copy in copies.iter().chain(&copies) {
        node.becket(copy).succeeds();
    }
    node.becket(&["snapshot", "delete", "s"]).succeeds();
    node.becket(&["volume", "delete", "v"]).succeeds();
    for copy in &copies {
        node.becket(copy).succeeds();
    }
    node.make_volume("v", "16Mi");
    node.becket(&snapshot).succeeds();
    for copy in &copies {
        node.becket(copy).fails(1, &[copy[2], "was made differently"]);
    }
}

#[test]
fn what_is_not_there_is_not_said_to_be_deleted() {
    let node = Node::new();
    node.make_volume("v", "16Mi");
    let delete = |arguments: &[&str]| node.becket(arguments).succeeds().stderr;
    assert!(delete(&["volume", "delete", "v"]).contains("is deleted"));
    for arguments in
        [["volume", "delete", "v"], ["snapshot", "delete", "none"], ["pool", "delete", "none"]]
    {
        let said = delete(&arguments);
        assert!(said.contains("nothing was deleted"), "{arguments:?} said {said:?}");
    }
}

#[test]
fn a_pool_is_changed_by_creating_it_again_and_forgotten_without_being_touched() {
    let node = Node::new();
    let path = node.text("disk/pool");
    let create = ["pool", "create", "p", "--backend", "image", "--path", &path];
    node.becket(&create).succeeds();
    node.becket(&["volume", "create", "v", "--pool", "p", "--size", "16Mi"]).succeeds();
    let changed =
        [&create[..], &["--overcommit", "3", "--trash-retention", "1h", "-o", "json"]].concat();
    let json = node.becket(&changed).succeeds().json();
    assert_eq!((&json["overcommit"], &json["trashRetentionSeconds"]), (&3.0.into(), &3600.into()));
    // What is not named stays.
    let json = node.becket(&[&create[..], &["-o", "json"]].concat()).succeeds().json();
    assert_eq!((&json["overcommit"], &json["path"]), (&3.0.into(), &path.as_str().into()));

    node.becket(&["pool", "delete", "p"]).fails(1, &["still has 1 volumes"]);
    node.becket(&["pool", "delete", "p", "--forget"]).succeeds();
    node.becket(&["pool", "show", "p"]).fails(1, &["does not exist"]);
    node.becket(&create).succeeds();
    node.becket(&["volume", "show", "v", "--pool", "p"]).succeeds();
    // One whose disk is gone is listed by its name, and can be forgotten too.
    std::fs::rename(node.path("disk"), node.path("elsewhere")).unwrap();
    let list = node.becket(&["pool", "list", "-o", "json"]).succeeds().json();
    assert_eq!(list[0]["name"], "p");
    assert!(list[0]["error"].as_str().unwrap().contains("not reachable"));
    node.becket(&["pool", "delete", "p", "--forget"]).succeeds();
}

#[test]
fn an_attachable_driver_does_not_stage_what_contradicts_its_options() {
    let node = Node::installed(&["--attachable"]);
    let (device, pod) = (node.device_directory(), node.pod("a"));
    node.becket(&["volume", "create", "b", "--size", "16Mi", "--block"]).succeeds();
    node.make_volume("v", "16Mi");
    let before = node.fingerprint();
    let block = volume("b").json();
    let other = volume("v").fs_type("xfs").json();
    for (json, words) in [(&block, "raw block"), (&other, "is ext4, not xfs")] {
        for arguments in [
            vec!["waitforattach", "", json.as_str()],
            vec!["mountdevice", &device, "", json],
            vec!["mount", &pod, json],
        ] {
            let reply = node.image(&arguments).fails(&[words]);
            node.unchanged_since(&before, &reply.call);
        }
    }
}

#[test]
fn no_volume_is_made_for_a_place_that_is_taken() {
    let node = Node::installed(&[]);
    let pod = node.pod("a");
    node.image(&["mount", &pod, &volume("v").size("16Mi").json()]).succeeds();
    let before = node.fingerprint();
    let other = volume("other").size("16Mi").json();
    node.image(&["mount", &pod, &other]).fails(&["something else is mounted"]);
    node.unchanged_since(&before, "a mount over another volume");
    let outside = volume("v").json();
    for bad in ["/etc", "relative", &node.text("state")] {
        node.image(&["expandfs", &outside, "", bad, "33554432", "1"]).fails(&["is refused"]);
        node.image(&["expandvolume", &outside, bad, "33554432", "1"]).fails(&["is refused"]);
    }
    node.unchanged_since(&before, "growing at a place outside the kubelet's root");
    node.image(&["unmount", &pod]).succeeds();
}
