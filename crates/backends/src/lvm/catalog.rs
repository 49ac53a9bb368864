//! The catalog of a volume group: what exists is what its tags say.
//!
//! A logical volume is ours when it has our pool's tag, and visible when its state says `ready`. Every
//! change of state is one `lvchange`, which LVM commits as one change of the group's metadata. What has
//! no tag of the pool is never touched.
//!
//! What has begun and has no logical volume yet is a file in the pool's own directory: such a promise is
//! this node's alone, and nothing is lost with it.

use super::group::{
    self, Group, KIND, Logical, POOL, PREPARING, READY, RECORD, STATE, TRASH, TRASHED,
};
use super::removal::remove;
use super::tags::Tags;
use super::{command, thin};
use becket_core::catalog::{Catalog, Existence, Listing};
use becket_core::record::{
    self, PoolRecord, Record, SnapshotRecord, TrashKind, TrashRecord, VolumeRecord,
};
use becket_core::{Error, Kind, Name, Pool, Result};
use becket_sys::Errno;
use becket_sys::beneath::Dir;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The catalog.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tagged;

pub(super) const VOLUME: &str = "volume";
pub(super) const SNAPSHOT: &str = "snapshot";

/// Where volumes and snapshots are while they have no logical volume yet.
const BEGUN_VOLUMES: &str = "preparing/volumes";
const BEGUN_SNAPSHOTS: &str = "preparing/snapshots";

impl Catalog for Tagged {
    fn lay_out(&self, pool: &Pool) -> Result<()> {
        let preparing = pool.dir.ensure_dir("preparing", 0o700)?;
        preparing.ensure_dir("volumes", 0o700)?;
        preparing.ensure_dir("snapshots", 0o700)?;
        let group = Group::of(pool)?;
        let (what, before) = medium_of(&group, &pool.record.parameters)?;
        let owner = before.get(POOL);
        if owner.is_some_and(|owner| owner != pool.record.uuid.to_string()) {
            return Err(Error::new(
                Kind::Conflict,
                format!("`{what}` belongs to another pool of Becket"),
            )
            .hint("`vgs -o+tags` and `lvs -o+tags` show which"));
        }
        let after = before.clone().with(POOL, &pool.record.uuid.to_string());
        let after = after.with_record(RECORD, &pool.record)?;
        set_tags(pool, &group, &what, &before, &after)
    }

    fn recognise(&self, parameters: &BTreeMap<String, String>) -> Result<Option<PoolRecord>> {
        let name = group::group_in(parameters)?;
        let Some(group) = Group::named(name)? else {
            return Ok(None);
        };
        let (what, tags) = medium_of(&group, parameters)?;
        match tags.get(POOL) {
            Some(_) => tags.record(RECORD, &what).map(Some),
            None => Ok(None),
        }
    }

    fn dissolve(&self, pool: &Pool) -> Result<()> {
        let group = Group::of(pool)?;
        let (what, before) = medium_of(&group, &pool.record.parameters)?;
        set_tags(pool, &group, &what, &before, &Tags::default())
    }

    fn volume(&self, pool: &Pool, name: &Name) -> Result<Existence<VolumeRecord>> {
        lookup(pool, VOLUME, name)
    }

    fn volumes(&self, pool: &Pool) -> Result<Listing<VolumeRecord>> {
        list(pool, VOLUME, READY)
    }

    fn snapshot(&self, pool: &Pool, name: &Name) -> Result<Existence<SnapshotRecord>> {
        lookup(pool, SNAPSHOT, name)
    }

    fn snapshots(&self, pool: &Pool) -> Result<Listing<SnapshotRecord>> {
        list(pool, SNAPSHOT, READY)
    }

    fn preparing(&self, pool: &Pool) -> Result<Listing<VolumeRecord>> {
        let mut listing: Listing<VolumeRecord> = list(pool, VOLUME, PREPARING)?;
        let begun = begun(pool, BEGUN_VOLUMES)?;
        for name in begun.names()? {
            // Gone since it was listed.
            let Some(bytes) = begun.read(&name, record::LARGEST)? else { continue };
            match record::read::<VolumeRecord>(&bytes, &name) {
                Ok(found) if listing.records.iter().any(|known| known.uuid == found.uuid) => {}
                Ok(found) => listing.records.push(found),
                Err(error) => listing.unreadable.push((name, error)),
            }
        }
        Ok(listing)
    }

    fn preparing_snapshots(&self, pool: &Pool) -> Result<Vec<Name>> {
        let group = Group::of(pool)?;
        let tagged = group.owned(pool, SNAPSHOT, PREPARING).filter_map(Logical::record_name);
        let begun = begun(pool, BEGUN_SNAPSHOTS)?.names()?;
        let names = tagged.map(str::to_owned).chain(begun);
        let mut names: Vec<Name> = names.filter_map(|name| Name::new(name).ok()).collect();
        names.sort_unstable();
        names.dedup();
        Ok(names)
    }

    fn begin(&self, pool: &Pool, volume: &VolumeRecord) -> Result<()> {
        begin(&begun(pool, BEGUN_VOLUMES)?, &volume.name, volume)
    }

    fn commit(&self, pool: &Pool, volume: &VolumeRecord) -> Result<()> {
        commit(pool, VOLUME, &volume.name, volume)?;
        Ok(begun(pool, BEGUN_VOLUMES)?.remove_file(&volume.name)?)
    }

    fn discard(&self, pool: &Pool, name: &Name) -> Result<()> {
        discard(pool, VOLUME, name)?;
        Ok(begun(pool, BEGUN_VOLUMES)?.remove_file(name)?)
    }

    fn save(&self, pool: &Pool, volume: &VolumeRecord) -> Result<()> {
        let group = Group::of(pool)?;
        let logical = expect(&group, pool, VOLUME, READY, &volume.name)?;
        let after = logical.tags.clone().with_record(RECORD, volume)?;
        set_tags(pool, &group, &logical.place(&group), &logical.tags, &after)
    }

    fn begin_snapshot(&self, pool: &Pool, snapshot: &SnapshotRecord) -> Result<()> {
        self.discard_snapshot(pool, &snapshot.name)?;
        begin(&begun(pool, BEGUN_SNAPSHOTS)?, &snapshot.name, snapshot)
    }

    fn commit_snapshot(&self, pool: &Pool, snapshot: &SnapshotRecord) -> Result<()> {
        commit(pool, SNAPSHOT, &snapshot.name, snapshot)?;
        Ok(begun(pool, BEGUN_SNAPSHOTS)?.remove_file(&snapshot.name)?)
    }

    fn discard_snapshot(&self, pool: &Pool, name: &Name) -> Result<()> {
        discard(pool, SNAPSHOT, name)?;
        Ok(begun(pool, BEGUN_SNAPSHOTS)?.remove_file(name)?)
    }

    fn retire(&self, pool: &Pool, ticket: &TrashRecord) -> Result<()> {
        let group = Group::of(pool)?;
        let Some(logical) = group.find(pool, kind_of(ticket), READY, &ticket.name)? else {
            return Ok(());
        };
        group.refuse_partial()?;
        let after = logical.tags.clone().with(STATE, TRASH).with_record(TRASHED, ticket)?;
        set_tags(pool, &group, &logical.place(&group), &logical.tags, &after)
    }

    fn trash(&self, pool: &Pool) -> Result<Listing<TrashRecord>> {
        let group = Group::of(pool)?;
        let mut listing = Listing { records: Vec::new(), unreadable: Vec::new() };
        for kind in [VOLUME, SNAPSHOT] {
            for logical in group.owned(pool, kind, TRASH) {
                match logical.tags.record(TRASHED, &logical.name) {
                    Ok(ticket) => listing.records.push(ticket),
                    Err(error) => listing.unreadable.push((logical.name.clone(), error)),
                }
            }
        }
        Ok(listing)
    }

    fn revive(&self, pool: &Pool, ticket: &TrashRecord) -> Result<()> {
        let group = Group::of(pool)?;
        let kind = kind_of(ticket);
        if group.find(pool, kind, READY, &ticket.name)?.is_some() {
            return Err(Error::new(
                Kind::Conflict,
                format!("{kind} `{}` exists again in pool `{}`", ticket.name, pool.name()),
            )
            .hint("delete or rename that first"));
        }
        let Some(logical) = trashed(&group, pool, ticket) else {
            return Err(Error::new(
                Kind::NotFound,
                format!("`{}` is not in the trash of pool `{}`", ticket.id, pool.name()),
            ));
        };
        let mut after = logical.tags.clone().with(STATE, READY);
        after.forget(TRASHED);
        set_tags(pool, &group, &logical.place(&group), &logical.tags, &after)
    }

    fn purge(&self, pool: &Pool, ticket: &TrashRecord) -> Result<()> {
        let group = Group::of(pool)?;
        match trashed(&group, pool, ticket) {
            Some(logical) => remove(pool, &group, logical),
            None => Ok(()),
        }
    }

    /// A logical volume goes whole, so there is nothing that a removal cut short could leave.
    fn sweep(&self, _pool: &Pool) -> Result<()> {
        Ok(())
    }
}

/// The logical volume that must be there.
pub(super) fn expect<'a>(
    group: &'a Group,
    pool: &Pool,
    kind: &'a str,
    state: &'a str,
    name: &Name,
) -> Result<&'a Logical> {
    group.find(pool, kind, state, name)?.ok_or_else(|| {
        Error::new(Kind::Internal, format!("{kind} `{name}` is gone from pool `{}`", pool.name()))
    })
}

/// The tags of a logical volume that is being made.
pub(super) fn tags_of_new<R: Record>(pool: &Pool, kind: &str, record: &R) -> Result<Tags> {
    let tags = Tags::default().with(POOL, &pool.record.uuid.to_string());
    tags.with(KIND, kind).with(STATE, PREPARING).with_record(RECORD, record)
}

/// What carries the pool's own tags, as LVM's commands take it, with those tags: the thin pool, or the
/// whole group.
fn medium_of(group: &Group, parameters: &BTreeMap<String, String>) -> Result<(String, Tags)> {
    match parameters.get(group::THIN_POOL) {
        None => Ok((group.name.clone(), group.tags.clone())),
        Some(name) => {
            let logical = thin::expect_pool(group, name)?;
            Ok((logical.place(group), logical.tags.clone()))
        }
    }
}

fn lookup<R: Record>(pool: &Pool, kind: &str, name: &Name) -> Result<Existence<R>> {
    let group = Group::of(pool)?;
    match group.find(pool, kind, READY, name)? {
        Some(logical) => logical.record().map(Existence::Present),
        None => Ok(Existence::Absent),
    }
}

fn list<R: Record>(pool: &Pool, kind: &str, state: &str) -> Result<Listing<R>> {
    let group = Group::of(pool)?;
    let mut listing = Listing { records: Vec::new(), unreadable: Vec::new() };
    for logical in group.owned(pool, kind, state) {
        match logical.record() {
            Ok(record) => listing.records.push(record),
            Err(error) => {
                let place = logical.record_name().unwrap_or(&logical.name).to_owned();
                listing.unreadable.push((place, error));
            }
        }
    }
    Ok(listing)
}

/// Where what has begun is noted. A pool without it is not whole.
fn begun(pool: &Pool, place: &str) -> Result<Dir> {
    pool.dir.open_dir(place).map_err(|error| match error.errno {
        Errno::NOENT => Error::new(
            Kind::Unavailable,
            format!("pool `{}` is not whole: `{place}` is missing", pool.name()),
        )
        .hint("`becket pool create` with the same name and group lays it out again"),
        _ => error.into(),
    })
}

fn begin<R: Record>(begun: &Dir, name: &Name, record: &R) -> Result<()> {
    Ok(begun.write_passing(name.as_str(), &record::write(record)?)?)
}

fn commit<R: Record>(pool: &Pool, kind: &str, name: &Name, record: &R) -> Result<()> {
    let group = Group::of(pool)?;
    if group.find(pool, kind, READY, name)?.is_some() {
        return Err(Error::new(
            Kind::Conflict,
            format!("{kind} `{name}` exists in pool `{}`", pool.name()),
        ));
    }
    let logical = expect(&group, pool, kind, PREPARING, name)?;
    let after = logical.tags.clone().with(STATE, READY).with_record(RECORD, record)?;
    set_tags(pool, &group, &logical.place(&group), &logical.tags, &after)
}

/// Removes what is being made under `name`. Several may say so, after a kill: none was ever visible.
fn discard(pool: &Pool, kind: &str, name: &Name) -> Result<()> {
    let group = Group::of(pool)?;
    let named = |logical: &&Logical| logical.record_name() == Some(name.as_str());
    for logical in group.owned(pool, kind, PREPARING).filter(named) {
        remove(pool, &group, logical)?;
    }
    Ok(())
}

fn trashed<'a>(group: &'a Group, pool: &Pool, ticket: &TrashRecord) -> Option<&'a Logical> {
    let id = ticket.id.to_string();
    let mut trash = group.owned(pool, kind_of(ticket), TRASH);
    trash.find(|logical| logical.tags.get("t.id") == Some(id.as_str()))
}

fn kind_of(ticket: &TrashRecord) -> &'static str {
    match ticket.kind {
        TrashKind::Volume => VOLUME,
        TrashKind::Snapshot => SNAPSHOT,
    }
}

/// Changes tags in one step. `place` is the group, or a logical volume in it.
fn set_tags(pool: &Pool, group: &Group, place: &str, before: &Tags, after: &Tags) -> Result<()> {
    let (gone, new) = after.changes(before);
    if gone.is_empty() && new.is_empty() {
        return Ok(());
    }
    let program = if place.contains('/') { "lvchange" } else { "vgchange" };
    let mut arguments = vec![program];
    arguments.extend(gone.iter().flat_map(|tag| ["--deltag", tag.as_str()]));
    arguments.extend(new.iter().flat_map(|tag| ["--addtag", tag.as_str()]));
    arguments.push(place);
    // What becomes of a change that failed is not known.
    pool.memory.forget();
    command::change(&format!("change the record of `{place}`"), &arguments)?;
    pool.memory.keep(Arc::new(group.retagged(place, after)));
    Ok(())
}
