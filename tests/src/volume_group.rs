//! A volume group on a disk of a node, for the lvm drivers.

use crate::node::Node;
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

/// The size of the disk. Its file is sparse, but a thin pool writes to new places until it has been everywhere:
/// where the file is in memory, there has to be as much.
const SIZE: u64 = 4 << 30;

/// A device for a volume group of a node. When dropped, which has to be before the node is, the group goes
/// with all that is in it; that nothing in it is in use any more is part of the test.
#[derive(Debug)]
pub struct VolumeGroup {
    device: String,
    name: String,
}

impl VolumeGroup {
    /// A blank device. `None` where this machine has no device mapper, which is said.
    pub fn new(node: &Node) -> Option<VolumeGroup> {
        // The file may be there without a driver behind it.
        if File::open("/dev/mapper/control").is_err() || which("lvm").is_none() {
            eprintln!(
                "NOT TESTED: no device mapper or no lvm here; `cargo xtask test-guest` has both"
            );
            return None;
        }
        let (file, root) = (node.path("disk"), node.path(""));
        let name = root.file_name().unwrap().to_string_lossy().into_owned();
        File::create(&file).unwrap().set_len(SIZE).unwrap();
        let device = must("losetup", &["--find", "--show", file.to_str().unwrap()]);
        Some(VolumeGroup { device, name })
    }

    /// What `becket pool create` takes to make a pool in it.
    pub fn arguments(&self) -> [&str; 5] {
        ["--device", &self.device, "--vg", &self.name, "--yes"]
    }
}

impl Drop for VolumeGroup {
    fn drop(&mut self) {
        let removed = run("vgremove", &["--force", "--yes", &self.name]);
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
