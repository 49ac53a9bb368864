//! How much more a pool can promise.

use super::Engine;
use super::apart::Operation;
use super::observe::unless_deleted;
use crate::backend::Backend;
use crate::pool::Pool;
use crate::record::{Provisioning, VolumeRecord};
use crate::{Error, Kind, Name, Result, size};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The space of a pool and what of it is promised, in bytes.
///
/// Snapshots appear nowhere here, and that is right: their blocks are not free, and nothing new
/// will ever be written to them, so promise and deed cancel out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capacity {
    /// What the medium below holds in all.
    pub total: u64,
    /// What can still be written to it.
    pub free: u64,
    /// Sizes of all volumes, those being made included.
    pub promised: u64,
    /// Bytes that volumes already hold and share with nothing.
    pub held: u64,
    /// The largest new thin volume.
    pub thin: u64,
    /// The largest new thick volume.
    pub thick: u64,
}

impl Engine {
    /// What the sizes of volumes with these parameters are multiples of in the pool.
    pub fn granularity(&self, pool: &Name, parameters: &BTreeMap<String, String>) -> Result<u64> {
        let pool = self.open(pool)?;
        self.backend(&pool)?.granularity(&pool, parameters)
    }

    /// How space is taken in the pool by a volume that does not say.
    pub fn provisioning(&self, pool: &Name) -> Result<Provisioning> {
        let pool = self.open(pool)?;
        Ok(self.backend(&pool)?.provisioning(&pool))
    }

    /// What the pool can promise now.
    pub fn capacity(&self, pool: &Name) -> Result<Capacity> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Capacity);
        }
        capacity(self.backend(&pool)?, &pool)
    }
}

/// Adds up the promises of `pool`. Under the lock of promises it is exact.
pub(super) fn capacity(backend: &dyn Backend, pool: &Pool) -> Result<Capacity> {
    let space = backend.space(pool)?;
    let mut promised = 0u64;
    let mut held = 0u64;
    let mut owed_thick = 0u64;
    // Those being made first: one that is finished between the two looks is seen twice, never missed.
    let hidden = backend.catalog().preparing(pool)?.records;
    let visible = backend.catalog().volumes(pool)?.records;
    for volume in &visible {
        let Some(has) = held_by(backend, pool, volume)? else { continue };
        promised = promised.saturating_add(volume.size);
        held = held.saturating_add(has);
        owed_thick = owed_thick.saturating_add(owed(volume, has));
    }
    for volume in &hidden {
        if visible.iter().any(|found| found.uuid == volume.uuid) {
            continue;
        }
        promised = promised.saturating_add(volume.size);
        owed_thick = owed_thick.saturating_add(owed(volume, 0));
    }
    let limit = (space.free.saturating_add(held)) as f64 * pool.record.overcommit;
    let thin = (limit as u64).saturating_sub(promised);
    let thick = space.free.saturating_sub(owed_thick).min(thin);
    Ok(Capacity { total: space.total, free: space.free, promised, held, thin, thick })
}

/// `NoSpace` unless the pool can promise the volume `bytes` in all, and `OutOfRange` when it could not even
/// if the volume were alone in it: waiting for room is of no use then, and callers are to know.
pub(super) fn demand_growth(
    backend: &dyn Backend,
    pool: &Pool,
    volume: &VolumeRecord,
    bytes: u64,
) -> Result<()> {
    let more = bytes.saturating_sub(volume.size);
    let Err(refused) = demand(backend, pool, more, volume.provisioning) else {
        return Ok(());
    };
    let total = backend.space(pool)?.total;
    let promises = (total as f64 * pool.record.overcommit) as u64;
    let most = match volume.provisioning {
        Provisioning::Thin => promises,
        Provisioning::Thick => promises.min(total),
    };
    if refused.kind() != Kind::NoSpace || bytes <= most {
        return Err(refused);
    }
    let words = format!(
        "{} is more than pool `{}` could hold with nothing else in it: {}",
        size::display(bytes),
        pool.name(),
        size::display(most)
    );
    Err(Error::new(Kind::OutOfRange, words).hint("ask for less, or give the pool more storage"))
}

/// What the volume holds; `None` where it was deleted meanwhile. One whose storage is lost or damaged holds
/// nothing that could be counted on, which leaves less to promise, and does not keep the others from being made.
fn held_by(backend: &dyn Backend, pool: &Pool, volume: &VolumeRecord) -> Result<Option<u64>> {
    let allocated = || backend.allocated(pool, volume);
    match unless_deleted(backend, pool, volume, allocated) {
        Ok(found) => Ok(found.map(|has| has.min(volume.size))),
        Err(error) if error.kind() == Kind::WrongState => {
            log::warn!("volume `{}` is not as it was made: {error}", volume.name);
            Ok(Some(0))
        }
        Err(error) => Err(error),
    }
}

fn owed(volume: &VolumeRecord, has: u64) -> u64 {
    match volume.provisioning {
        Provisioning::Thick => volume.size.saturating_sub(has),
        Provisioning::Thin => 0,
    }
}

/// `NoSpace` unless the pool can promise `bytes` more.
pub(super) fn demand(
    backend: &dyn Backend,
    pool: &Pool,
    bytes: u64,
    provisioning: Provisioning,
) -> Result<()> {
    let capacity = capacity(backend, pool)?;
    let available = match provisioning {
        Provisioning::Thin => capacity.thin,
        Provisioning::Thick => capacity.thick,
    };
    if bytes <= available {
        return Ok(());
    }
    Err(Error::new(
        Kind::NoSpace,
        format!(
            "pool `{}` cannot promise {}: {} is available",
            pool.name(),
            size::display(bytes),
            size::display(available)
        ),
    )
    .hint(format!(
        "{} of it are free and {} are promised; delete volumes, empty the trash, or raise the pool's over-commit",
        size::display(capacity.free),
        size::display(capacity.promised)
    )))
}
