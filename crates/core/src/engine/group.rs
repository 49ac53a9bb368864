//! Group snapshots: several volumes of a pool at one moment, taken and deleted together.
//!
//! Each member is a snapshot like any other whose record names all of them. They become visible one
//! after the other, and none of them is shown before the last: a group exists when all its members do.

mod cut;
mod incomplete;

pub(super) use incomplete::{is_incomplete, refuse_member, remove_if_incomplete, whole_only};

use super::Engine;
use super::apart::Operation;
use super::snapshot::snapshot_record;
use super::trash::snapshot_ticket;
use crate::backend::Backend;
use crate::catalog::{Catalog, Existence};
use crate::lock::Lock;
use crate::pool::Pool;
use crate::record::{GroupMembership, SnapshotRecord, VolumeRecord, now};
use crate::{Error, Kind, Name, Result};
use incomplete::remove;
use std::collections::BTreeSet;
use uuid::Uuid;

/// The most members of a group: the record of each names them all.
const MOST_MEMBERS: usize = 128;

/// A volume, and the snapshot that is taken of it.
type Member = (VolumeRecord, SnapshotRecord);

impl Engine {
    /// Takes snapshots of several volumes at one moment, or gives the group of that name if it is of
    /// the same volumes. Each of `members` is the name of a new snapshot and of its volume.
    ///
    /// All filesystems in use are held still at once, so that no write of one volume that came after
    /// a write of another is there without it. `WrongState` when more than one volume is in use and
    /// one of them cannot be held still; `Conflict` for a group of other volumes, or a snapshot that
    /// exists. After an error nothing is left.
    pub fn create_group_snapshot(
        &self,
        pool: &Name,
        group: &Name,
        members: &[(Name, Name)],
    ) -> Result<Vec<SnapshotRecord>> {
        check_members(group, members)?;
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::CreateGroupSnapshot {
                group: group.clone(),
                members: members.to_vec(),
            });
        }
        let catalog = self.backend(&pool)?.catalog();
        let _group_lock = self.lock_group(&pool, group)?;
        let found = of_group(catalog, &pool, group)?;
        if let Some(whole) = whole(catalog, &pool, &found)? {
            return same_volumes(catalog, &pool, group, whole, members);
        }
        // In one order for all, and volumes before snapshots, as everywhere.
        let volumes = members.iter().map(|(_, volume)| volume).collect::<BTreeSet<_>>();
        let locks = volumes.iter().map(|volume| self.lock_volume(&pool, volume));
        let _volume_locks = locks.collect::<Result<Vec<_>>>()?;
        let left = found.iter().map(|record| &record.name);
        let names = members.iter().map(|(snapshot, _)| snapshot).chain(left);
        let _snapshot_locks = self.lock_snapshots(&pool, names.clone())?;
        for name in names {
            make_room(catalog, &pool, group, name)?;
        }
        let members = self.new_members(&pool, group, members)?;
        self.take_group(&pool, &members).map_err(|error| {
            let mut errors = vec![error.during(format!("cannot take group snapshot `{group}`"))];
            errors.extend(members.iter().filter_map(|(_, new)| undo(catalog, &pool, new).err()));
            all(errors)
        })?;
        Ok(members.into_iter().map(|(_, snapshot)| snapshot).collect())
    }

    /// The members of a group snapshot, in the order in which they were asked for. `NotFound` only
    /// where the pool is healthy.
    pub fn group(&self, pool: &Name, group: &Name) -> Result<Vec<SnapshotRecord>> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Group(group.clone()));
        }
        let catalog = self.backend(&pool)?.catalog();
        let found = of_group(catalog, &pool, group)?;
        whole(catalog, &pool, &found)?.ok_or_else(|| {
            let pool = pool.name();
            Error::new(
                Kind::NotFound,
                format!("group snapshot `{group}` does not exist in pool `{pool}`"),
            )
        })
    }

    /// Deletes a group with all its snapshots, which go to the trash; what is left of an incomplete
    /// one too. False when there was nothing.
    pub fn delete_group_snapshot(&self, pool: &Name, group: &Name) -> Result<bool> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::DeleteGroupSnapshot(group.clone()));
        }
        let catalog = self.backend(&pool)?.catalog();
        let _group_lock = self.lock_group(&pool, group)?;
        let found = of_group(catalog, &pool, group)?;
        let whole = whole(catalog, &pool, &found)?.unwrap_or_default();
        let _locks = self.lock_snapshots(&pool, found.iter().map(|record| &record.name))?;
        for record in &found {
            match whole.contains(record) {
                true => catalog.retire(&pool, &snapshot_ticket(&pool, record))?,
                // Another deletion of it alone may have been quicker.
                false => drop(remove_if_incomplete(catalog, &pool, record)?),
            }
        }
        self.empty_expired(&pool);
        Ok(!found.is_empty())
    }

    /// The exclusive locks of snapshots, taken in the order of their names.
    fn lock_snapshots<'a>(
        &self,
        pool: &Pool,
        names: impl Iterator<Item = &'a Name>,
    ) -> Result<Vec<Lock>> {
        let names: BTreeSet<&Name> = names.collect();
        names.into_iter().map(|name| self.lock_snapshot(pool, name)).collect()
    }

    /// The volumes as they are, and the records of their snapshots to be.
    fn new_members(
        &self,
        pool: &Pool,
        group: &Name,
        members: &[(Name, Name)],
    ) -> Result<Vec<Member>> {
        let names = members.iter().map(|(snapshot, _)| snapshot.clone()).collect();
        let group = GroupMembership { name: group.clone(), uuid: Uuid::new_v4(), members: names };
        let created = now();
        let member = |(snapshot, volume): &(Name, Name)| {
            let volume = self.present(pool, volume)?;
            let record = SnapshotRecord {
                created: created.clone(),
                group: Some(group.clone()),
                ..snapshot_record(snapshot, &volume)
            };
            Ok((volume, record))
        };
        members.iter().map(member).collect()
    }

    fn take_group(&self, pool: &Pool, members: &[Member]) -> Result<()> {
        let backend: &dyn Backend = self.backend(pool)?;
        for (_, snapshot) in members {
            backend.catalog().begin_snapshot(pool, snapshot)?;
        }
        self.cut(backend, pool, members)?;
        members.iter().try_for_each(|(_, new)| backend.catalog().commit_snapshot(pool, new))
    }
}

fn check_members(group: &Name, members: &[(Name, Name)]) -> Result<()> {
    let refuse = |why: &str| {
        Err(Error::new(Kind::Invalid, format!("group snapshot `{group}` cannot be: {why}")))
    };
    let snapshots: BTreeSet<&Name> = members.iter().map(|(snapshot, _)| snapshot).collect();
    let volumes: BTreeSet<&Name> = members.iter().map(|(_, volume)| volume).collect();
    if members.is_empty() {
        return refuse("it has no members");
    }
    if members.len() > MOST_MEMBERS {
        return refuse(&format!(
            "it has {} members, and {MOST_MEMBERS} is the most",
            members.len()
        ));
    }
    match (snapshots.len(), volumes.len()) == (members.len(), members.len()) {
        true => Ok(()),
        false => refuse("it names a snapshot or a volume twice"),
    }
}

/// Every visible snapshot whose record names the group, of whatever cut.
fn of_group(catalog: &dyn Catalog, pool: &Pool, name: &Name) -> Result<Vec<SnapshotRecord>> {
    let mut found = catalog.snapshots(pool)?.records;
    found.retain(|record| record.group.as_ref().is_some_and(|group| group.name == *name));
    Ok(found)
}

/// The members, in their order, of the group that is whole among `found`. An error where one of them
/// is there and cannot be read.
fn whole(
    catalog: &dyn Catalog,
    pool: &Pool,
    found: &[SnapshotRecord],
) -> Result<Option<Vec<SnapshotRecord>>> {
    for record in found {
        let Some(group) = &record.group else { continue };
        if is_incomplete(catalog, pool, record) {
            continue;
        }
        let member = |name: &Name| {
            let found = catalog.snapshot(pool, name)?.found();
            // It may have been deleted this moment.
            Ok(found.filter(|found| found.group.as_ref() == Some(group)))
        };
        return group.members.iter().map(member).collect();
    }
    Ok(None)
}

/// Gives the group that is there if it is of the volumes that are asked for.
fn same_volumes(
    catalog: &dyn Catalog,
    pool: &Pool,
    group: &Name,
    whole: Vec<SnapshotRecord>,
    members: &[(Name, Name)],
) -> Result<Vec<SnapshotRecord>> {
    let mut same = whole.len() == members.len();
    for (_, volume) in members {
        // Once the volume is gone, its name is all there is to compare.
        let now = catalog.volume(pool, volume)?.found();
        same &= whole.iter().any(|record| {
            record.volume == *volume
                && now.as_ref().is_none_or(|now| record.volume_uuid == now.uuid)
        });
    }
    match same {
        true => Ok(whole),
        false => Err(Error::new(
            Kind::Conflict,
            format!("group snapshot `{group}` exists and is of other volumes"),
        )
        .hint("use another name, or delete it first")),
    }
}

/// Removes what an earlier try left under the name of a snapshot to be. `Conflict` where there is one
/// that somebody may use.
fn make_room(catalog: &dyn Catalog, pool: &Pool, group: &Name, name: &Name) -> Result<()> {
    match catalog.snapshot(pool, name)? {
        Existence::Present(found) if !remove_if_incomplete(catalog, pool, &found)? => {
            Err(Error::new(
                Kind::Conflict,
                format!("snapshot `{name}` exists and is not of group snapshot `{group}`"),
            )
            .hint("use another name, or delete it first"))
        }
        _ => Ok(()),
    }
}

/// Removes what a cut that failed has made of a member, hidden or visible: nobody was told of it.
fn undo(catalog: &dyn Catalog, pool: &Pool, new: &SnapshotRecord) -> Result<()> {
    catalog.discard_snapshot(pool, &new.name)?;
    match catalog.snapshot(pool, &new.name)? {
        Existence::Present(found) if found.uuid == new.uuid => remove(catalog, pool, &found, false),
        _ => Ok(()),
    }
}

fn all(errors: Vec<Error>) -> Error {
    let one = Error::all(errors).err();
    one.unwrap_or_else(|| Error::new(Kind::Internal, "it failed without an error"))
}
