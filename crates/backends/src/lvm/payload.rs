//! Where the bytes of a volume are: on its logical volume, or, of an encrypted one, on the mapping that
//! decrypts it. The engine opens that mapping; here it is found and used.

use super::devices;
use super::group::{Group, Logical};
use becket_core::backend::{Hold, Medium, Place, Source};
use becket_core::encryption::{self, mapping_of};
use becket_core::record::{Birth, Content, VolumeRecord};
use becket_core::{Error, Kind, Result};
use becket_sys::device_mapper::{self, Mapped};
use becket_sys::luks;
use rustix::fs::OFlags;

/// True when the volume was asked for so.
pub(super) fn is_encrypted(volume: &VolumeRecord) -> bool {
    encryption::is_asked_for(&volume.parameters)
}

/// Bytes of the logical volume that are none of the volume's: the header of an encrypted one.
pub(super) fn overhead(volume: &VolumeRecord) -> u64 {
    if is_encrypted(volume) { luks::HEADER } else { 0 }
}

/// The device that shows the volume's bytes; `None` where there is none now.
pub(super) fn mapped(
    group: &Group,
    logical: &Logical,
    volume: &VolumeRecord,
) -> Result<Option<Mapped>> {
    match is_encrypted(volume) {
        true => Ok(device_mapper::find(&mapping_of(volume).uuid)?),
        false => devices::mapped(group, logical),
    }
}

/// The same, while it can be in use. What a first stage opens is not: it may have been killed.
pub(super) fn attached(
    group: &Group,
    logical: &Logical,
    volume: &VolumeRecord,
    place: Place,
) -> Result<Option<Mapped>> {
    let born = place == Place::Preparing || volume.birth == Birth::Ready;
    if is_encrypted(volume) && volume.content == Content::Block && !born {
        return Ok(None);
    }
    mapped(group, logical, volume)
}

/// The volume's bytes, open for reading; `None` where it is encrypted and its mapping is not open. One that
/// should have a header and has lost it is a `WrongState`.
pub(super) fn medium(
    group: &Group,
    logical: &Logical,
    volume: &VolumeRecord,
) -> Result<Option<Medium>> {
    if !is_encrypted(volume) {
        return devices::open(group, logical, OFlags::RDONLY).map(Some);
    }
    if let Some(medium) = devices::open_mapped(&mapping_of(volume).uuid, OFlags::RDONLY)? {
        return Ok(Some(medium));
    }
    let sealed = devices::open(group, logical, OFlags::RDONLY)?;
    let expected = matches!(volume.birth, Birth::Ready | Birth::Copied);
    match expected && luks::header(&sealed.file, &sealed.path)?.is_none() {
        false => Ok(None),
        true => Err(Error::new(
            Kind::WrongState,
            format!("logical volume `{}` lost its LUKS header", logical.place(group)),
        )
        .hint("restore the volume from a snapshot or a backup")),
    }
}

/// The device that shows the volume's bytes as a source, held open.
pub(super) fn source(
    group: &Group,
    logical: &Logical,
    volume: &VolumeRecord,
    hold: Hold,
) -> Result<Source> {
    if !is_encrypted(volume) {
        return devices::source(group, logical);
    }
    let Medium { file, path, .. } = open(volume)?;
    if hold == Hold::UntilDetached {
        device_mapper::keep(&mapping_of(volume).uuid)?;
    }
    Ok(Source::Block { device: path, holder: file })
}

/// The same, by a device that refuses writes.
pub(super) fn readonly(group: &Group, logical: &Logical, volume: &VolumeRecord) -> Result<Source> {
    let (medium, uuid) = match is_encrypted(volume) {
        true => (open(volume)?, mapping_of(volume).uuid),
        false => (devices::open(group, logical, OFlags::RDONLY)?, logical.mapped_uuid(group)),
    };
    let source = devices::readonly(&medium)?;
    device_mapper::keep(&uuid)?;
    Ok(source)
}

/// Lets go of what a raw block volume was attached to, unless something has it open.
pub(super) fn detach(group: &Group, logical: &Logical, volume: &VolumeRecord) -> Result<()> {
    if let Some(mapped) = mapped(group, logical, volume)? {
        for device in devices::readonly_loops(&mapped)? {
            device.detach()?;
        }
    }
    if is_encrypted(volume)
        && let Some(mapped) = mapped(group, logical, volume)?
        && !devices::used_by_others(&mapped)?
    {
        device_mapper::remove_after_use(&mapping_of(volume).uuid)?;
    }
    devices::deactivate(group, logical)
}

fn open(volume: &VolumeRecord) -> Result<Medium> {
    let uuid = mapping_of(volume).uuid;
    devices::open_mapped(&uuid, OFlags::RDONLY)?.ok_or_else(|| {
        Error::new(Kind::WrongState, format!("encrypted volume `{}` is not open", volume.name))
            .hint("it is opened when it is staged, with its passphrase")
    })
}
