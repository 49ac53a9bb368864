//! Drivers installed with the attach and device callouts.

use becket_tests::{Node, loop_files, volume};

#[test]
fn the_whole_sequence_works_and_each_callout_may_be_repeated() {
    let node = Node::installed(&["--attachable"]);
    let (device, pod_a, pod_b) = (node.device_directory(), node.pod("a"), node.pod("b"));
    let json = volume("v").size("16Mi").json();
    let twice = |arguments: &[&str]| {
        let first = node.image(arguments).succeeds();
        let after = node.fingerprint();
        let second = node.image(arguments).succeeds();
        assert_eq!(first.text, second.text);
        node.unchanged_since(&after, &format!("a second {}", arguments[0]));
        first
    };
    assert_eq!(twice(&["attach", &json, "node-1"]).value["device"], "");
    assert_eq!(twice(&["isattached", &json, "node-1"]).value["attached"], true);
    let image = node.stored("v", "data").display().to_string();
    for stale in ["", "/dev/loop0", "/dev/loop99999", "/nowhere", "-"] {
        let reply = twice(&["waitforattach", stale, &json]);
        assert_eq!(reply.value["device"], image.as_str(), "told {stale:?}");
    }
    assert_eq!(loop_files(&node.path("")), Vec::<std::path::PathBuf>::new());
    twice(&["mountdevice", &device, &image, &json]);
    twice(&["mount", &pod_a, &json]);
    twice(&["mount", &pod_b, &json]);
    std::fs::write(format!("{pod_a}/file"), "shared").unwrap();
    assert_eq!(std::fs::read_to_string(format!("{pod_b}/file")).unwrap(), "shared");
    // The kubelet was restarted, and asks again while pods run.
    twice(&["waitforattach", "/dev/loop7", &json]);
    twice(&["mountdevice", &device, "/dev/loop7", &json]);
    twice(&["unmount", &pod_a]);
    assert_eq!(std::fs::read_to_string(format!("{pod_b}/file")).unwrap(), "shared");
    twice(&["unmount", &pod_b]);
    assert!(node.is_mounted(&device), "the device's directory goes with its own callout");
    twice(&["unmountdevice", &device]);
    twice(&["detach", "vol", "node-1"]);
    node.at_rest();
}

#[test]
fn a_mount_without_a_mounted_device_fails_and_mounts_nothing() {
    let node = Node::installed(&["--attachable"]);
    let (device, pod) = (node.device_directory(), node.pod("a"));
    let json = volume("v").size("16Mi").json();
    node.make_volume("first", "16Mi");
    let before = node.fingerprint();
    node.image(&["mount", &pod, &json]).fails(&["`v`", "does not exist"]);
    node.unchanged_since(&before, "a mount before there is a volume");
    node.image(&["waitforattach", "", &json]).succeeds();
    let before = node.fingerprint();
    node.image(&["mount", &pod, &json]).fails(&["not staged"]);
    node.unchanged_since(&before, "a mount before mountdevice");
    node.image(&["mountdevice", &device, "", &json]).succeeds();
    node.image(&["unmountdevice", &device]).succeeds();
    node.image(&["mount", &pod, &json]).fails(&["not staged"]);
    node.at_rest();
}

#[test]
fn attaching_changes_nothing_where_the_controller_runs() {
    // There it may run with an empty disk, for pools that are on the nodes.
    let node = Node::installed(&["--attachable"]);
    let before = node.fingerprint();
    for options in [volume("v"), volume("v").size("16Mi"), volume("v").with("pool", "elsewhere")] {
        node.image(&["attach", &options.json(), "node-1"]).succeeds();
        node.image(&["isattached", &options.json(), "node-1"]).succeeds();
    }
    node.image(&["detach", "never-attached", "node-1"]).succeeds();
    node.unchanged_since(&before, "attach, isattached and detach");
}

#[test]
fn a_failed_mountdevice_leaves_nothing_attached_or_mounted() {
    let node = Node::installed(&["--attachable"]);
    let device = node.device_directory();
    node.make_volume("first", "16Mi");
    let before = node.fingerprint();
    node.image(&["mountdevice", &device, "", &volume("v").json()]).fails(&["`v`", "not exist"]);
    node.unchanged_since(&before, "mountdevice of nothing");
    node.make_volume("v", "16Mi");
    node.make_volume("other", "16Mi");
    std::fs::write(node.stored("v", "data"), vec![0; 16 << 20]).unwrap();
    let before = node.fingerprint();
    node.image(&["mountdevice", &device, "", &volume("v").json()]).fails(&["should hold ext4"]);
    node.unchanged_since(&before, "mountdevice of a damaged volume");
    // A directory that another volume has is not taken over.
    node.image(&["mountdevice", &device, "", &volume("other").json()]).succeeds();
    let mounted = node.fingerprint();
    node.make_volume("third", "16Mi");
    node.image(&["mountdevice", &device, "", &volume("third").json()]).fails(&["something else"]);
    assert_eq!(
        mounted.changes(&node.fingerprint()).iter().filter(|c| c.contains("mount ")).count(),
        0
    );
    node.image(&["unmountdevice", &device]).succeeds();
}

#[test]
fn read_only_and_fs_group_work_through_the_device_directory() {
    use std::os::unix::fs::MetadataExt;
    let node = Node::installed(&["--attachable"]);
    let (device, reader, writer) =
        (node.device_directory(), node.pod("reader"), node.pod("writer"));
    let options = volume("v").size("16Mi").with("kubernetes.io/fsGroup", "2010");
    let json = options.json();
    node.image(&["waitforattach", "", &json]).succeeds();
    node.image(&["mountdevice", &device, "", &json]).succeeds();
    node.image(&["mount", &writer, &json]).succeeds();
    node.image(&["mount", &reader, &options.read_only().json()]).succeeds();
    assert_eq!(std::fs::metadata(&writer).unwrap().gid(), 2010);
    std::fs::write(format!("{writer}/file"), "x").unwrap();
    let refused = std::fs::write(format!("{reader}/file"), "y").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    for path in [&reader, &writer] {
        node.image(&["unmount", path]).succeeds();
    }
    node.image(&["unmountdevice", &device]).succeeds();
    node.at_rest();
}
