//! The loop devices of an image, told by the image's inode and never by a number or a name.

use super::open_image;
use becket_core::backend::Place;
use becket_core::record::VolumeRecord;
use becket_core::{Pool, Result};
use becket_sys::loop_device::{self, LoopDevice};
use becket_sys::mountinfo;
use becket_sys::point::{self, DeviceNumber, Point};
use rustix::fs::OFlags;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// The path of the volume's image now, and what tells it from every other file.
pub(super) fn identity(
    pool: &Pool,
    volume: &VolumeRecord,
    place: Place,
) -> Result<(PathBuf, DeviceNumber, u64)> {
    let image = open_image::<VolumeRecord>(pool, &volume.name, place, OFlags::PATH)?;
    let point = point::look_at(image.file.as_fd(), &image.path)?;
    Ok((image.path, point.device, point.inode))
}

/// The devices that the volume's image is attached to, lowest number first.
pub(super) fn devices(pool: &Pool, volume: &VolumeRecord, place: Place) -> Result<Vec<LoopDevice>> {
    let (path, device, inode) = identity(pool, volume, place)?;
    Ok(loop_device::attached_to(&path, device, inode)?)
}

/// The device, among those that the volume is attached to, that refuses writes, or that takes them.
pub(super) fn attached(
    pool: &Pool,
    volume: &VolumeRecord,
    place: Place,
    readonly: bool,
) -> Result<Option<LoopDevice>> {
    for device in devices(pool, volume, place)? {
        if device.status()?.is_some_and(|status| status.readonly == readonly) {
            return Ok(Some(device));
        }
    }
    Ok(None)
}

/// The number of the loop device behind a mount or a device node. btrfs has device numbers of its
/// own, so there the mount table tells.
pub(super) fn loop_number(point: &Point) -> Result<Option<u32>> {
    for (major, minor) in [point.device, point.node] {
        if major == loop_device::MAJOR {
            return Ok(Some(minor));
        }
    }
    if point.device.0 != 0 {
        return Ok(None);
    }
    let table = mountinfo::read()?;
    let mounted = table.iter().find(|entry| entry.id == point.mount_id);
    Ok(mounted.and_then(|entry| entry.source.to_str()?.strip_prefix("/dev/loop")?.parse().ok()))
}
