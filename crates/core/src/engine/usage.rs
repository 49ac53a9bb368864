//! How full a volume is, seen from where it is mounted.

use super::Engine;
use super::apart::Operation;
use super::observe::spot;
use crate::plan::Spot;
use crate::record::Content;
use crate::target::Target;
use crate::{Error, Kind, Name, Result};
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Bytes and inodes of a volume in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All bytes.
    pub total: u64,
    /// Bytes that are taken; `None` for raw block, of which only its users know.
    pub used: Option<u64>,
    /// Bytes that an ordinary user may still write; `None` for raw block.
    pub available: Option<u64>,
    /// Inodes in all, used and free; `None` where the filesystem makes them as it goes.
    pub inodes: Option<(u64, u64, u64)>,
}

impl Engine {
    /// How full the volume is that is staged or published at `place`. `NotFound` when it is not there.
    pub fn usage(&self, pool: &Name, name: &Name, place: &Target) -> Result<Usage> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Usage { name: name.clone(), place: place.clone() });
        }
        let backend = self.backend(&pool)?;
        let record = self.present(&pool, name)?;
        let path = place.path();
        let found = match self.is_shown(&pool, name, place)? {
            true => place.open()?,
            false => None,
        };
        let Some(place) = found else {
            return Err(Error::new(
                Kind::NotFound,
                format!("volume `{name}` is not at `{}`", path.display()),
            ));
        };
        if record.content == Content::Block {
            let total = backend.stored(&pool, &record)?;
            return Ok(Usage { total, used: None, available: None, inodes: None });
        }
        of_filesystem(place.as_fd(), &path)
    }

    /// True when the volume, or a pod's own directory in it, is mounted at `place`.
    pub fn is_at(&self, pool: &Name, name: &Name, place: &Target) -> Result<bool> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::IsAt { name: name.clone(), place: place.clone() });
        }
        self.is_shown(&pool, name, place)
    }

    fn is_shown(&self, pool: &crate::Pool, name: &Name, place: &Target) -> Result<bool> {
        let record = self.present(pool, name)?;
        let backend = self.backend(pool)?;
        if let Spot::Ours { .. } = spot(backend, pool, &record, place, None)? {
            return Ok(true);
        }
        Ok(self.shown(pool, name, place)?.is_some())
    }
}

/// How full the filesystem is that is mounted at `path`, which is open.
pub(super) fn of_filesystem(place: BorrowedFd<'_>, path: &Path) -> Result<Usage> {
    let found = rustix::fs::fstatvfs(place)
        .map_err(|errno| becket_sys::Error::new("read space of", path.to_string_lossy(), errno))?;
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    let inodes = (found.f_files, found.f_files.saturating_sub(found.f_ffree), found.f_ffree);
    Ok(Usage {
        total: bytes(found.f_blocks),
        used: Some(bytes(found.f_blocks.saturating_sub(found.f_bfree))),
        available: Some(bytes(found.f_bavail)),
        inodes: (found.f_files > 0).then_some(inodes),
    })
}
