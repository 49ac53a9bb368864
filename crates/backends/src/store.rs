//! A pool whose volumes are directories of a filesystem.
//!
//! ```text
//! pool.json
//! volumes/<name>/volume.json, data        a volume: its record and its image file or directory
//! snapshots/<name>/snapshot.json, data    a snapshot, just the same
//! preparing/{volumes,snapshots}/<name>/   one that is being made
//! trash/<uuid>/trash.json, …              a deleted one
//! ```
//!
//! Things become visible, and cease to be, by one rename. Nothing outside the trash is ever
//! removed with what is in it.

use becket_core::backend::{Existence, Listing, Place, Space};
use becket_core::record::{self, Record, SnapshotRecord, TrashKind, TrashRecord, VolumeRecord};
use becket_core::{Error, Kind, Name, Pool, Result};
use becket_sys::beneath::Dir;
use becket_sys::{Errno, space};
use std::os::fd::AsFd;
use uuid::Uuid;

/// The name, in a volume's or snapshot's place, of what holds its data.
pub(crate) const DATA: &str = "data";

const VOLUMES: &str = "volumes";
const SNAPSHOTS: &str = "snapshots";
const PREPARING: &str = "preparing";
const TRASH: &str = "trash";

/// A record that lives in an area of the pool.
pub(crate) trait Stored: Record {
    /// The area's name.
    const AREA: &'static str;
    /// The record's own name.
    fn name(&self) -> &Name;
}

impl Stored for VolumeRecord {
    const AREA: &'static str = VOLUMES;
    fn name(&self) -> &Name {
        &self.name
    }
}

impl Stored for SnapshotRecord {
    const AREA: &'static str = SNAPSHOTS;
    fn name(&self) -> &Name {
        &self.name
    }
}

/// Makes the areas of a new pool.
pub(crate) fn lay_out(pool: &Pool) -> Result<()> {
    for area in [VOLUMES, SNAPSHOTS, TRASH] {
        pool.dir.ensure_dir(area, 0o700)?;
    }
    let preparing = pool.dir.ensure_dir(PREPARING, 0o700)?;
    preparing.ensure_dir(VOLUMES, 0o700)?;
    preparing.ensure_dir(SNAPSHOTS, 0o700)?;
    Ok(pool.dir.sync()?)
}

/// The space of the filesystem that the pool is on.
pub(crate) fn pool_space(pool: &Pool) -> Result<Space> {
    let space = space::of(pool.dir.as_fd(), pool.dir.path())?;
    Ok(Space { total: space.total, free: space.free })
}

fn area<R: Stored>(pool: &Pool, place: Place) -> Result<Dir> {
    match place {
        Place::Ready => open_area(pool, R::AREA),
        Place::Preparing => open_area(pool, &format!("{PREPARING}/{}", R::AREA)),
    }
}

/// A pool without its areas is not healthy: absence must not be concluded from it.
fn open_area(pool: &Pool, path: &str) -> Result<Dir> {
    pool.dir.open_dir(path).map_err(|error| match error.errno {
        Errno::NOENT => Error::new(
            Kind::Unavailable,
            format!("pool `{}` is not whole: `{path}` is missing", pool.name()),
        )
        .hint("`becket pool create` with the same name and path lays it out again"),
        _ => error.into(),
    })
}

/// The place of a volume or snapshot; `None` when it is absent.
pub(crate) fn open<R: Stored>(pool: &Pool, name: &Name, place: Place) -> Result<Option<Dir>> {
    match area::<R>(pool, place)?.open_dir(name) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.errno == Errno::NOENT => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Like [`open`], for one that must be there.
pub(crate) fn expect<R: Stored>(pool: &Pool, name: &Name, place: Place) -> Result<Dir> {
    open::<R>(pool, name, place)?.ok_or_else(|| {
        Error::new(Kind::Internal, format!("`{name}` is gone from pool `{}`", pool.name()))
    })
}

/// Looks a record up.
pub(crate) fn lookup<R: Stored>(pool: &Pool, name: &Name, place: Place) -> Result<Existence<R>> {
    match open::<R>(pool, name, place)? {
        None => Ok(Existence::Absent),
        Some(dir) => read_record::<R>(&dir, name.as_str()).map(Existence::Present),
    }
}

fn read_record<R: Stored>(dir: &Dir, name: &str) -> Result<R> {
    let shown = dir.path().join(R::FILE);
    let bytes = dir.read(R::FILE, record::LARGEST)?.ok_or_else(|| {
        Error::new(Kind::WrongState, format!("`{}` is missing", shown.display()))
            .hint("`becket doctor` and the trash may help; nothing was changed")
    })?;
    let record: R = record::read(&bytes, &shown.to_string_lossy())?;
    if record.name().as_str() != name {
        return Err(Error::new(
            Kind::WrongState,
            format!("`{}` is the record of `{}`", shown.display(), record.name()),
        ));
    }
    Ok(record)
}

/// All records of an area.
pub(crate) fn list<R: Stored>(pool: &Pool, place: Place) -> Result<Listing<R>> {
    let area = area::<R>(pool, place)?;
    let mut listing = Listing { records: Vec::new(), unreadable: Vec::new() };
    for name in area.names()? {
        match area.open_dir(&name).map_err(Error::from).and_then(|dir| read_record(&dir, &name)) {
            Ok(record) => listing.records.push(record),
            // Deleted between the listing and the look: not unreadable, gone.
            Err(_) if !area.contains(&name)? => {}
            Err(error) => listing.unreadable.push((name, error)),
        }
    }
    Ok(listing)
}

/// Names of what is hidden in an area.
pub(crate) fn hidden_names<R: Stored>(pool: &Pool) -> Result<Vec<Name>> {
    let names = area::<R>(pool, Place::Preparing)?.names()?;
    Ok(names.into_iter().filter_map(|name| Name::new(name).ok()).collect())
}

/// Makes the hidden place of something new, with its record in it.
pub(crate) fn begin<R: Stored>(pool: &Pool, record: &R) -> Result<Dir> {
    let hidden = area::<R>(pool, Place::Preparing)?;
    hidden.create_dir(record.name(), 0o700)?;
    let dir = hidden.open_dir(record.name())?;
    dir.write_atomic(R::FILE, &record::write(record)?)?;
    Ok(dir)
}

/// Makes what is hidden visible, with `record` as its final record.
pub(crate) fn commit<R: Stored>(pool: &Pool, record: &R) -> Result<()> {
    let name = record.name();
    let dir = expect::<R>(pool, name, Place::Preparing)?;
    dir.write_atomic(R::FILE, &record::write(record)?)?;
    let (hidden, visible) = (area::<R>(pool, Place::Preparing)?, area::<R>(pool, Place::Ready)?);
    Ok(hidden.rename_into(name.as_str(), &visible, name.as_str())?)
}

/// Replaces the record of something visible.
pub(crate) fn save<R: Stored>(pool: &Pool, record: &R) -> Result<()> {
    let dir = expect::<R>(pool, record.name(), Place::Ready)?;
    Ok(dir.write_atomic(R::FILE, &record::write(record)?)?)
}

/// Removes what is hidden under `name`: by way of the trash, the only place where anything is
/// removed with what is in it.
pub(crate) fn discard<R: Stored>(pool: &Pool, name: &Name) -> Result<()> {
    remove_through_trash(pool, &area::<R>(pool, Place::Preparing)?, name.as_str())
}

/// What was never whole is in the trash only to be removed, and is not listed there.
const DISCARDED: &str = "discarded-";

fn trash_area(pool: &Pool) -> Result<Dir> {
    open_area(pool, TRASH)
}

fn visible_area(pool: &Pool, kind: TrashKind) -> Result<Dir> {
    match kind {
        TrashKind::Volume => area::<VolumeRecord>(pool, Place::Ready),
        TrashKind::Snapshot => area::<SnapshotRecord>(pool, Place::Ready),
    }
}

/// Moves a volume or snapshot to the trash. Its trash record is written into it first, so that it
/// arrives there complete.
pub(crate) fn retire(pool: &Pool, trash: &TrashRecord) -> Result<()> {
    let area = visible_area(pool, trash.kind)?;
    let dir = match area.open_dir(&trash.name) {
        Err(error) if error.errno == Errno::NOENT => return Ok(()),
        other => other?,
    };
    dir.write_atomic(TrashRecord::FILE, &record::write(trash)?)?;
    Ok(area.rename_into(trash.name.as_str(), &trash_area(pool)?, &trash.id.to_string())?)
}

/// What is in the trash, oldest deletion first.
pub(crate) fn trash(pool: &Pool) -> Result<Listing<TrashRecord>> {
    let area = trash_area(pool)?;
    let mut listing = Listing { records: Vec::new(), unreadable: Vec::new() };
    for id in area.names()?.into_iter().filter(|id| !id.starts_with(DISCARDED)) {
        match read_trash(&area, &id) {
            Ok(record) => listing.records.push(record),
            Err(_) if !area.contains(&id)? => {}
            Err(error) => listing.unreadable.push((format!("{TRASH}/{id}"), error)),
        }
    }
    listing.records.sort_by(|one, other| one.deleted.cmp(&other.deleted));
    Ok(listing)
}

fn read_trash(area: &Dir, id: &str) -> Result<TrashRecord> {
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

/// The place in the trash; `None` when it is gone.
pub(crate) fn open_trash(pool: &Pool, trash: &TrashRecord) -> Result<Option<Dir>> {
    match trash_area(pool)?.open_dir(trash.id.to_string()) {
        Ok(dir) => Ok(Some(dir)),
        Err(error) if error.errno == Errno::NOENT => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Brings something back from the trash.
pub(crate) fn revive(pool: &Pool, trash: &TrashRecord) -> Result<()> {
    let area = visible_area(pool, trash.kind)?;
    let moved = trash_area(pool)?.rename_into(&trash.id.to_string(), &area, trash.name.as_str());
    moved.map_err(|error| match error.errno {
        Errno::EXIST => Error::new(
            Kind::Conflict,
            format!("`{}` exists again in pool `{}`", trash.name, pool.name()),
        )
        .hint("delete or rename the new one first"),
        _ => error.into(),
    })?;
    Ok(area.open_dir(&trash.name)?.remove_file(TrashRecord::FILE)?)
}

/// Removes something in the trash for good. Half removed it may have lost its record, so it is no
/// longer listed from the first moment on, and a removal cut short is finished as a discarded one.
pub(crate) fn purge(pool: &Pool, trash: &TrashRecord) -> Result<()> {
    remove_through_trash(pool, &trash_area(pool)?, &trash.id.to_string())
}

/// Removes what was discarded by somebody who was killed before the end of it.
pub(crate) fn purge_discarded(pool: &Pool) -> Result<()> {
    let area = trash_area(pool)?;
    for id in area.names()?.into_iter().filter(|id| id.starts_with(DISCARDED)) {
        area.purge(id)?;
    }
    Ok(())
}

/// Moves `name` of the directory `from` to the trash and removes it there.
pub(crate) fn remove_through_trash(pool: &Pool, from: &Dir, name: &str) -> Result<()> {
    let trash = trash_area(pool)?;
    let id = format!("{DISCARDED}{}", Uuid::new_v4());
    match from.rename_into(name, &trash, &id) {
        Ok(()) => Ok(trash.purge(&id)?),
        Err(error) if error.errno == Errno::NOENT => Ok(()),
        Err(error) => Err(error.into()),
    }
}
