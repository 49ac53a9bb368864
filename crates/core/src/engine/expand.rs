//! Growing volumes. They never shrink.

use super::apart::Operation;
use super::create::unreachable_step;
use super::encrypted::grow_mapping;
use super::observe::{Places, mounts};
use super::{Engine, capacity, refusal};
use crate::backend::{Backend, Place};
use crate::encryption::Passphrase;
use crate::plan::{Plan, Step, Wanted, plan};
use crate::pool::Pool;
use crate::record::{Content, VolumeRecord};
use crate::target::Target;
use crate::{Error, Kind, Name, Result, size};
use becket_sys::mount::{self, Detached, FilesystemOption};
use becket_sys::superblock::Kind as Filesystem;
use becket_sys::{Errno, filesystem};
use std::path::Path;

impl Engine {
    /// Grows the volume to at least `bytes`, with its filesystem where that is mounted; elsewhere the
    /// filesystem follows at the next stage. A size it has already changes nothing.
    pub fn expand(&self, pool: &Name, name: &Name, bytes: u64) -> Result<VolumeRecord> {
        self.expand_unlocked(pool, name, bytes, None)
    }

    /// [`Engine::expand`], with what opens the volume where it is encrypted: one that is in use does not grow
    /// without it.
    pub fn expand_unlocked(
        &self,
        pool: &Name,
        name: &Name,
        bytes: u64,
        passphrase: Option<&Passphrase>,
    ) -> Result<VolumeRecord> {
        self.expand_as_far(pool, name, bytes, true, passphrase)
    }

    /// Grows the volume's storage to at least `bytes` and leaves its filesystem to [`Engine::expand`]
    /// or to the next stage: what a controller does before the node is asked.
    pub fn expand_storage(&self, pool: &Name, name: &Name, bytes: u64) -> Result<VolumeRecord> {
        self.expand_as_far(pool, name, bytes, false, None)
    }

    fn expand_as_far(
        &self,
        pool: &Name,
        name: &Name,
        bytes: u64,
        filesystem: bool,
        passphrase: Option<&Passphrase>,
    ) -> Result<VolumeRecord> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Expand { name: name.clone(), bytes, filesystem });
        }
        let _lock = self.lock_volume(&pool, name)?;
        let backend = self.backend(&pool)?;
        let mut record = self.present(&pool, name)?;
        let bytes = size::round_up_to(bytes, backend.granularity(&pool, &record.parameters)?);
        if record.size == 0 {
            return Err(Error::new(
                Kind::WrongState,
                format!("volume `{name}` has no limit to raise"),
            ));
        }
        let through = if filesystem { writable_mount(backend, &pool, &record)? } else { None };
        let places = Places { staging: through.as_ref(), everywhere: true, ..Places::default() };
        let (observed, _) = self.observe(&pool, name, places, |_| true)?;
        let steps = match plan(&observed, Wanted::Size(bytes)) {
            Plan::Nothing => return Ok(record),
            Plan::Conflict(conflict) => return Err(refusal(conflict, &pool, name, "")),
            Plan::Steps(steps) => steps,
        };
        let before = record.size;
        for step in steps {
            match step {
                Step::Promise(size) => self.promise(backend, &pool, &mut record, size)?,
                Step::GrowStorage => grow_storage(backend, &pool, &mut record, before)?,
                // The node does that.
                Step::GrowMapping if !filesystem => {}
                Step::GrowMapping => grow_mapping(backend, &pool, &record, passphrase)?,
                Step::GrowFilesystem => match &through {
                    Some(mounted) => grow_filesystem(backend, &pool, &mut record, &mounted.path())?,
                    None => return unreachable_step(step),
                },
                other => return unreachable_step(other),
            }
        }
        Ok(record)
    }

    /// Writes the new size into the record, under the lock of promises. From then on the size is
    /// owed: what is cut short after it is finished by a retry or by the next stage.
    fn promise(
        &self,
        backend: &dyn Backend,
        pool: &Pool,
        record: &mut VolumeRecord,
        bytes: u64,
    ) -> Result<()> {
        let _promises = self.lock_promises(backend, pool)?;
        capacity::demand_growth(backend, pool, record, bytes)
            .map_err(|error| error.during(format!("cannot expand volume `{}`", record.name)))?;
        record.size = bytes;
        backend.catalog().save(pool, record)
    }
}

/// Grows the storage to the promise; when it does not fit after all, takes the promise back.
pub(super) fn grow_storage(
    backend: &dyn Backend,
    pool: &Pool,
    record: &mut VolumeRecord,
    before: u64,
) -> Result<()> {
    let Err(error) = backend.grow(pool, record, before) else {
        return Ok(());
    };
    let mut errors = vec![error.during(format!("cannot expand volume `{}`", record.name))];
    if before < record.size {
        record.size = before;
        errors.extend(backend.catalog().save(pool, record).err());
    }
    Error::all(errors)
}

/// Grows the filesystem that is mounted at `through` to its storage, and notes that in the record.
fn grow_filesystem(
    backend: &dyn Backend,
    pool: &Pool,
    record: &mut VolumeRecord,
    through: &Path,
) -> Result<()> {
    let root = becket_sys::beneath::Dir::open(through)?;
    let root = root.open_file(".", rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECTORY)?;
    let (Some(kind), Some(medium)) =
        (record.content.filesystem(), backend.medium(pool, record, Place::Ready)?)
    else {
        return unreachable_step(Step::GrowFilesystem);
    };
    filesystem::grow(kind, &root, medium.size, &medium.path).map_err(not_allowed)?;
    record.filesystem_size = medium.size;
    backend.catalog().save(pool, record)
}

/// True for a filesystem that this process may not grow while it is mounted: the kernel asks for
/// `CAP_SYS_RESOURCE` to grow an ext4, which root in a container may lack.
pub(super) fn grows_only_unmounted(kind: Filesystem) -> bool {
    kind == Filesystem::Ext4 && !becket_sys::kernel::may_grow_mounted_ext4()
}

/// Mounts the filesystem on `device` where nobody sees it and lets it fill the device's `size` bytes.
pub(super) fn mount_filled(
    kind: Filesystem,
    device: &Path,
    options: &[FilesystemOption<'_>],
    size: u64,
) -> Result<Detached> {
    let detached = mount::filesystem(kind.name(), device, options)?;
    filesystem::grow(kind, &detached.root()?, size, device)?;
    Ok(detached)
}

/// Growing a mounted filesystem needs more than being root in a container gives.
fn not_allowed(error: becket_sys::Error) -> Error {
    let denied = matches!(error.errno, Errno::PERM | Errno::ACCESS);
    let error = Error::from(error);
    match denied {
        true => Error::new(Kind::Denied, error.message()).hint(
            "growing it while mounted needs CAP_SYS_RESOURCE; it is grown when it is staged next",
        ),
        false => error,
    }
}

/// A writable mount of the volume's whole filesystem, through which it can be grown.
fn writable_mount(
    backend: &dyn Backend,
    pool: &Pool,
    record: &VolumeRecord,
) -> Result<Option<Target>> {
    if matches!(record.content, Content::Block | Content::Directory) {
        return Ok(None);
    }
    let found = mounts(backend, pool, record)?.into_iter().find(|entry| !entry.readonly);
    found.map(|entry| Target::beneath(Path::new("/"), &entry.point)).transpose()
}
