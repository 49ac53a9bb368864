//! Volume groups for tests, on loop devices, removed when dropped.

use super::scratch::Scratch;
use becket_backends::Lvm;
use becket_backends::lvm::setup::{self, Ground as Setup};
use becket_core::contract::Ground;
use becket_core::engine::NewPool;
use becket_core::record::Content;
use becket_core::{Engine, Name, State};
use becket_sys::child;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A device for a volume group, and what stands on it.
pub(crate) struct Group {
    pub(crate) device: PathBuf,
    pub(crate) name: String,
    scratch: Scratch,
}

/// True where there is a device mapper; else the reason is printed.
pub(crate) fn can_run() -> bool {
    // The node may be there without a driver behind it.
    let control = std::fs::File::open("/dev/mapper/control").is_ok();
    let lvm = child::find("lvm").is_some();
    if !control || !lvm {
        let missing = if control { "`lvm`" } else { "a device mapper" };
        eprintln!("not checked: this host has no {missing}; `cargo xtask guest` runs these tests");
    }
    control && lvm
}

/// Runs a program that must succeed, and gives what it wrote.
pub(crate) fn must(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let words = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {words}{errors}");
    words.trim().to_owned()
}

impl Group {
    /// A blank device of this size, and a name for a group on it.
    pub(crate) fn new(size: u64) -> Group {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let name = format!("t{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let scratch = Scratch::new(&name);
        let file = scratch.path().join("device");
        std::fs::File::create(&file).unwrap().set_len(size).unwrap();
        let device = must("losetup", &["--find", "--show", file.to_str().unwrap()]);
        Group { device: device.into(), name, scratch }
    }

    /// A pool on it, named `pool`; the volume group is made for it.
    pub(crate) fn set_up(&self, thin: bool) -> NewPool {
        self.set_up_on(&self.device, thin)
    }

    fn set_up_on(&self, device: &Path, thin: bool) -> NewPool {
        let pool = Name::new("pool").unwrap();
        let plan = setup::plan(&Setup {
            pool: pool.clone(),
            group: Some(self.name.clone()),
            devices: vec![device.to_owned()],
            thin_pool: thin.then(|| "thin".to_owned()),
        });
        let parameters = setup::carry_out(&plan.unwrap()).unwrap();
        let path = Some(self.place());
        NewPool { parameters, path, ..NewPool::new(pool, "lvm") }
    }

    /// A pool in the group that is there.
    pub(crate) fn known(&self, thin: bool) -> NewPool {
        let plan = setup::plan(&Setup {
            pool: Name::new("pool").unwrap(),
            group: Some(self.name.clone()),
            devices: Vec::new(),
            thin_pool: thin.then(|| "thin".to_owned()),
        });
        let plan = plan.unwrap();
        assert_eq!(plan.steps, [], "something is to be made");
        let parameters = setup::carry_out(&plan).unwrap();
        let path = Some(self.place());
        NewPool { parameters, path, ..NewPool::new(Name::new("pool").unwrap(), "lvm") }
    }

    /// An engine that has the pool.
    pub(crate) fn pool(&self, thin: bool) -> Engine {
        let engine = self.engine(Duration::from_secs(60));
        engine.create_pool(&self.set_up(thin)).unwrap();
        engine
    }

    /// The same on another device, which stands on this one.
    pub(crate) fn pool_on(&self, device: &str, thin: bool) -> Engine {
        let engine = self.engine(Duration::from_secs(60));
        engine.create_pool(&self.set_up_on(Path::new(device), thin)).unwrap();
        engine
    }

    pub(crate) fn engine(&self, waiting: Duration) -> Engine {
        Engine::new(State::new(self.state()), vec![Box::new(Lvm)]).waiting(waiting)
    }

    /// The pool's own directory.
    pub(crate) fn place(&self) -> PathBuf {
        self.scratch.path().join("pool")
    }

    /// Takes the device away; gives the file that is behind it.
    pub(crate) fn detach(&self) -> PathBuf {
        must("losetup", &["--detach", self.device.to_str().unwrap()]);
        self.scratch.path().join("device")
    }

    /// Bytes that the file behind the device takes.
    pub(crate) fn taken(&self) -> u64 {
        let file = self.scratch.path().join("device");
        std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(file).unwrap()) * 512
    }

    /// Brings it back.
    pub(crate) fn attach(&self, file: &Path) {
        must("losetup", &[self.device.to_str().unwrap(), file.to_str().unwrap()]);
    }

    /// The state directory of the node.
    pub(crate) fn state(&self) -> PathBuf {
        self.scratch.path().join("state")
    }

    /// A pool in a new group, as the contract wants it.
    pub(crate) fn ground(self, thin: bool, contents: &[Content]) -> Ground {
        let state = self.state();
        let engines = Box::new(move |wait: Duration| {
            Engine::new(State::new(&state), vec![Box::new(Lvm)]).waiting(wait)
        });
        let new = self.set_up(thin);
        engines(Duration::ZERO).create_pool(&new).unwrap();
        let root = self.scratch.path().join("kubelet");
        std::fs::create_dir(&root).unwrap();
        Ground {
            engines,
            contents: contents.to_vec(),
            backend: Box::new(Lvm),
            pool: new.name,
            root,
            limits: true,
            limit: None,
            thick: !thin,
            place: None,
            keep: Box::new(self),
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // What a failed check left mounted is unmounted first, deepest first.
        let table = becket_sys::mountinfo::read().unwrap();
        let below = table.iter().filter(|entry| entry.point.starts_with(self.scratch.path()));
        let mut points: Vec<_> = below.map(|entry| entry.point.clone()).collect();
        points.reverse();
        for point in points {
            let _ = becket_sys::mount::unmount(&point);
        }
        let removed = Command::new("vgremove").args(["--force", "--yes", &self.name]).output();
        if let Ok(output) = removed
            && !output.status.success()
        {
            eprintln!("left: {}", String::from_utf8_lossy(&output.stderr));
        }
        let device = self.device.to_string_lossy();
        let _ = Command::new("losetup").args(["--detach", &device]).output();
    }
}
