//! Staging, publishing, and the way back.
//!
//! Nothing here formats. Nothing here remembers: what is mounted where is read from the kernel.

use super::create::{expect_filesystem, unreachable_step};
use super::expand::{grow_storage, mount_filled};
use super::observe::{Places, mounts};
use super::{Engine, NewVolume, refusal};
use crate::backend::{Backend, Hold, Place, Source};
use crate::lock::Lock;
use crate::plan::{Plan, Step, Wanted, plan};
use crate::pool::Pool;
use crate::record::{Content, VolumeRecord};
use crate::target::Target;
use crate::{Error, Kind, Name, Result};
use becket_sys::mountinfo::{self, Entry};
use becket_sys::{beneath, filesystem, mount};
use rustix::fs::{Gid, Mode, OFlags};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

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
        let pool = self.open(pool)?;
        let lock = self.lock_volume(&pool, name)?;
        let absent = self.backend(&pool)?.volume(&pool, name)? == crate::backend::Existence::Absent;
        if let (Some(new), true) = (make, absent) {
            self.create_locked(&pool, new, &lock)?;
        }
        let anchor = self.anchor(&pool, name)?;
        let outcome = self
            .stage_locked(&pool, name, &anchor, &lock)
            .and_then(|()| self.publish_locked(&pool, name, &anchor, target, publication, &lock));
        let Err(error) = outcome else { return Ok(()) };
        let mut errors = vec![error];
        errors.extend(self.release(&pool, name, &lock).err());
        Error::all(errors)
    }

    /// Unmounts what is at the target; and when that was the last use of a volume staged in the
    /// state directory, the stage too. Nothing mounted there is fine, and so is no directory.
    pub fn unmount(&self, target: &Target) -> Result<()> {
        let Some(point) = target.look()?.filter(|point| point.mounted) else {
            return Ok(());
        };
        let table = mountinfo::read()?;
        let mounted = table.iter().find(|entry| entry.id == point.mount_id);
        let Some((mounted, anchor)) =
            mounted.and_then(|entry| Some((entry, self.anchor_of(&table, entry)?)))
        else {
            return unmount_all(target);
        };
        let (pool, name) = self.anchored(anchor)?;
        let lock = self.lock_volume(&pool, &name)?;
        unmount_all(target)?;
        let below = mounted.root.strip_prefix(&anchor.root).unwrap_or(Path::new(""));
        let mut errors = Vec::new();
        errors.extend(self.clean_below(&pool, &name, below).err());
        errors.extend(self.release(&pool, &name, &lock).err());
        Error::all(errors)
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
        let Plan::Steps(steps) = plan(&observed, Wanted::Unstaged) else {
            return Ok(());
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

    /// Unstages the volume from its own place if nothing but that place has it mounted.
    pub(super) fn release(&self, pool: &Pool, name: &Name, lock: &Lock) -> Result<()> {
        let anchor = self.anchor(pool, name)?;
        let backend = self.backend(pool)?;
        if let crate::backend::Existence::Present(record) = backend.volume(pool, name)? {
            let path = anchor.path();
            if mounts(backend, pool, &record)?.iter().any(|entry| entry.point != path) {
                return Ok(());
            }
            self.unstage_locked(pool, name, &anchor, lock)?;
        }
        anchor.remove_dir()
    }

    /// The volume's own staging place.
    pub fn anchor(&self, pool: &Pool, name: &Name) -> Result<Target> {
        let staged = self.state.staged();
        Target::beneath(&staged, &pool.anchor(name))
    }

    /// The staging place, among the mounts of the table, of the volume that `entry` shows: the same
    /// filesystem, and the deepest root that `entry`'s lies in.
    fn anchor_of<'a>(&self, table: &'a [Entry], entry: &Entry) -> Option<&'a Entry> {
        let staged = self.state.staged();
        table
            .iter()
            .filter(|other| other.id != entry.id && other.point.starts_with(&staged))
            .filter(|other| other.device == entry.device && entry.root.starts_with(&other.root))
            .max_by_key(|other| other.root.as_os_str().len())
    }

    /// Which volume a staging place belongs to, from its path.
    fn anchored(&self, anchor: &Entry) -> Result<(Pool, Name)> {
        let staged = self.state.staged();
        let mut parts = anchor.point.strip_prefix(&staged).into_iter().flat_map(Path::iter);
        let mut next = || parts.next().and_then(|part| part.to_str()).map(Name::new);
        match (next(), next()) {
            (Some(Ok(pool)), Some(Ok(volume))) => Ok((self.open(&pool)?, volume)),
            _ => Err(Error::new(
                Kind::Internal,
                format!("`{}` is no staging place of ours", anchor.point.display()),
            )),
        }
    }

    /// Removes a pod's own directory after its unmount, where the volume says so.
    fn clean_below(&self, pool: &Pool, name: &Name, below: &Path) -> Result<()> {
        let backend = self.backend(pool)?;
        let crate::backend::Existence::Present(record) = backend.volume(pool, name)? else {
            return Ok(());
        };
        let remove = record.parameters.get(ON_UNMOUNT).is_some_and(|what| what == "remove");
        let (true, Some(below)) = (remove, below.to_str().filter(|below| !below.is_empty())) else {
            return Ok(());
        };
        // Another pod, or the same one at a second path, may still show it.
        let shown = mounts(backend, pool, &record)?;
        if shown.iter().any(|entry| entry.root.ends_with(below)) {
            return Ok(());
        }
        backend.remove_below(pool, &record, below)
    }
}

/// Makes the volume reachable and mounts it, growing the filesystem where it is behind.
fn stage_step(
    backend: &dyn Backend,
    pool: &Pool,
    record: &mut VolumeRecord,
    staging: &Target,
) -> Result<()> {
    if record.content == Content::Block {
        return backend.attach(pool, record, Place::Ready, Hold::UntilDetached).map(drop);
    }
    let path = staging.path();
    let detached = match backend.attach(pool, record, Place::Ready, Hold::WhileUsed)? {
        Source::Directory(dir) => mount::view_of(dir.as_fd(), dir.path())?,
        // `holder` keeps the device attached until the mount does.
        Source::Block { device, holder: _holder } => mount_device(backend, pool, record, &device)?,
    };
    let place = staging.ensure_dir()?;
    detached.attach(place.as_fd(), &path)?;
    Ok(())
}

fn mount_device(
    backend: &dyn Backend,
    pool: &Pool,
    record: &mut VolumeRecord,
    device: &Path,
) -> Result<mount::Detached> {
    let (Some(kind), Some(medium)) =
        (record.content.filesystem(), backend.medium(pool, record, Place::Ready)?)
    else {
        return unreachable_step(Step::Stage);
    };
    if expect_filesystem(&medium, kind)?.damaged {
        log::warn!("volume `{}` recorded a filesystem error; checking it", record.name);
        filesystem::repair_ext4(device).map_err(|error| {
            Error::new(Kind::WrongState, error.to_string())
                .hint(format!("check `{}` with e2fsck by hand", medium.path.display()))
        })?;
    }
    if record.filesystem_size >= medium.size {
        return Ok(mount::filesystem(kind.name(), device, &[])?);
    }
    let detached = mount_filled(kind, device, &[], medium.size)?;
    record.filesystem_size = medium.size;
    backend.save(pool, record)?;
    Ok(detached)
}

/// Attaches a view of the staged volume to the target, read-only from its first moment if asked.
fn bind(
    backend: &dyn Backend,
    pool: &Pool,
    record: &VolumeRecord,
    staging: &Target,
    target: &Target,
    publication: &Publication,
) -> Result<()> {
    let view = if record.content == Content::Block {
        let Source::Block { device, holder: _holder } =
            backend.attach(pool, record, Place::Ready, Hold::UntilDetached)?
        else {
            return unreachable_step(Step::Bind { readonly: false });
        };
        let node = rustix::fs::open(&device, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| becket_sys::Error::new("open", device.to_string_lossy(), errno))?;
        mount::view_of(node.as_fd(), &device)?
    } else {
        let dir = match &publication.below {
            Some(below) => backend.open_below(pool, record, below)?,
            None => beneath::Dir::open(staging.path())?,
        };
        if let (Some(group), false) = (publication.group, publication.readonly) {
            give_to_group(dir.as_fd(), group, dir.path())?;
        }
        mount::view_of(dir.as_fd(), dir.path())?
    };
    if publication.readonly {
        view.set_readonly()?;
    }
    let place = if record.content == Content::Block {
        ensure_file(target)?
    } else {
        target.ensure_dir()?
    };
    Ok(view.attach(place.as_fd(), &target.path())?)
}

/// A raw block volume is bound over a file.
fn ensure_file(target: &Target) -> Result<std::os::fd::OwnedFd> {
    if let Some(place) = target.open()? {
        return Ok(place);
    }
    let path = target.path();
    let parent = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default();
    let dir = beneath::Dir::open(parent)?;
    dir.open_file(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
    Ok(dir.open_place(name)?)
}

/// Lets `group` write in the top directory, and what is made there belong to it: the part of the
/// kubelet's fsGroup handling that takes no walk. The kubelet does the rest.
fn give_to_group(dir: BorrowedFd<'_>, group: u32, name: &Path) -> Result<()> {
    let failed = |errno| becket_sys::Error::new("set group of", name.to_string_lossy(), errno);
    let mode = rustix::fs::fstat(dir).map_err(failed)?.st_mode & 0o7777;
    rustix::fs::fchown(dir, None, Some(Gid::from_raw(group))).map_err(failed)?;
    let wanted = mode | 0o2770;
    if mode != wanted {
        rustix::fs::fchmod(dir, Mode::from_raw_mode(wanted)).map_err(failed)?;
    }
    Ok(())
}

/// Unmounts until nothing is mounted at the path: retries of other drivers may have stacked mounts.
pub(super) fn unmount_all(target: &Target) -> Result<()> {
    const DEEPEST: usize = 64;
    for _ in 0..DEEPEST {
        match target.look()? {
            Some(point) if point.mounted => unmount_patiently(&target.path()).map_err(in_use)?,
            _ => return Ok(()),
        }
    }
    Err(Error::new(
        Kind::WrongState,
        format!("more than {DEEPEST} mounts are stacked at `{}`", target.path().display()),
    ))
}

/// Unmounts, and waits a fifth of a second for whoever only looks: a path being walked keeps a mount busy,
/// and so does a child between fork and exec, which has copies of all descriptors of this process.
fn unmount_patiently(path: &Path) -> becket_sys::Result<()> {
    for _ in 0..20 {
        match mount::unmount(path) {
            Err(error) if error.errno == becket_sys::Errno::BUSY => {
                std::thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
    mount::unmount(path)
}

fn in_use(error: becket_sys::Error) -> Error {
    let busy = error.errno == becket_sys::Errno::BUSY;
    let error = Error::from(error);
    if busy { error.hint("`fuser -vm PATH` shows the processes that use it") } else { error }
}
