//! Groups that are not whole: half taken, half deleted or half brought back when somebody was killed.
//!
//! Their members are shown to nobody. The next try removes or completes them, or `reconcile` does.

use super::of_group;
use crate::backend::Backend;
use crate::catalog::{Catalog, Existence, Listing};
use crate::engine::Engine;
use crate::engine::reconcile::{Finding, Outcome, attempt, repaired};
use crate::engine::trash::snapshot_ticket;
use crate::pool::Pool;
use crate::record::{GroupMembership, SnapshotRecord, TrashRecord};
use crate::{Error, Kind, Result};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// True when a member of the snapshot's group is certainly not there. One that cannot be read is no
/// proof of that.
pub(in crate::engine) fn is_incomplete(
    catalog: &dyn Catalog,
    pool: &Pool,
    snapshot: &SnapshotRecord,
) -> bool {
    let Some(group) = &snapshot.group else {
        return false;
    };
    group.members.iter().any(|name| match catalog.snapshot(pool, name) {
        Ok(Existence::Present(found)) => found.group.is_none_or(|of| of.uuid != group.uuid),
        Ok(Existence::Absent) => true,
        Err(_) => false,
    })
}

/// The listing without the members of incomplete groups.
pub(in crate::engine) fn whole_only(
    mut listing: Listing<SnapshotRecord>,
) -> Listing<SnapshotRecord> {
    let grouped = listing.records.iter().filter_map(|record| {
        record.group.as_ref().map(|group| (group.uuid, record.name.to_string()))
    });
    let there: BTreeSet<(Uuid, String)> = grouped.collect();
    let unreadable: BTreeSet<String> =
        listing.unreadable.iter().map(|(place, _)| place.clone()).collect();
    let whole = |group: &GroupMembership| {
        group.members.iter().all(|name| {
            there.contains(&(group.uuid, name.to_string())) || unreadable.contains(name.as_str())
        })
    };
    listing.records.retain(|record| record.group.as_ref().is_none_or(whole));
    listing
}

/// `Invalid` for a member of a group that somebody may use.
pub(in crate::engine) fn refuse_member(
    catalog: &dyn Catalog,
    pool: &Pool,
    snapshot: &SnapshotRecord,
) -> Result<()> {
    match &snapshot.group {
        Some(group) if !is_incomplete(catalog, pool, snapshot) => Err(Error::new(
            Kind::Invalid,
            format!("snapshot `{}` is of group snapshot `{}`", snapshot.name, group.name),
        )
        .hint("delete the group snapshot, which deletes all of its snapshots")),
        _ => Ok(()),
    }
}

/// Removes the snapshot if it is still there and of an incomplete group; true when it was. The caller
/// has its exclusive lock, so nobody is taking, deleting or bringing back the group.
pub(in crate::engine) fn remove_if_incomplete(
    catalog: &dyn Catalog,
    pool: &Pool,
    snapshot: &SnapshotRecord,
) -> Result<bool> {
    let now = catalog.snapshot(pool, &snapshot.name)?.found();
    let same = now.is_some_and(|now| now.uuid == snapshot.uuid);
    let Some(group) = snapshot.group.as_ref() else {
        return Ok(false);
    };
    if !same || !is_incomplete(catalog, pool, snapshot) {
        return Ok(false);
    }
    // Once there was a whole group if some of it is in the trash: the rest belongs there as well.
    let deleted = catalog.trash(pool)?.records.iter().any(|trash| is_of(trash, group));
    remove(catalog, pool, snapshot, deleted).map(|()| true)
}

/// Moves a snapshot to the trash, or removes it for good if it is not to be kept there.
pub(super) fn remove(
    catalog: &dyn Catalog,
    pool: &Pool,
    snapshot: &SnapshotRecord,
    keep: bool,
) -> Result<()> {
    let ticket = snapshot_ticket(pool, snapshot);
    catalog.retire(pool, &ticket)?;
    match keep {
        true => Ok(()),
        false => catalog.purge(pool, &ticket),
    }
}

fn is_of(trash: &TrashRecord, group: &GroupMembership) -> bool {
    trash.group.as_ref().is_some_and(|of| of.uuid == group.uuid)
}

impl Engine {
    /// Removes what is left of groups that are not whole, for [`Engine::reconcile`].
    pub(in crate::engine) fn incomplete_groups(
        &self,
        backend: &dyn Backend,
        pool: &Pool,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let catalog = backend.catalog();
        let mut groups: BTreeMap<_, Vec<SnapshotRecord>> = BTreeMap::new();
        for record in catalog.snapshots(pool)?.records {
            if let Some(group) =
                record.group.as_ref().filter(|_| is_incomplete(catalog, pool, &record))
            {
                groups.entry(group.name.clone()).or_default().push(record);
            }
        }
        for (name, records) in groups {
            let what = format!("group snapshot `{name}` was left with some of its snapshots");
            let Some(_lock) = attempt(pool, "group", &name)? else {
                findings.push(Finding { what, outcome: Outcome::AtWork });
                continue;
            };
            let mut removed = false;
            for record in &records {
                let Some(_lock) = attempt(pool, "snapshot", &record.name)? else { continue };
                removed |= remove_if_incomplete(catalog, pool, record)?;
            }
            if removed {
                findings.push(repaired(what));
            }
        }
        Ok(())
    }

    /// Brings a group back from the trash, all of it. What an earlier try brought back is fine.
    pub(in crate::engine) fn restore_group(
        &self,
        pool: &Pool,
        group: &GroupMembership,
    ) -> Result<()> {
        let catalog = self.backend(pool)?.catalog();
        let _group_lock = self.lock_group(pool, &group.name)?;
        let _locks = self.lock_snapshots(pool, group.members.iter())?;
        let taken = of_group(catalog, pool, &group.name)?;
        if taken.iter().any(|found| found.group.as_ref().is_some_and(|of| of.uuid != group.uuid)) {
            return Err(Error::new(
                Kind::Conflict,
                format!("group snapshot `{}` exists again in pool `{}`", group.name, pool.name()),
            )
            .hint("delete the new one first"));
        }
        let trash = catalog.trash(pool)?.records;
        let mut deleted = Vec::new();
        for name in &group.members {
            if taken.iter().any(|found| found.name == *name) {
                continue;
            }
            if catalog.snapshot(pool, name)? != Existence::Absent {
                return Err(Error::new(
                    Kind::Conflict,
                    format!("snapshot `{name}` exists again in pool `{}`", pool.name()),
                )
                .hint("delete the new one first"));
            }
            let found = trash.iter().find(|trash| trash.name == *name && is_of(trash, group));
            deleted.push(found.ok_or_else(|| {
                Error::new(
                    Kind::WrongState,
                    format!("snapshot `{name}` of group snapshot `{}` is gone", group.name),
                )
                .hint("a group is only brought back as a whole")
            })?);
        }
        deleted.into_iter().try_for_each(|trash| catalog.revive(pool, trash))
    }
}
