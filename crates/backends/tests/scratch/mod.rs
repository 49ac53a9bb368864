//! Directories for tests, removed when dropped with what is mounted below them.

use becket_sys::beneath::Dir;
use becket_sys::{mount, mountinfo};
use std::path::{Path, PathBuf};

/// A directory that goes away when dropped, after everything mounted below it. What is still mounted
/// then is left as it is: nothing is ever removed through a mount.
pub(crate) struct Scratch {
    path: PathBuf,
}

impl Scratch {
    pub(crate) fn new(name: &str) -> Scratch {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests mount filesystems and attach loop devices: run them as root"
        );
        let unique = format!("becket-contract-{}-{name}", std::process::id());
        let path = std::env::temp_dir().join(unique);
        std::fs::create_dir(&path).unwrap();
        Scratch { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let below = || {
            let table = mountinfo::read().unwrap().into_iter();
            table.filter(|entry| entry.point.starts_with(&self.path))
        };
        // The last mounted is the first to go; a second round for what was stacked.
        for _ in 0..2 {
            let mut points: Vec<_> = below().map(|entry| entry.point).collect();
            points.reverse();
            for point in points {
                let _ = mount::unmount(&point);
            }
        }
        // Stops, rather than crosses, at a mount that should still be there.
        let parent = Dir::open(std::env::temp_dir());
        let name = self.path.file_name().unwrap_or_default();
        if let Err(left) = parent.and_then(|parent| parent.purge(name)) {
            eprintln!("left alone: {left}");
        }
    }
}
