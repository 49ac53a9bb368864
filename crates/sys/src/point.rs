//! What is at a path, in one `statx` and without reading the mount table.
//!
//! `STATX_ATTR_MOUNT_ROOT` (Linux 5.8, statx(2)) tells a mount point from a plain directory also
//! for bind mounts within one filesystem, which comparing device numbers never could.

use crate::Errno;
use crate::error::{Context, Result};
use rustix::fs::{AtFlags, CWD, FileType, Statx, StatxAttributes, StatxFlags};
use std::os::fd::BorrowedFd;
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
pub fn look_at(fd: BorrowedFd<'_>, name: &Path) -> Result<Point> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let found = rustix::fs::statx(fd, "", flags, wanted()).on("look at", name)?;
    Ok(point(&found))
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
