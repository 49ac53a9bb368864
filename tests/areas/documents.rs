//! The pages under `docs`: every command in them runs as it is written.

use becket_tests::{Node, Share, VolumeGroup, binary, start_within};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A page, by its name.
fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The commands of its blocks without a language, in their order. Those that show output are left out:
/// what they print has other numbers every time.
fn commands(page: &str) -> Vec<String> {
    let mut commands = Vec::new();
    let blocks = page.split("```").skip(1).step_by(2);
    for block in blocks.filter(|block| block.starts_with('\n') && !block.contains("\n$ ")) {
        let joined = block.replace("\\\n", " ");
        commands.extend(joined.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
    }
    commands
}

/// Runs the commands of a page on the node. `there` says what its names of hosts, groups and devices are
/// called here.
fn run_page(node: &Node, name: &str, there: &[(&str, &str)]) {
    let commands = commands(&page(name));
    assert!(commands.iter().any(|line| line.starts_with("becket ")), "`{name}` has no commands");
    let place = node.path("bin");
    std::fs::create_dir(&place).unwrap();
    std::os::unix::fs::symlink(binary(), place.join("becket")).unwrap();
    let path = format!("{}:{}", place.display(), std::env::var("PATH").unwrap());
    for line in commands {
        let words = there.iter().fold(line.clone(), |line, (word, here)| line.replace(word, here));
        let mut command = Command::new("sh");
        command.args(["-ec", &words]).env("PATH", &path);
        command.env("BECKET_STATE_DIR", node.path("state"));
        command.env("BECKET_KUBELET_ROOT", node.path("kubelet"));
        let ran = start_within(command, Duration::from_secs(300));
        assert!(ran.code == 0, "`{line}` of {name}: {}{}", ran.stdout, ran.stderr);
    }
}

#[test]
fn the_page_on_logical_volumes_is_true() {
    let node = Node::new();
    let groups = ["vg0", "vg1", "kube_vg"].map(|name| (name, VolumeGroup::made(&node)));
    let disks = ["/dev/sdb", "/dev/sdc"].map(|name| (name, VolumeGroup::new(&node)));
    let mut there = Vec::new();
    for (word, group) in &groups {
        let Some(group) = group else { return };
        there.push((*word, group.name()));
    }
    for (word, disk) in &disks {
        let Some(disk) = disk else { return };
        there.push((*word, disk.device()));
    }
    run_page(&node, "lvm.md", &there);
}

#[test]
fn the_page_on_volumes_of_a_server_is_true() {
    let node = Node::new();
    let (Some(shared), Some(old)) = (Share::new(&node), Share::new(&node)) else { return };
    // NFS 3 has no root of all exports: it takes the server's own path.
    let old_path = old.directory().to_str().unwrap();
    let there = [
        ("nfs.example", "127.0.0.1"),
        ("/export/becket", shared.path()),
        ("/export/old", old_path),
    ];
    run_page(&node, "nfs.md", &there);
}

/// What prose mentions is at least a command with such options.
#[test]
fn every_command_that_a_page_mentions_exists() {
    let node = Node::new();
    let documents = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let names = std::fs::read_dir(documents).unwrap().map(|entry| entry.unwrap().file_name());
    let mut mentioned = 0;
    for name in names.map(|name| name.into_string().unwrap()) {
        let page = page(&name).replace('\n', " ");
        // Between single backquotes: blocks begin and end with three, which leaves nothing in between.
        for span in page.split('`').skip(1).step_by(2) {
            let Some(arguments) = span.strip_prefix("becket ") else { continue };
            let words: Vec<&str> = arguments.split_whitespace().collect();
            // That one takes whatever the kubelet says, and knows no `--help`.
            if words[0] == "flex" {
                continue;
            }
            let words = [&words[..], &["--help"]].concat();
            let ran = node.becket(&words);
            assert!(ran.code == 0, "`{span}` of {name}: {}", ran.stderr);
            mentioned += 1;
        }
    }
    assert!(mentioned > 10, "{mentioned} commands were found");
}
