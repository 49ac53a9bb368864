//! Unmounting: what a driver does that is told a path and nothing else.
//!
//! Only the kernel is asked what is mounted there and which volume it is of.

use super::Engine;
use super::mount::ON_UNMOUNT;
use super::observe::{mounts, spot, top_of};
use super::refusal;
use super::steps::unmount_all;
use crate::catalog::Existence;
use crate::lock::Lock;
use crate::plan::{Conflict, Spot};
use crate::pool::Pool;
use crate::record::{Content, VolumeRecord};
use crate::target::Target;
use crate::{Error, Kind, Name, Result};
use becket_sys::mountinfo::{self, Entry};
use std::path::{Path, PathBuf};

impl Engine {
    /// Unmounts what is at the target, all of it; and when that was the last use of a volume staged in
    /// the state directory, the stage too. Nothing mounted there is fine, and so is no directory.
    ///
    /// Only the kernel is asked what is to be unmounted: neither a damaged record nor a pool whose disk
    /// is gone keeps a pod from ending.
    pub fn unmount(&self, target: &Target) -> Result<()> {
        let Some(seen) = self.published(target)? else {
            return unmount_all(target);
        };
        let pool = match self.open(&seen.pool) {
            Ok(pool) => pool,
            // Without the pool nothing can be staged either, so nobody is in our way.
            Err(error) => {
                log::warn!("volume `{}` is unmounted without its pool: {error}", seen.volume);
                unmount_all(target)?;
                return self.release(&seen.pool, &seen.volume, None).map(drop);
            }
        };
        let lock = self.lock_volume(&pool, &seen.volume)?;
        // Whoever had the lock may have unmounted the target, and it may show something else by now.
        match self.published(target)? {
            Some(now) if (&now.pool, &now.volume) == (&seen.pool, &seen.volume) => {
                self.unmount_published(&pool, target, &now)?;
            }
            Some(now) => {
                return Err(Error::new(
                    Kind::Busy,
                    format!("`{}` shows volume `{}` by now", target.path().display(), now.volume),
                )
                .hint("it is safe to try again"));
            }
            None => unmount_all(target)?,
        }
        self.release(&seen.pool, &seen.volume, Some(&lock)).map(drop)
    }

    /// Unmounts the volume from the target, which is removed, and leaves the stage alone. Nothing mounted
    /// there is fine, and so is no such target; a pool that is gone keeps no pod from ending.
    pub fn withdraw(&self, pool: &Name, name: &Name, target: &Target) -> Result<()> {
        let pool = match self.open(pool) {
            Ok(pool) => pool,
            Err(error) => {
                log::warn!("volume `{name}` is unpublished without its pool: {error}");
                unmount_all(target)?;
                self.let_go_unread(pool, name);
                return target.remove();
            }
        };
        if self.apart(&pool).is_some() {
            return self.withdraw_unasked(&pool, name, target);
        }
        let _lock = self.lock_volume(&pool, name)?;
        match self.shown(&pool, name, target) {
            Ok(Some(shown)) => self.unmount_published(&pool, target, &shown)?,
            Ok(None) => {
                self.refuse_another(&pool, name, target)?;
                unmount_all(target)?;
            }
            Err(error) => {
                log::warn!("what `{}` showed is kept: {error}", target.path().display());
                unmount_all(target)?;
            }
        }
        match self.backend(&pool)?.catalog().volume(&pool, name) {
            Ok(Existence::Present(record)) if record.content == Content::Block => {
                self.let_go(pool.name(), name)?;
            }
            Ok(Existence::Present(_)) => {}
            _ => self.let_go_unread(pool.name(), name),
        }
        target.remove()?;
        self.forget_words(&pool, name, &target.path())
    }

    /// `WrongState` when what is at the target is not the volume, nor lies over it. Of a volume whose record
    /// cannot be read, or is gone, nobody can say.
    fn refuse_another(&self, pool: &Pool, name: &Name, target: &Target) -> Result<()> {
        let backend = self.backend(pool)?;
        let Ok(Some(record)) = backend.catalog().volume(pool, name).map(Existence::found) else {
            return Ok(());
        };
        let path = target.path();
        let foreign = matches!(spot(backend, pool, &record, target, None), Ok(Spot::Foreign));
        if !foreign || mounts(backend, pool, &record)?.iter().any(|entry| entry.point == path) {
            return Ok(());
        }
        Err(refusal(Conflict::TargetTaken, pool, name, &path.display().to_string()))
    }

    /// What the target shows of a directory volume; `None` for others, which are shown whole.
    pub(super) fn shown(
        &self,
        pool: &Pool,
        name: &Name,
        target: &Target,
    ) -> Result<Option<Published>> {
        let Some(point) = target.look()?.filter(|point| point.mounted) else {
            return Ok(None);
        };
        let backend = self.backend(pool)?;
        let Some(record) = backend.catalog().volume(pool, name)?.found() else {
            return Ok(None);
        };
        let Some(top) = top_of(backend, pool, &record)? else {
            return Ok(None);
        };
        let table = mountinfo::read()?;
        let mounted = stacked(&table, point.mount_id);
        let ours = mounted.into_iter().find(|entry| entry.root.starts_with(&top));
        Ok(ours.map(|entry| Published {
            pool: pool.name().clone(),
            volume: name.clone(),
            root: entry.root.clone(),
            below: entry.root.strip_prefix(&top).unwrap_or(Path::new("")).to_owned(),
        }))
    }

    /// The volume that the target shows, if that is staged in the state directory.
    fn published(&self, target: &Target) -> Result<Option<Published>> {
        let Some(point) = target.look()?.filter(|point| point.mounted) else {
            return Ok(None);
        };
        let table = mountinfo::read()?;
        // Others may have mounted something over the volume, or under it.
        let stack = stacked(&table, point.mount_id);
        let ours = stack.iter().find_map(|entry| Some((*entry, self.anchor_of(&table, entry)?)));
        let Some((mounted, anchor)) = ours else {
            return Ok(None);
        };
        let (pool, volume) = self.anchored(anchor)?;
        let below = mounted.root.strip_prefix(&anchor.root).unwrap_or(Path::new("")).to_owned();
        Ok(Some(Published { pool, volume, root: mounted.root.clone(), below }))
    }

    /// Unmounts the target; and where it shows a pod's own directory that is not to be kept, removes
    /// that. It is moved out of the volume first, because a retry after a kill could no longer tell
    /// from an unmounted target what it had shown. What keeps it from being removed keeps no pod from
    /// ending: it is logged, and the directory stays.
    fn unmount_published(&self, pool: &Pool, target: &Target, shown: &Published) -> Result<()> {
        if self.apart(pool).is_some() {
            // Such volumes have no directories of pods, and their server is not to be asked.
            return self.unmount_all_of(pool.name(), target);
        }
        let backend = self.backend(pool)?;
        let passing = self.passing(pool, target, shown).and_then(|passing| match passing {
            Some((record, below)) => {
                let aside = backend.set_aside(pool, &record, below)?;
                Ok(Some((record, below, aside)))
            }
            None => Ok(None),
        });
        let path = target.path();
        let passing = passing.unwrap_or_else(|error| {
            log::warn!("what `{}` showed is kept: {error}", path.display());
            None
        });
        let Some((record, below, aside)) = passing else {
            return unmount_all(target);
        };
        if let Err(error) = unmount_all(target) {
            let back = backend.bring_back(pool, &record, below, &aside);
            return Error::all([Some(error), back.err()].into_iter().flatten().collect());
        }
        if let Err(error) = backend.catalog().sweep(pool) {
            log::warn!("what `{}` showed is removed by the next sweep: {error}", path.display());
        }
        Ok(())
    }

    /// The volume and the directory in it that the target shows, if that is to be removed with its last
    /// mount and the target is that mount.
    fn passing<'a>(
        &self,
        pool: &Pool,
        target: &Target,
        published: &'a Published,
    ) -> Result<Option<(VolumeRecord, &'a str)>> {
        let backend = self.backend(pool)?;
        let path = target.path();
        let Some(record) = backend.catalog().volume(pool, &published.volume)?.found() else {
            return Ok(None);
        };
        let remove = record.parameters.get(ON_UNMOUNT).is_some_and(|what| what == "remove");
        let below = published.below.to_str().filter(|below| !below.is_empty());
        let (true, Some(below)) = (remove, below) else {
            return Ok(None);
        };
        // Another pod, or the same one at a second path, may still show it, or something in it.
        let shown = mounts(backend, pool, &record)?;
        let kept = shown
            .iter()
            .any(|entry| entry.point != path && entry.root.starts_with(&published.root));
        Ok((!kept).then_some((record, below)))
    }

    /// Unmounts the volume's own staging place if nothing else shows what is mounted there; false when
    /// something does. The kernel detaches the device with it.
    pub(super) fn release(&self, pool: &Name, name: &Name, _lock: Option<&Lock>) -> Result<bool> {
        let anchor = self.anchor(pool, name)?;
        if let Some(point) = anchor.look()?.filter(|point| point.mounted) {
            let table = mountinfo::read()?;
            let own = table.iter().find(|entry| entry.id == point.mount_id);
            let used =
                |own: &Entry| table.iter().any(|entry| entry.id != own.id && entry.shows(own));
            if own.is_some_and(used) {
                return Ok(false);
            }
            self.unmount_all_of(pool, &anchor)?;
        }
        anchor.remove_dir().map(|()| true)
    }

    /// The staging place, among the mounts of the table, of the volume that `entry` shows: the same
    /// filesystem, and the deepest root that `entry`'s lies in.
    fn anchor_of<'a>(&self, table: &'a [Entry], entry: &Entry) -> Option<&'a Entry> {
        let staged = self.state.staged();
        table
            .iter()
            .filter(|other| other.id != entry.id && other.point.starts_with(&staged))
            .filter(|other| entry.shows(other))
            .max_by_key(|other| (other.root.as_os_str().len(), other.source.as_os_str().len()))
    }

    /// Which volume of which pool a staging place belongs to, from its path.
    fn anchored(&self, anchor: &Entry) -> Result<(Name, Name)> {
        let staged = self.state.staged();
        let mut parts = anchor.point.strip_prefix(&staged).into_iter().flat_map(Path::iter);
        let mut next = || parts.next().and_then(|part| part.to_str()).map(Name::new);
        match (next(), next()) {
            (Some(Ok(pool)), Some(Ok(volume))) => Ok((pool, volume)),
            _ => Err(Error::new(
                Kind::Internal,
                format!("`{}` is no staging place of ours", anchor.point.display()),
            )),
        }
    }
}

/// A volume published from its own staging place.
pub(super) struct Published {
    pool: Name,
    volume: Name,
    /// The path, within its filesystem, of the directory that the target shows.
    root: PathBuf,
    /// The same, below the top of the volume.
    below: PathBuf,
}

/// The mounts that lie on each other at one place, from the topmost, whose id is known, down.
fn stacked(table: &[Entry], topmost: u64) -> Vec<&Entry> {
    let mut stack: Vec<&Entry> = Vec::new();
    let mut next = table.iter().find(|entry| entry.id == topmost);
    while let Some(entry) = next {
        stack.push(entry);
        next = table.iter().find(|below| below.id == entry.parent && below.point == entry.point);
    }
    stack
}
