//! What is wrong with the bytes of a volume, mounted or not.

use super::{Complaint, Severity};
use crate::backend::{Backend, Medium, Place};
use crate::pool::Pool;
use crate::record::{Content, VolumeRecord};
use crate::{Error, Kind, size};
use becket_sys::superblock::{self, Content as Found, Kind as Filesystem};

/// The complaints about the volume's storage, and its bytes where they can be read.
pub(super) fn complaints(
    backend: &dyn Backend,
    pool: &Pool,
    record: &VolumeRecord,
) -> (Vec<Complaint>, Option<Medium>) {
    // Before anything is opened for reading: something else may be in its place.
    let stored = match backend.stored(pool, record) {
        Ok(stored) => stored,
        Err(error) => return (vec![unusable(record, &error)], None),
    };
    let medium = match backend.medium(pool, record, Place::Ready) {
        Ok(medium) => medium,
        Err(error) => return (vec![unusable(record, &error)], None),
    };
    let mut found = Vec::new();
    if record.content != Content::Directory && stored < record.filesystem_size {
        let message = format!(
            "volume `{}` lost its end: it has {} and was made with {}",
            record.name,
            size::display(stored),
            size::display(record.filesystem_size)
        );
        found.push(Complaint::new(Severity::DataLoss, "ImageCutShort", message));
    }
    if let (Some(kind), Some(medium)) = (record.content.filesystem(), &medium) {
        found.extend(filesystem(record, kind, medium));
    }
    (found, medium)
}

fn filesystem(record: &VolumeRecord, kind: Filesystem, medium: &Medium) -> Option<Complaint> {
    match superblock::probe(&medium.file, medium.size, &medium.path) {
        Ok(Found::Filesystem(found)) if found.kind == kind => {
            found.damaged.then(|| filesystem_errors(record))
        }
        Ok(other) => {
            let path = medium.path.display();
            let message = format!("`{path}` should hold {kind} and holds {other}");
            Some(Complaint::new(Severity::DataLoss, "FilesystemLost", message))
        }
        Err(error) => Some(unusable(record, &error.into())),
    }
}

/// The kernel found an error in the volume's ext4 and went on.
pub(super) fn filesystem_errors(record: &VolumeRecord) -> Complaint {
    let message = format!(
        "the kernel found an error in the filesystem of volume `{}`, which is checked when it is staged next",
        record.name
    );
    Complaint::new(Severity::Degraded, "FilesystemErrors", message)
}

/// A backend says `WrongState` of storage that is not there, or is not what it should be.
fn unusable(record: &VolumeRecord, error: &Error) -> Complaint {
    let gone = error.kind() == Kind::WrongState;
    let (severity, reason) = match (gone, record.content) {
        (true, Content::Directory) => (Severity::DataLoss, "DirectoryMissing"),
        (true, _) => (Severity::DataLoss, "ImageMissing"),
        (false, Content::Directory) => (Severity::Inaccessible, "DirectoryUnreadable"),
        (false, _) => (Severity::Inaccessible, "ImageUnreadable"),
    };
    Complaint::new(severity, reason, error.message())
}
