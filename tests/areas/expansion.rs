//! Growth: `expandfs` and `expandvolume`, mounted or not.

use becket_tests::{MIB, Node, volume};

/// Bytes that the filesystem at `path` has in all.
fn bytes_of(path: &str) -> u64 {
    let found = rustix::fs::statvfs(path).unwrap();
    found.f_blocks * found.f_frsize
}

fn size_of(node: &Node, name: &str) -> u64 {
    node.becket(&["volume", "show", name, "-o", "json"]).json()["size"].as_u64().unwrap()
}

#[test]
fn a_mounted_xfs_grows_under_its_pods() {
    let node = Node::installed(&[]);
    let (pod, other) = (node.pod("a"), node.pod("b"));
    let json = volume("v").size("300Mi").fs_type("xfs").json();
    node.image(&["mount", &pod, &json]).succeeds();
    node.image(&["mount", &other, &json]).succeeds();
    std::fs::write(format!("{pod}/file"), "stays").unwrap();
    let (new, old) = ((420 * MIB).to_string(), (300 * MIB).to_string());
    for _ in 0..2 {
        let reply = node.image(&["expandfs", &json, "", &pod, &new, &old]).succeeds();
        assert_eq!(reply.value["volumeNewSize"], 420 * MIB);
        assert!(bytes_of(&pod) > 330 * MIB && bytes_of(&pod) == bytes_of(&other));
    }
    // Never smaller.
    let reply = node.image(&["expandfs", &json, "", &pod, &old, &new]).succeeds();
    assert_eq!(reply.value["volumeNewSize"], 420 * MIB);
    assert_eq!(std::fs::read_to_string(format!("{other}/file")).unwrap(), "stays");
    for path in [&pod, &other] {
        node.image(&["unmount", path]).succeeds();
    }
}

#[test]
fn a_mounted_ext4_grows_now_or_says_that_it_will_at_its_next_mount() {
    let node = Node::installed(&[]);
    let pod = node.pod("a");
    let json = volume("v").size("16Mi").json();
    node.image(&["mount", &pod, &json]).succeeds();
    let before = bytes_of(&pod);
    let arguments = ["expandfs", &json, "", &pod, "67108864", "16777216"];
    let reply = node.image(&arguments);
    if reply.status() == "Success" {
        assert!(bytes_of(&pod) > 3 * before);
    } else {
        // Without CAP_SYS_RESOURCE, which some containers lack.
        reply.fails(&["not permitted", "CAP_SYS_RESOURCE", "staged next"]);
        assert_eq!(bytes_of(&pod), before);
        std::fs::write(format!("{pod}/file"), "works on").unwrap();
    }
    assert_eq!(size_of(&node, "v"), 64 * MIB);
    node.image(&["unmount", &pod]).succeeds();
    node.image(&["mount", &pod, &json]).succeeds();
    assert!(bytes_of(&pod) > 3 * before, "{} of {before}", bytes_of(&pod));
    // The retry of the kubelet finds it done.
    node.image(&arguments).succeeds();
    node.image(&["unmount", &pod]).succeeds();
}

#[test]
fn a_volume_that_is_not_mounted_grows_at_its_next_mount() {
    let node = Node::installed(&[]);
    let pod = node.pod("a");
    for (callout, name, kind, from, to) in [
        ("expandfs", "a", "ext4", 16, 64),
        ("expandvolume", "b", "ext4", 16, 64),
        ("expandvolume", "c", "xfs", 300, 420),
    ] {
        let json = volume(name).size(&format!("{from}Mi")).fs_type(kind).json();
        node.image(&["mount", &pod, &json]).succeeds();
        let before = bytes_of(&pod);
        node.image(&["unmount", &pod]).succeeds();
        let (new, old) = ((to * MIB - 5).to_string(), (from * MIB).to_string());
        let arguments = match callout {
            "expandfs" => vec!["expandfs", &json, "", &pod, &new, &old],
            _ => vec!["expandvolume", &json, &pod, &new, &old],
        };
        for _ in 0..2 {
            let reply = node.image(&arguments).succeeds();
            // Whole MiB, and never less than was asked for.
            assert_eq!(reply.value["volumeNewSize"], to * MIB);
        }
        node.image(&["mount", &pod, &json]).succeeds();
        assert!(bytes_of(&pod) > before + (to - from) * MIB / 2, "{callout} of {kind}");
        node.image(&["unmount", &pod]).succeeds();
    }
}

#[test]
fn expandvolume_grows_the_storage_and_expandfs_the_filesystem() {
    let node = Node::installed(&["--attachable"]);
    let (device, pod) = (node.device_directory(), node.pod("a"));
    let json = volume("v").size("300Mi").fs_type("xfs").json();
    node.image(&["waitforattach", "", &json]).succeeds();
    node.image(&["mountdevice", &device, "", &json]).succeeds();
    node.image(&["mount", &pod, &json]).succeeds();
    let before = bytes_of(&pod);
    let (new, old) = ((420 * MIB).to_string(), (300 * MIB).to_string());
    node.image(&["expandvolume", &json, &device, &new, &old]).succeeds();
    assert_eq!((bytes_of(&pod), size_of(&node, "v")), (before, 420 * MIB));
    node.image(&["expandfs", &json, "", &pod, &new, &old]).succeeds();
    assert!(bytes_of(&pod) > before + 60 * MIB);
    node.image(&["unmount", &pod]).succeeds();
    node.image(&["unmountdevice", &device]).succeeds();
}

#[test]
fn a_directory_without_a_limit_has_none_to_raise() {
    let node = Node::installed(&[]);
    node.make_directory_pool();
    let pod = node.pod_of("directory", "a");
    let json = volume("v").with("limit", "none").json();
    node.directory(&["mount", &pod, &json]).succeeds();
    let before = node.fingerprint();
    node.directory(&["expandfs", &json, "", &pod, "33554432", "1"]).fails(&["no limit"]);
    node.unchanged_since(&before, "an expansion of what has no limit");
    node.directory(&["unmount", &pod]).succeeds();
}
