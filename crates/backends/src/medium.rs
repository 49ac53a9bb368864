//! What holds of every volume that has bytes of its own, in an image or on a logical volume.

use becket_core::record::{Content, VolumeRecord};
use becket_core::{Error, Kind, Result, size};
use becket_sys::filesystem;

/// Refuses content that such a volume cannot have, a missing size, and one too small for its filesystem.
pub(crate) fn check_content(volume: &VolumeRecord) -> Result<()> {
    if volume.content == Content::Directory {
        return Err(Error::new(
            Kind::Invalid,
            format!("volume `{}` has a size of its own and cannot be a directory", volume.name),
        )
        .hint("use ext4, xfs, btrfs or raw block"));
    }
    if volume.size == 0 {
        return Err(Error::new(Kind::Invalid, format!("volume `{}` needs a size", volume.name))
            .hint("name one, such as 10Gi"));
    }
    volume.content.filesystem().map_or(Ok(()), |kind| check_filesystem(kind, volume))
}

fn check_filesystem(kind: becket_sys::superblock::Kind, volume: &VolumeRecord) -> Result<()> {
    let smallest = filesystem::smallest(kind);
    if volume.size < smallest {
        return Err(Error::new(
            Kind::OutOfRange,
            format!(
                "volume `{}` of {} is too small for {kind}",
                volume.name,
                size::display(volume.size)
            ),
        )
        .hint(format!("{kind} needs at least {}", size::display(smallest))));
    }
    let maker = filesystem::maker(kind);
    if volume.origin.is_none() && becket_sys::child::find(maker).is_none() {
        return Err(Error::new(
            Kind::WrongState,
            format!("cannot make {kind}: this host has no `{maker}`"),
        )
        .hint(format!(
            "install the package that has {maker} (e2fsprogs, xfsprogs or btrfs-progs)"
        )));
    }
    Ok(())
}
