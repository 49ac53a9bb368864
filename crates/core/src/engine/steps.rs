//! The steps of staging and publishing: what is done on the node once the plan is made.

use super::birth::expect_filesystem;
use super::create::unreachable_step;
use super::expand::{grows_only_unmounted, mount_filled};
use super::observe::at_rest;
use super::remote;
use crate::backend::{Backend, Hold, Medium, Place, Source, on_another_node};
use crate::engine::{Publication, Staging};
use crate::plan::Step;
use crate::pool::Pool;
use crate::record::{Content, VolumeRecord};
use crate::target::Target;
use crate::{Error, Kind, Result};
use becket_sys::mount::{Attributes, FilesystemOption};
use becket_sys::superblock::Kind as Filesystem;
use becket_sys::{beneath, filesystem, mount, ownership};
use rustix::fs::{Mode, OFlags};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// Makes the volume reachable and mounts it, growing the filesystem where it is behind.
pub(super) fn stage_step(
    backend: &dyn Backend,
    pool: &Pool,
    record: &mut VolumeRecord,
    staging: &Target,
    how: &Staging,
) -> Result<()> {
    if record.content == Content::Block {
        return backend.attach(pool, record, Place::Ready, Hold::UntilDetached).map(drop);
    }
    if backend.used_elsewhere(pool, record)? {
        return Err(on_another_node(record));
    }
    let more = record.settings.mount_options.clone().unwrap_or_default();
    let flags = how.flags.clone().and(&more, record.content)?;
    let medium = backend.medium(pool, record, Place::Ready)?;
    let own = record.content.filesystem().zip(medium.as_ref());
    if let Some((kind, medium)) = own {
        make_ready(backend, pool, record, kind, medium)?;
    }
    let source = backend.attach(pool, record, Place::Ready, Hold::WhileUsed)?;
    let remote = matches!(source, Source::Remote(_));
    let detached = match (source, own) {
        (Source::Directory(_), None) if !flags.options().is_empty() => {
            return Err(Error::new(
                Kind::Invalid,
                format!(
                    "volume `{}` is on this node, and its mount takes no such flags",
                    record.name
                ),
            )
            .hint("flags of a file server's mount are for volumes on one"));
        }
        (Source::Remote(share), None) => share.mount(&flags)?,
        (Source::Directory(dir), None) => mount::view_of(dir.as_fd(), dir.path())?,
        // `holder` keeps the device attached until the mount does.
        (Source::Block { device, holder: _holder }, Some((kind, medium))) => {
            mount_device(backend, pool, record, kind, medium, &device, &flags.options())?
        }
        _ => return unreachable_step(Step::Stage),
    };
    if let Some(group) = how.group {
        ownership::give(&beneath::Dir::of(detached.root()?, staging.path()), group)
            .map_err(|error| remote::explained(error, remote))?;
    }
    detached.set(flags.attributes())?;
    let place = staging.ensure_dir()?;
    Ok(detached.attach(place.as_fd(), &staging.path())?)
}

/// Looks at a filesystem before it is mounted, and does what can only be done while nothing has it:
/// a check that the kernel asked for, and growing an ext4 where it may not be grown mounted. The host's
/// programs work on the volume's own bytes, whose name, unlike a device's, cannot come to mean another's.
fn make_ready(
    backend: &dyn Backend,
    pool: &Pool,
    record: &mut VolumeRecord,
    kind: Filesystem,
    medium: &Medium,
) -> Result<()> {
    let damaged = expect_filesystem(medium, kind)?.damaged;
    let behind = record.filesystem_size < medium.size && grows_only_unmounted(kind);
    if !(damaged || behind) || !at_rest(backend, pool, record)? {
        return Ok(());
    }
    if damaged {
        log::warn!("volume `{}` recorded a filesystem error; checking it", record.name);
        filesystem::repair_ext4(&medium.path).map_err(|error| {
            Error::new(Kind::WrongState, error.to_string())
                .hint(format!("check `{}` with e2fsck by hand", medium.path.display()))
        })?;
    }
    if behind {
        filesystem::grow_unmounted_ext4(&medium.path)?;
        record.filesystem_size = medium.size;
        backend.catalog().save(pool, record)?;
    }
    Ok(())
}

fn mount_device(
    backend: &dyn Backend,
    pool: &Pool,
    record: &mut VolumeRecord,
    kind: Filesystem,
    medium: &Medium,
    device: &Path,
    options: &[FilesystemOption<'_>],
) -> Result<mount::Detached> {
    if record.filesystem_size >= medium.size || grows_only_unmounted(kind) {
        return Ok(mount::filesystem(kind.name(), device, options)?);
    }
    let detached = mount_filled(kind, device, options, medium.size)?;
    record.filesystem_size = medium.size;
    backend.catalog().save(pool, record)?;
    Ok(detached)
}

/// Attaches a view of the staged volume to the target, read-only from its first moment if asked.
pub(super) fn bind(
    backend: &dyn Backend,
    pool: &Pool,
    record: &VolumeRecord,
    staging: &Target,
    target: &Target,
    publication: &Publication,
) -> Result<()> {
    let view = if record.content == Content::Block {
        let source = match publication.readonly {
            true => backend.attach_readonly(pool, record)?,
            false => backend.attach(pool, record, Place::Ready, Hold::UntilDetached)?,
        };
        let Source::Block { device, holder: _holder } = source else {
            return unreachable_step(Step::Bind { readonly: publication.readonly });
        };
        let node = rustix::fs::open(&device, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| becket_sys::Error::new("open", device.to_string_lossy(), errno))?;
        mount::view_of(node.as_fd(), &device)?
    } else {
        let dir = match &publication.below {
            Some(below) => backend.open_below(pool, record, below)?,
            None => beneath::Dir::open(staging.path())?,
        };
        let remote = backend.remote_name(pool, record)?.is_some();
        match publication.group.filter(|_| !publication.readonly) {
            Some(group) if publication.deep => {
                ownership::give(&dir, group).map_err(|error| remote::explained(error, remote))?;
            }
            // What the kubelet does not do itself; it does the rest.
            Some(group) => ownership::give_top(dir.as_fd(), group, dir.path())
                .map_err(|error| remote::explained(error, remote))?,
            None => {}
        }
        mount::view_of(dir.as_fd(), dir.path())?
    };
    view.set(publication.flags.attributes())?;
    if publication.readonly {
        view.set(Attributes::READONLY)?;
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

/// Unmounts until nothing is mounted at the path: retries of other drivers may have stacked mounts.
pub(super) fn unmount_all(target: &Target) -> Result<()> {
    unmount_all_while(target, &|| true)
}

/// [`unmount_all`] of what may be an image on the server that `answers` asks.
pub(super) fn unmount_all_while(target: &Target, answers: &dyn Fn() -> bool) -> Result<()> {
    const DEEPEST: usize = 64;
    for _ in 0..DEEPEST {
        let Some(point) = target.look()?.filter(|point| point.mounted) else {
            return Ok(());
        };
        let path = target.path();
        if let Some(entry) = remote::entry_of(&point)? {
            remote::unmount(&path, &entry, &|| remote::answers(&entry))?;
        } else if let Some((entry, _)) = remote::image_at(&point)? {
            remote::unmount(&path, &entry, answers)?;
        } else {
            unmount_patiently(&path).map_err(in_use)?;
        }
    }
    Err(Error::new(
        Kind::WrongState,
        format!("more than {DEEPEST} mounts are stacked at `{}`", target.path().display()),
    ))
}

/// Unmounts, and waits a fifth of a second for whoever only looks: a path being walked keeps a mount busy,
/// and so does a child between fork and exec, which has copies of all descriptors of this process.
pub(super) fn unmount_patiently(path: &Path) -> becket_sys::Result<()> {
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

pub(super) fn in_use(error: becket_sys::Error) -> Error {
    let busy = error.errno == becket_sys::Errno::BUSY;
    let error = Error::from(error);
    if busy { error.hint("`fuser -vm PATH` shows the processes that use it") } else { error }
}
