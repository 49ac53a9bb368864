//! Nodes in trouble: full and read-only disks, missing programs, damaged and missing things, locks.

use becket_tests::{Node, mount, talk, unmount, volume};
use rustix::fs::FlockOperation;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Puts an ext4 filesystem of 64 MiB at `disk` on the node, and a pool on it.
fn pool_on_small_disk(node: &Node, overcommit: &str) -> PathBuf {
    let (file, disk) = (node.text("disk.img"), node.path("disk"));
    std::fs::File::create(&file).unwrap().set_len(64 << 20).unwrap();
    let made = Command::new("mkfs.ext4").args(["-q", "-m", "0", &file]).status().unwrap();
    assert!(made.success());
    std::fs::create_dir(&disk).unwrap();
    mount(&["-o", "loop", &file, disk.to_str().unwrap()]);
    let pool = disk.join("pool").display().to_string();
    let create = ["pool", "create", "small", "--backend", "image", "--path", &pool];
    node.becket(&[&create[..], &["--overcommit", overcommit]].concat()).succeeds();
    disk
}

/// Writes to `path` until its disk is full.
fn fill(path: &Path) {
    use std::io::Write;
    let mut file = std::fs::File::create(path).unwrap();
    for size in [1 << 20, 4096, 1] {
        let block = vec![1; size];
        while file.write_all(&block).is_ok() {}
    }
}

fn names_below(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// Nothing half-made is in the pool.
fn nothing_hidden(pool: &Path) {
    for area in ["preparing/volumes", "preparing/snapshots", "trash"] {
        assert_eq!(names_below(&pool.join(area)), Vec::<PathBuf>::new());
    }
}

#[test]
fn a_volume_whose_image_is_lost_does_not_keep_others_from_being_made() {
    let node = Node::new();
    let disk = pool_on_small_disk(&node, "1");
    let (lost, other) = (volume("lost").with("pool", "small"), volume("w").with("pool", "small"));
    let create = ["volume", "create", "lost", "--pool", "small", "--size", "30Mi"];
    node.becket(&create).succeeds();
    std::fs::remove_file(disk.join("pool/volumes/lost/data")).unwrap();
    node.image(&["mount", &node.pod("a"), &lost.json()]).fails(&["is missing"]);
    // It is still promised: what it held may come back.
    node.image(&["mount", &node.pod("b"), &other.clone().size("40Mi").json()])
        .fails(&["cannot promise"]);
    node.image(&["mount", &node.pod("b"), &other.size("16Mi").json()]).succeeds();
    node.image(&["unmount", &node.pod("b")]).succeeds();
    unmount(&disk);
}

#[test]
fn a_pool_promises_no_more_than_its_disk_has() {
    let node = Node::new();
    let disk = pool_on_small_disk(&node, "1");
    let pod = node.pod("a");
    for options in [
        volume("v").with("pool", "small").size("80Mi"),
        volume("v").with("pool", "small").size("80Mi").with("provisioning", "thick"),
    ] {
        node.image(&["mount", &pod, &options.json()]).fails(&["cannot promise", "available"]);
    }
    nothing_hidden(&disk.join("pool"));
    let json = volume("v").with("pool", "small").size("30Mi").json();
    node.image(&["mount", &pod, &json]).succeeds();
    let grow = ["expandfs", &json, "", &pod, "83886080", "31457280"];
    node.image(&grow).fails(&["cannot expand", "more than pool `small` could hold"]);
    // What the first volume was promised is no longer there for a second one.
    let second = volume("w").with("pool", "small").size("30Mi").json();
    node.image(&["mount", &node.pod("b"), &second]).fails(&["cannot promise"]);
    let blocks = vec![7; 20 << 20];
    std::fs::write(format!("{pod}/file"), &blocks).unwrap();
    assert!(std::fs::read(format!("{pod}/file")).unwrap() == blocks);
    node.image(&["unmount", &pod]).succeeds();
    unmount(&disk);
}

#[test]
fn a_disk_that_fills_up_fails_what_is_made_and_leaves_nothing_of_it() {
    let node = Node::new();
    let disk = pool_on_small_disk(&node, "100");
    let pool = disk.join("pool");
    let pod = node.pod("a");
    let json = volume("v").with("pool", "small").size("40Mi").json();
    node.image(&["mount", &pod, &json]).succeeds();
    std::fs::write(format!("{pod}/file"), vec![7; 30 << 20]).unwrap();
    node.image(&["unmount", &pod]).succeeds();
    // Neither a copy nor preallocated space fits, although more may be promised.
    let snapshot = ["snapshot", "create", "s", "--volume", "v", "--pool", "small"];
    node.becket(&snapshot).fails(1, &["full"]);
    nothing_hidden(&pool);
    let clone = ["volume", "create", "c", "--from-volume", "v", "--pool", "small"];
    node.becket(&clone).fails(1, &["full"]);
    nothing_hidden(&pool);
    fill(&disk.join("filling"));
    for (options, words) in [
        (volume("t").with("provisioning", "thick"), "cannot promise"),
        (volume("t"), "cannot create volume `t`"),
    ] {
        let json = options.with("pool", "small").size("16Mi").json();
        node.image(&["mount", &pod, &json]).fails(&[words]);
        nothing_hidden(&pool);
        assert!(!node.is_mounted(&pod));
    }
    assert_eq!(names_below(&pool.join("volumes")), [pool.join("volumes/v")]);
    // With room again, everything works, and the old data is whole.
    std::fs::remove_file(disk.join("filling")).unwrap();
    node.image(&["mount", &pod, &json]).succeeds();
    assert!(std::fs::read(format!("{pod}/file")).unwrap() == vec![7; 30 << 20]);
    node.image(&["unmount", &pod]).succeeds();
    unmount(&disk);
}

#[test]
fn a_read_only_disk_can_be_looked_at_and_is_otherwise_refused() {
    let node = Node::new();
    let disk = pool_on_small_disk(&node, "1");
    let pod = node.pod("a");
    node.becket(&["volume", "create", "v", "--size", "16Mi", "--pool", "small"]).succeeds();
    mount(&["-o", "remount,ro", disk.to_str().unwrap()]);
    let before = node.fingerprint();
    let json = volume("v").with("pool", "small").json();
    let new = volume("new").with("pool", "small").size("16Mi").json();
    for arguments in [
        ["mount", &pod, &json].as_slice(),
        ["mount", &pod, &new].as_slice(),
        ["expandfs", &json, "", &pod, "33554432", "16777216"].as_slice(),
    ] {
        node.image(arguments).fails(&["read-only"]);
    }
    for arguments in [["volume", "delete", "v"], ["trash", "empty", "--all"]] {
        let ran = node.becket(&[&arguments[..], &["--pool", "small"]].concat());
        assert!(ran.code == 1 || arguments[0] == "trash", "{ran:?}");
    }
    node.image(&["unmount", &pod]).succeeds();
    let listed = node.becket(&["volume", "list", "--pool", "small", "-o", "json"]).json();
    assert_eq!(listed[0]["name"], "v");
    let left = before.changes(&node.fingerprint());
    // A failed mount may have made the directory for its stage; nothing is in it.
    assert!(left.iter().all(|change| change.contains("/staged")), "{left:?}");
    mount(&["-o", "remount,rw", disk.to_str().unwrap()]);
    node.image(&["mount", &pod, &json]).succeeds();
    node.image(&["unmount", &pod]).succeeds();
    unmount(&disk);
}

#[test]
fn a_host_without_mkfs_is_told_what_to_install() {
    let node = Node::new();
    node.make_volume("old", "16Mi");
    let pod = node.pod("a");
    let before = node.fingerprint();
    for (program, kind, size) in [
        ("mkfs.ext4", "ext4", "16Mi"),
        ("mkfs.xfs", "xfs", "300Mi"),
        ("mkfs.btrfs", "btrfs", "128Mi"),
    ] {
        // A device node in its place, seen by this process only: no file, so no program.
        let hide = format!(
            r#"for d in /usr/sbin /usr/bin /sbin /bin /usr/local/sbin /usr/local/bin; do
               if [ -f $d/{program} ]; then mount --bind /dev/null $d/{program} || exit 9; fi
               done; exec "$@""#
        );
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &hide, "sh"]).arg(becket_tests::binary());
        command.env("BECKET_STATE_DIR", node.path("state"));
        command.env("BECKET_KUBELET_ROOT", node.path("kubelet"));
        let json = volume("new").size(size).fs_type(kind).json();
        command.args(["flex", "image", "mount", &pod, &json]);
        let reply = talk(command).fails(&[program, "install the package", kind]);
        node.unchanged_since(&before, &reply.call);
    }
}

#[test]
fn a_pool_whose_disk_is_gone_is_unreachable_and_not_empty() {
    let node = Node::new();
    let disk = pool_on_small_disk(&node, "1");
    let pod = node.pod("a");
    let json = volume("v").with("pool", "small").size("16Mi").json();
    node.image(&["mount", &pod, &json]).succeeds();
    std::fs::write(format!("{pod}/file"), "stays").unwrap();
    node.image(&["unmount", &pod]).succeeds();
    unmount(&disk);
    // Both with nothing at the mount point and with an empty pool directory on the disk below.
    for empty in [false, true] {
        if empty {
            std::fs::create_dir(disk.join("pool")).unwrap();
        }
        let before = node.fingerprint();
        for arguments in [
            ["mount", &pod, &json].as_slice(),
            ["expandfs", &json, "", &pod, "33554432", "16777216"].as_slice(),
        ] {
            node.image(arguments).fails(&["`small`", "not reachable", "disk"]);
        }
        node.becket(&["volume", "delete", "v", "--pool", "small"]).fails(1, &["not reachable"]);
        node.becket(&["volume", "list", "--pool", "small"]).fails(1, &["not reachable"]);
        node.becket(&["pool", "delete", "small"]).fails(1, &["not reachable"]);
        let listed = node.becket(&["pool", "list", "-o", "json"]).json();
        assert!(listed[0]["error"].as_str().unwrap().contains("not reachable"), "{listed}");
        node.image(&["unmount", &pod]).succeeds();
        node.unchanged_since(&before, "what was tried without the disk");
    }
    mount(&["-o", "loop", &node.text("disk.img"), disk.to_str().unwrap()]);
    node.image(&["mount", &pod, &json]).succeeds();
    assert_eq!(std::fs::read_to_string(format!("{pod}/file")).unwrap(), "stays");
    node.image(&["unmount", &pod]).succeeds();
    unmount(&disk);
}

#[test]
fn a_lock_that_another_process_holds_is_waited_for_but_not_for_ever() {
    let node = Node::new();
    let pod = node.pod("a");
    let json = volume("v").size("16Mi").json();
    node.image(&["mount", &pod, &json]).succeeds();
    node.image(&["unmount", &pod]).succeeds();
    let locks = names_below(&node.path("state/locks"));
    let pool = locks.iter().find(|place| place.is_dir()).unwrap();
    let held = std::fs::File::create(pool.join("volume-v.lock")).unwrap();
    rustix::fs::flock(&held, FlockOperation::LockExclusive).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| node.becket(&["volume", "delete", "v"]).fails(1, &["another operation"]));
        let started = Instant::now();
        node.image(&["mount", &pod, &json]).fails(&["another operation", "try again"]);
        assert!(started.elapsed().as_secs() < 25, "{:?}", started.elapsed());
    });
    node.at_rest();
    // Who gets it within that time goes on.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| node.image(&["mount", &pod, &json]).succeeds());
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert!(!waiting.is_finished());
        rustix::fs::flock(&held, FlockOperation::Unlock).unwrap();
    });
    node.image(&["unmount", &pod]).succeeds();
}
