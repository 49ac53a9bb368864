//! The protocol as the kubelet knows it, for drivers that mount and unmount only.

use becket_tests::{Flex, Node, volume};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const CAPABILITIES: &str =
    r#""selinuxRelabel":true,"supportsMetrics":true,"fsGroup":true,"requiresFSResize":true}}"#;

#[test]
fn init_answers_exactly_these_bytes() {
    let node = Node::new();
    let mount_only =
        format!("{{\"status\":\"Success\",\"capabilities\":{{\"attach\":false,{CAPABILITIES}\n");
    let attachable = mount_only.replace("\"attach\":false", "\"attach\":true");
    for driver in ["image", "directory"] {
        assert_eq!(node.callout(driver, &["init"]).succeeds().text, mount_only);
    }
    node.install(&["--attachable"]).succeeds();
    assert_eq!(node.image(&["init"]).succeeds().text, attachable);
    // What `--attachable` says is nothing for a driver that never attaches.
    assert_eq!(node.directory(&["init"]).succeeds().text, mount_only);
    node.install(&[]).succeeds();
    assert_eq!(node.image(&["init"]).succeeds().text, mount_only);
}

#[test]
fn callouts_that_the_driver_does_without_are_not_supported() {
    let node = Node::installed(&[]);
    node.make_volume("v", "16Mi");
    let json = volume("v").json();
    let device = node.device_directory();
    let before = node.fingerprint();
    for driver in ["image", "directory"] {
        for arguments in [
            ["getvolumename", &json].as_slice(),
            ["attach", &json, "node-1"].as_slice(),
            ["isattached", &json, "node-1"].as_slice(),
            ["waitforattach", "", &json].as_slice(),
            ["mountdevice", &device, "", &json].as_slice(),
            ["unmountdevice", &device].as_slice(),
            ["detach", "vol", "node-1"].as_slice(),
        ] {
            let reply = node.callout(driver, arguments).is_not_supported();
            assert_eq!(reply.text, "{\"status\":\"Not supported\"}\n");
        }
    }
    node.unchanged_since(&before, "what is not supported");
    // A driver that attaches answers this one alike: the kubelet throws the name away.
    node.install(&["--attachable"]).succeeds();
    node.image(&["getvolumename", &json]).is_not_supported();
}

#[test]
fn both_ways_to_the_driver_do_the_same() {
    let node = Node::installed(&[]);
    let pod = node.pod("a");
    let json = volume("v").size("16Mi").json();
    for (flex, other) in [(Flex::Command, Flex::Installed), (Flex::Installed, Flex::Command)] {
        node.callout_by(flex, "image", &["mount", &pod, &json]).succeeds();
        assert!(node.is_mounted(&pod));
        node.callout_by(other, "image", &["unmount", &pod]).succeeds();
        node.at_rest();
    }
}

#[test]
fn a_mount_and_an_unmount_may_be_repeated() {
    let node = Node::installed(&[]);
    node.make_directory_pool();
    for (driver, options) in [
        ("image", volume("v").size("16Mi")),
        ("image", volume("ro").size("16Mi").read_only()),
        ("directory", volume("v").with("limit", "none")),
        (
            "directory",
            volume("t").with("limit", "none").with("template", "{pod}").pod("n", "p", "u"),
        ),
    ] {
        let pod = node.pod_of(driver, "a");
        let json = options.json();
        let mount = || node.callout(driver, &["mount", &pod, &json]).succeeds();
        assert_eq!(mount().text, "{\"status\":\"Success\"}\n");
        let mounted = node.fingerprint();
        mount();
        mount();
        node.unchanged_since(&mounted, "a repeated mount");
        for word in ["unmount", "umount", "unmount"] {
            let reply = node.callout(driver, &[word, &pod]).succeeds();
            assert_eq!(reply.text, "{\"status\":\"Success\"}\n");
            assert!(!node.is_mounted(&pod));
        }
        assert_eq!(std::fs::read_dir(&pod).unwrap().count(), 0, "left in the pod's directory");
        node.at_rest();
    }
}

#[test]
fn a_directory_that_is_missing_is_no_obstacle() {
    let node = Node::installed(&[]);
    let missing = node.text("kubelet/pods/gone/volumes/becket~image/vol");
    let before = node.fingerprint();
    for word in ["unmount", "umount"] {
        node.image(&[word, &missing]).succeeds();
    }
    node.unchanged_since(&before, "an unmount of nothing");
    node.image(&["mount", &missing, &volume("v").size("16Mi").json()]).succeeds();
    assert!(node.is_mounted(&missing));
    node.image(&["unmount", &missing]).succeeds();
    // Where the whole root is gone there is nothing to unmount either.
    std::fs::rename(node.path("kubelet"), node.path("kubelet-away")).unwrap();
    node.image(&["unmount", &missing]).succeeds();
}

#[test]
fn files_that_were_in_the_way_of_a_mount_are_there_again_after_it() {
    let node = Node::installed(&[]);
    let pod = node.pod("a");
    std::fs::write(format!("{pod}/below"), "stays").unwrap();
    node.image(&["unmount", &pod]).succeeds();
    node.image(&["mount", &pod, &volume("v").size("16Mi").json()]).succeeds();
    assert!(!Path::new(&pod).join("below").exists());
    node.image(&["unmount", &pod]).succeeds();
    assert_eq!(std::fs::read_to_string(format!("{pod}/below")).unwrap(), "stays");
}

#[test]
fn the_fs_group_owns_the_volume_under_both_of_its_names() {
    let node = Node::installed(&[]);
    node.make_directory_pool();
    for (driver, key, group) in [
        ("image", "kubernetes.io/mounterArgs.FsGroup", 2001),
        ("image", "kubernetes.io/fsGroup", 2002),
        ("directory", "kubernetes.io/mounterArgs.FsGroup", 2003),
        ("directory", "kubernetes.io/fsGroup", 2004),
    ] {
        let options = match driver {
            "image" => volume("v").size("16Mi"),
            _ => volume("v").with("limit", "none"),
        };
        let pod = node.pod_of(driver, "a");
        let json = options.with(key, &group.to_string()).json();
        node.callout(driver, &["mount", &pod, &json]).succeeds();
        let root = std::fs::metadata(&pod).unwrap();
        assert_eq!(root.gid(), group, "{driver} {key}");
        assert_eq!(root.mode() & 0o2070, 0o2070, "{driver} {key}: {:o}", root.mode());
        let file = format!("{pod}/of-{group}");
        std::fs::write(&file, "").unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().gid(), group);
        node.callout(driver, &["unmount", &pod]).succeeds();
    }
}

#[test]
fn what_is_mounted_read_only_cannot_be_written() {
    let node = Node::installed(&[]);
    node.make_directory_pool();
    for (driver, options) in
        [("image", volume("v").size("16Mi")), ("directory", volume("v").with("limit", "none"))]
    {
        let (reader, writer) = (node.pod_of(driver, "reader"), node.pod_of(driver, "writer"));
        let (ro, rw) = (options.clone().read_only().json(), options.json());
        node.callout(driver, &["mount", &reader, &ro]).succeeds();
        let refused = std::fs::write(format!("{reader}/file"), "x").unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem, "{driver}");
        // Another pod may write, and the first one reads what it wrote.
        node.callout(driver, &["mount", &writer, &rw]).succeeds();
        std::fs::write(format!("{writer}/file"), "shared").unwrap();
        assert_eq!(std::fs::read_to_string(format!("{reader}/file")).unwrap(), "shared");
        assert!(std::fs::remove_file(format!("{reader}/file")).is_err());
        // One place does not quietly become the other kind.
        node.callout(driver, &["mount", &reader, &rw]).fails(&["read-only"]);
        node.callout(driver, &["mount", &writer, &ro]).fails(&["read-only"]);
        for pod in [&reader, &writer] {
            node.callout(driver, &["unmount", pod]).succeeds();
        }
        node.at_rest();
    }
}

#[test]
fn a_volume_is_made_by_its_first_mount_and_keeps_its_data_and_its_limit() {
    let node = Node::installed(&[]);
    let (first, second) = (node.pod("a"), node.pod("b"));
    let json = volume("v").size("16Mi").json();
    node.image(&["mount", &first, &json]).succeeds();
    std::fs::write(format!("{first}/greeting"), "hello").unwrap();
    let too_much = std::fs::write(format!("{first}/large"), vec![1; 20 << 20]).unwrap_err();
    assert_eq!(too_much.kind(), std::io::ErrorKind::StorageFull);
    node.image(&["unmount", &first]).succeeds();
    let uuid = node.becket(&["volume", "show", "v", "-o", "json"]).json()["uuid"].clone();
    // Nothing but its name is needed for what exists, and another size is no wish to change it.
    for options in [volume("v"), volume("v").size("64Mi"), volume("v").fs_type("ext4")] {
        node.image(&["mount", &second, &options.json()]).succeeds();
        assert_eq!(std::fs::read_to_string(format!("{second}/greeting")).unwrap(), "hello");
        node.image(&["unmount", &second]).succeeds();
    }
    let shown = node.becket(&["volume", "show", "v", "-o", "json"]).json();
    assert_eq!((&shown["uuid"], &shown["size"]), (&uuid, &serde_json::json!(16 << 20)));
}

#[test]
fn eight_pods_come_and_go_at_once() {
    let node = Node::installed(&[]);
    let pods: Vec<String> = (0..8).map(|pod| node.pod(&format!("pod-{pod}"))).collect();
    let all = |arguments: &(dyn Fn(usize) -> Vec<String> + Sync)| {
        std::thread::scope(|scope| {
            for pod in 0..pods.len() {
                let node = &node;
                scope.spawn(move || node.callout("image", &arguments(pod)).succeeds());
            }
        });
    };
    for round in 0..4 {
        let json = volume(&format!("v{round}")).size("16Mi").json();
        let mount = |pod: usize| vec!["mount".to_owned(), pods[pod].clone(), json.clone()];
        let unmount = |pod: usize| vec!["unmount".to_owned(), pods[pod].clone()];
        all(&mount);
        std::fs::write(format!("{}/file", pods[0]), "one volume").unwrap();
        for pod in &pods {
            assert_eq!(std::fs::read_to_string(format!("{pod}/file")).unwrap(), "one volume");
        }
        // Half of them go while the kubelet, restarted, mounts the others again.
        all(&|pod| if pod % 2 == 0 { unmount(pod) } else { mount(pod) });
        for (pod, path) in pods.iter().enumerate() {
            assert_eq!(node.is_mounted(path), pod % 2 == 1, "{path}");
        }
        // The last ones go while others come back.
        all(&|pod| if pod % 2 == 0 { mount(pod) } else { unmount(pod) });
        all(&unmount);
        node.at_rest();
    }
    let listed = node.becket(&["volume", "list", "-o", "json"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 4);
}

#[test]
fn pods_of_a_template_see_their_own_directory_and_it_is_kept_or_removed() {
    let node = Node::installed(&[]);
    node.make_directory_pool();
    for (name, on_unmount) in [("kept", "keep"), ("removed", "remove")] {
        let options = volume(name).with("limit", "none").with("template", "{namespace}/{pod}");
        let options = options.with("onUnmount", on_unmount);
        let pods = ["a", "b"].map(|pod| {
            let path = node.pod_of("directory", pod);
            let json = options.clone().pod("web", pod, "uid").json();
            node.directory(&["mount", &path, &json]).succeeds();
            std::fs::write(format!("{path}/me"), pod).unwrap();
            path
        });
        let data = node.path(format!("state/pools/directory/volumes/{name}/data"));
        for (pod, path) in ["a", "b"].iter().zip(&pods) {
            assert_eq!(std::fs::read_to_string(format!("{path}/me")).unwrap(), *pod);
            assert_eq!(
                std::fs::read_to_string(data.join("web").join(pod).join("me")).unwrap(),
                *pod
            );
        }
        node.directory(&["unmount", &pods[0]]).succeeds();
        assert_eq!(data.join("web/a/me").exists(), on_unmount == "keep");
        assert!(data.join("web/b/me").exists(), "the other pod's directory");
        node.directory(&["unmount", &pods[1]]).succeeds();
        assert_eq!(data.join("web").exists(), on_unmount == "keep");
        node.at_rest();
    }
}
