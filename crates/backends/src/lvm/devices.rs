//! The devices of logical volumes, as the kernel has them: told by UUID, never by name or number.

use super::command;
use super::group::{Group, Logical};
use becket_core::backend::{Medium, Source};
use becket_core::{Error, Kind, Result};
use becket_sys::device_mapper::{self, Mapped};
use becket_sys::loop_device::{self, LoopDevice};
use becket_sys::point::{self, Point};
use becket_sys::{block_device, mountinfo};
use rustix::fs::OFlags;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

/// The volume's device; `None` where it is not active.
pub(super) fn mapped(group: &Group, logical: &Logical) -> Result<Option<Mapped>> {
    Ok(device_mapper::find(&logical.mapped_uuid(group))?)
}

/// The volume's device, activated where it is not active: after a reboot, or because it is a snapshot.
pub(super) fn active(group: &Group, logical: &Logical) -> Result<Mapped> {
    if let Some(found) = mapped(group, logical)? {
        return Ok(found);
    }
    let what = format!("activate logical volume `{}`", logical.place(group));
    let place = logical.place(group);
    command::change(&what, &["lvchange", "--activate", "y", "--ignoreactivationskip", &place])
        .map_err(|error| match error.kind() {
            Kind::Internal => Error::new(Kind::Unavailable, error.message())
                .hint("are all disks of the group there? `pvs` and `lvs -a -o+devices` show them"),
            _ => error,
        })?;
    mapped(group, logical)?.ok_or_else(|| {
        Error::new(Kind::Unavailable, format!("cannot {what}: the kernel has no device for it"))
            .hint("is it excluded by `activation/volume_list` in lvm.conf?")
    })
}

/// Deactivates the volume unless something has it open.
pub(super) fn deactivate(group: &Group, logical: &Logical) -> Result<()> {
    let Some(found) = mapped(group, logical)? else {
        return Ok(());
    };
    if found.opened > 0 {
        return Ok(());
    }
    let place = logical.place(group);
    let what = format!("deactivate logical volume `{place}`");
    match command::change(&what, &["lvchange", "--activate", "n", &place]) {
        // Somebody looks at it just now; it is left alone like any other that is used.
        Err(error) if error.kind() == Kind::InUse => Ok(()),
        other => other,
    }
}

/// The open device of the volume. While it is open its number cannot become another's. One that is active
/// only while it is used, and was not, is so again when this is closed.
pub(super) fn open(group: &Group, logical: &Logical, flags: OFlags) -> Result<Medium> {
    // Between the answer and the opening the device may have gone and come back.
    for _ in 0..8 {
        let passing = logical.rests() && mapped(group, logical)?.is_none();
        let found = active(group, logical)?;
        let path = found.path();
        let Ok(file) = block_device::open(&path, flags) else { continue };
        if passing {
            device_mapper::remove_after_use(&logical.mapped_uuid(group))?;
        }
        if mapped(group, logical)?.is_some_and(|now| now.number == found.number) {
            let size = block_device::size_of(&file, &path)?;
            return Ok(Medium { file, path, size });
        }
    }
    Err(Error::new(
        Kind::Unavailable,
        format!("the device of logical volume `{}` cannot be opened", logical.place(group)),
    )
    .hint("is the host's /dev here?"))
}

/// The open device with this UUID; `None` where there is none.
pub(super) fn open_mapped(uuid: &str, flags: OFlags) -> Result<Option<Medium>> {
    for _ in 0..8 {
        let Some(found) = device_mapper::find(uuid)? else { return Ok(None) };
        let path = found.path();
        let Ok(file) = block_device::open(&path, flags) else { continue };
        if device_mapper::find(uuid)?.is_some_and(|now| now.number == found.number) {
            let size = block_device::size_of(&file, &path)?;
            return Ok(Some(Medium { file, path, size }));
        }
    }
    Err(Error::new(Kind::Unavailable, format!("the device of `{uuid}` cannot be opened"))
        .hint("is the host's /dev here?"))
}

/// The volume's device as a source, held open. It stays active when that is closed.
pub(super) fn source(group: &Group, logical: &Logical) -> Result<Source> {
    let Medium { file, path, .. } = open(group, logical, OFlags::RDONLY)?;
    if logical.rests() {
        device_mapper::keep(&logical.mapped_uuid(group))?;
    }
    Ok(Source::Block { device: path, holder: file })
}

/// True when somebody else than this process has the device open: a mount, another device, a program.
pub(super) fn used_by_others(mapped: &Mapped) -> Result<bool> {
    // Asked first: what this process closes in between makes it look used, and it is asked again.
    let ours = own_handles(&mapped.path())?;
    Ok(mapped.opened > ours)
}

/// How often this process has the device open.
fn own_handles(device: &Path) -> Result<u32> {
    let handles = Path::new("/proc/self/fd");
    let list = std::fs::read_dir(handles).map_err(|error| {
        Error::new(Kind::Internal, format!("cannot list `{}`: {error}", handles.display()))
    })?;
    // The links' own text: following one would ask the filesystem of every open file.
    let links = list.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    Ok(links.filter(|link| link == device).count() as u32)
}

/// The read-only loop devices on the volume's device.
pub(super) fn readonly_loops(mapped: &Mapped) -> Result<Vec<LoopDevice>> {
    let path = mapped.path();
    let Some(node) = point::look(&path)? else {
        return Ok(Vec::new());
    };
    Ok(loop_device::attached_to(&path, node.device, node.inode)?)
}

/// The open device by a loop device that refuses writes, attached until it is detached.
pub(super) fn readonly(medium: &Medium) -> Result<Source> {
    let node = point::look_at(medium.file.as_fd(), &medium.path)?;
    let attached = loop_device::attached_to(&medium.path, node.device, node.inode)?;
    let device = match attached.into_iter().next() {
        Some(device) => device,
        None => {
            let options = loop_device::Options { readonly: true, autoclear: false, label: "" };
            loop_device::attach(&medium.file, &medium.path, options)?
        }
    };
    Ok(Source::Block { device: device.path(), holder: device.into_file() })
}

/// True when what `point` shows, a mount's root or a device node, is on the device.
pub(super) fn is_at(mapped: &Mapped, point: &Point) -> Result<bool> {
    if [point.device, point.node].contains(&mapped.number) {
        return Ok(true);
    }
    if point.node.0 == loop_device::MAJOR {
        let loops = readonly_loops(mapped)?;
        return Ok(loops.iter().any(|device| device.number() == point.node));
    }
    // btrfs has device numbers of its own, so there the mount table tells.
    if point.device.0 != 0 {
        return Ok(false);
    }
    let table = mountinfo::read()?;
    let entry = table.iter().find(|entry| entry.id == point.mount_id);
    let source = entry.filter(|entry| entry.source.starts_with("/dev"));
    let node = source.and_then(|entry| rustix::fs::stat(&entry.source).ok());
    Ok(node.is_some_and(|node| {
        (rustix::fs::major(node.st_rdev), rustix::fs::minor(node.st_rdev)) == mapped.number
    }))
}

/// Writes zeros over the device of a volume that is new or about to be removed.
pub(super) fn zero(file: &File, start: u64, length: u64, path: &Path) -> Result<()> {
    block_device::zero(file, start, length, path)?;
    file.sync_all().map_err(|error| {
        Error::new(Kind::Internal, format!("cannot sync `{}`: {error}", path.display()))
    })
}
