//! The engine: every operation on pools, volumes and snapshots, for all frontends alike.
//!
//! Each operation takes the lock of what it changes, observes, plans, and takes the plan's steps.
//! The files of this module are its operations; what they share is here.

mod apart;
mod asked;
mod birth;
mod capacity;
mod claim;
mod create;
mod encrypted;
mod expand;
mod group;
mod health;
mod held;
mod inline;
mod mount;
mod observe;
mod pools;
mod ranges;
mod reconcile;
mod remote;
pub(crate) mod remote_pool;
mod share;
mod snapshot;
mod steps;
mod traces;
mod trash;
mod unmount;
mod usage;

pub use apart::{MARK as APART, perform as perform_apart, requested as apart_requested};
#[cfg(feature = "contract")]
pub(crate) use birth::format;
pub use capacity::Capacity;
pub use create::NewVolume;
pub use health::{Complaint, Severity};
pub use inline::INLINE;
pub use mount::{ON_UNMOUNT, Publication, Staging};
pub use pools::{Expected, NewPool};
pub use ranges::{BLOCK, Range, Ranges};
pub use reconcile::{Finding, Outcome};
pub use share::Share;
pub use usage::Usage;

use crate::backend::{Abilities, Backend};
use crate::catalog::Listing;
use crate::lock::{self, Lock, Mode};
use crate::plan::Conflict;
use crate::pool::{Pool, State};
use crate::progress::{Logged, Progress};
use crate::record::{SnapshotRecord, VolumeRecord};
use crate::{Error, Kind, Name, Result};
use apart::Operation;
use observe::unless_deleted;
use std::path::PathBuf;
use std::time::Duration;

/// All operations, over one state directory and a set of backends.
pub struct Engine {
    state: State,
    backends: Vec<Box<dyn Backend>>,
    wait: Duration,
    wanted: fn() -> bool,
    progress: Box<dyn Progress>,
}

impl Engine {
    /// An engine that waits up to ten seconds for a lock and reports progress to the log.
    pub fn new(state: State, backends: Vec<Box<dyn Backend>>) -> Engine {
        Engine {
            state,
            backends,
            wait: Duration::from_secs(10),
            wanted: || true,
            progress: Box::new(Logged::default()),
        }
    }

    /// Waits at most this long for another operation on the same volume or snapshot; then the answer
    /// is `Busy`. Locks that are held for a moment only are always waited for.
    #[must_use]
    pub fn waiting(mut self, wait: Duration) -> Engine {
        self.wait = wait;
        self
    }

    /// Begins nothing once `wanted` says no: whoever asked has gone, and may have asked for the opposite by
    /// now. It is asked when the lock is taken; what has begun then runs to its end.
    #[must_use]
    pub fn while_wanted(mut self, wanted: fn() -> bool) -> Engine {
        self.wanted = wanted;
        self
    }

    /// Reports progress there.
    #[must_use]
    pub fn reporting(mut self, progress: Box<dyn Progress>) -> Engine {
        self.progress = progress;
        self
    }

    /// The state directory.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The volume `name`. `NotFound` only where its pool is healthy.
    pub fn volume(&self, pool: &Name, name: &Name) -> Result<VolumeRecord> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Volume(name.clone()));
        }
        self.present(&pool, name)
    }

    /// The volume `name`, `None` when its healthy pool does not have it. A missing pool is an error:
    /// it proves nothing about the volume.
    pub fn find_volume(&self, pool: &Name, name: &Name) -> Result<Option<VolumeRecord>> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::FindVolume(name.clone()));
        }
        Ok(self.backend(&pool)?.catalog().volume(&pool, name)?.found())
    }

    /// All volumes of a pool that have a readable record; what has none is logged.
    pub fn volumes(&self, pool: &Name) -> Result<Vec<VolumeRecord>> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Volumes);
        }
        Ok(readable(&pool, self.backend(&pool)?.catalog().volumes(&pool)?))
    }

    /// The snapshot `name`. A member of a group is there once the whole group is.
    pub fn snapshot(&self, pool: &Name, name: &Name) -> Result<SnapshotRecord> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Snapshot(name.clone()));
        }
        self.present_snapshot(&pool, name)
    }

    /// All snapshots of a pool that have a readable record.
    pub fn snapshots(&self, pool: &Name) -> Result<Vec<SnapshotRecord>> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Snapshots);
        }
        let listing = self.backend(&pool)?.catalog().snapshots(&pool)?;
        Ok(readable(&pool, group::whole_only(listing)))
    }

    /// Bytes of the pool that each of `volumes` alone takes now.
    pub fn allocated(&self, pool: &Name, volumes: &[VolumeRecord]) -> Result<Vec<u64>> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Allocated(volumes.to_vec()));
        }
        let backend = self.backend(&pool)?;
        let allocated = |volume| {
            let allocated = || backend.allocated(&pool, volume);
            Ok(unless_deleted(backend, &pool, volume, allocated)?.unwrap_or(0))
        };
        volumes.iter().map(allocated).collect()
    }

    /// The path of the volume's own bytes, by which it can be told from every other as long as it lives;
    /// `None` where it has none.
    pub fn lasting_path(&self, pool: &Name, name: &Name) -> Result<Option<PathBuf>> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::LastingPath(name.clone()));
        }
        let record = self.present(&pool, name)?;
        self.backend(&pool)?.lasting_path(&pool, &record)
    }

    /// Where the volume is mounted on this node, its staging places included.
    pub fn mounts(&self, pool: &Name, volume: &VolumeRecord) -> Result<Vec<PathBuf>> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Mounts(Box::new(volume.clone())));
        }
        let backend = self.backend(&pool)?;
        let mounts = || observe::mounts(backend, &pool, volume);
        let mounts = unless_deleted(backend, &pool, volume, mounts)?.unwrap_or_default();
        Ok(mounts.into_iter().map(|entry| entry.point).collect())
    }

    /// What the pool can do.
    pub fn abilities(&self, pool: &Name) -> Result<Abilities> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Abilities);
        }
        self.backend(&pool)?.abilities(&pool)
    }

    fn present(&self, pool: &Pool, name: &Name) -> Result<VolumeRecord> {
        let found = self.backend(pool)?.catalog().volume(pool, name)?.found();
        found.ok_or_else(|| missing("volume", pool, name))
    }

    fn present_snapshot(&self, pool: &Pool, name: &Name) -> Result<SnapshotRecord> {
        let catalog = self.backend(pool)?.catalog();
        let found = catalog.snapshot(pool, name)?.found();
        let whole = found.filter(|found| !group::is_incomplete(catalog, pool, found));
        whole.ok_or_else(|| missing("snapshot", pool, name))
    }

    /// The backend of an open pool.
    fn backend(&self, pool: &Pool) -> Result<&dyn Backend> {
        self.backend_named(&pool.record.backend)
    }

    fn backend_named(&self, name: &str) -> Result<&dyn Backend> {
        self.backends.iter().map(Box::as_ref).find(|backend| backend.name() == name).ok_or_else(
            || {
                let known: Vec<&str> = self.backends.iter().map(|backend| backend.name()).collect();
                Error::new(Kind::Invalid, format!("backend `{name}` is not known"))
                    .hint(format!("this becket has {}", known.join(", ")))
            },
        )
    }

    fn lock_volume(&self, pool: &Pool, name: &Name) -> Result<Lock> {
        self.if_wanted(lock::acquire_on(pool, &volume_key(name), Mode::Exclusive, self.wait)?)
    }

    fn lock_snapshot(&self, pool: &Pool, name: &Name) -> Result<Lock> {
        self.if_wanted(lock::acquire_on(pool, &snapshot_key(name), Mode::Exclusive, self.wait)?)
    }

    fn if_wanted(&self, lock: Lock) -> Result<Lock> {
        match (self.wanted)() {
            true => Ok(lock),
            false => Err(Error::new(Kind::Busy, "whoever asked for it has gone")),
        }
    }

    fn lock_group(&self, pool: &Pool, name: &Name) -> Result<Lock> {
        self.if_wanted(lock::acquire_on(pool, &group_key(name), Mode::Exclusive, self.wait)?)
    }

    /// For those who only read the snapshot: any number of volumes can be made from it at once.
    fn share_snapshot(&self, pool: &Pool, name: &Name) -> Result<Lock> {
        let wait = self.wait.max(ORIGIN);
        lock::acquire_on(pool, &snapshot_key(name), Mode::Shared, wait)
    }

    /// For a clone of the volume: several of them take turns.
    fn lock_origin(&self, pool: &Pool, name: &Name) -> Result<Lock> {
        let wait = self.wait.max(ORIGIN);
        lock::acquire_on(pool, &volume_key(name), Mode::Exclusive, wait)
    }

    /// The lock under which promises are added up: held for a moment, never during long work. `None` where
    /// the medium itself keeps two of them apart.
    fn lock_promises(&self, backend: &dyn Backend, pool: &Pool) -> Result<Option<Lock>> {
        match backend.takes_space_at_once(pool) {
            true => Ok(None),
            false => lock::acquire_on(pool, "promises", Mode::Exclusive, MOMENT).map(Some),
        }
    }
}

/// How long at least to wait for what a copy is made from, which others may be copying too.
const ORIGIN: Duration = Duration::from_secs(2);

/// How long to wait for a lock that nobody holds for long.
const MOMENT: Duration = Duration::from_secs(10);

/// The records of a listing; what has none is logged.
fn readable<R>(pool: &Pool, listing: Listing<R>) -> Vec<R> {
    for (place, error) in &listing.unreadable {
        log::warn!("`{place}` of pool `{}` is left out: {error}", pool.name());
    }
    listing.records
}

fn volume_key(name: &Name) -> String {
    format!("volume-{name}")
}

fn snapshot_key(name: &Name) -> String {
    format!("snapshot-{name}")
}

fn group_key(name: &Name) -> String {
    format!("group-{name}")
}

fn missing(what: &str, pool: &Pool, name: &Name) -> Error {
    Error::new(Kind::NotFound, format!("{what} `{name}` does not exist in pool `{}`", pool.name()))
        .hint(format!("`becket {what} list --pool {}` shows those that do", pool.name()))
}

/// What a conflict of a plan means to the caller.
fn refusal(conflict: Conflict, pool: &Pool, name: &Name, place: &str) -> Error {
    let volume = format!("volume `{name}` of pool `{}`", pool.name());
    match conflict {
        Conflict::Missing => missing("volume", pool, name),
        Conflict::Different => {
            Error::new(Kind::Conflict, format!("{volume} exists and was made differently")).hint(
                "its content, provisioning, origin and parameters cannot change; use another name",
            )
        }
        Conflict::OtherSize => {
            Error::new(Kind::Conflict, format!("{volume} exists with another size"))
                .hint("expand it, or use another name")
        }
        Conflict::StagingTaken | Conflict::TargetTaken => {
            Error::new(Kind::WrongState, format!("something else is mounted at `{place}`"))
                .hint("look at it with `findmnt`, and unmount it if nobody needs it")
        }
        Conflict::OtherAccess => Error::new(
            Kind::Conflict,
            format!(
                "{volume} is mounted at `{place}` already, with the other of read-only and writable"
            ),
        ),
        Conflict::NotStaged => Error::new(Kind::WrongState, format!("{volume} is not staged")),
        Conflict::CutShort => Error::new(
            Kind::WrongState,
            format!("{volume} lost its end: its storage is smaller than its filesystem"),
        )
        .hint("nothing was changed; restore it from a snapshot or a backup"),
        Conflict::InUse => Error::new(Kind::InUse, format!("{volume} is in use"))
            .hint("it is mounted or attached on a node; unmount it first"),
        Conflict::Elsewhere => Error::new(
            Kind::InUse,
            format!("{volume} is published at another path, and `{place}` is to have it alone"),
        )
        .hint("unmount it there first, or use an access mode that shares it"),
    }
}
