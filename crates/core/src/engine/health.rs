//! What is wrong with a volume or a pool, from what the pool and the kernel say now.
//!
//! Nothing is changed, nothing is locked and nothing is remembered: a complaint is there while its
//! reason is. Whoever watches asks every minute for every volume, so one answer takes the volume's
//! record, the first bytes of its image and two tables of the node, and no walk through the pool.
//!
//! | reason | severity | what was found |
//! |---|---|---|
//! | `RecordDamaged` | inaccessible | the record cannot be read |
//! | `ImageMissing`, `DirectoryMissing` | data loss | there is no image file, or no directory |
//! | `ImageUnreadable`, `DirectoryUnreadable` | inaccessible | it is there and cannot be opened or read |
//! | `ImageCutShort` | data loss | the image is smaller than what was made on it |
//! | `FilesystemLost` | data loss | the image does not hold its filesystem any more |
//! | `FilesystemErrors` | degraded | the kernel recorded an error in the filesystem (ext4) |
//! | `FilesystemShutDown` | inaccessible | the kernel gave up the mounted filesystem |
//! | `MountedReadOnly` | degraded | the kernel made a filesystem read-only that was mounted writable |
//! | `DeviceGone` | data loss | a device is attached to an image that was removed |
//! | `PoolUnreachable` | inaccessible | the pool cannot be opened, or is not whole |
//! | `PoolReadOnly` | degraded | the filesystem below the pool is read-only |
//! | `PoolFull`, `PoolNearlyFull` | degraded | nothing, or less than 5 %, is left for volumes that may grow |
//! | `OvercommitExhausted` | degraded | more is promised than the pool's over-commit lets it hold |

mod node;
mod pool;
mod storage;
mod told;

use super::apart::Operation;
use super::{Engine, missing};
use crate::backend::Backend;
use crate::catalog::Existence;
use crate::pool::Pool;
use crate::record::VolumeRecord;
use crate::{Error, Kind, Name, Result};
use node::Node;
use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    /// It can be used, and not as it should be.
    Degraded,
    /// It cannot be used on this node.
    Inaccessible,
    /// Data is lost, or will be.
    DataLoss,
}

/// Something that is wrong. Of one volume or pool no two have the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Complaint {
    /// How bad it is.
    pub severity: Severity,
    /// A fixed word in CamelCase for programs; those there are stand above.
    pub reason: &'static str,
    /// A sentence for people, with the object in backticks.
    pub message: String,
}

impl Complaint {
    fn new(severity: Severity, reason: &'static str, message: impl Into<String>) -> Complaint {
        Complaint { severity, reason, message: message.into() }
    }
}

impl Engine {
    /// What is wrong with the volume; nothing for a healthy one. In a pool that cannot be reached that
    /// is the complaint. `NotFound` where the pool is healthy and does not have the volume, and where
    /// this node never had the pool.
    pub fn volume_health(&self, pool: &Name, name: &Name) -> Result<Vec<Complaint>> {
        let pool = match self.open(pool) {
            Err(error) if error.kind() != Kind::NotFound => return Ok(vec![unreachable(&error)]),
            other => other?,
        };
        if let Some(apart) = self.apart(&pool) {
            return match apart.ask(Operation::VolumeHealth(name.clone())) {
                Err(error) if error.kind() != Kind::NotFound => Ok(vec![unreachable(&error)]),
                other => other,
            };
        }
        let backend = self.backend(&pool)?;
        let complaints = match backend.catalog().volume(&pool, name) {
            Ok(Existence::Present(record)) => look(backend, &pool, record, &Node::read(&pool)?),
            Ok(Existence::Absent) => None,
            Err(error) => Some(vec![unreadable(&error)]),
        };
        complaints.ok_or_else(|| missing("volume", &pool, name))
    }

    /// The volumes of the pool with which something is wrong, by name.
    pub fn unhealthy_volumes(&self, pool: &Name) -> Result<Vec<(Name, Vec<Complaint>)>> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::UnhealthyVolumes);
        }
        let backend = self.backend(&pool)?;
        let node = Node::read(&pool)?;
        let listing = backend.catalog().volumes(&pool)?;
        let mut unhealthy = Vec::new();
        for record in listing.records {
            let name = record.name.clone();
            let complaints = look(backend, &pool, record, &node).unwrap_or_default();
            if !complaints.is_empty() {
                unhealthy.push((name, complaints));
            }
        }
        for (place, error) in listing.unreadable {
            match Name::new(place.as_str()) {
                Ok(name) => unhealthy.push((name, vec![unreadable(&error)])),
                Err(_) => log::warn!("`{place}` of pool `{}` is no volume of ours", pool.name()),
            }
        }
        unhealthy.sort_by(|(one, _), (other, _)| one.cmp(other));
        Ok(unhealthy)
    }

    /// What is wrong with the pool; nothing for a healthy one, and for the one that is made by itself
    /// when it is first used. Not being able to tell is a complaint.
    pub fn pool_health(&self, pool: &Name) -> Vec<Complaint> {
        if matches!(self.would_make(pool), Ok(true)) {
            return Vec::new();
        }
        let found = self.open(pool).and_then(|pool| match self.apart(&pool) {
            Some(apart) => apart.ask(Operation::PoolHealth),
            None => pool::complaints(self.backend(&pool)?, &pool),
        });
        found.unwrap_or_else(|error| vec![unreachable(&error)])
    }
}

/// The complaints about a volume; `None` when it was deleted meanwhile. It is not locked, so what is
/// found counts only while its record is what it was.
fn look(
    backend: &dyn Backend,
    pool: &Pool,
    mut record: VolumeRecord,
    node: &Node,
) -> Option<Vec<Complaint>> {
    for _ in 0..3 {
        let (mut complaints, medium) = storage::complaints(backend, pool, &record);
        for more in node.complaints(backend, pool, &record, medium.as_ref()) {
            // The kernel and the superblock may tell of the same.
            if complaints.iter().all(|told| told.reason != more.reason) {
                complaints.push(more);
            }
        }
        if complaints.is_empty() {
            return Some(complaints);
        }
        match backend.catalog().volume(pool, &record.name) {
            Ok(Existence::Present(now)) if now == record => return Some(complaints),
            Ok(Existence::Present(now)) => record = now,
            Ok(Existence::Absent) => return None,
            Err(error) => return Some(vec![unreadable(&error)]),
        }
    }
    // Somebody is changing it all the time, so somebody can use it.
    Some(Vec::new())
}

fn unreachable(error: &Error) -> Complaint {
    Complaint::new(Severity::Inaccessible, "PoolUnreachable", error.message())
}

/// Its record could not be looked up: because of the record, or of the whole pool.
fn unreadable(error: &Error) -> Complaint {
    match error.kind() {
        Kind::Unavailable => unreachable(error),
        _ => Complaint::new(Severity::Inaccessible, "RecordDamaged", error.message()),
    }
}
