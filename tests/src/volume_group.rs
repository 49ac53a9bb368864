//! Disks of a node, and volume groups on them, for the lvm drivers.

use crate::node::Node;
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// A disk with the name of a group that is on it, or is going to be. When dropped, which has to be before the
/// node is, the group goes with all that is in it; that nothing in it is in use any more is part of the test.
#[derive(Debug)]
pub struct VolumeGroup {
    device: String,
    name: String,
}

impl VolumeGroup {
    /// A blank disk of 4 GiB. `None` where this machine has no device mapper, which is said.
    ///
    /// Its file is sparse, but a thin pool writes to new places until it has been everywhere: where the file
    /// is in memory, there has to be as much.
    pub fn new(node: &Node) -> Option<VolumeGroup> {
        VolumeGroup::sized(node, 4 << 30)
    }

    /// A volume group on a disk of 12 GiB, of which few may be written to.
    pub fn made(node: &Node) -> Option<VolumeGroup> {
        let group = VolumeGroup::sized(node, 12 << 30)?;
        must("vgcreate", &["--quiet", &group.name, &group.device]);
        Some(group)
    }

    fn sized(node: &Node, size: u64) -> Option<VolumeGroup> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        // The file may be there without a driver behind it.
        if File::open("/dev/mapper/control").is_err() || which("lvm").is_none() {
            eprintln!(
                "NOT TESTED: no device mapper or no lvm here; `cargo xtask test-guest` has both"
            );
            return None;
        }
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let (file, root) = (node.path(format!("disk-{number}")), node.path(""));
        let name = format!("{}-{number}", root.file_name().unwrap().to_string_lossy());
        File::create(&file).unwrap().set_len(size).unwrap();
        let device = must("losetup", &["--find", "--show", file.to_str().unwrap()]);
        Some(VolumeGroup { device, name })
    }

    /// The disk.
    pub fn device(&self) -> &str {
        &self.device
    }

    /// The group's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What `becket pool create` takes to make a pool in it.
    pub fn arguments(&self) -> [&str; 5] {
        ["--device", &self.device, "--vg", &self.name, "--yes"]
    }
}

impl Drop for VolumeGroup {
    fn drop(&mut self) {
        // The group on the disk, whoever named it; none where nobody made one.
        let group = run("pvs", &["--noheadings", "-o", "vg_name", &self.device]);
        let removed = match group.as_deref() {
            Ok("") | Err(_) => Ok(String::new()),
            Ok(group) => run("vgremove", &["--force", "--yes", group]),
        };
        let detached = run("losetup", &["--detach", &self.device]);
        if !std::thread::panicking() {
            removed.and(detached).unwrap();
        }
    }
}

fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|place| place.join(program)).find(|path| path.is_file())
}

fn must(program: &str, arguments: &[&str]) -> String {
    run(program, arguments).unwrap()
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
