//! Volumes that a pod's own definition holds: each is made for one path and ends with it.

use super::apart::Operation;
use super::steps::unmount_all;
use super::{Engine, NewVolume, Publication};
use crate::catalog::Existence;
use crate::target::Target;
use crate::{Error, Kind, Name, Result};

/// The label of such a volume.
pub const INLINE: &str = "inline";

impl Engine {
    /// Makes the volume, stages it at its own place and publishes it. One that is there is taken if it is
    /// such a volume, asked for in the same words. What this call made is gone again when it fails.
    pub fn mount_inline(
        &self,
        pool: &Name,
        new: &NewVolume,
        target: &Target,
        publication: &Publication,
    ) -> Result<()> {
        let pool = self.open_or_make(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::MountInline {
                new: Box::new(new.clone()),
                target: target.clone(),
                publication: publication.clone(),
            });
        }
        let lock = self.lock_volume(&pool, &new.name)?;
        let found = self.backend(&pool)?.catalog().volume(&pool, &new.name)?.found();
        if let Some(found) = found.as_ref().filter(|found| found.labels != new.labels) {
            return Err(Error::new(
                Kind::Conflict,
                format!("volume `{}` is there, and is no such volume of a pod", found.name),
            ));
        }
        let made = found.is_none();
        let mounted = self.mount_locked(&pool, &new.name, Some(new), target, publication, &lock);
        match mounted {
            Err(error) if made => {
                let undone = self.delete_locked(&pool, &new.name, &lock);
                self.empty_expired(&pool);
                Error::all([Some(error), undone.err()].into_iter().flatten().collect())
            }
            mounted => mounted,
        }
    }

    /// Ends the volume: unmounts it from the target, which is removed, and deletes it for good, with what
    /// a killed process left of its making. False when the pool has no such volume. `Busy` while it is
    /// being made.
    pub fn end_inline(&self, pool: &Name, name: &Name, target: Option<&Target>) -> Result<bool> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::EndInline { name: name.clone(), target: target.cloned() });
        }
        let lock = self.lock_volume(&pool, name)?;
        let ours = match self.backend(&pool)?.catalog().volume(&pool, name) {
            Ok(Existence::Present(found)) if !found.labels.contains_key(INLINE) => {
                return Ok(false);
            }
            Ok(Existence::Present(_)) => true,
            Ok(Existence::Absent) => false,
            Err(error) => {
                // Its pod ends all the same; a person decides about what cannot be read.
                log::warn!("volume `{name}` is unmounted and kept: {error}");
                if let Some(target) = target {
                    unmount_all(target)?;
                    target.remove()?;
                }
                return self.release(pool.name(), name, Some(&lock));
            }
        };
        if let Some(target) = target.filter(|_| ours) {
            unmount_all(target)?;
            target.remove()?;
        }
        if ours {
            self.release(pool.name(), name, Some(&lock))?;
        }
        self.delete_locked(&pool, name, &lock)?;
        self.empty_expired(&pool);
        Ok(ours)
    }
}
