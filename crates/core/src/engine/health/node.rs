//! What is wrong with how a volume is attached and mounted on this node.

use super::storage::filesystem_errors;
use super::{Complaint, Severity};
use crate::backend::{Backend, Medium, Place};
use crate::engine::observe::is_on;
use crate::pool::Pool;
use crate::record::{Content, VolumeRecord};
use crate::{Name, Result};
use becket_sys::mountinfo::{self, Entry};
use becket_sys::{Errno, loop_device, point};
use rustix::fs::FileType;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// The tables of the node, read once for all volumes of a pool.
pub(super) struct Node {
    mounts: Vec<Entry>,
    attached: Vec<(u32, PathBuf)>,
    /// The pool's own path, without links, as the kernel tells it.
    place: PathBuf,
}

impl Node {
    /// The tables as they are now.
    pub(super) fn read(pool: &Pool) -> Result<Node> {
        let place = pool.dir.path();
        let place = place.canonicalize().unwrap_or_else(|_| place.to_owned());
        Ok(Node { mounts: mountinfo::read()?, attached: loop_device::attached()?, place })
    }

    /// The complaints about the volume's mounts and devices. `medium` is what it has in the pool.
    pub(super) fn complaints(
        &self,
        backend: &dyn Backend,
        pool: &Pool,
        record: &VolumeRecord,
        medium: Option<&Medium>,
    ) -> Vec<Complaint> {
        if record.content == Content::Directory {
            return Vec::new();
        }
        let mut found: Vec<Complaint> = self.removed(&record.name).into_iter().collect();
        let Some(medium) = medium.filter(|_| record.content.filesystem().is_some()) else {
            return found;
        };
        // What cannot be asked of a device that is just going away is asked again in a minute.
        let devices = self.devices(backend, pool, record, medium).unwrap_or_default();
        let mounts: Vec<&Entry> =
            self.mounts.iter().filter(|entry| is_on(entry, &devices)).collect();
        if devices.iter().any(|device| errors_of_ext4(device) > 0) {
            found.push(filesystem_errors(record));
        }
        if let Some(entry) = mounts.iter().find(|entry| gave_up(entry)) {
            let point = entry.point.display();
            let message = format!("the kernel shut down the filesystem mounted at `{point}`");
            found.push(Complaint::new(Severity::Inaccessible, "FilesystemShutDown", message));
        } else if let Some(entry) = mounts.iter().find(|entry| made_readonly(entry)) {
            let point = entry.point.display();
            let message = format!(
                "the kernel made the filesystem mounted at `{point}` read-only after an error"
            );
            found.push(Complaint::new(Severity::Degraded, "MountedReadOnly", message));
        }
        found
    }

    /// The volume's devices, without listing those of the node again.
    fn devices(
        &self,
        backend: &dyn Backend,
        pool: &Pool,
        record: &VolumeRecord,
        medium: &Medium,
    ) -> Result<Vec<PathBuf>> {
        let image = point::look_at(medium.file.as_fd(), &medium.path)?;
        if image.kind != FileType::RegularFile {
            return backend.devices(pool, record, Place::Ready);
        }
        let found = loop_device::among(&self.attached, &medium.path, image.device, image.inode)?;
        Ok(found.iter().map(loop_device::LoopDevice::path).collect())
    }

    /// A device on an image of the volume that was removed: what is written to it is lost with its
    /// last user.
    fn removed(&self, volume: &Name) -> Option<Complaint> {
        let removed = self.attached.iter().find_map(|(number, path)| {
            let file = Path::new(path.to_str()?.strip_suffix(" (deleted)")?);
            let own = file.parent()?.file_name()? == volume.as_str();
            (own && file.starts_with(&self.place)).then_some((number, file))
        });
        let (number, file) = removed?;
        let message = format!(
            "`/dev/loop{number}` is attached to `{}`, which is removed: copy what is in it before it is unmounted",
            file.display()
        );
        Some(Complaint::new(Severity::DataLoss, "DeviceGone", message))
    }
}

/// The errors that the kernel has found in the ext4 that is mounted from the device. They reach its
/// superblock up to half a minute later.
fn errors_of_ext4(device: &Path) -> u64 {
    let name = device.file_name().unwrap_or_default();
    let count = Path::new("/sys/fs/ext4").join(name).join("errors_count");
    std::fs::read_to_string(count).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

/// True when the kernel has given up the filesystem: ext4 says so in its options (Linux 6.15); xfs says
/// nothing, and answers every question with `EIO`.
fn gave_up(entry: &Entry) -> bool {
    let asked = || point::look(&entry.point);
    entry.has("shutdown")
        || (entry.kind == "xfs" && asked().is_err_and(|error| error.errno == Errno::IO))
}

/// True when the kernel has made the filesystem read-only below a mount that is not: a mount that was
/// asked to be read-only is so itself. ext4 has a word of its own for it.
fn made_readonly(entry: &Entry) -> bool {
    entry.has("emergency_ro") || (entry.has("ro") && !entry.readonly)
}
