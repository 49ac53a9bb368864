//! Making volumes: empty, restored from a snapshot, or cloned.
//!
//! A volume is built hidden and appears in one step when it is whole.

use super::apart::Operation;
use super::birth::{adopt, format};
use super::encrypted::refuse_unfinished;
use super::{Engine, capacity, refusal};
use crate::backend::{Backend, From};
use crate::catalog::Existence;
use crate::lock::Lock;
use crate::plan::{Plan, Step, Wanted, plan};
use crate::pool::Pool;
use crate::record::{Birth, Content, FORMAT, Origin, OriginKind, Provisioning, VolumeRecord, now};
use crate::settings::Settings;
use crate::{Error, Kind, Name, Result, size};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// What a new volume is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewVolume {
    /// Its name in the pool.
    pub name: Name,
    /// Its size in bytes, rounded up to a whole MiB; 0 for a directory without a limit, and for a
    /// copy that is as large as its origin.
    pub size: u64,
    /// What it gives its workload; `None` for the origin's, or the backend's default.
    pub content: Option<Content>,
    /// When its space is taken; `None` for what is usual in its pool.
    pub provisioning: Option<Provisioning>,
    /// What its first data is copied from.
    pub origin: Option<Origin>,
    /// What its backend wants to know.
    pub parameters: BTreeMap<String, String>,
    /// The words it was asked for with, kept to be compared and shown.
    pub labels: BTreeMap<String, String>,
    /// What may change in its life.
    pub settings: Settings,
}

impl NewVolume {
    /// An empty volume of the default content, provisioned as is usual in its pool.
    pub fn new(name: Name, size: u64) -> NewVolume {
        NewVolume {
            name,
            size,
            content: None,
            provisioning: None,
            origin: None,
            parameters: BTreeMap::new(),
            labels: BTreeMap::new(),
            settings: Settings::default(),
        }
    }
}

impl Engine {
    /// Makes the volume, or gives the one that is there already and is the same.
    ///
    /// `Conflict` when one of that name differs, `NoSpace` when the pool cannot promise its size.
    pub fn create(&self, pool: &Name, new: &NewVolume) -> Result<VolumeRecord> {
        let pool = self.open_or_make(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Create(Box::new(new.clone())));
        }
        let lock = self.lock_volume(&pool, &new.name)?;
        self.create_locked(&pool, new, &lock)
    }

    /// [`Engine::create`] for callers that hold the volume's lock.
    pub(super) fn create_locked(
        &self,
        pool: &Pool,
        new: &NewVolume,
        _lock: &Lock,
    ) -> Result<VolumeRecord> {
        let backend = self.backend(pool)?;
        let exists = backend.catalog().volume(pool, &new.name)?;
        // A volume that is there is compared with the request, not with an origin that may be gone.
        let (from, _origin_lock) = match exists {
            Existence::Absent => self.origin(pool, new)?,
            Existence::Present(_) => (None, None),
        };
        let mut record = wanted_record(backend, pool, new, from.as_ref())?;
        let origin = self.origin_now(pool, new)?;
        let (observed, present) = self.observe(pool, &new.name, Default::default(), |found| {
            same(found, new, origin, backend, pool)
        })?;
        if let Some(found) = &present
            && new.origin.is_some()
            && new.size == 0
        {
            record.size = found.size;
        }
        let wanted = Wanted::Exists {
            size: record.size,
            copied: new.origin.is_some(),
            // That of an encrypted one is made, or made its own, when it is first staged.
            filesystem: record.content.filesystem().is_some() && !backend.is_encrypted(&record),
        };
        let steps = match plan(&observed, wanted) {
            Plan::Conflict(conflict) => return Err(refusal(conflict, pool, &new.name, "")),
            Plan::Nothing => Vec::new(),
            Plan::Steps(steps) => steps,
        };
        if present.is_none() {
            backend.check(pool, &record)?;
        }
        for step in steps {
            if let Err(error) = self.create_step(backend, pool, &mut record, from.as_ref(), step) {
                let mut errors = vec![error.during(format!("cannot create volume `{}`", new.name))];
                errors.extend(backend.catalog().discard(pool, &new.name).err());
                Error::all(errors)?;
            }
        }
        Ok(present.unwrap_or(record))
    }

    fn create_step(
        &self,
        backend: &dyn Backend,
        pool: &Pool,
        record: &mut VolumeRecord,
        from: Option<&From>,
        step: Step,
    ) -> Result<()> {
        match step {
            Step::Discard => backend.catalog().discard(pool, &record.name),
            Step::Build => {
                self.begin(backend, pool, record)?;
                match from {
                    // A volume that is being written to is copied as it is at one moment.
                    Some(From::Volume(origin)) => {
                        self.at_one_moment(backend, pool, origin, |progress| {
                            backend.build(pool, record, from, progress)
                        })
                    }
                    _ => backend.build(pool, record, from, self.progress.as_ref()),
                }
            }
            Step::Format => format(backend, pool, record),
            Step::Adopt => adopt(backend, pool, record),
            Step::Commit => {
                record.birth = match (backend.is_encrypted(record), from) {
                    (false, _) => Birth::Ready,
                    (true, None) => Birth::Blank,
                    (true, Some(from)) if from.is_blank() => Birth::Blank,
                    (true, Some(_)) => Birth::Copied,
                };
                backend.catalog().commit(pool, record)
            }
            other => unreachable_step(other),
        }
    }

    /// Promises the size and opens the hidden place in one go, so that two volumes being made at
    /// once cannot both be promised the same bytes.
    fn begin(&self, backend: &dyn Backend, pool: &Pool, record: &VolumeRecord) -> Result<()> {
        let _promises = self.lock_promises(backend, pool)?;
        capacity::demand(backend, pool, record.size, record.provisioning)?;
        backend.catalog().begin(pool, record)
    }

    /// The identity of what goes by the origin's name now; `None` when nothing does.
    fn origin_now(&self, pool: &Pool, new: &NewVolume) -> Result<Option<Uuid>> {
        let catalog = self.backend(pool)?.catalog();
        let Some(origin) = &new.origin else {
            return Ok(None);
        };
        Ok(match origin.kind {
            OriginKind::Snapshot => {
                catalog.snapshot(pool, &origin.name)?.found().map(|snapshot| snapshot.uuid)
            }
            OriginKind::Volume => {
                catalog.volume(pool, &origin.name)?.found().map(|volume| volume.uuid)
            }
        })
    }

    /// Finds what the new volume is copied from, and locks it where it could change.
    fn origin(&self, pool: &Pool, new: &NewVolume) -> Result<(Option<From>, Option<Lock>)> {
        let Some(origin) = &new.origin else {
            return Ok((None, None));
        };
        match origin.kind {
            OriginKind::Snapshot => {
                let lock = self.share_snapshot(pool, &origin.name)?;
                Ok((Some(From::Snapshot(self.present_snapshot(pool, &origin.name)?)), Some(lock)))
            }
            OriginKind::Volume if origin.name == new.name => Err(Error::new(
                Kind::Invalid,
                format!("volume `{}` cannot be a clone of itself", new.name),
            )),
            OriginKind::Volume => {
                let lock = self.lock_origin(pool, &origin.name)?;
                let found = self.present(pool, &origin.name)?;
                refuse_unfinished(&found)?;
                Ok((Some(From::Volume(found)), Some(lock)))
            }
        }
    }
}

/// The record of the volume as it is asked for, with everything that was left open decided.
fn wanted_record(
    backend: &dyn Backend,
    pool: &Pool,
    new: &NewVolume,
    from: Option<&From>,
) -> Result<VolumeRecord> {
    let (origin_size, origin_content, origin_grown) = match from {
        Some(From::Snapshot(snapshot)) => {
            (snapshot.size, Some(snapshot.content), snapshot.filesystem_size)
        }
        Some(From::Volume(volume)) => (volume.size, Some(volume.content), volume.filesystem_size),
        None => (0, None, 0),
    };
    let origin_uuid = from.map(|from| match from {
        From::Snapshot(snapshot) => snapshot.uuid,
        From::Volume(volume) => volume.uuid,
    });
    let content =
        new.content.or(origin_content).unwrap_or_else(|| backend.default_content(&new.parameters));
    if let Some(origin_content) = origin_content.filter(|origin| *origin != content) {
        return Err(Error::new(
            Kind::Invalid,
            format!(
                "volume `{}` cannot be {}: its origin is {}",
                new.name,
                content.name(),
                origin_content.name()
            ),
        ));
    }
    let size = match new.size {
        0 => origin_size,
        asked => size::round_up_to(asked, backend.granularity(pool, &new.parameters)?),
    };
    if size < origin_size {
        return Err(Error::new(
            Kind::OutOfRange,
            format!(
                "volume `{}` of {} is smaller than its origin of {}",
                new.name,
                size::display(size),
                size::display(origin_size)
            ),
        ));
    }
    let uuid = Uuid::new_v4();
    Ok(VolumeRecord {
        format: FORMAT,
        uuid,
        name: new.name.clone(),
        size,
        content,
        provisioning: new.provisioning.unwrap_or(backend.provisioning(pool)),
        birth: Birth::Preparing,
        filesystem_size: if from.is_some() { origin_grown } else { size },
        origin: new.origin.clone().map(|origin| Origin { uuid: origin_uuid, ..origin }),
        created: now(),
        parameters: new.parameters.clone(),
        labels: new.labels.clone(),
        settings: new.settings.clone(),
        claims: Vec::new(),
    })
}

/// True when the volume that is there is what was asked for, its size aside. `origin` is what goes by
/// the origin's name now: once that is gone, the name is all there is to compare.
fn same(
    found: &VolumeRecord,
    new: &NewVolume,
    origin: Option<Uuid>,
    backend: &dyn Backend,
    pool: &Pool,
) -> bool {
    let open = match new.origin {
        Some(_) => found.content,
        None => backend.default_content(&new.parameters),
    };
    new.content.unwrap_or(open) == found.content
        && found.provisioning == new.provisioning.unwrap_or(backend.provisioning(pool))
        && same_origin(found.origin.as_ref(), new.origin.as_ref(), origin)
        && found.parameters == new.parameters
        && found.labels == new.labels
}

fn same_origin(found: Option<&Origin>, wanted: Option<&Origin>, now: Option<Uuid>) -> bool {
    match (found, wanted) {
        (None, None) => true,
        (Some(found), Some(wanted)) => {
            let named = (found.kind, &found.name) == (wanted.kind, &wanted.name);
            named && (now.is_none() || found.uuid.is_none() || found.uuid == now)
        }
        _ => false,
    }
}

/// A plan gave a step that its operation does not know: a bug, told as one.
pub(super) fn unreachable_step<T>(step: Step) -> Result<T> {
    Err(Error::new(Kind::Internal, format!("step {step:?} has no place here"))
        .hint("please report this bug"))
}
