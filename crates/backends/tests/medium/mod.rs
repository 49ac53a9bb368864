//! Filesystems for pools to stand on, made in image files and unmounted when dropped.

use becket_sys::beneath::Dir;
use becket_sys::{mount, mountinfo};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

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

/// A filesystem for pools.
pub(crate) struct Medium {
    path: PathBuf,
    next: AtomicU32,
    sectors: Option<String>,
    scratch: Scratch,
}

const GIB: u64 = 1 << 30;

impl Medium {
    /// Whatever the temporary directory is on.
    pub(crate) fn plain() -> Option<Medium> {
        let scratch = Scratch::new("plain");
        Some(Medium {
            path: scratch.path().to_owned(),
            next: AtomicU32::new(0),
            sectors: None,
            scratch,
        })
    }

    /// A new filesystem, made with `options` and mounted with `mounted`. `None`, with the reason
    /// printed, where this host or kernel cannot.
    pub(crate) fn of(kind: &str, options: &[&str], mounted: &str) -> Option<Medium> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let scratch = Scratch::new(&format!("{kind}-{number}"));
        let (image, path) = (scratch.path().join("image"), scratch.path().join("mounted"));
        std::fs::File::create(&image).unwrap().set_len(6 * GIB).unwrap();
        std::fs::create_dir(&path).unwrap();
        let maker = format!("mkfs.{kind}");
        run(Command::new(&maker).arg("-q").args(options).arg(&image))?;
        let option = if mounted.is_empty() { "loop".to_owned() } else { format!("loop,{mounted}") };
        run(Command::new("mount").args(["-t", kind, "-o", &option]).arg(&image).arg(&path))?;
        Some(Medium { path, next: AtomicU32::new(0), sectors: None, scratch })
    }

    /// A new filesystem on a device whose sectors have 4,096 bytes, as many disks have.
    pub(crate) fn with_large_sectors(kind: &str) -> Option<Medium> {
        let scratch = Scratch::new("sectors");
        let (image, path) = (scratch.path().join("image"), scratch.path().join("mounted"));
        std::fs::File::create(&image).unwrap().set_len(6 * GIB).unwrap();
        std::fs::create_dir(&path).unwrap();
        let attach = ["--find", "--show", "--sector-size", "4096"];
        let device = run(Command::new("losetup").args(attach).arg(&image))?;
        let medium =
            Medium { path, next: AtomicU32::new(0), sectors: Some(device.clone()), scratch };
        run(Command::new(format!("mkfs.{kind}")).arg("-q").arg(&device))?;
        run(Command::new("mount").args(["-t", kind, &device]).arg(&medium.path))?;
        Some(medium)
    }

    /// A path on it for a new pool.
    pub(crate) fn place(&self) -> PathBuf {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.path.join(format!("pool-{number}"))
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        if let Some(device) = &self.sectors {
            let _ = mount::unmount(&self.path);
            let _ = Command::new("losetup").args(["--detach", device]).status();
        }
        // Its directory goes with `scratch`.
        let _ = self.scratch.path();
    }
}

/// Runs a program and gives its words; `None`, with its complaint printed, when it fails.
fn run(command: &mut Command) -> Option<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.output() {
        Ok(output) if output.status.success() => {
            Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        }
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr);
            eprintln!("not checked, because `{program}` failed: {}", words.trim());
            None
        }
        Err(error) => {
            eprintln!("not checked, because `{program}` cannot be run: {error}");
            None
        }
    }
}
