//! How a new volume gets its filesystem: made on blank storage, or copied and made its own.
//!
//! This file holds the only call of `mkfs` in Becket, and the gate in front of it.

use super::create::unreachable_step;
use super::expand::{grows_only_unmounted, mount_filled};
use crate::backend::{Backend, Hold, Medium, Place, Source};
use crate::plan::Step;
use crate::pool::Pool;
use crate::record::{Birth, Provisioning, VolumeRecord};
use crate::{Error, Kind, Result};
use becket_sys::superblock::{self, Content as Found, Kind as Filesystem};
use becket_sys::{filesystem, mount};
use std::time::Duration;

/// The gate in front of `mkfs`: the record says the volume is being born, it is no copy, and every
/// byte of its signature areas is zero. No force flag exists. An encrypted volume is born when it is first
/// staged, because that takes its passphrase; what it is a copy of was as blank as it, or it is not born here.
pub(crate) fn format(backend: &dyn Backend, pool: &Pool, record: &mut VolumeRecord) -> Result<()> {
    let ((Birth::Preparing, None) | (Birth::Formatting, _)) = (record.birth, &record.origin) else {
        return Err(Error::new(
            Kind::Internal,
            format!("volume `{}` is not to be formatted", record.name),
        ));
    };
    let (Some(kind), Some(medium)) =
        (record.content.filesystem(), backend.medium(pool, record, place_of(record))?)
    else {
        return unreachable_step(Step::Format);
    };
    match superblock::probe(&medium.file, medium.size, &medium.path)? {
        Found::Blank => {}
        found => {
            return Err(Error::new(
                Kind::WrongState,
                format!("`{}` is not formatted: it holds {found}", medium.path.display()),
            ));
        }
    }
    let discard = record.provisioning == Provisioning::Thin;
    filesystem::make(kind, &medium.path, *record.uuid.as_bytes(), discard).map_err(|error| {
        let missing = error.errno == becket_sys::Errno::NOENT;
        let error = Error::from(error);
        match missing {
            true => Error::new(Kind::WrongState, error.message())
                .hint(format!("install the package that has {}", filesystem::maker(kind))),
            false => error,
        }
    })?;
    sync(&medium)?;
    expect_filesystem(&medium, kind)?;
    record.filesystem_size = medium.size;
    Ok(())
}

/// Where a volume is that is being born.
fn place_of(record: &VolumeRecord) -> Place {
    match record.birth {
        Birth::Preparing => Place::Preparing,
        Birth::Blank | Birth::Formatting | Birth::Copied | Birth::Ready => Place::Ready,
    }
}

fn sync(medium: &Medium) -> Result<()> {
    medium.file.sync_all().map_err(|error| {
        Error::new(Kind::Internal, format!("cannot sync `{}`: {error}", medium.path.display()))
    })
}

/// Verifies that the medium holds a filesystem of `kind`.
pub(super) fn expect_filesystem(
    medium: &Medium,
    kind: Filesystem,
) -> Result<superblock::Superblock> {
    match superblock::probe(&medium.file, medium.size, &medium.path)? {
        Found::Filesystem(superblock) if superblock.kind == kind => Ok(superblock),
        found => Err(Error::new(
            Kind::WrongState,
            format!("`{}` should hold {kind} and holds {found}", medium.path.display()),
        )
        .hint("nothing was changed; restore it from a snapshot or a backup")),
    }
}

/// Makes a copied filesystem its own: a new UUID, because two of the same cannot be mounted at once
/// (xfs, btrfs) or confuse the host (ext4), and grown to a larger device. It is mounted for that
/// where nobody sees it, which also replays its journal.
pub(super) fn adopt(backend: &dyn Backend, pool: &Pool, record: &mut VolumeRecord) -> Result<()> {
    let (Some(kind), Some(medium)) =
        (record.content.filesystem(), backend.medium(pool, record, place_of(record))?)
    else {
        return unreachable_step(Step::Adopt);
    };
    expect_filesystem(&medium, kind)?;
    let id = *record.uuid.as_bytes();
    let behind = record.filesystem_size < medium.size;
    match kind {
        // Before it is mounted: its kernel driver takes two devices of one UUID for one filesystem.
        Filesystem::Btrfs => filesystem::set_uuid(kind, &medium.path, id)?,
        Filesystem::Ext4 if behind && grows_only_unmounted(kind) => {
            filesystem::grow_unmounted_ext4(&medium.path)?;
        }
        _ => {}
    }
    replay_and_grow(backend, pool, record, kind, &medium, behind)?;
    record.filesystem_size = medium.size;
    // After it was closed cleanly, and by the volume's own bytes: by the time a program opens a
    // device, the device may have gone and its number may be another volume's.
    let closed = gone(backend, pool, record);
    if kind == Filesystem::Xfs {
        closed?;
        filesystem::set_uuid(kind, &medium.path, id)?;
    } else if let Err(error) = closed {
        // What was changed is in the filesystem, and in the image as soon as that is closed.
        log::info!("volume `{}` is whole, and closed a moment later: {error}", record.name);
    }
    sync(&medium)?;
    let found = expect_filesystem(&medium, kind)?;
    // `xfs_admin` says success of some failures.
    match kind == Filesystem::Ext4 || found.uuid == id {
        true => Ok(()),
        false => Err(Error::new(
            Kind::Internal,
            format!("`{}` still has its origin's UUID", medium.path.display()),
        )),
    }
}

/// Mounts the hidden copy where nobody sees it, does what takes a mount, and lets go of it.
fn replay_and_grow(
    backend: &dyn Backend,
    pool: &Pool,
    record: &VolumeRecord,
    kind: Filesystem,
    medium: &Medium,
    behind: bool,
) -> Result<()> {
    let Source::Block { device, holder: _holder } =
        backend.attach(pool, record, place_of(record), Hold::WhileUsed)?
    else {
        return unreachable_step(Step::Adopt);
    };
    let options: &[mount::FilesystemOption<'_>] = match kind {
        Filesystem::Xfs => &[("nouuid", None)],
        _ => &[],
    };
    let hidden = match behind && !grows_only_unmounted(kind) {
        true => mount_filled(kind, &device, options, medium.size)?,
        false => mount::filesystem(kind.name(), &device, options)?,
    };
    let changed = kind != Filesystem::Ext4
        || filesystem::set_ext4_uuid(&hidden.root()?, *record.uuid.as_bytes())?;
    if !changed {
        log::info!(
            "volume `{}` keeps its origin's UUID: this kernel cannot change it",
            record.name
        );
    }
    Ok(())
}

/// Waits until the hidden copy has no device: the kernel lets go of one a moment after its last user.
fn gone(backend: &dyn Backend, pool: &Pool, record: &VolumeRecord) -> Result<()> {
    for _ in 0..200 {
        if backend.devices(pool, record, place_of(record))?.is_empty() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(Error::new(
        Kind::InUse,
        format!("something else uses the device of the new volume `{}`", record.name),
    ))
}
