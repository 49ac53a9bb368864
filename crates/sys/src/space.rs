//! How full a filesystem is (statvfs(3)).

use crate::error::{Context, Result};
use std::os::fd::BorrowedFd;
use std::path::Path;

/// Bytes of a filesystem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// All the bytes it manages.
    pub total: u64,
    /// What an ordinary user may still write: the reserve of root is not counted.
    pub free: u64,
    /// Size of one block.
    pub block: u64,
    /// True when it is mounted read-only.
    pub readonly: bool,
}

/// The space of the filesystem that `fd` is on.
pub fn of(fd: BorrowedFd<'_>, name: &Path) -> Result<Space> {
    let found = rustix::fs::fstatvfs(fd).on("read space of", name)?;
    let block = if found.f_frsize == 0 { found.f_bsize } else { found.f_frsize };
    Ok(Space {
        total: found.f_blocks.saturating_mul(block),
        free: found.f_bavail.saturating_mul(block),
        block,
        readonly: found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
    })
}
