//! The contract of a backend, as a test suite that runs on every one of them.
//!
//! The tests of a backend make a [`Ground`] for each check: a fresh pool, and a directory for staging
//! and target paths. Every check goes through the public [`Engine`] as frontends do; the
//! backend itself is called only to plant what a killed process would leave. Needs root.
//!
//! Each file holds the checks of one promise; [`run`] takes them all, one after the other.

// A test suite: a panic with a clear message is how it tells, and its functions are their own words.
#![allow(clippy::unwrap_used, clippy::print_stderr, missing_docs)]

mod birth;
mod block;
mod capacity;
mod copies;
mod groups;
mod groups_cut;
mod growth;
mod health;
mod held;
mod limits;
mod moments;
mod mounting;
mod ranges;
mod reconciling;
mod removal;
mod requests;
mod sharing;
mod traces;

use crate::backend::{Backend, Place};
use crate::engine::remote_pool;
use crate::engine::{Engine, NewVolume, Publication};
use crate::memory::Memory;
use crate::record::{Content, VolumeRecord};
use crate::target::Target;
use crate::{Error, Kind, Name, Pool, Result};
use becket_sys::{mount, mountinfo};
use std::fmt::Debug;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub const MIB: u64 = 1024 * 1024;

/// What a check stands on: a pool of its own.
pub struct Ground {
    /// Makes an engine over the same state that waits this long for a lock: what another process is.
    pub engines: Box<dyn Fn(Duration) -> Engine + Send + Sync>,
    /// The backend under test, for planting what a killed process leaves.
    pub backend: Box<dyn Backend>,
    /// The pool, empty, with a trash that keeps things for a day.
    pub pool: Name,
    /// The path of the pool's files on this machine, where that is not the one its handle was opened by.
    pub place: Option<PathBuf>,
    /// An empty directory for staging and target paths.
    pub root: PathBuf,
    /// What of the backend's contents this host can make.
    pub contents: Vec<Content>,
    /// True when a size is enforced here.
    pub limits: bool,
    /// What a volume says of its limit, where it has to say something.
    pub limit: Option<&'static str>,
    /// True when volumes can be thick here.
    pub thick: bool,
    /// Dropped last; unmounts and removes what the ground is made of.
    pub keep: Box<dyn std::any::Any + Send + Sync>,
}

/// Runs every check, each on a ground of its own. Panics in the end if a promise was broken.
pub fn run(make: &dyn Fn() -> Ground) {
    let suites: &[(&str, &[Check])] = &[
        ("birth", birth::CHECKS),
        ("mounting", mounting::CHECKS),
        ("limits", limits::CHECKS),
        ("growth", growth::CHECKS),
        ("copies", copies::CHECKS),
        ("moments", moments::CHECKS),
        ("removal", removal::CHECKS),
        ("capacity", capacity::CHECKS),
        ("sharing", sharing::CHECKS),
        ("reconciling", reconciling::CHECKS),
        ("block", block::CHECKS),
        ("held devices", held::CHECKS),
        ("traces", traces::CHECKS),
        ("requests", requests::CHECKS),
        ("ranges", ranges::CHECKS),
        ("health", health::CHECKS),
        ("groups", groups::CHECKS),
        ("groups' cuts", groups_cut::CHECKS),
    ];
    let mut broken = Vec::new();
    for (suite, checks) in suites {
        for (check, promise) in *checks {
            eprintln!("{suite}: {promise}");
            let (begun, ground) = (Instant::now(), make());
            // The message of the panic was printed where it happened.
            let kept = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&ground)));
            if kept.is_err() {
                broken.push(format!("{suite}: {promise}"));
            }
            drop(ground);
            eprintln!("    {} ms", begun.elapsed().as_millis());
        }
    }
    assert!(broken.is_empty(), "broken promises:\n  {}", broken.join("\n  "));
}

/// A check and the promise it tests, as a sentence.
type Check = (fn(&Ground), &'static str);

impl Ground {
    /// An engine as a frontend has it.
    pub fn engine(&self) -> Engine {
        (self.engines)(Duration::from_secs(60))
    }

    /// The pool, for checks that look into it between operations.
    fn pool(&self) -> Pool {
        let pool = self.engine().open(&self.pool).unwrap();
        let pool = match self.backend.reach(&pool.record).unwrap() {
            Some(medium) => remote_pool::entered(pool, medium).unwrap(),
            None => pool,
        };
        Pool { memory: Memory::short(), ..pool }
    }

    /// What sizes are multiples of.
    fn granule(&self) -> u64 {
        self.engine().granularity(&self.pool, &Default::default()).unwrap()
    }

    /// The path of the pool's own files.
    fn place(&self) -> PathBuf {
        self.place.clone().unwrap_or_else(|| self.pool().dir.path().to_owned())
    }

    /// A volume of `content`, large enough for it and small enough to be quick.
    fn request(&self, name: &str, content: Content) -> NewVolume {
        let size = match content {
            Content::Ext4 => 64 * MIB,
            Content::Xfs => 320 * MIB,
            Content::Btrfs => 256 * MIB,
            Content::Block | Content::Directory => 16 * MIB,
        };
        let mut new = NewVolume::new(named(name), size);
        new.content = Some(content);
        self.ask_for_limit(&mut new);
        new
    }

    fn ask_for_limit(&self, new: &mut NewVolume) {
        if let Some(limit) = self.limit {
            new.parameters.insert("limit".into(), limit.into());
        }
    }

    fn create(&self, name: &str, content: Content) -> VolumeRecord {
        must(self.engine().create(&self.pool, &self.request(name, content)), "create a volume")
    }

    fn record(&self, name: &str) -> VolumeRecord {
        must(self.engine().volume(&self.pool, &named(name)), "look up a volume")
    }

    fn target(&self, relative: &str) -> Target {
        Target::beneath(&self.root, &self.root.join(relative)).unwrap()
    }

    fn staging(&self, name: &str) -> Target {
        self.target(&format!("staged/{name}"))
    }

    /// Stages the volume at its staging path below the root, and gives that path.
    fn stage(&self, name: &str) -> PathBuf {
        let staging = self.staging(name);
        must(self.engine().stage(&self.pool, &named(name), &staging), "stage a volume");
        staging.path()
    }

    fn unstage(&self, name: &str) {
        let staging = self.staging(name);
        must(self.engine().unstage(&self.pool, &named(name), &staging), "unstage a volume");
    }

    fn try_publish(&self, name: &str, at: &str, readonly: bool) -> Result<()> {
        let publication = Publication { readonly, ..Publication::default() };
        self.engine().publish(
            &self.pool,
            &named(name),
            &self.staging(name),
            &self.target(at),
            &publication,
        )
    }

    fn publish(&self, name: &str, at: &str, readonly: bool) -> PathBuf {
        must(self.try_publish(name, at, readonly), "publish a volume");
        self.target(at).path()
    }

    fn unpublish(&self, at: &str) {
        must(self.engine().unpublish(&self.target(at)), "unpublish a target");
    }

    /// Deletes the volume and empties the trash: the checks share one medium.
    fn discard(&self, name: &str) {
        must(self.engine().delete(&self.pool, &named(name)), "delete a volume");
        must(self.engine().empty_trash(&self.pool, true), "empty the trash");
    }

    /// Paths at which something below `path` is mounted.
    fn mounts_below(&self, path: &Path) -> Vec<PathBuf> {
        let table = mountinfo::read().unwrap();
        let below = table.into_iter().filter(|entry| entry.point.starts_with(path));
        below.map(|entry| entry.point).collect()
    }

    /// Asserts that the volume is mounted nowhere below the root and attached to nothing. The kernel
    /// lets go of an autoclear device a moment after its last user.
    fn expect_at_rest(&self, name: &str) {
        assert_eq!(self.mounts_below(&self.root), Vec::<PathBuf>::new(), "mounts are left");
        let (pool, record) = (self.pool(), self.record(name));
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let devices = self.backend.devices(&pool, &record, Place::Ready).unwrap();
            if devices.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "volume `{name}` is still attached to {devices:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The first content, which stands for all where the content makes no difference.
    fn any(&self) -> Content {
        self.contents[0]
    }

    /// True when a volume in use is copied as it is at one moment.
    fn copies_in_use(&self) -> bool {
        let abilities = self.backend.abilities(&self.pool()).unwrap();
        abilities.snapshots_in_use && self.any() != Content::Directory
    }

    /// The contents that are mounted.
    fn mountable(&self) -> impl Iterator<Item = Content> + '_ {
        self.contents.iter().copied().filter(|content| *content != Content::Block)
    }
}

fn named(name: &str) -> Name {
    Name::new(name).unwrap()
}

#[track_caller]
fn must<T>(result: Result<T>, what: &str) -> T {
    result.unwrap_or_else(|error| panic!("could not {what}: {error}"))
}

/// Asserts that `result` is an error of `kind`, and gives it.
#[track_caller]
fn refused<T: Debug>(result: Result<T>, kind: Kind, what: &str) -> Error {
    match result {
        Ok(value) => panic!("{what} was not refused: {value:?}"),
        Err(error) => {
            assert_eq!(error.kind(), kind, "{what} gave the wrong kind of error: {error}");
            error
        }
    }
}

/// Writes a file and makes it durable.
#[track_caller]
fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes)
        .unwrap_or_else(|error| panic!("write `{}`: {error}", path.display()));
    File::open(path).unwrap().sync_all().unwrap();
}

#[track_caller]
fn expect_file(path: &Path, bytes: &[u8]) {
    let found =
        std::fs::read(path).unwrap_or_else(|error| panic!("read `{}`: {error}", path.display()));
    assert!(found == bytes, "`{}` has other content than was written", path.display());
}

/// Bytes that are not all alike.
fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|index| (index.wrapping_mul(31) >> 3) as u8 ^ seed).collect()
}

/// Size in bytes of the filesystem at `path`.
fn total(path: &Path) -> u64 {
    becket_sys::space::of(File::open(path).unwrap().as_fd(), path).unwrap().total
}

/// Mounts a foreign filesystem at `path`.
fn mount_foreign(path: &Path) {
    std::fs::create_dir_all(path).unwrap();
    mount::filesystem("tmpfs", Path::new("tmpfs"), &[])
        .unwrap()
        .attach(File::open(path).unwrap().as_fd(), path)
        .unwrap();
}
