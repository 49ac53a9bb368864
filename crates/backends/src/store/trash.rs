//! The trash: deleted things with their records, and discarded ones, which are only there to be
//! removed and are not listed.
//!
//! It is the one place of a pool where anything is removed together with what is in it.

use super::{TRASH, open_area};
use becket_core::backend::Place;
use becket_core::catalog::Listing;
use becket_core::record::{self, Record, SnapshotRecord, TrashKind, TrashRecord, VolumeRecord};
use becket_core::{Error, Kind, Pool, Result};
use becket_sys::Errno;
use becket_sys::beneath::Dir;
use becket_sys::mountinfo;
use std::path::Path;
use uuid::Uuid;

/// How names of discarded things begin.
const DISCARDED: &str = "discarded-";

/// How names of discarded directories of pods begin: workloads decide what is in them, so nothing
/// in them is taken for a volume's.
const OF_A_POD: &str = "discarded-pod-";

pub(super) fn area(pool: &Pool) -> Result<Dir> {
    open_area(pool, TRASH)
}

fn visible_area(pool: &Pool, kind: TrashKind) -> Result<Dir> {
    match kind {
        TrashKind::Volume => super::area::<VolumeRecord>(pool, Place::Ready),
        TrashKind::Snapshot => super::area::<SnapshotRecord>(pool, Place::Ready),
    }
}

/// Moves a volume or snapshot here. Its trash record is written into it first, so that it arrives
/// complete.
pub(super) fn retire(pool: &Pool, trash: &TrashRecord) -> Result<()> {
    let visible = visible_area(pool, trash.kind)?;
    let dir = match visible.open_dir(&trash.name) {
        Err(error) if error.errno == Errno::NOENT => return Ok(()),
        other => other?,
    };
    dir.write_atomic(TrashRecord::FILE, &record::write(trash)?)?;
    Ok(visible.rename_into(trash.name.as_str(), &area(pool)?, &trash.id.to_string())?)
}

/// What was deleted, oldest deletion first.
pub(super) fn list(pool: &Pool) -> Result<Listing<TrashRecord>> {
    let area = area(pool)?;
    let mut listing = Listing { records: Vec::new(), unreadable: Vec::new() };
    for id in area.names()?.into_iter().filter(|id| !id.starts_with(DISCARDED)) {
        match read(&area, &id) {
            Ok(record) => listing.records.push(record),
            // Emptied between the listing and the look.
            Err(_) if !area.contains(&id)? => {}
            Err(error) => listing.unreadable.push((format!("{TRASH}/{id}"), error)),
        }
    }
    listing.records.sort_by(|one, other| one.deleted.cmp(&other.deleted));
    Ok(listing)
}

fn read(area: &Dir, id: &str) -> Result<TrashRecord> {
    let dir = area.open_dir(id)?;
    let shown = dir.path().join(TrashRecord::FILE);
    let bytes = dir
        .read(TrashRecord::FILE, record::LARGEST)?
        .ok_or_else(|| Error::new(Kind::WrongState, format!("`{}` is missing", shown.display())))?;
    let record: TrashRecord = record::read(&bytes, &shown.to_string_lossy())?;
    match record.id.to_string() == id {
        true => Ok(record),
        false => Err(Error::new(
            Kind::WrongState,
            format!("`{}` is the record of another place", shown.display()),
        )),
    }
}

/// Brings something back.
pub(super) fn revive(pool: &Pool, trash: &TrashRecord) -> Result<()> {
    let visible = visible_area(pool, trash.kind)?;
    let moved = area(pool)?.rename_into(&trash.id.to_string(), &visible, trash.name.as_str());
    moved.map_err(|error| match error.errno {
        Errno::EXIST => Error::new(
            Kind::Conflict,
            format!("`{}` exists again in pool `{}`", trash.name, pool.name()),
        )
        .hint("delete or rename the new one first"),
        Errno::NOENT => Error::new(
            Kind::NotFound,
            format!("`{}` is not in the trash of pool `{}` any more", trash.id, pool.name()),
        ),
        _ => error.into(),
    })?;
    Ok(visible.open_dir(&trash.name)?.remove_file(TrashRecord::FILE)?)
}

/// Moves `name` of the directory `from` here, to be removed; gives its name here, `None` when there
/// was nothing.
pub(super) fn discard(pool: &Pool, from: &Dir, name: &str) -> Result<Option<String>> {
    move_here(pool, from, name, DISCARDED)
}

/// [`discard`] for a pod's own directory.
pub(crate) fn discard_of_pod(pool: &Pool, from: &Dir, name: &str) -> Result<Option<String>> {
    move_here(pool, from, name, OF_A_POD)
}

fn move_here(pool: &Pool, from: &Dir, name: &str, prefix: &str) -> Result<Option<String>> {
    let id = format!("{prefix}{}", Uuid::new_v4());
    match from.rename_into(name, &area(pool)?, &id) {
        Ok(()) => Ok(Some(id)),
        Err(error) if error.errno == Errno::NOENT => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Undoes [`discard_of_pod`].
pub(crate) fn undo(pool: &Pool, id: &str, to: &Dir, name: &str) -> Result<()> {
    Ok(area(pool)?.rename_into(id, to, name)?)
}

/// Removes something discarded.
pub(super) fn remove(pool: &Pool, id: &str, release: fn(&Dir) -> Result<()>) -> Result<()> {
    let area = area(pool)?;
    if !id.starts_with(OF_A_POD) {
        match area.open_dir(id) {
            Ok(dir) => release(&dir)?,
            Err(error) if error.errno == Errno::NOENT => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(area.purge(id)?)
}

/// Removes everything discarded: what a removal that was killed left. A pod's directory that is still
/// mounted stays: somebody is about to unmount it, or was killed before that.
pub(super) fn sweep(pool: &Pool, release: fn(&Dir) -> Result<()>) -> Result<()> {
    let discarded = area(pool)?.names()?.into_iter().filter(|id| id.starts_with(DISCARDED));
    let (of_pods, others): (Vec<String>, Vec<String>) =
        discarded.partition(|id| id.starts_with(OF_A_POD));
    for id in others {
        remove(pool, &id, release)?;
    }
    if of_pods.is_empty() {
        return Ok(());
    }
    let mounts = mountinfo::read()?;
    for id in of_pods {
        let here = Path::new(TRASH).join(&id);
        if !mounts.iter().any(|entry| entry.root.ends_with(&here)) {
            remove(pool, &id, release)?;
        }
    }
    Ok(())
}
