//! What is wrong with a pool as a whole.

use super::{Complaint, Severity};
use crate::backend::{Backend, Space};
use crate::pool::Pool;
use crate::record::{Provisioning, VolumeRecord};
use crate::{Result, size};
use becket_sys::{mountinfo, point};
use std::os::fd::AsFd;

/// The part of a pool that should be free as long as its volumes may grow: one in this many.
const NEARLY_FULL: u64 = 20;

/// With less than this free nothing can be made or changed any more: filesystems keep a little back.
const LEAST: u64 = 1024 * 1024;

/// The complaints about the pool. An error means that it cannot be reached.
pub(super) fn complaints(backend: &dyn Backend, pool: &Pool) -> Result<Vec<Complaint>> {
    let volumes = backend.catalog().volumes(pool)?.records;
    let space = backend.space(pool)?;
    let mut found = Vec::new();
    found.extend(readonly(pool)?);
    found.extend(full(backend, pool, space, &volumes));
    found.extend(overcommitted(backend, pool, space, &volumes));
    Ok(found)
}

fn readonly(pool: &Pool) -> Result<Option<Complaint>> {
    let id = point::look_at(pool.dir.as_fd(), pool.dir.path())?.mount_id;
    let mount = mountinfo::read()?.into_iter().find(|entry| entry.id == id);
    let readonly =
        |entry: &mountinfo::Entry| entry.readonly || entry.has("ro") || entry.has("emergency_ro");
    Ok(mount.filter(readonly).map(|entry| {
        let message = format!(
            "pool `{}` is on a read-only filesystem, mounted at `{}`",
            pool.name(),
            entry.point.display()
        );
        Complaint::new(Severity::Degraded, "PoolReadOnly", message)
    }))
}

fn full(
    backend: &dyn Backend,
    pool: &Pool,
    space: Space,
    volumes: &[VolumeRecord],
) -> Option<Complaint> {
    let free = size::display(space.free);
    if space.free < LEAST {
        let message = format!("pool `{}` is full: {free} are free", pool.name());
        return Some(Complaint::new(Severity::Degraded, "PoolFull", message));
    }
    let may_grow = |volume: &VolumeRecord| {
        let thin = volume.provisioning == Provisioning::Thin;
        thin && (volume.size == 0 || held(backend, pool, volume) < volume.size)
    };
    if space.free >= space.total / NEARLY_FULL || !volumes.iter().any(may_grow) {
        return None;
    }
    let (total, name) = (size::display(space.total), pool.name());
    let message = format!("pool `{name}` is nearly full: {free} of {total} are free");
    Some(Complaint::new(Severity::Degraded, "PoolNearlyFull", message))
}

/// Somebody else fills the medium, or snapshots hold what volumes have since overwritten.
fn overcommitted(
    backend: &dyn Backend,
    pool: &Pool,
    space: Space,
    volumes: &[VolumeRecord],
) -> Option<Complaint> {
    let promised = volumes.iter().fold(0u64, |sum, volume| sum.saturating_add(volume.size));
    let limit =
        |held: u64| (space.free.saturating_add(held) as f64 * pool.record.overcommit) as u64;
    // What the medium needs for its own bookkeeping was promised as well.
    let exceeds = |held| promised > limit(held).saturating_add(space.total / 100);
    // Most pools can do without the question to each volume.
    if !exceeds(0) {
        return None;
    }
    let held =
        volumes.iter().fold(0u64, |sum, volume| sum.saturating_add(held(backend, pool, volume)));
    exceeds(held).then(|| {
        let message = format!(
            "pool `{}` has promised {} and can hold {}: its volumes may run out of space",
            pool.name(),
            size::display(promised),
            size::display(limit(held))
        );
        Complaint::new(Severity::Degraded, "OvercommitExhausted", message)
    })
}

/// What the volume has of its size, and shares with nothing. What cannot be asked is the volume's own
/// complaint.
fn held(backend: &dyn Backend, pool: &Pool, volume: &VolumeRecord) -> u64 {
    backend.allocated(pool, volume).unwrap_or(0).min(volume.size)
}
