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

pub(crate) mod trash;

use becket_core::backend::{Place, Space};
use becket_core::catalog::{Catalog, Existence, Listing};
use becket_core::record::{self, Record, SnapshotRecord, TrashRecord, VolumeRecord};
use becket_core::{Error, Kind, Name, Pool, Result};
use becket_sys::beneath::Dir;
use becket_sys::{Errno, copy, space};
use rustix::fs::OFlags;
use std::os::fd::AsFd;

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

/// The catalog of such a pool.
pub(crate) struct Files {
    /// What a backend gives back before the last file of a volume is gone, its place being at hand.
    pub(crate) release: fn(&Dir) -> Result<()>,
    /// What a backend does with a volume that has just become visible.
    pub(crate) settle: fn(&Pool, &VolumeRecord) -> Result<()>,
    /// What a backend does with a volume that is about to go to the trash; true when it has put it
    /// elsewhere, in one step.
    pub(crate) part: fn(&Pool, &TrashRecord) -> Result<bool>,
}

impl Catalog for Files {
    fn lay_out(&self, pool: &Pool) -> Result<()> {
        for area in [VOLUMES, SNAPSHOTS, TRASH] {
            pool.dir.ensure_dir(area, 0o700)?;
        }
        let preparing = pool.dir.ensure_dir(PREPARING, 0o700)?;
        preparing.ensure_dir(VOLUMES, 0o700)?;
        preparing.ensure_dir(SNAPSHOTS, 0o700)?;
        Ok(pool.dir.sync()?)
    }

    fn volume(&self, pool: &Pool, name: &Name) -> Result<Existence<VolumeRecord>> {
        lookup(pool, name)
    }

    fn volumes(&self, pool: &Pool) -> Result<Listing<VolumeRecord>> {
        list(pool, Place::Ready)
    }

    fn snapshot(&self, pool: &Pool, name: &Name) -> Result<Existence<SnapshotRecord>> {
        lookup(pool, name)
    }

    fn snapshots(&self, pool: &Pool) -> Result<Listing<SnapshotRecord>> {
        list(pool, Place::Ready)
    }

    fn preparing(&self, pool: &Pool) -> Result<Listing<VolumeRecord>> {
        list(pool, Place::Preparing)
    }

    fn preparing_snapshots(&self, pool: &Pool) -> Result<Vec<Name>> {
        let names = area::<SnapshotRecord>(pool, Place::Preparing)?.names()?;
        Ok(names.into_iter().filter_map(|name| Name::new(name).ok()).collect())
    }

    fn begin(&self, pool: &Pool, volume: &VolumeRecord) -> Result<()> {
        begin(pool, volume)
    }

    fn commit(&self, pool: &Pool, volume: &VolumeRecord) -> Result<()> {
        commit(pool, volume)?;
        (self.settle)(pool, volume)
    }

    /// By way of the trash, the only place where anything is removed with what is in it.
    fn discard(&self, pool: &Pool, name: &Name) -> Result<()> {
        self.remove(pool, &area::<VolumeRecord>(pool, Place::Preparing)?, name.as_str())
    }

    fn save(&self, pool: &Pool, volume: &VolumeRecord) -> Result<()> {
        let dir = expect::<VolumeRecord>(pool, &volume.name, Place::Ready)?;
        Ok(dir.write_atomic(VolumeRecord::FILE, &record::write(volume)?)?)
    }

    fn begin_snapshot(&self, pool: &Pool, snapshot: &SnapshotRecord) -> Result<()> {
        self.discard_snapshot(pool, &snapshot.name)?;
        begin(pool, snapshot)
    }

    fn commit_snapshot(&self, pool: &Pool, snapshot: &SnapshotRecord) -> Result<()> {
        commit(pool, snapshot)
    }

    fn discard_snapshot(&self, pool: &Pool, name: &Name) -> Result<()> {
        self.remove(pool, &area::<SnapshotRecord>(pool, Place::Preparing)?, name.as_str())
    }

    fn retire(&self, pool: &Pool, record: &TrashRecord) -> Result<()> {
        match (self.part)(pool, record)? {
            true => Ok(()),
            false => trash::retire(pool, record),
        }
    }

    fn trash(&self, pool: &Pool) -> Result<Listing<TrashRecord>> {
        trash::list(pool)
    }

    fn revive(&self, pool: &Pool, record: &TrashRecord) -> Result<()> {
        trash::revive(pool, record)
    }

    /// Half removed it may have lost its record, so it is no longer listed from the first moment on,
    /// and a removal cut short is finished by a sweep.
    fn purge(&self, pool: &Pool, record: &TrashRecord) -> Result<()> {
        self.remove(pool, &trash::area(pool)?, &record.id.to_string())
    }

    fn sweep(&self, pool: &Pool) -> Result<()> {
        trash::sweep(pool, self.release)
    }
}

impl Files {
    /// The catalog of a backend that only has something to give back.
    pub(crate) const fn releasing(release: fn(&Dir) -> Result<()>) -> Files {
        Files { release, settle: |_, _| Ok(()), part: |_, _| Ok(false) }
    }

    fn remove(&self, pool: &Pool, from: &Dir, name: &str) -> Result<()> {
        match trash::discard(pool, from, name)? {
            Some(id) => trash::remove(pool, &id, self.release),
            None => Ok(()),
        }
    }
}

/// The space of the filesystem that the pool is on.
pub(crate) fn pool_space(pool: &Pool) -> Result<Space> {
    let space = space::of(pool.dir.as_fd(), pool.dir.path())?;
    Ok(Space { total: space.total, free: space.free })
}

/// True when files of the pool can share blocks, found out by doing it with files that have names, for
/// those without are unknown to file servers.
pub(crate) fn can_share_blocks(pool: &Pool) -> Result<bool> {
    let preparing = open_area(pool, PREPARING)?;
    let names = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()].map(|id| format!(".probe-{id}"));
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let shared = (|| {
        let from = preparing.open_file(&names[0], flags)?;
        let to = preparing.open_file(&names[1], flags)?;
        let filled = rustix::io::pwrite(&from, &[1; 4096], 0);
        filled.map_err(|errno| becket_sys::Error::new("write", &*names[0], errno))?;
        copy::reflink(&from, &to, preparing.path())
    })();
    for name in &names {
        preparing.remove_file(name)?;
    }
    Ok(shared?)
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
fn open<R: Stored>(pool: &Pool, name: &Name, place: Place) -> Result<Option<Dir>> {
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

/// The record of a visible volume or snapshot; `None` when there is none.
pub(crate) fn read<R: Stored>(pool: &Pool, name: &Name) -> Result<Option<R>> {
    Ok(lookup::<R>(pool, name)?.found())
}

/// Removes what is visible for good, without the trash: for what has nothing but its record.
pub(crate) fn discard_visible<R: Stored>(pool: &Pool, name: &Name) -> Result<()> {
    match trash::discard(pool, &area::<R>(pool, Place::Ready)?, name.as_str())? {
        Some(id) => trash::remove(pool, &id, |_| Ok(())),
        None => Ok(()),
    }
}

fn lookup<R: Stored>(pool: &Pool, name: &Name) -> Result<Existence<R>> {
    match open::<R>(pool, name, Place::Ready)? {
        None => Ok(Existence::Absent),
        Some(dir) => read_record::<R>(&dir, name.as_str()).map(Existence::Present),
    }
}

fn read_record<R: Stored>(dir: &Dir, name: &str) -> Result<R> {
    let shown = dir.path().join(R::FILE);
    let bytes = dir.read(R::FILE, record::LARGEST)?.ok_or_else(|| {
        Error::new(Kind::WrongState, format!("`{}` is missing", shown.display()))
            .hint("nothing was changed; its data may still be beside it")
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
fn list<R: Stored>(pool: &Pool, place: Place) -> Result<Listing<R>> {
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

/// Makes the hidden place of something new, with its record in it. What a power cut leaves of it is
/// discarded like any preparation, whether its record can be read or not, so nothing is synced.
fn begin<R: Stored>(pool: &Pool, record: &R) -> Result<()> {
    let hidden = area::<R>(pool, Place::Preparing)?;
    hidden.create_dir(record.name(), 0o700)?;
    let dir = hidden.open_dir(record.name())?;
    Ok(dir.write_passing(R::FILE, &record::write(record)?)?)
}

/// Makes what is hidden visible, with `record` as its final record.
fn commit<R: Stored>(pool: &Pool, record: &R) -> Result<()> {
    let name = record.name();
    let dir = expect::<R>(pool, name, Place::Preparing)?;
    dir.write_atomic(R::FILE, &record::write(record)?)?;
    let (hidden, visible) = (area::<R>(pool, Place::Preparing)?, area::<R>(pool, Place::Ready)?);
    Ok(hidden.rename_into(name.as_str(), &visible, name.as_str())?)
}
