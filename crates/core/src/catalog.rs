//! What exists in a pool: records, and how things appear and disappear.
//!
//! A backend on a filesystem keeps its catalog as directories with records in them, one on a volume
//! group as tags. Either way each change is one step, and everything is in one of three places:
//! hidden while it is made, visible, or in the trash.

use crate::name::Name;
use crate::pool::Pool;
use crate::record::{PoolRecord, SnapshotRecord, TrashRecord, VolumeRecord};
use crate::{Error, Result};
use std::collections::BTreeMap;

/// What a lookup found. Only `Absent` proves that there is nothing: it is said of a pool whose
/// medium is there and whose records could be read. Everything else is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Existence<R> {
    /// It is there, and this is its record.
    Present(R),
    /// It is not there, and the pool is healthy.
    Absent,
}

impl<R> Existence<R> {
    /// The record, where there is one.
    pub fn found(self) -> Option<R> {
        match self {
            Existence::Present(record) => Some(record),
            Existence::Absent => None,
        }
    }
}

/// All records of a kind, and the places whose record could not be read.
#[derive(Debug, Clone)]
pub struct Listing<R> {
    /// Readable records, by name.
    pub records: Vec<R>,
    /// Places that hold something unreadable, and why.
    pub unreadable: Vec<(String, Error)>,
}

/// The records of a pool.
pub trait Catalog: Send + Sync {
    /// Lays out a new pool. Called again on a pool that is there, it changes nothing.
    fn lay_out(&self, pool: &Pool) -> Result<()>;

    /// The record of the pool that the medium says it is, for a node that does not know it: its record is
    /// on the medium, at a place that `parameters` name. `None` where the medium is no pool yet, or says so
    /// only in the pool's own directory.
    fn recognise(&self, _parameters: &BTreeMap<String, String>) -> Result<Option<PoolRecord>> {
        Ok(None)
    }

    /// Takes back what [`Catalog::lay_out`] did outside of the pool's own directory.
    fn dissolve(&self, _pool: &Pool) -> Result<()> {
        Ok(())
    }

    /// The volume `name`.
    fn volume(&self, pool: &Pool, name: &Name) -> Result<Existence<VolumeRecord>>;

    /// All volumes.
    fn volumes(&self, pool: &Pool) -> Result<Listing<VolumeRecord>>;

    /// The snapshot `name`.
    fn snapshot(&self, pool: &Pool, name: &Name) -> Result<Existence<SnapshotRecord>>;

    /// All snapshots.
    fn snapshots(&self, pool: &Pool) -> Result<Listing<SnapshotRecord>>;

    /// Volumes hidden in preparation: at work, or left by something that was killed.
    fn preparing(&self, pool: &Pool) -> Result<Listing<VolumeRecord>>;

    /// Names of snapshots hidden in preparation.
    fn preparing_snapshots(&self, pool: &Pool) -> Result<Vec<Name>>;

    /// Opens the hidden place of a new volume with its record in it; takes no time.
    fn begin(&self, pool: &Pool, volume: &VolumeRecord) -> Result<()>;

    /// Makes the hidden volume visible with `volume` as its record: whole and synced, in one step,
    /// never in place of another.
    fn commit(&self, pool: &Pool, volume: &VolumeRecord) -> Result<()>;

    /// Removes what is hidden under `name`; nothing there is fine.
    fn discard(&self, pool: &Pool, name: &Name) -> Result<()>;

    /// Replaces the record of a visible volume, atomically.
    fn save(&self, pool: &Pool, volume: &VolumeRecord) -> Result<()>;

    /// Opens the hidden place of a new snapshot with its record in it. What an earlier try left
    /// there is replaced.
    fn begin_snapshot(&self, pool: &Pool, snapshot: &SnapshotRecord) -> Result<()>;

    /// Makes the hidden snapshot visible, in one step and never in place of another.
    fn commit_snapshot(&self, pool: &Pool, snapshot: &SnapshotRecord) -> Result<()>;

    /// Removes the hidden snapshot `name`; nothing there is fine.
    fn discard_snapshot(&self, pool: &Pool, name: &Name) -> Result<()>;

    /// Moves a volume or snapshot into the trash in one step. An absent one is fine.
    fn retire(&self, pool: &Pool, trash: &TrashRecord) -> Result<()>;

    /// What is in the trash.
    fn trash(&self, pool: &Pool) -> Result<Listing<TrashRecord>>;

    /// Brings something back from the trash under its old name, never in place of another.
    fn revive(&self, pool: &Pool, trash: &TrashRecord) -> Result<()>;

    /// Removes something in the trash for good; an absent one is fine.
    fn purge(&self, pool: &Pool, trash: &TrashRecord) -> Result<()>;

    /// Finishes removals in the trash that were cut short.
    fn sweep(&self, pool: &Pool) -> Result<()>;
}
