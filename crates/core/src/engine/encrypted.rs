//! Unlocking encrypted volumes, and what their first stage makes: the passphrase comes with it and not
//! before, because a class may have a secret for staging and none for provisioning.
//!
//! | the record says | what it means | what unlocking does |
//! |---|---|---|
//! | `blank` | nobody has used it, nor what it is a copy of | sees that it is blank, writes `formatting` |
//! | `formatting` | nobody has used it; what is there is of a first stage that was cut short | makes the header, labelled as unfinished; the filesystem; drops the label; writes `ready` |
//! | `copied` | its header is its origin's | gives the header a UUID of its own, the filesystem too; writes `ready` |
//! | `ready` | it holds data | opens it, or refuses: nothing is ever made |
//!
//! Each word is one change of the record. A header without the label is finished whatever the record says,
//! as it may where somebody brought back an older state of the group: it is opened and never made again.
//!
//! The mapping goes with its last user, as a loop device with autoclear does: what is killed leaves none,
//! but for the moment between its making and its being told so, of which `reconcile` takes care.

use super::birth::{adopt, format};
use crate::backend::{Backend, Medium};
use crate::encryption::{Mapping, PASSPHRASE, Passphrase, mapping_of};
use crate::pool::Pool;
use crate::record::{Birth, Content, Provisioning, VolumeRecord};
use crate::{Error, Kind, Result};
use becket_sys::superblock::{self, Content as Found, SIGNATURE_AREA};
use becket_sys::{Errno, block_device, device_mapper, luks};
use rustix::fs::OFlags;
use std::fs::File;

/// The label of a header whose volume is still being made.
const UNFINISHED: &str = "becket-unfinished";

/// Opens the mapping of the volume, which stays open while what is given back is, or something else has it
/// open. What the first stage makes is made.
pub(super) fn unlock(
    backend: &dyn Backend,
    pool: &Pool,
    record: &mut VolumeRecord,
    passphrase: Option<&Passphrase>,
) -> Result<File> {
    let passphrase = expect(record, passphrase)?;
    // Nothing of the volume is staged, so a mapping that nobody has open was left by a stage that was killed.
    close(&mapping_of(record))?;
    let sealed = backend.sealed(pool, record)?;
    match record.birth {
        Birth::Blank | Birth::Formatting => make(backend, pool, record, &sealed, passphrase),
        Birth::Copied => own(backend, pool, record, &sealed, passphrase),
        Birth::Preparing | Birth::Ready => open(record, &sealed, passphrase),
    }
}

/// Lets the open mapping show all of the volume's storage. A volume that is not open follows when it is.
pub(super) fn grow_mapping(
    backend: &dyn Backend,
    pool: &Pool,
    record: &VolumeRecord,
    passphrase: Option<&Passphrase>,
) -> Result<()> {
    let passphrase = expect(record, passphrase).map_err(|error| {
        Error::new(error.kind(), error.message()).hint(
            "name it in the class's `csi.storage.k8s.io/node-expand-secret-name`; without it the volume \
             grows when it is staged next",
        )
    })?;
    luks::resize(&mapping_of(record).name, passphrase.bytes())
        .map_err(|error| explained(record, error))?;
    // What stands on the mapping follows.
    backend.grow(pool, record, record.size)
}

/// Closes the mapping of a volume with a filesystem that a killed stage left open; true when there was one.
/// The caller has the volume's lock.
pub(super) fn close_left(backend: &dyn Backend, record: &VolumeRecord) -> Result<bool> {
    // The kernel counts nothing of the users of raw block: there an open mapping means that it is staged.
    let staged = record.content == Content::Block && record.birth == Birth::Ready;
    match backend.is_encrypted(record) && !staged {
        true => close(&mapping_of(record)),
        false => Ok(false),
    }
}

/// Closes the mapping if it is there and nobody has it open; true when it was.
fn close(mapping: &Mapping) -> Result<bool> {
    let left = device_mapper::find(&mapping.uuid)?.is_some_and(|found| found.opened == 0);
    if left {
        device_mapper::remove_after_use(&mapping.uuid)?;
    }
    Ok(left)
}

/// `WrongState` for a volume whose first stage was cut short: what is in it is neither nothing nor whole.
pub(super) fn refuse_unfinished(record: &VolumeRecord) -> Result<()> {
    match record.birth {
        Birth::Formatting => Err(Error::new(
            Kind::WrongState,
            format!("the first stage of the encrypted volume `{}` was cut short", record.name),
        )
        .hint("stage it again, with its passphrase, and copy it then")),
        Birth::Preparing | Birth::Blank | Birth::Copied | Birth::Ready => Ok(()),
    }
}

fn expect<'a>(record: &VolumeRecord, given: Option<&'a Passphrase>) -> Result<&'a Passphrase> {
    given.ok_or_else(|| {
        Error::new(
            Kind::Invalid,
            format!(
                "volume `{}` is encrypted, and no secret with the key `{PASSPHRASE}` was given",
                record.name
            ),
        )
        .hint("name one in the class's `csi.storage.k8s.io/node-stage-secret-name`, or in `secretRef`")
    })
}

/// What a first stage makes, begun or begun again.
fn make(
    backend: &dyn Backend,
    pool: &Pool,
    record: &mut VolumeRecord,
    sealed: &Medium,
    passphrase: &Passphrase,
) -> Result<File> {
    let header = luks::header(&sealed.file, &sealed.path)?;
    let finished = header.is_some_and(|header| header.label != UNFINISHED);
    if finished {
        let held = open(record, sealed, passphrase)?;
        settle(backend, pool, record)?;
        return Ok(held);
    }
    if record.birth == Birth::Blank {
        expect_blank(sealed)?;
        record.birth = Birth::Formatting;
        backend.catalog().save(pool, record)?;
    }
    luks::format(&sealed.path, &mapping_of(record).header, UNFINISHED, passphrase.bytes())
        .map_err(|error| explained(record, error))?;
    let held = open(record, sealed, passphrase)?;
    blank(&mapping_of(record))?;
    if record.content.filesystem().is_some() {
        format(backend, pool, record)?;
    }
    luks::set_label(&sealed.path, "").map_err(|error| explained(record, error))?;
    settle(backend, pool, record)?;
    Ok(held)
}

/// Makes the copied header and filesystem the volume's own.
fn own(
    backend: &dyn Backend,
    pool: &Pool,
    record: &mut VolumeRecord,
    sealed: &Medium,
    passphrase: &Passphrase,
) -> Result<File> {
    let uuid = mapping_of(record).header;
    let header = expect_header(record, sealed)?;
    if header.uuid != uuid {
        luks::set_uuid(&sealed.path, &uuid).map_err(|error| explained(record, error))?;
    }
    let held = open(record, sealed, passphrase)?;
    if record.content.filesystem().is_some() {
        adopt(backend, pool, record)?;
    }
    settle(backend, pool, record)?;
    Ok(held)
}

/// From here on nothing is ever made in the volume again.
fn settle(backend: &dyn Backend, pool: &Pool, record: &mut VolumeRecord) -> Result<()> {
    record.birth = Birth::Ready;
    backend.catalog().save(pool, record)
}

fn expect_blank(sealed: &Medium) -> Result<()> {
    match superblock::probe(&sealed.file, sealed.size, &sealed.path)? {
        Found::Blank => Ok(()),
        found => Err(Error::new(
            Kind::WrongState,
            format!("`{}` is not encrypted: it holds {found}", sealed.path.display()),
        )
        .hint("it should be blank; nothing was changed")),
    }
}

fn expect_header(record: &VolumeRecord, sealed: &Medium) -> Result<luks::Header> {
    luks::header(&sealed.file, &sealed.path)?.ok_or_else(|| {
        Error::new(
            Kind::WrongState,
            format!("volume `{}` lost its LUKS header, and with it its key", record.name),
        )
        .hint("nothing was changed; restore it from a snapshot or a backup")
    })
}

/// Opens the mapping, or sees that the passphrase is the one of the mapping that is open, and holds it.
fn open(record: &VolumeRecord, sealed: &Medium, passphrase: &Passphrase) -> Result<File> {
    let mapping = mapping_of(record);
    if expect_header(record, sealed)?.uuid != mapping.header {
        return Err(Error::new(
            Kind::WrongState,
            format!("volume `{}` holds the LUKS header of another volume", record.name),
        )
        .hint("nothing was changed; look at it with `cryptsetup luksDump`"));
    }
    let opened = match device_mapper::find(&mapping.uuid)? {
        Some(_) => luks::verify(&sealed.path, passphrase.bytes()),
        // The pool of a thin volume knows which blocks are in use, so discards tell nobody more.
        None => luks::open(
            &sealed.path,
            &mapping.name,
            passphrase.bytes(),
            record.provisioning == Provisioning::Thin,
        ),
    };
    opened.map_err(|error| explained(record, error))?;
    let held = hold(&mapping)?;
    device_mapper::remove_after_use(&mapping.uuid)?;
    Ok(held)
}

/// The open device of the mapping.
fn hold(mapping: &Mapping) -> Result<File> {
    let gone = || Error::new(Kind::Unavailable, format!("mapping `{}` is gone", mapping.name));
    let found = device_mapper::find(&mapping.uuid)?.ok_or_else(gone)?;
    let held = block_device::open(&found.path(), OFlags::RDONLY)?;
    // While it is open its number cannot become another's.
    let now = device_mapper::find(&mapping.uuid)?;
    now.filter(|now| now.number == found.number).map(|_| held).ok_or_else(gone)
}

/// Writes zeros where signatures are looked for: what was below the new mapping reads as noise.
fn blank(mapping: &Mapping) -> Result<()> {
    let found = device_mapper::find(&mapping.uuid)?
        .ok_or_else(|| Error::new(Kind::Unavailable, format!("`{}` is gone", mapping.name)))?;
    let path = found.path();
    let device = block_device::open(&path, OFlags::RDWR)?;
    let size = block_device::size_of(&device, &path)?;
    let area = SIGNATURE_AREA.min(size);
    block_device::zero(&device, 0, area, &path)?;
    Ok(block_device::zero(&device, size - area, area, &path)?)
}

/// What `cryptsetup` means to the caller. It never says the passphrase.
fn explained(record: &VolumeRecord, error: becket_sys::Error) -> Error {
    match error.errno {
        Errno::KEYREJECTED => Error::new(
            Kind::Denied,
            format!("volume `{}` does not open with the passphrase in `{PASSPHRASE}`", record.name),
        )
        .hint("every byte counts, a newline at its end too; a copy has its origin's passphrase"),
        Errno::NOENT => Error::new(Kind::WrongState, "this host has no `cryptsetup`")
            .hint("install the package cryptsetup-bin, or cryptsetup"),
        Errno::NOMEM => Error::new(Kind::Unavailable, error.to_string())
            .hint("a passphrase takes 64 MiB of memory to be tried"),
        Errno::IO => Error::new(Kind::WrongState, error.to_string())
            .hint("has the kernel dm-crypt? `modprobe dm_crypt` loads it"),
        _ => error.into(),
    }
}
