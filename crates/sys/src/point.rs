//! What is at a path, in one `statx` and without reading the mount table.
//!
//! `STATX_ATTR_MOUNT_ROOT` (Linux 5.8, statx(2)) tells a mount point from a plain directory also
//! for bind mounts within one filesystem, which comparing device numbers never could.

use crate::error::{Context, Result};
use crate::{Errno, mountinfo};
use rustix::fs::{AtFlags, CWD, FileType, Statx, StatxAttributes, StatxFlags};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;

/// A device number as (major, minor).
pub type DeviceNumber = (u32, u32);

/// What `statx` knows of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// True when a mount is attached exactly here.
    pub mounted: bool,
    /// Id of the mount the path is in, as in the mount table.
    pub mount_id: u64,
    /// Device number of the filesystem.
    pub device: DeviceNumber,
    /// Inode number within the filesystem.
    pub inode: u64,
    /// Device number of the device itself, where the path is a device node.
    pub node: DeviceNumber,
    /// Size in bytes.
    pub size: u64,
    /// Bytes allocated on the medium.
    pub allocated: u64,
    /// Directory, regular file, device and so on.
    pub kind: FileType,
}

/// Looks at `path` without following a link in its last component and without asking a remote
/// server for anything (`AT_STATX_DONT_SYNC`). `None` when nothing is there.
pub fn look(path: &Path) -> Result<Option<Point>> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    match rustix::fs::statx(CWD, path, flags, wanted()) {
        Ok(found) => Ok(Some(point(&found))),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno).on("look at", path),
    }
}

/// Looks at an open file or directory.
///
/// A filesystem that the kernel has given up may answer nothing any more (xfs). Of its mount's root the
/// mount table still tells the mount and the device, which is what it takes to unmount it.
pub fn look_at(fd: BorrowedFd<'_>, name: &Path) -> Result<Point> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    match rustix::fs::statx(fd, "", flags, wanted()) {
        Ok(found) => Ok(point(&found)),
        Err(Errno::IO) => match root_in_table(fd)? {
            Some(found) => Ok(found),
            None => Err(Errno::IO).on("look at", name),
        },
        Err(errno) => Err(errno).on("look at", name),
    }
}

/// What the mount table tells of the root of a mount; `None` for anything else.
fn root_in_table(fd: BorrowedFd<'_>) -> Result<Option<Point>> {
    let number = fd.as_raw_fd();
    let (link, told) = (format!("/proc/self/fd/{number}"), format!("/proc/self/fdinfo/{number}"));
    let path = std::fs::read_link(&link).on("read", &link)?;
    let told = std::fs::read_to_string(&told).on("read", &told)?;
    let id = told.lines().find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    let table = mountinfo::read()?;
    let mount = table.into_iter().find(|entry| Some(entry.id) == id && entry.point == path);
    Ok(mount.map(|entry| Point {
        mounted: true,
        mount_id: entry.id,
        device: entry.device,
        inode: 0,
        node: (0, 0),
        size: 0,
        allocated: 0,
        kind: FileType::Directory,
    }))
}

fn wanted() -> StatxFlags {
    StatxFlags::BASIC_STATS | StatxFlags::MNT_ID
}

fn point(found: &Statx) -> Point {
    Point {
        mounted: found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
        mount_id: found.stx_mnt_id,
        device: (found.stx_dev_major, found.stx_dev_minor),
        inode: found.stx_ino,
        node: (found.stx_rdev_major, found.stx_rdev_minor),
        size: found.stx_size,
        allocated: found.stx_blocks * 512,
        kind: FileType::from_raw_mode(found.stx_mode.into()),
    }
}
