//! What is: read from the pool and from the kernel, every time anew.

use super::held::is_staged;
use super::{Engine, remote};
use crate::backend::{Backend, Hold, Place, Source};
use crate::catalog::Existence;
use crate::name::Name;
use crate::plan::{Facts, Observed, Spot};
use crate::pool::Pool;
use crate::record::{Content, VolumeRecord};
use crate::target::Target;
use crate::{Error, Kind, Result};
use becket_sys::mountinfo::{self, Entry};
use becket_sys::point::DeviceNumber;
use becket_sys::{block_device, point, space};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where to look.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Places<'a> {
    /// The staging path.
    pub(super) staging: Option<&'a Target>,
    /// The target path.
    pub(super) target: Option<&'a Target>,
    /// The directory within the volume that the target shows.
    pub(super) below: Option<&'a str>,
    /// Also find every other mount and device of the volume. That reads whole tables, so the
    /// publish path does without.
    pub(super) everywhere: bool,
}

impl Engine {
    /// Observes the volume `name`; `as_wanted` compares its record with what is asked for.
    pub(super) fn observe(
        &self,
        pool: &Pool,
        name: &Name,
        places: Places<'_>,
        as_wanted: impl FnOnce(&VolumeRecord) -> bool,
    ) -> Result<(Observed, Option<VolumeRecord>)> {
        let backend = self.backend(pool)?;
        let mut observed = Observed {
            volume: None,
            leftover: false,
            staging: Spot::Free,
            target: Spot::Free,
            elsewhere: 0,
            attached: false,
        };
        let Existence::Present(record) = backend.catalog().volume(pool, name)? else {
            observed.leftover = leftover(backend, pool, name)?;
            return Ok((observed, None));
        };
        observed.volume = Some(facts(backend, pool, &record, as_wanted(&record))?);
        if let Some(target) = places.target {
            observed.target = spot(backend, pool, &record, target, places.below)?;
        }
        if record.content == Content::Block {
            let devices = backend.devices(pool, &record, Place::Ready)?;
            observed.attached = !devices.is_empty();
            if is_staged(&devices)? {
                observed.staging = Spot::Ours { readonly: false };
            }
        } else if let Some(staging) = places.staging {
            observed.staging = spot(backend, pool, &record, staging, None)?;
        }
        if places.everywhere {
            observed.leftover = leftover(backend, pool, name)?;
            let devices = backend.devices(pool, &record, Place::Ready)?;
            observed.attached = !devices.is_empty();
            // A device that has not yet taken over its image's new size is as small as it looks.
            // What a mapping shows is compared with a size that is not in the record yet.
            let enough = if backend.is_encrypted(&record) { u64::MAX } else { record.size };
            let smallest = smallest(backend, pool, &record, &devices, enough)?;
            observed.volume = observed.volume.map(|facts| match facts.encrypted {
                true => Facts { mapped: smallest, ..facts },
                false => Facts { stored: facts.stored.min(smallest), ..facts },
            });
            let known = [places.staging, places.target];
            let known: Vec<PathBuf> = known.into_iter().flatten().map(Target::path).collect();
            let mounts = mounts(backend, pool, &record)?;
            observed.elsewhere =
                mounts.iter().filter(|entry| !known.contains(&entry.point)).count();
            observed.elsewhere += usize::from(backend.used_elsewhere(pool, &record)?);
        }
        Ok((observed, Some(record)))
    }
}

/// True when a hidden preparation of the volume is there.
pub(super) fn leftover(backend: &dyn Backend, pool: &Pool, name: &Name) -> Result<bool> {
    let hidden = backend.catalog().preparing(pool)?;
    Ok(hidden.records.iter().any(|record| record.name == *name)
        || hidden.unreadable.iter().any(|(place, _)| place == name.as_str()))
}

/// The size of the smallest of the volume's devices. One whose last user has gone may be let go of at
/// any moment, and its number then be another's, so only those count that are still the volume's after
/// they were asked.
fn smallest(
    backend: &dyn Backend,
    pool: &Pool,
    record: &VolumeRecord,
    devices: &[PathBuf],
    enough: u64,
) -> Result<u64> {
    let sizes = devices.iter().map(|device| block_device::size(device)).collect::<Vec<_>>();
    // Large enough is large enough, whoever's it is.
    if sizes.iter().all(|size| size.as_ref().is_ok_and(|size| *size >= enough)) {
        return Ok(u64::MAX);
    }
    let still = backend.devices(pool, record, Place::Ready)?;
    let mut smallest = u64::MAX;
    for (device, size) in devices.iter().zip(sizes) {
        if still.contains(device) {
            smallest = smallest.min(size?);
        }
    }
    Ok(smallest)
}

fn facts(
    backend: &dyn Backend,
    pool: &Pool,
    record: &VolumeRecord,
    as_wanted: bool,
) -> Result<Facts> {
    Ok(Facts {
        promised: record.size,
        stored: backend.stored(pool, record)?,
        grown: record.filesystem_size,
        filesystem: record.content.filesystem().is_some(),
        encrypted: backend.is_encrypted(record),
        mapped: u64::MAX,
        claimed: !record.claims.is_empty(),
        as_wanted,
    })
}

/// What is at `place`, compared with the volume.
pub(super) fn spot(
    backend: &dyn Backend,
    pool: &Pool,
    record: &VolumeRecord,
    place: &Target,
    below: Option<&str>,
) -> Result<Spot> {
    let Some(handle) = place.open()? else {
        return Ok(Spot::Free);
    };
    let point = point::look_at(handle.as_fd(), &place.path())?;
    if !point.mounted {
        return Ok(Spot::Free);
    }
    if !backend.is_at(pool, record, &point, below)? {
        return Ok(Spot::Foreign);
    }
    // A device is written to through a read-only mount of its node, so there the mount says nothing.
    let readonly = match record.content {
        Content::Block => block_device::refuses_writes(point.node)?,
        _ => match remote::entry_of(&point)? {
            Some(entry) => entry.readonly,
            None => space::of(handle.as_fd(), &place.path())?.readonly,
        },
    };
    Ok(Spot::Ours { readonly })
}

/// Every mount of the volume that this process sees.
pub(super) fn mounts(
    backend: &dyn Backend,
    pool: &Pool,
    record: &VolumeRecord,
) -> Result<Vec<Entry>> {
    let table = mountinfo::read()?;
    if record.content != Content::Directory {
        let devices = backend.devices(pool, record, Place::Ready)?;
        return Ok(table.into_iter().filter(|entry| is_on(entry, &devices)).collect());
    }
    if let Some(name) = backend.remote_name(pool, record)? {
        let shows = |entry: &Entry| entry.is_nfs() && entry.source.starts_with(&name);
        return Ok(table.into_iter().filter(shows).collect());
    }
    let (device, root) = place_of(backend, pool, record, &table)?;
    Ok(table
        .into_iter()
        .filter(|entry| entry.device == device && entry.root.starts_with(&root))
        .collect())
}

/// The path, within its filesystem, of a directory volume; `None` for volumes of other content.
pub(super) fn top_of(
    backend: &dyn Backend,
    pool: &Pool,
    record: &VolumeRecord,
) -> Result<Option<PathBuf>> {
    if record.content != Content::Directory || backend.remote_name(pool, record)?.is_some() {
        return Ok(None);
    }
    Ok(Some(place_of(backend, pool, record, &mountinfo::read()?)?.1))
}

/// The filesystem that a directory volume is in, and where in it.
fn place_of(
    backend: &dyn Backend,
    pool: &Pool,
    record: &VolumeRecord,
    table: &[Entry],
) -> Result<((u32, u32), PathBuf)> {
    let Source::Directory(dir) = backend.attach(pool, record, Place::Ready, Hold::WhileUsed)?
    else {
        return Err(Error::new(
            Kind::Internal,
            format!("volume `{}` is no directory", record.name),
        ));
    };
    root_in_filesystem(table, dir.as_fd(), dir.path())
}

/// What can be learnt of a volume without its lock; `None` where it was deleted meanwhile.
pub(super) fn unless_deleted<T>(
    backend: &dyn Backend,
    pool: &Pool,
    volume: &VolumeRecord,
    learn: impl Fn() -> Result<T>,
) -> Result<Option<T>> {
    // It may have been deleted and brought back again.
    for _ in 0..3 {
        if let Ok(learnt) = learn() {
            return Ok(Some(learnt));
        }
        match backend.catalog().volume(pool, &volume.name)? {
            Existence::Present(found) if found.uuid == volume.uuid => {}
            _ => return Ok(None),
        }
    }
    learn().map(Some)
}

/// How long a device may outlive its last unmount on this node.
const LINGERING: Duration = Duration::from_secs(2);

/// True when the volume is attached to no device. The kernel lets go of one at once after its last
/// unmount, but a container that is being started may have a copy of all mounts until it has left them,
/// and a program that looks at every new device has it open. So this waits for them, and asks anew.
pub(super) fn at_rest(backend: &dyn Backend, pool: &Pool, record: &VolumeRecord) -> Result<bool> {
    let deadline = Instant::now() + LINGERING;
    loop {
        if backend.devices(pool, record, Place::Ready)?.is_empty() {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// True for a mount of the filesystem on one of `devices`, and for a bind mount of the device itself.
pub(super) fn is_on(entry: &Entry, devices: &[PathBuf]) -> bool {
    devices.iter().any(|device| {
        let node = entry.kind == "devtmpfs"
            && entry.root == Path::new("/").join(device.file_name().unwrap_or_default());
        entry.source == *device
            || node
            || number(device).is_some_and(|number| {
                entry.device == number || source_number(entry) == Some(number)
            })
    })
}

/// The number of the device that is mounted here, by the path that it was mounted by: btrfs has device
/// numbers of its own, and devices have several names.
fn source_number(entry: &Entry) -> Option<DeviceNumber> {
    match entry.device.0 == 0 && entry.source.starts_with("/dev") {
        true => number(&entry.source),
        false => None,
    }
}

/// The number of a device by its path, links to it included.
fn number(device: &Path) -> Option<DeviceNumber> {
    let found = rustix::fs::stat(device).ok()?;
    (rustix::fs::FileType::from_raw_mode(found.st_mode) == rustix::fs::FileType::BlockDevice)
        .then(|| (rustix::fs::major(found.st_rdev), rustix::fs::minor(found.st_rdev)))
}

pub(super) fn loop_number(device: &Path) -> Option<u32> {
    device.to_str()?.strip_prefix("/dev/loop")?.parse().ok()
}

/// The device of the filesystem that a directory is on, and the directory's path within it, which is
/// what the table shows as the root of a bind mount.
fn root_in_filesystem(
    table: &[Entry],
    dir: std::os::fd::BorrowedFd<'_>,
    name: &Path,
) -> Result<((u32, u32), PathBuf)> {
    use std::os::fd::AsRawFd;
    let lost = |reason: &str| {
        Error::new(
            Kind::Internal,
            format!("cannot tell where `{}` is mounted: {reason}", name.display()),
        )
    };
    let id = point::look_at(dir, name)?.mount_id;
    let mount = table
        .iter()
        .find(|entry| entry.id == id)
        .ok_or_else(|| lost("its mount is not in the table"))?;
    let path = std::fs::read_link(format!("/proc/self/fd/{}", dir.as_raw_fd()))
        .map_err(|error| lost(&error.to_string()))?;
    let inside =
        path.strip_prefix(&mount.point).map_err(|_| lost("its path is not below its mount"))?;
    // Joining an empty path would append a slash, which the table does not have.
    let root =
        if inside.as_os_str().is_empty() { mount.root.clone() } else { mount.root.join(inside) };
    Ok((mount.device, root))
}
