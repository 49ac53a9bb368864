//! Staging, publishing, and the way back.
//!
//! Nothing here formats. Nothing here remembers: what is mounted where is read from the kernel.

use super::create::unreachable_step;
use super::expand::grow_storage;
use super::observe::{Places, mounts};
use super::steps::{bind, stage_step, unmount_all};
use super::{Engine, NewVolume, refusal};
use crate::catalog::Existence;
use crate::lock::Lock;
use crate::plan::{Conflict, Plan, Step, Wanted, plan};
use crate::pool::Pool;
use crate::record::{Content, VolumeRecord};
use crate::target::Target;
use crate::{Error, Kind, Name, Result};
use becket_sys::mountinfo::{self, Entry};
use std::path::{Path, PathBuf};

/// How a volume is published at a target.
#[derive(Debug, Clone, Default)]
pub struct Publication {
    /// It cannot be written through the target.
    pub readonly: bool,
    /// The group that gets to write in the volume's top directory.
    pub group: Option<u32>,
    /// The directory within a directory volume that the target shows; made where it is absent.
    pub below: Option<String>,
}

/// The parameter of a volume that says what becomes of a pod's own directory when it is unmounted.
pub const ON_UNMOUNT: &str = "onUnmount";

impl Engine {
    /// Mounts the volume at the staging path, or attaches it where it is raw block.
    pub fn stage(&self, pool: &Name, name: &Name, staging: &Target) -> Result<()> {
        let pool = self.open(pool)?;
        let lock = self.lock_volume(&pool, name)?;
        self.stage_locked(&pool, name, staging, &lock)
    }

    fn stage_locked(&self, pool: &Pool, name: &Name, staging: &Target, _lock: &Lock) -> Result<()> {
        let backend = self.backend(pool)?;
        let places = Places { staging: Some(staging), ..Places::default() };
        let (observed, record) = self.observe(pool, name, places, |_| true)?;
        let path = staging.path();
        let steps = match plan(&observed, Wanted::Staged) {
            Plan::Nothing => return Ok(()),
            Plan::Conflict(conflict) => {
                return Err(refusal(conflict, pool, name, &path.display().to_string()));
            }
            Plan::Steps(steps) => steps,
        };
        let Some(mut record) = record else {
            return unreachable_step(Step::Stage);
        };
        for step in steps {
            match step {
                Step::GrowStorage => {
                    let promised = record.size;
                    grow_storage(backend, pool, &mut record, promised)?;
                }
                Step::Stage => stage_step(backend, pool, &mut record, staging)
                    .map_err(|error| error.during(format!("cannot stage volume `{name}`")))?,
                other => return unreachable_step(other),
            }
        }
        Ok(())
    }

    /// Binds the staged volume to the target path.
    pub fn publish(
        &self,
        pool: &Name,
        name: &Name,
        staging: &Target,
        target: &Target,
        publication: &Publication,
    ) -> Result<()> {
        let pool = self.open(pool)?;
        let lock = self.lock_volume(&pool, name)?;
        self.publish_locked(&pool, name, staging, target, publication, &lock)
    }

    fn publish_locked(
        &self,
        pool: &Pool,
        name: &Name,
        staging: &Target,
        target: &Target,
        publication: &Publication,
        _lock: &Lock,
    ) -> Result<()> {
        let backend = self.backend(pool)?;
        let below = publication.below.as_deref();
        let places =
            Places { staging: Some(staging), target: Some(target), below, everywhere: false };
        let (observed, record) = self.observe(pool, name, places, |_| true)?;
        match plan(&observed, Wanted::Published { readonly: publication.readonly }) {
            Plan::Nothing => Ok(()),
            Plan::Conflict(conflict) => {
                Err(refusal(conflict, pool, name, &target.path().display().to_string()))
            }
            Plan::Steps(_) => {
                let Some(record) = record else {
                    return unreachable_step(Step::Stage);
                };
                bind(backend, pool, &record, staging, target, publication)
                    .map_err(|error| error.during(format!("cannot publish volume `{name}`")))
            }
        }
    }

    /// Stages the volume at its own place in the state directory and publishes it: what a driver
    /// without a staging call does. A volume that does not exist is made first if `make` says how;
    /// one that does is taken as it is.
    ///
    /// A publication that fails takes the stage back unless others use it.
    pub fn mount(
        &self,
        pool: &Name,
        name: &Name,
        make: Option<&NewVolume>,
        target: &Target,
        publication: &Publication,
    ) -> Result<()> {
        let pool = match make {
            Some(_) => self.open_or_make(pool)?,
            None => self.open(pool)?,
        };
        let lock = self.lock_volume(&pool, name)?;
        let absent = self.backend(&pool)?.catalog().volume(&pool, name)? == Existence::Absent;
        if let (Some(new), true) = (make, absent) {
            self.create_locked(&pool, new, &lock)?;
        }
        if self.present(&pool, name)?.content == Content::Block {
            return Err(Error::new(
                Kind::Invalid,
                format!("volume `{name}` is raw block and has nothing to mount"),
            ));
        }
        let anchor = self.anchor(pool.name(), name)?;
        let outcome = self
            .stage_locked(&pool, name, &anchor, &lock)
            .and_then(|()| self.publish_locked(&pool, name, &anchor, target, publication, &lock));
        let Err(error) = outcome else { return Ok(()) };
        let mut errors = vec![error];
        errors.extend(self.release(pool.name(), name, Some(&lock)).err());
        Error::all(errors)
    }

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
                return self.release(&seen.pool, &seen.volume, None);
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
        self.release(&seen.pool, &seen.volume, Some(&lock))
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
    /// from an unmounted target what it had shown.
    fn unmount_published(&self, pool: &Pool, target: &Target, shown: &Published) -> Result<()> {
        let Some((record, below)) = self.passing(pool, target, shown)? else {
            return unmount_all(target);
        };
        let backend = self.backend(pool)?;
        let aside = backend.set_aside(pool, &record, below)?;
        if let Err(error) = unmount_all(target) {
            let back = backend.bring_back(pool, &record, below, &aside);
            return Error::all([Some(error), back.err()].into_iter().flatten().collect());
        }
        backend.catalog().sweep(pool)
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
        let record = match backend.catalog().volume(pool, &published.volume) {
            Ok(Existence::Present(record)) => record,
            Ok(Existence::Absent) => return Ok(None),
            Err(error) => {
                log::warn!("what `{}` showed is kept: {error}", path.display());
                return Ok(None);
            }
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

    /// Unmounts the target, whatever volume it is of, and leaves the stage alone.
    pub fn unpublish(&self, target: &Target) -> Result<()> {
        unmount_all(target)
    }

    /// Unmounts the staging path and detaches the volume where nothing uses it any more.
    pub fn unstage(&self, pool: &Name, name: &Name, staging: &Target) -> Result<()> {
        let pool = self.open(pool)?;
        let lock = self.lock_volume(&pool, name)?;
        self.unstage_locked(&pool, name, staging, &lock)
    }

    fn unstage_locked(
        &self,
        pool: &Pool,
        name: &Name,
        staging: &Target,
        _lock: &Lock,
    ) -> Result<()> {
        let backend = self.backend(pool)?;
        let places = Places { staging: Some(staging), everywhere: true, ..Places::default() };
        let (observed, record) = self.observe(pool, name, places, |_| true)?;
        let taken =
            || refusal(Conflict::StagingTaken, pool, name, &staging.path().display().to_string());
        if record.is_none() && staging.look()?.is_some_and(|point| point.mounted) {
            return Err(taken());
        }
        let steps = match plan(&observed, Wanted::Unstaged) {
            Plan::Nothing => return Ok(()),
            Plan::Conflict(_) => return Err(taken()),
            Plan::Steps(steps) => steps,
        };
        let Some(record) = record else {
            return unreachable_step(Step::Unstage);
        };
        for step in steps {
            match step {
                Step::Unstage if record.content == Content::Block => {}
                Step::Unstage => unmount_all(staging)?,
                Step::Detach => backend.detach(pool, &record)?,
                other => return unreachable_step(other),
            }
        }
        Ok(())
    }

    /// Unmounts the volume's own staging place if nothing else shows what is mounted there. The kernel
    /// detaches the device with it.
    pub(super) fn release(&self, pool: &Name, name: &Name, _lock: Option<&Lock>) -> Result<()> {
        let anchor = self.anchor(pool, name)?;
        if let Some(point) = anchor.look()?.filter(|point| point.mounted) {
            let table = mountinfo::read()?;
            let own = table.iter().find(|entry| entry.id == point.mount_id);
            let used =
                |own: &Entry| table.iter().any(|entry| entry.id != own.id && shows(entry, own));
            if own.is_some_and(used) {
                return Ok(());
            }
            unmount_all(&anchor)?;
        }
        anchor.remove_dir()
    }

    /// The volume's own staging place: `<state>/staged/<pool>/<volume>`.
    pub fn anchor(&self, pool: &Name, name: &Name) -> Result<Target> {
        let staged = self.state.staged();
        Target::beneath(&staged, &staged.join(pool).join(name))
    }

    /// The staging place, among the mounts of the table, of the volume that `entry` shows: the same
    /// filesystem, and the deepest root that `entry`'s lies in.
    fn anchor_of<'a>(&self, table: &'a [Entry], entry: &Entry) -> Option<&'a Entry> {
        let staged = self.state.staged();
        table
            .iter()
            .filter(|other| other.id != entry.id && other.point.starts_with(&staged))
            .filter(|other| shows(entry, other))
            .max_by_key(|other| other.root.as_os_str().len())
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
struct Published {
    pool: Name,
    volume: Name,
    /// The path, within its filesystem, of the directory that the target shows.
    root: PathBuf,
    /// The same, below the top of the volume.
    below: PathBuf,
}

/// True when `entry` shows the directory that `other` shows, or one in it.
fn shows(entry: &Entry, other: &Entry) -> bool {
    entry.device == other.device && entry.root.starts_with(&other.root)
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
