//! Project quotas: a limit on a directory and all below it.
//!
//! A directory gets a project id that new files inherit (`FS_IOC_FSSETXATTR`,
//! ioctl_xfs_fssetxattr(2)); the limit is set on the id with `quotactl_fd` (Linux 5.14,
//! quotactl(2)), which needs no device path and therefore works in any mount namespace.

use crate::error::{Context, Result};
use crate::{Errno, Error};
use rustix::ioctl::{Getter, Setter, opcode};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::Path;

const PRJQUOTA: u32 = 2;
const Q_GETINFO: u32 = 0x80_0005;
const Q_GETQUOTA: u32 = 0x80_0007;
const Q_SETQUOTA: u32 = 0x80_0008;
const Q_XGETQSTAT: u32 = 0x5805;

/// `XFS_QUOTA_PDQ_ENFD` of `linux/dqblk_xfs.h`: project limits are enforced.
const PROJECT_ENFORCED: u16 = 1 << 5;

/// `struct fsxattr` of `linux/fs.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Attributes {
    flags: u32,
    extent_size: u32,
    extents: u32,
    project: u32,
    cow_extent_size: u32,
    padding: [u8; 8],
}

/// `FS_XFLAG_PROJINHERIT` of `linux/fs.h`.
const INHERIT_PROJECT: u32 = 0x200;

/// `struct if_dqblk` of `linux/quota.h`; limits count blocks of 1,024 bytes.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Limits {
    hard_blocks: u64,
    soft_blocks: u64,
    used_bytes: u64,
    hard_inodes: u64,
    soft_inodes: u64,
    used_inodes: u64,
    block_time: u64,
    inode_time: u64,
    valid: u32,
}

/// `QIF_BLIMITS` of `linux/quota.h`: only the block limits are being set.
const BLOCK_LIMITS: u32 = 1;

/// What one project uses and may use, in bytes; a limit of 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Bytes in use.
    pub used: u64,
    /// The hard limit.
    pub limit: u64,
}

/// True when the filesystem that `dir` is on enforces project quotas now.
pub fn enforced(dir: &File) -> bool {
    // XFS answers its own status call; ext4 answers the generic one when project quota is on.
    let mut status = [0u8; 256];
    if quotactl(dir, Q_XGETQSTAT, 0, status.as_mut_ptr()).is_ok() {
        // `struct fs_quota_stat`: version (1 byte), padding, then the flags as u16.
        return u16::from_ne_bytes([status[2], status[3]]) & PROJECT_ENFORCED != 0;
    }
    quotactl(dir, Q_GETINFO, 0, status.as_mut_ptr()).is_ok()
}

/// Puts the directory `dir` into project `id`, inherited by all that is made in it.
pub fn set_project(dir: &File, id: u32, name: &Path) -> Result<()> {
    const SET: u32 = opcode::write::<Attributes>(b'X', 32);
    let mut attributes = attributes(dir).on("read attributes of", name)?;
    attributes.project = id;
    attributes.flags |= INHERIT_PROJECT;
    // SAFETY: FS_IOC_FSSETXATTR reads one `struct fsxattr`, which `Attributes` mirrors.
    unsafe { rustix::ioctl::ioctl(dir, Setter::<SET, Attributes>::new(attributes)) }
        .on("set project of", name)
}

/// The project that `dir` hands on to what is made in it; `None` when it hands on none.
pub fn project(dir: &File, name: &Path) -> Result<Option<u32>> {
    match attributes(dir) {
        Ok(found) => Ok((found.flags & INHERIT_PROJECT != 0).then_some(found.project)),
        Err(Errno::NOTTY | Errno::OPNOTSUPP) => Ok(None),
        Err(errno) => Err(errno).on("read attributes of", name),
    }
}

fn attributes(dir: &File) -> rustix::io::Result<Attributes> {
    const GET: u32 = opcode::read::<Attributes>(b'X', 31);
    // SAFETY: FS_IOC_FSGETXATTR fills one `struct fsxattr`, which `Attributes` mirrors.
    unsafe { rustix::ioctl::ioctl(dir, Getter::<GET, Attributes>::new()) }
}

/// Limits project `id`, on the filesystem of `dir`, to `bytes`, rounded up to 1 KiB; 0 lifts the limit.
pub fn set_limit(dir: &File, id: u32, bytes: u64, name: &Path) -> Result<()> {
    let hard_blocks = bytes.div_ceil(1024);
    let mut limits =
        Limits { hard_blocks, soft_blocks: 0, valid: BLOCK_LIMITS, ..Limits::default() };
    quotactl(dir, Q_SETQUOTA, id, (&raw mut limits).cast()).on("limit the project of", name)
}

/// What project `id` uses on the filesystem of `dir`.
pub fn usage(dir: &File, id: u32, name: &Path) -> Result<Usage> {
    let mut limits = Limits::default();
    match quotactl(dir, Q_GETQUOTA, id, (&raw mut limits).cast()) {
        // XFS says so of a project it has never seen.
        Err(Errno::NOENT) => Ok(Usage { used: 0, limit: 0 }),
        Err(errno) => Err(Error::new("read project usage of", name.to_string_lossy(), errno)),
        Ok(()) => {
            Ok(Usage { used: limits.used_bytes, limit: limits.hard_blocks.saturating_mul(1024) })
        }
    }
}

fn quotactl(dir: &File, command: u32, id: u32, address: *mut u8) -> rustix::io::Result<()> {
    let command = command << 8 | PRJQUOTA;
    // SAFETY: every caller passes a live buffer at least as large as what its command reads or
    // writes: `Limits` for the quota calls, 256 bytes for the two status calls (at most 80 used).
    let result =
        unsafe { libc::syscall(libc::SYS_quotactl_fd, dir.as_raw_fd(), command, id, address) };
    match result {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}
