//! Deleting, and second thoughts: what is deleted goes to the pool's trash first.

use super::apart::Operation;
use super::create::unreachable_step;
use super::encrypted::close_left;
use super::group::refuse_member;
use super::observe::{Places, at_rest};
use super::{Engine, readable, refusal};
use crate::catalog::Existence;
use crate::lock::Lock;
use crate::plan::{Conflict, Plan, Step, Wanted, plan};
use crate::pool::Pool;
use crate::record::{FORMAT, SnapshotRecord, TrashKind, TrashRecord, stamp};
use crate::{Error, Kind, Name, Result};
use std::time::{Duration, SystemTime};
use uuid::Uuid;

impl Engine {
    /// Deletes a volume that nobody uses: it goes to the trash in one step, and for good when the
    /// pool's retention is over. An absent volume of a healthy pool is deleted already, and the answer
    /// is false.
    pub fn delete(&self, pool: &Name, name: &Name) -> Result<bool> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Delete(name.clone()));
        }
        let lock = self.lock_volume(&pool, name)?;
        let existed = self.delete_locked(&pool, name, &lock)?;
        self.empty_expired(&pool);
        Ok(existed)
    }

    /// Moves the volume to the trash, for callers that hold its lock. False when it was absent already.
    pub(super) fn delete_locked(&self, pool: &Pool, name: &Name, lock: &Lock) -> Result<bool> {
        let backend = self.backend(pool)?;
        let anchor = self.anchor(pool.name(), name)?;
        let places = Places { staging: Some(&anchor), everywhere: true, ..Places::default() };
        let (observed, record) = self.observe(pool, name, places, |_| true)?;
        let steps = match plan(&observed, Wanted::Absent) {
            Plan::Nothing => Vec::new(),
            Plan::Conflict(conflict) => return Err(refusal(conflict, pool, name, "")),
            Plan::Steps(steps) => steps,
        };
        for step in steps {
            match (step, &record) {
                (Step::Discard, _) => backend.catalog().discard(pool, name)?,
                (Step::Unstage, Some(_)) => self.unmount_all_of(pool.name(), &anchor)?,
                (Step::Detach, Some(record)) => backend.detach(pool, record)?,
                (Step::Trash, Some(record)) => {
                    close_left(backend, record)?;
                    if !at_rest(backend, pool, record)? {
                        return Err(refusal(Conflict::InUse, pool, name, "").hint(HELD));
                    }
                    let retention = record.settings.trash_retention_seconds;
                    let ticket = ticket(pool, TrashKind::Volume, name, record.size, retention);
                    backend.catalog().retire(pool, &ticket)?;
                }
                (other, _) => return unreachable_step(other),
            }
        }
        self.forget_traces(pool, name, lock)?;
        Ok(record.is_some())
    }

    /// Deletes a snapshot; volumes restored from it and the volume it was taken of are untouched. False
    /// when it was absent already. `Invalid` for a member of a group, which is deleted as a whole.
    pub fn delete_snapshot(&self, pool: &Name, name: &Name) -> Result<bool> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::DeleteSnapshot(name.clone()));
        }
        let _lock = self.lock_snapshot(&pool, name)?;
        let backend = self.backend(&pool)?;
        let present = match backend.catalog().snapshot(&pool, name)? {
            Existence::Present(record) => {
                refuse_member(backend.catalog(), &pool, &record)?;
                backend.catalog().retire(&pool, &snapshot_ticket(&pool, &record))?;
                true
            }
            Existence::Absent => false,
        };
        self.empty_expired(&pool);
        Ok(present)
    }

    /// What is in the pool's trash.
    pub fn trash(&self, pool: &Name) -> Result<Vec<TrashRecord>> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Trash);
        }
        Ok(readable(&pool, self.backend(&pool)?.catalog().trash(&pool)?))
    }

    /// Brings something back from the trash under its old name; a member of a group with all others.
    pub fn restore_trash(&self, pool: &Name, id: Uuid) -> Result<TrashRecord> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::RestoreTrash(id));
        }
        let backend = self.backend(&pool)?;
        let found =
            backend.catalog().trash(&pool)?.records.into_iter().find(|record| record.id == id);
        let record = found.ok_or_else(|| {
            Error::new(
                Kind::NotFound,
                format!("`{id}` is not in the trash of pool `{}`", pool.name()),
            )
            .hint("`becket trash list` shows what is")
        })?;
        if let Some(group) = &record.group {
            return self.restore_group(&pool, group).map(|()| record);
        }
        let _lock = match record.kind {
            TrashKind::Volume => self.lock_volume(&pool, &record.name)?,
            TrashKind::Snapshot => self.lock_snapshot(&pool, &record.name)?,
        };
        backend.catalog().revive(&pool, &record)?;
        Ok(record)
    }

    /// Removes for good what has been in the trash for the retention time, or, with `all`,
    /// everything in it. Gives what was removed.
    pub fn empty_trash(&self, pool: &Name, all: bool) -> Result<Vec<TrashRecord>> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::EmptyTrash { all });
        }
        self.empty(&pool, all)
    }

    /// Deletions clean up after earlier ones, so no daemon has to. What they find is not their own
    /// failure: the volume is deleted.
    pub(super) fn empty_expired(&self, pool: &Pool) {
        if let Err(error) = self.empty(pool, false) {
            log::warn!("the trash of pool `{}` was not emptied: {error}", pool.name());
        }
    }

    pub(super) fn empty(&self, pool: &Pool, all: bool) -> Result<Vec<TrashRecord>> {
        let backend = self.backend(pool)?;
        let now = SystemTime::now();
        let mut removed = Vec::new();
        let mut errors = Vec::new();
        for record in backend.catalog().trash(pool)?.records {
            if all || expired(&record, now) {
                match backend.catalog().purge(pool, &record) {
                    Ok(()) => removed.push(record),
                    Err(error) => errors.push(error),
                }
            }
        }
        errors.extend(backend.catalog().sweep(pool).err());
        Error::all(errors).map(|()| removed)
    }
}

/// What it means that a device is attached, and nothing of it is mounted where we see it.
const HELD: &str = "nothing of it is mounted here, but its device is: a container has a copy of this node's \
                    mounts, or a process has the device open";

/// A time that cannot be read is never over.
fn expired(record: &TrashRecord, now: SystemTime) -> bool {
    humantime::parse_rfc3339(&record.until).is_ok_and(|until| until <= now)
}

/// The trash record of a snapshot, with its group.
pub(super) fn snapshot_ticket(pool: &Pool, snapshot: &SnapshotRecord) -> TrashRecord {
    let ticket = ticket(pool, TrashKind::Snapshot, &snapshot.name, snapshot.size, None);
    TrashRecord { group: snapshot.group.clone(), ..ticket }
}

/// `retention`: seconds, where they are not the pool's.
fn ticket(
    pool: &Pool,
    kind: TrashKind,
    name: &Name,
    size: u64,
    retention: Option<u64>,
) -> TrashRecord {
    let now = SystemTime::now();
    let retention = retention.unwrap_or(pool.record.trash_retention_seconds);
    let until = now.checked_add(Duration::from_secs(retention)).unwrap_or(now);
    TrashRecord {
        format: FORMAT,
        id: Uuid::new_v4(),
        kind,
        name: name.clone(),
        size,
        deleted: stamp(now),
        until: stamp(until),
        group: None,
    }
}
