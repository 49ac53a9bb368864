//! Filesystems for pools to stand on, made in image files and unmounted when dropped.

use super::scratch::Scratch;
use becket_sys::mount;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

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
