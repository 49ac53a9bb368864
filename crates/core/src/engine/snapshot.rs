//! Snapshots: one moment of a volume, kept on its own.

use super::Engine;
use super::apart::Operation;
use super::encrypted::refuse_unfinished;
use super::group::remove_if_incomplete;
use super::observe::{at_rest, mounts};
use crate::backend::{Backend, Place, on_another_node};
use crate::catalog::Existence;
use crate::pool::Pool;
use crate::progress::Progress;
use crate::record::{Birth, Content, FORMAT, SnapshotRecord, VolumeRecord, now};
use crate::{Error, Kind, Name, Result};
use becket_sys::beneath::Dir;
use becket_sys::freeze::{self, Frozen};
use becket_sys::mountinfo::Entry;
use becket_sys::point;
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::time::Duration;
use uuid::Uuid;

/// How long a filesystem in use may be held still while its image is copied byte for byte. Writers
/// wait for that long; a larger volume needs a pool that shares blocks, or to be unmounted.
pub(super) const LONGEST_FREEZE: Duration = Duration::from_secs(30);

impl Engine {
    /// Takes a snapshot, or gives the one of that name if it is of the same volume.
    ///
    /// Of a volume in use it is one moment as after a power cut: where blocks can be shared, by
    /// sharing them all at once; elsewhere by holding the filesystem still for the copy.
    pub fn create_snapshot(
        &self,
        pool: &Name,
        name: &Name,
        volume: &Name,
    ) -> Result<SnapshotRecord> {
        self.create_snapshot_labelled(pool, name, volume, BTreeMap::new())
    }

    /// [`Engine::create_snapshot`], with words to be kept in its record.
    pub fn create_snapshot_labelled(
        &self,
        pool: &Name,
        name: &Name,
        volume: &Name,
        labels: BTreeMap<String, String>,
    ) -> Result<SnapshotRecord> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::CreateSnapshot {
                name: name.clone(),
                volume: volume.clone(),
                labels,
            });
        }
        // In the order in which a volume is made from a snapshot.
        let _volume_lock = self.lock_volume(&pool, volume)?;
        let _snapshot_lock = self.lock_snapshot(&pool, name)?;
        let backend = self.backend(&pool)?;
        if let Existence::Present(found) = backend.catalog().snapshot(&pool, name)?
            && !remove_if_incomplete(backend.catalog(), &pool, &found)?
        {
            if let Some(group) = &found.group {
                return Err(Error::new(
                    Kind::Conflict,
                    format!("snapshot `{name}` exists and is of group snapshot `{}`", group.name),
                )
                .hint("use another name"));
            }
            // Once the volume is gone, its name is all there is to compare.
            let same = match backend.catalog().volume(&pool, volume)? {
                Existence::Present(now) => found.volume_uuid == now.uuid,
                Existence::Absent => found.volume == *volume,
            };
            return match same {
                true => Ok(found),
                false => Err(Error::new(
                    Kind::Conflict,
                    format!("snapshot `{name}` exists and is of another volume `{}`", found.volume),
                )
                .hint("use another name, or delete it first")),
            };
        }
        let source = self.present(&pool, volume)?;
        refuse_unfinished(&source)?;
        let record = SnapshotRecord { labels, ..snapshot_record(name, &source) };
        let begun = backend.catalog().begin_snapshot(&pool, &record);
        let copied = begun.and_then(|()| {
            self.at_one_moment(backend, &pool, &source, |progress| {
                backend.copy_to_snapshot(&pool, &source, &record, progress)
            })
        });
        match copied {
            Ok(()) => backend.catalog().commit_snapshot(&pool, &record).map(|()| record),
            Err(error) => {
                let mut errors = vec![error.during(format!("cannot take snapshot `{name}`"))];
                errors.extend(backend.catalog().discard_snapshot(&pool, name).err());
                Error::all(errors).map(|()| record)
            }
        }
    }

    /// Runs `copy`, which copies the volume to a hidden place, so that the copy is of one moment.
    /// An error when it is not, or may not be.
    pub(super) fn at_one_moment(
        &self,
        backend: &dyn Backend,
        pool: &Pool,
        volume: &VolumeRecord,
        copy: impl FnOnce(&dyn Progress) -> Result<()>,
    ) -> Result<()> {
        thaw_left(backend, pool, volume)?;
        let Some(frozen) = hold_still(backend, pool, volume)? else {
            return copy(self.progress.as_ref());
        };
        let still = std::slice::from_ref(&frozen);
        let copied = copy(&WhileFrozen { frozen: still, inner: self.progress.as_ref() });
        let held = match frozen.expired() {
            true => Err(too_slow(&volume.name)),
            false => copied.and_then(|()| Ok(frozen.thaw()?)),
        };
        pool.locks.remove_file(mark_of(&volume.name))?;
        held
    }
}

pub(super) fn snapshot_record(name: &Name, volume: &VolumeRecord) -> SnapshotRecord {
    SnapshotRecord {
        format: FORMAT,
        uuid: Uuid::new_v4(),
        name: name.clone(),
        volume: volume.name.clone(),
        volume_uuid: volume.uuid,
        size: volume.size,
        content: volume.content,
        filesystem_size: volume.filesystem_size,
        blank: volume.birth == Birth::Blank,
        created: now(),
        parameters: volume.parameters.clone(),
        labels: BTreeMap::new(),
        group: None,
    }
}

/// Makes sure that a copy of the volume is of one moment. `None` when nothing needs to be held.
fn hold_still(backend: &dyn Backend, pool: &Pool, volume: &VolumeRecord) -> Result<Option<Frozen>> {
    if backend.used_elsewhere(pool, volume)? {
        return Err(on_another_node(volume));
    }
    let mounts = mounts(backend, pool, volume)?;
    let devices = backend.devices(pool, volume, Place::Ready)?;
    if mounts.is_empty() && devices.is_empty() {
        return Ok(None);
    }
    let abilities = backend.abilities(pool)?;
    if !abilities.snapshots_in_use || volume.content == Content::Directory {
        return Err(in_use(volume, "its files would be copied at different moments"));
    }
    // A view that cannot be written through holds its filesystem still just as well.
    let mounts = mounts.iter().filter(|_| volume.content.filesystem().is_some());
    let Some((mounted, root)) = mounts.filter_map(root_of).next() else {
        return unseen(backend, pool, volume, abilities.shares_blocks).map(|()| None);
    };
    if abilities.shares_blocks {
        // All blocks are shared at one moment; what is still in memory is written out first, so
        // that the moment is now and not half a minute ago.
        flush(&root, volume)?;
        return Ok(None);
    }
    // Were the guard killed together with us, the next one to come would see this mark and thaw.
    pool.locks
        .open_file(mark_of(&volume.name), OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW)?;
    match freeze::freeze(&root, &mounted.point, LONGEST_FREEZE) {
        Ok(frozen) => Ok(Some(frozen)),
        // Not frozen by us: what somebody else froze is not ours to thaw.
        Err(error) => {
            pool.locks.remove_file(mark_of(&volume.name))?;
            Err(error.into())
        }
    }
}

/// Beside the volume's lock: its filesystem is being held still. It says nothing after a reboot, and
/// does no harm then.
pub(super) fn mark_of(volume: &Name) -> String {
    format!("volume-{volume}{MARK}")
}

/// How such a mark's name ends.
pub(super) const MARK: &str = ".frozen";

impl Engine {
    /// Thaws every volume of the pool that somebody who was killed left held still: its writers wait. One
    /// that is being held still now has its lock taken, and is left alone.
    pub fn thaw(&self, pool: &Name) -> Result<()> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Thaw);
        }
        let backend = self.backend(&pool)?;
        if !pool.locks.names()?.iter().any(|name| name.ends_with(MARK)) {
            return Ok(());
        }
        for volume in backend.catalog().volumes(&pool)?.records {
            if pool.locks.contains(mark_of(&volume.name))?
                && let Ok(_lock) = self.lock_volume(&pool, &volume.name)
            {
                thaw_left(backend, &pool, &volume)?;
            }
        }
        Ok(())
    }
}

/// Thaws the volume if somebody who held it still was killed, guard and all. The caller has the
/// volume's lock, so nobody holds it still now. False when it was not frozen.
pub(super) fn thaw_left(backend: &dyn Backend, pool: &Pool, volume: &VolumeRecord) -> Result<bool> {
    let mark = mark_of(&volume.name);
    if !pool.locks.contains(&mark)? {
        return Ok(false);
    }
    let mounts = mounts(backend, pool, volume)?;
    let thawed = match mounts.iter().find_map(root_of) {
        Some((mounted, root)) => freeze::thaw(&root, &mounted.point)?,
        None => false,
    };
    pool.locks.remove_file(mark)?;
    Ok(thawed)
}

/// What is mounted there, opened; `None` where something else is mounted over it.
pub(super) fn root_of(mounted: &Entry) -> Option<(&Entry, File)> {
    let root = Dir::open(&mounted.point).ok()?;
    let root = root.open_file(".", OFlags::RDONLY | OFlags::DIRECTORY).ok()?;
    let found = point::look_at(root.as_fd(), &mounted.point).ok()?;
    (found.mount_id == mounted.id).then_some((mounted, root))
}

/// Decides on a volume that has a device and no filesystem mounted where we could see it: raw block,
/// one mounted in another mount namespace, or one whose device is about to go.
fn unseen(
    backend: &dyn Backend,
    pool: &Pool,
    volume: &VolumeRecord,
    shares_blocks: bool,
) -> Result<()> {
    if shares_blocks {
        for device in backend.devices(pool, volume, Place::Ready)? {
            let opened = File::open(&device).and_then(|device| device.sync_all());
            opened.map_err(|error| {
                let errno = becket_sys::Errno::from_io_error(&error);
                let errno = errno.unwrap_or(becket_sys::Errno::IO);
                becket_sys::Error::new("flush", device.to_string_lossy(), errno)
            })?;
        }
        return Ok(());
    }
    if volume.content == Content::Block {
        return Err(in_use(volume, "a raw block device cannot be held still"));
    }
    match at_rest(backend, pool, volume)? {
        true => Ok(()),
        false => Err(in_use(volume, "it is mounted where becket cannot hold it still")),
    }
}

pub(super) fn flush(root: &File, volume: &VolumeRecord) -> Result<()> {
    rustix::fs::syncfs(root).map_err(|errno| {
        becket_sys::Error::new("flush the filesystem of", volume.name.as_str(), errno).into()
    })
}

pub(super) fn in_use(volume: &VolumeRecord, why: &str) -> Error {
    Error::new(Kind::WrongState, format!("volume `{}` is in use, and {why}", volume.name))
        .hint("unmount it first")
}

fn too_slow(volume: &Name) -> Error {
    Error::new(
        Kind::WrongState,
        format!(
            "volume `{volume}` is in use, and copying it takes longer than the {} s that its writers may be held up",
            LONGEST_FREEZE.as_secs()
        ),
    )
    .hint("unmount it first, or use a pool on xfs or btrfs, where a snapshot takes no time")
}

/// Progress that stops the work once a filesystem is no longer held still.
pub(super) struct WhileFrozen<'a> {
    pub(super) frozen: &'a [Frozen],
    pub(super) inner: &'a dyn Progress,
}

impl Progress for WhileFrozen<'_> {
    fn advance(&self, what: &str, done: u64, total: u64) -> ControlFlow<()> {
        match self.frozen.iter().any(Frozen::expired) {
            true => ControlFlow::Break(()),
            false => self.inner.advance(what, done, total),
        }
    }
}
