//! Staging and publishing, and unstaging. The way back from a published path is in [`super::unmount`].
//!
//! Nothing here formats; what the first stage of an encrypted volume makes is in [`super::encrypted`]. Nothing
//! here remembers: what is mounted where is read from the kernel.

use super::apart::Operation;
use super::create::unreachable_step;
use super::encrypted::unlock;
use super::expand::grow_storage;
use super::observe::Places;
use super::steps::{bind, stage_step, unmount_all};
use super::{Engine, NewVolume, missing, refusal};
use crate::encryption::Passphrase;
use crate::lock::Lock;
use crate::mount_flags::MountFlags;
use crate::plan::{Conflict, Plan, Step, Wanted, plan};
use crate::pool::Pool;
use crate::record::Content;
use crate::target::Target;
use crate::{Error, Kind, Name, Result};
use serde::{Deserialize, Serialize};

/// How a volume is staged.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Staging {
    /// Words for the mount of its filesystem.
    pub flags: MountFlags,
    /// The group that gets everything in the volume.
    pub group: Option<u32>,
    /// The words of the request that a mount does not show: a repeat with others is a `Conflict`.
    pub asked: String,
    /// What opens an encrypted volume. It is not handed to other processes.
    #[serde(skip)]
    pub passphrase: Option<Passphrase>,
}

/// How a volume is published at a target.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Publication {
    /// It cannot be written through the target.
    pub readonly: bool,
    /// The group that gets to write in the volume's top directory.
    pub group: Option<u32>,
    /// That group gets everything below the top directory too.
    pub deep: bool,
    /// Words for the view of it.
    pub flags: MountFlags,
    /// It is to be at no other path of this node.
    pub exclusive: bool,
    /// The words of the request that a mount does not show: a repeat with others is a `Conflict`.
    pub asked: String,
    /// The directory within a directory volume that the target shows; made where it is absent.
    pub below: Option<String>,
    /// What opens an encrypted volume where it is staged too ([`Engine::mount`]). It is not handed to other
    /// processes.
    #[serde(skip)]
    pub passphrase: Option<Passphrase>,
}

/// The parameter of a volume that says what becomes of a pod's own directory when it is unmounted.
pub const ON_UNMOUNT: &str = "onUnmount";

impl Engine {
    /// Mounts the volume at the staging path, or attaches it where it is raw block.
    pub fn stage(&self, pool: &Name, name: &Name, staging: &Target) -> Result<()> {
        self.stage_as(pool, name, staging, &Staging::default())
    }

    /// [`Engine::stage`], in a certain way.
    pub fn stage_as(
        &self,
        pool: &Name,
        name: &Name,
        staging: &Target,
        how: &Staging,
    ) -> Result<()> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Stage {
                name: name.clone(),
                staging: staging.clone(),
                how: how.clone(),
            });
        }
        let lock = self.lock_volume(&pool, name)?;
        self.stage_locked(&pool, name, staging, how, &lock)
    }

    fn stage_locked(
        &self,
        pool: &Pool,
        name: &Name,
        staging: &Target,
        how: &Staging,
        _lock: &Lock,
    ) -> Result<()> {
        let backend = self.backend(pool)?;
        let places = Places { staging: Some(staging), ..Places::default() };
        let (observed, record) = self.observe(pool, name, places, |_| true)?;
        let path = staging.path();
        let steps = match plan(&observed, Wanted::Staged) {
            Plan::Nothing => return self.same_words(pool, name, &path, &how.asked),
            Plan::Conflict(conflict) => {
                return Err(refusal(conflict, pool, name, &path.display().to_string()));
            }
            Plan::Steps(steps) => steps,
        };
        let Some(mut record) = record else {
            return unreachable_step(Step::Stage);
        };
        // Until something else has the mapping open.
        let mut _unlocked = None;
        for step in steps {
            match step {
                Step::GrowStorage => {
                    let promised = record.size;
                    grow_storage(backend, pool, &mut record, promised)?;
                }
                Step::Unlock => {
                    let opened = unlock(backend, pool, &mut record, how.passphrase.as_ref());
                    let named =
                        |error: Error| error.during(format!("cannot stage volume `{name}`"));
                    _unlocked = Some(opened.map_err(named)?);
                }
                Step::Stage => {
                    self.note_words(pool, name, &path, &how.asked)?;
                    stage_step(backend, pool, &mut record, staging, how)
                        .map_err(|error| error.during(format!("cannot stage volume `{name}`")))?;
                }
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
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Publish {
                name: name.clone(),
                staging: staging.clone(),
                target: target.clone(),
                publication: publication.clone(),
            });
        }
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
        self.mend_stale(pool, name, staging, target, publication)?;
        let below = publication.below.as_deref();
        let exclusive = publication.exclusive;
        let places =
            Places { staging: Some(staging), target: Some(target), below, everywhere: exclusive };
        let (observed, record) = self.observe(pool, name, places, |_| true)?;
        match plan(&observed, Wanted::Published { readonly: publication.readonly, exclusive }) {
            Plan::Nothing => self.same_words(pool, name, &target.path(), &publication.asked),
            Plan::Conflict(conflict) => {
                Err(refusal(conflict, pool, name, &target.path().display().to_string()))
            }
            Plan::Steps(_) => {
                let Some(record) = record else {
                    return unreachable_step(Step::Stage);
                };
                self.note_words(pool, name, &target.path(), &publication.asked)?;
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
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Mount {
                name: name.clone(),
                make: make.map(|new| Box::new(new.clone())),
                target: target.clone(),
                publication: publication.clone(),
            });
        }
        let lock = self.lock_volume(&pool, name)?;
        self.mount_locked(&pool, name, make, target, publication, &lock)
    }

    /// [`Engine::mount`] for callers that hold the volume's lock.
    pub(super) fn mount_locked(
        &self,
        pool: &Pool,
        name: &Name,
        make: Option<&NewVolume>,
        target: &Target,
        publication: &Publication,
        lock: &Lock,
    ) -> Result<()> {
        let found = self.backend(pool)?.catalog().volume(pool, name)?.found();
        let record = match (found, make) {
            (Some(record), _) => record,
            (None, Some(new)) => self.create_locked(pool, new, lock)?,
            (None, None) => return Err(missing("volume", pool, name)),
        };
        if record.content == Content::Block {
            return Err(Error::new(
                Kind::Invalid,
                format!("volume `{name}` is raw block and has nothing to mount"),
            ));
        }
        let anchor = self.anchor(pool.name(), name)?;
        let (flags, passphrase) = (publication.flags.clone(), publication.passphrase.clone());
        let staging = Staging { flags, passphrase, ..Staging::default() };
        let outcome = self
            .stage_locked(pool, name, &anchor, &staging, lock)
            .and_then(|()| self.publish_locked(pool, name, &anchor, target, publication, lock));
        let Err(error) = outcome else { return Ok(()) };
        let mut errors = vec![error];
        errors.extend(self.release(pool.name(), name, Some(lock)).err());
        Error::all(errors)
    }

    /// Unmounts the target, whatever volume it is of, and leaves the stage alone.
    pub fn unpublish(&self, target: &Target) -> Result<()> {
        unmount_all(target)
    }

    /// Unmounts the staging path and detaches the volume where nothing uses it any more.
    pub fn unstage(&self, pool: &Name, name: &Name, staging: &Target) -> Result<()> {
        let pool = self.open(pool)?;
        if self.apart(&pool).is_some() {
            return self.unstage_unasked(&pool, name, staging);
        }
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
                Step::Unstage if record.content == Content::Block => {
                    self.say_unstaged(pool.name(), name)?;
                }
                Step::Unstage => unmount_all(staging)?,
                Step::Detach => backend.detach(pool, &record)?,
                other => return unreachable_step(other),
            }
        }
        self.forget_words(pool, name, &staging.path())
    }

    /// The volume's own staging place: `<state>/staged/<pool>/<volume>`.
    pub fn anchor(&self, pool: &Name, name: &Name) -> Result<Target> {
        let staged = self.state.staged();
        Target::beneath(&staged, &staged.join(pool).join(name))
    }
}
