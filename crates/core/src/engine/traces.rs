//! What is kept of a volume outside of its pool, and goes with it: notes and marks beside its lock, and
//! its own staging place.

use super::Engine;
use super::asked::{NOTES, forget_all};
use super::reconcile::attempt;
use super::snapshot::{MARK, mark_of};
use crate::backend::Backend;
use crate::catalog::Existence;
use crate::lock::{self, Lock};
use crate::pool::Pool;
use crate::{Name, Result};
use becket_sys::Errno;
use becket_sys::beneath::Dir;

impl Engine {
    /// Forgets a volume that is gone. What is in its staging place is not ours, and stays with it.
    pub(super) fn forget_traces(&self, pool: &Pool, name: &Name, _lock: &Lock) -> Result<()> {
        forget_all(pool, name)?;
        pool.locks.remove_file(mark_of(name))?;
        if let Err(error) = self.anchor(pool.name(), name)?.remove_dir() {
            log::warn!("a staging place stays: {error}");
        }
        Ok(())
    }

    /// Removes what killed processes left beside the locks: files of locks that nobody holds, and what is
    /// kept of volumes that are gone.
    pub(super) fn old_traces(&self, backend: &dyn Backend, pool: &Pool) -> Result<()> {
        for file in pool.locks.names()? {
            let kept = file.strip_suffix(NOTES).or(file.strip_suffix(MARK));
            let name = kept.and_then(|kept| Name::new(kept.strip_prefix("volume-")?).ok());
            let Some(name) = name else { continue };
            let Some(lock) = attempt(pool, "volume", &name)? else { continue };
            if matches!(backend.catalog().volume(pool, &name), Ok(Existence::Absent)) {
                self.forget_traces(pool, &name, &lock)?;
            }
        }
        lock::sweep(&pool.locks)
    }

    /// Removes the empty staging places of a pool that the node does not have any more. One with anything
    /// in it, or mounted on it, stays.
    pub(super) fn forget_places(&self, pool: &Name) -> Result<()> {
        let staged = self.state().staged();
        let places = match Dir::open(staged.join(pool)) {
            Err(error) if error.errno == Errno::NOENT => return Ok(()),
            other => other?,
        };
        let mut left = Vec::new();
        for place in places.names()? {
            left.extend(places.remove_dir(&place).err());
        }
        left.extend(Dir::open(staged)?.remove_dir(pool).err());
        for error in left {
            log::warn!("a staging place stays: {error}");
        }
        Ok(())
    }
}
