//! Volumes whose files were damaged or lost: refused with the reason, and never written to.

use becket_tests::{Node, volume};
use std::os::unix::fs::FileExt;
use std::path::Path;

fn digest(path: &Path) -> String {
    let output = std::process::Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_damaged_record_is_named_and_its_volume_left_alone() {
    let node = Node::new();
    node.make_volume("v", "16Mi");
    node.make_volume("fine", "16Mi");
    let (record, image) = (node.stored("v", "volume.json"), node.stored("v", "data"));
    let whole = std::fs::read_to_string(&record).unwrap();
    let (pod, json) = (node.pod("a"), volume("v").size("16Mi").json());
    let data = digest(&image);
    let long = " ".repeat(70_000);
    for (damaged, words) in [
        ("", "is damaged"),
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ("\u{0}\u{0}\u{0}\u{0}", "is damaged"),
        (&whole[..whole.len() / 2], "is damaged"),
        (&whole.replace("\"ext4\"", "\"zfs\""), "is damaged"),
        (&whole.replace("\"size\"", "\"sise\""), "is damaged"),
        (&whole.replace("\"v\"", "\"../v\""), "is damaged"),
        (&whole.replace("\"v\"", "\"fine\""), "is the record of `fine`"),
        (&whole.replace("\"format\": 1", "\"format\": 99"), "has format 99"),
        (&long, "volume.json"),
    ] {
        std::fs::write(&record, damaged).unwrap();
        let before = node.fingerprint();
        for arguments in [
            ["mount", &pod, &json].as_slice(),
            ["expandfs", &json, "", &pod, "33554432", "16777216"].as_slice(),
        ] {
            node.image(arguments).fails(&[words, "volume.json"]);
        }
        node.becket(&["volume", "show", "v"]).fails(1, &["volume.json"]);
        node.becket(&["volume", "delete", "v"]).fails(1, &["volume.json"]);
        node.becket(&["volume", "create", "v", "--size", "16Mi"]).fails(1, &["volume.json"]);
        // The others are listed, and this one is spoken of.
        let listed = node.becket(&["volume", "list", "-o", "json"]).succeeds();
        assert!(listed.stderr.contains("`v`"), "{listed:?}");
        let listed = listed.json();
        assert_eq!((listed.as_array().unwrap().len(), &listed[0]["name"]), (1, &"fine".into()));
        node.unchanged_since(&before, &format!("what was tried with the record {damaged:.40?}"));
    }
    std::fs::remove_file(&record).unwrap();
    node.image(&["mount", &pod, &json]).fails(&["volume.json", "is missing"]);
    assert_eq!(digest(&image), data);
    std::fs::write(&record, whole).unwrap();
    node.image(&["mount", &pod, &json]).succeeds();
    node.image(&["unmount", &pod]).succeeds();
}

#[test]
fn an_image_with_something_else_in_it_is_refused_and_never_formatted() {
    let node = Node::new();
    node.make_volume("v", "16Mi");
    let image = node.stored("v", "data");
    let (pod, json) = (node.pod("a"), volume("v").size("16Mi").json());
    let file = std::fs::OpenOptions::new().write(true).open(&image).unwrap();
    let mut xfs = vec![0; 1 << 20];
    xfs[..4].copy_from_slice(b"XFSB");
    let contents: [(&str, Vec<u8>); 4] = [
        ("zeros", vec![0; 16 << 20]),
        ("ones", vec![1; 16 << 20]),
        ("a zeroed superblock", vec![0; 8192]),
        ("the start of another filesystem", xfs),
    ];
    for (what, bytes) in contents {
        file.write_all_at(&bytes, 0).unwrap();
        file.sync_all().unwrap();
        let before = (node.fingerprint(), digest(&image));
        for _ in 0..2 {
            node.image(&["mount", &pod, &json]).fails(&["should hold ext4", "data"]);
        }
        node.becket(&["volume", "create", "v", "--size", "16Mi"]);
        node.unchanged_since(&before.0, what);
        assert_eq!(digest(&image), before.1, "{what}");
        assert!(!node.is_mounted(&pod));
    }
}

#[test]
fn an_image_that_is_lost_is_missed_and_not_made_anew() {
    let node = Node::new();
    node.make_volume("v", "16Mi");
    let image = node.stored("v", "data");
    let (pod, json) = (node.pod("a"), volume("v").size("16Mi").json());
    std::fs::rename(&image, node.path("kept")).unwrap();
    let before = node.fingerprint();
    node.image(&["mount", &pod, &json]).fails(&["is missing", "data"]);
    std::os::unix::fs::symlink(node.path("kept"), &image).unwrap();
    node.image(&["mount", &pod, &json]).fails(&["data"]);
    std::fs::remove_file(&image).unwrap();
    std::fs::create_dir(&image).unwrap();
    node.image(&["mount", &pod, &json]).fails(&["data"]);
    std::fs::remove_dir(&image).unwrap();
    node.unchanged_since(&before, "what was tried without the image");
    std::fs::rename(node.path("kept"), &image).unwrap();
    node.image(&["mount", &pod, &json]).succeeds();
    node.image(&["unmount", &pod]).succeeds();
}

#[test]
fn an_image_that_was_cut_short_is_refused() {
    let node = Node::new();
    node.make_volume("v", "16Mi");
    let image = node.stored("v", "data");
    let file = std::fs::OpenOptions::new().write(true).open(&image).unwrap();
    file.set_len(8 << 20).unwrap();
    let (pod, json) = (node.pod("a"), volume("v").json());
    let before = node.fingerprint();
    node.image(&["mount", &pod, &json]).fails(&["`v`", "lost its end"]);
    node.unchanged_since(&before, "a mount of an image that was cut short");
}

#[test]
fn an_unmount_leaves_no_stage_behind_whatever_became_of_the_record() {
    let node = Node::new();
    let pod = node.pod("a");
    let json = volume("v").size("16Mi").json();
    for (file, damage) in [("volumes/v/volume.json", ""), ("pool.json", "{}")] {
        node.image(&["mount", &pod, &json]).succeeds();
        let record = node.path("state/pools/default").join(file);
        let whole = std::fs::read(&record).unwrap();
        std::fs::write(&record, damage).unwrap();
        // It may say what is wrong, as often as the kubelet tries.
        for _ in 0..2 {
            node.image(&["unmount", &pod]);
        }
        std::fs::write(&record, whole).unwrap();
        // Once it was told of success it never asks again, so nothing may be left then.
        node.image(&["unmount", &pod]).succeeds();
        node.at_rest();
    }
}

#[test]
fn a_pool_without_its_record_or_its_areas_is_not_taken_for_an_empty_one() {
    let node = Node::new();
    node.make_volume("v", "16Mi");
    let pod = node.pod("a");
    for (lost, words) in [("pool.json", "not reachable"), ("volumes", "not whole")] {
        let path = node.path("state/pools/default").join(lost);
        std::fs::rename(&path, node.path("kept")).unwrap();
        let before = node.fingerprint();
        for options in [volume("v"), volume("v").size("16Mi"), volume("new").size("16Mi")] {
            node.image(&["mount", &pod, &options.json()]).fails(&["`default`", words]);
        }
        node.becket(&["volume", "delete", "v"]).fails(1, &[words]);
        node.unchanged_since(&before, &format!("what was tried without {lost}"));
        std::fs::rename(node.path("kept"), &path).unwrap();
    }
    node.image(&["mount", &pod, &volume("v").json()]).succeeds();
    node.image(&["unmount", &pod]).succeeds();
}

#[test]
fn a_pod_ends_although_its_directory_cannot_be_removed() {
    let node = Node::installed(&[]);
    node.make_directory_pool();
    let pod = node.pod_of("directory", "a");
    let json = volume("v")
        .with("limit", "none")
        .with("template", "{namespace}/{pod}")
        .with("onUnmount", "remove")
        .pod("web", "a", "uid")
        .json();
    node.directory(&["mount", &pod, &json]).succeeds();
    std::fs::write(format!("{pod}/file"), "kept").unwrap();
    let trash = node.path("state/pools/directory/trash");
    std::fs::rename(&trash, node.path("aside")).unwrap();
    node.directory(&["unmount", &pod]).succeeds();
    node.at_rest();
    let kept = node.path("state/pools/directory/volumes/v/data/web/a/file");
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "kept");
    std::fs::rename(node.path("aside"), trash).unwrap();
}

#[test]
fn reconcile_goes_on_past_a_staged_volume_whose_record_is_damaged() {
    let node = Node::installed(&[]);
    let (pod, json) = (node.pod("a"), volume("v").size("16Mi").json());
    node.image(&["mount", &pod, &json]).succeeds();
    let record = node.stored("v", "volume.json");
    let whole = std::fs::read(&record).unwrap();
    std::fs::write(&record, "{").unwrap();
    for _ in 0..2 {
        let found = node.becket(&["reconcile"]);
        assert_eq!(found.code, 1, "{}", found.stderr);
        assert!(found.stdout.contains("damaged"), "{}{}", found.stdout, found.stderr);
        assert!(node.is_mounted(&pod), "a volume that a pod uses was taken down");
    }
    node.image(&["unmount", &pod]).succeeds();
    node.at_rest();
    std::fs::write(&record, whole).unwrap();
    node.becket(&["reconcile"]).succeeds();
}
