//! The records that make pools, volumes and snapshots self-describing, as they stand on the medium.
//!
//! Each is one JSON object with a `format` number. A record of a newer format is refused rather than
//! misread; within a format, fields are only added with a default.

mod birth;
mod group;
mod trash;

pub use birth::Birth;
pub use group::GroupMembership;
pub use trash::{TrashKind, TrashRecord};

use crate::error::shown;
use crate::settings::Settings;
use crate::{Error, Kind, Name, Result};
use becket_sys::superblock;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::SystemTime;
use uuid::Uuid;

/// The newest format this program reads, and the one it writes.
pub const FORMAT: u32 = 1;

/// No record is larger; a larger file is not one of ours.
pub const LARGEST: u64 = 64 * 1024;

/// What a volume gives its workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// An ext4 filesystem.
    Ext4,
    /// An XFS filesystem.
    Xfs,
    /// A btrfs filesystem.
    Btrfs,
    /// A raw block device.
    Block,
    /// A directory of a filesystem that the volume shares with others.
    Directory,
}

impl Content {
    /// The filesystem to make on the volume's own device, if any.
    pub fn filesystem(self) -> Option<superblock::Kind> {
        match self {
            Content::Ext4 => Some(superblock::Kind::Ext4),
            Content::Xfs => Some(superblock::Kind::Xfs),
            Content::Btrfs => Some(superblock::Kind::Btrfs),
            Content::Block | Content::Directory => None,
        }
    }

    /// The content that a filesystem type of Kubernetes (`fsType`) stands for.
    pub fn of_filesystem(name: &str) -> Result<Content> {
        match name {
            "ext4" => Ok(Content::Ext4),
            "xfs" => Ok(Content::Xfs),
            "btrfs" => Ok(Content::Btrfs),
            other => {
                let shown = shown(other);
                Err(Error::new(Kind::Invalid, format!("filesystem type `{shown}` is not known"))
                    .hint("use ext4, xfs or btrfs"))
            }
        }
    }

    /// The word for it in records and messages.
    pub fn name(self) -> &'static str {
        match self {
            Content::Ext4 => "ext4",
            Content::Xfs => "xfs",
            Content::Btrfs => "btrfs",
            Content::Block => "block",
            Content::Directory => "directory",
        }
    }
}

/// When the pool's space is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Provisioning {
    /// As data is written.
    #[default]
    Thin,
    /// All at once, when the volume is made.
    Thick,
}

/// Where a volume's first data came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// A snapshot or a volume of the same pool.
    pub kind: OriginKind,
    /// Its name when the copy was made.
    pub name: Name,
    /// Its identity: a later one of the same name is another. A request leaves it open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
}

impl Origin {
    /// The origin of this name, whichever that is when the copy is made.
    pub fn named(kind: OriginKind, name: Name) -> Origin {
        Origin { kind, name, uuid: None }
    }
}

/// The kinds of [`Origin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OriginKind {
    /// Restored from a snapshot.
    Snapshot,
    /// Cloned from a volume.
    Volume,
}

/// `volume.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VolumeRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// The volume's identity; its filesystem's UUID too, unless it was copied.
    pub uuid: Uuid,
    /// Its name in the pool.
    pub name: Name,
    /// Promised bytes; 0 for a directory without a limit.
    pub size: u64,
    /// What it gives its workload.
    pub content: Content,
    /// When its space is taken.
    #[serde(default)]
    pub provisioning: Provisioning,
    /// Whether it has come into being.
    pub birth: Birth,
    /// The device size for which its filesystem was last made or grown; below `size` after a
    /// growth that the filesystem has yet to follow.
    #[serde(default)]
    pub filesystem_size: u64,
    /// Where its first data came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Second of its making, RFC 3339.
    pub created: String,
    /// What its backend, or whoever made it, wants to know of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// The words it was asked for with, such as its class's parameters: compared when it is asked for
    /// again and shown to people; nothing is decided by them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What may change in its life; see [`crate::settings`].
    #[serde(default, skip_serializing_if = "Settings::is_empty")]
    pub settings: Settings,
    /// The nodes that it is attached to, where its driver is one with attachments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claims: Vec<Claim>,
}

/// One node's attachment of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The node's id.
    pub node: String,
    /// True when it may not write.
    pub readonly: bool,
    /// The words it was asked for with.
    #[serde(default)]
    pub asked: String,
}

/// `snapshot.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// The snapshot's identity.
    pub uuid: Uuid,
    /// Its name in the pool.
    pub name: Name,
    /// The volume it was taken of.
    pub volume: Name,
    /// That volume's identity: a later volume of the same name is another one.
    pub volume_uuid: Uuid,
    /// The size of that volume when it was taken; a restored volume has at least this.
    pub size: u64,
    /// What is in it.
    pub content: Content,
    /// The volume's `filesystem_size` when it was taken.
    #[serde(default)]
    pub filesystem_size: u64,
    /// True when the volume was [`Birth::Blank`]: nothing is in it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blank: bool,
    /// Second of its taking, RFC 3339.
    pub created: String,
    /// The volume's parameters when it was taken.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
    /// The words it was asked for with, as [`VolumeRecord::labels`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The group it was taken with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupMembership>,
}

/// `pool.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PoolRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// The pool's identity, whatever path or name it is reached by.
    pub uuid: Uuid,
    /// Its name on this node.
    pub name: Name,
    /// The backend of its volumes.
    pub backend: String,
    /// How many bytes may be promised for each byte the pool can hold; 1 promises no more than
    /// there is.
    pub overcommit: f64,
    /// Seconds a deleted volume or snapshot stays in the trash.
    pub trash_retention_seconds: u64,
    /// Second of its making, RFC 3339.
    pub created: String,
    /// What its backend wants to know of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parameters: BTreeMap<String, String>,
}

/// A record with a format number.
pub trait Record: Serialize + DeserializeOwned {
    /// Its file's name.
    const FILE: &'static str;
    /// What it is called in messages.
    const WHAT: &'static str;
    /// Its format number.
    fn format(&self) -> u32;
}

macro_rules! records {
    ($($record:ty: $file:literal, $what:literal;)*) => {$(
        impl Record for $record {
            const FILE: &'static str = $file;
            const WHAT: &'static str = $what;
            fn format(&self) -> u32 { self.format }
        }
    )*};
}

records! {
    VolumeRecord: "volume.json", "volume record";
    SnapshotRecord: "snapshot.json", "snapshot record";
    PoolRecord: "pool.json", "pool record";
    TrashRecord: "trash.json", "trash record";
}

/// Reads a record from the bytes of the file named `place`.
pub fn read<R: Record>(bytes: &[u8], place: &str) -> Result<R> {
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let damaged = |reason: String| {
        Error::new(Kind::WrongState, format!("{} `{place}` is damaged: {reason}", R::WHAT))
    };
    // The number first: a newer format may not parse as this one at all.
    let Format { format } =
        serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    if format > FORMAT {
        return Err(Error::new(
            Kind::WrongState,
            format!("{} `{place}` has format {format}", R::WHAT),
        )
        .hint(format!(
            "this becket reads formats up to {FORMAT}; run the newer one that wrote it"
        )));
    }
    serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))
}

/// The bytes of a record.
pub fn write<R: Record>(record: &R) -> Result<Vec<u8>> {
    let mut bytes = serde_json::to_vec_pretty(record).map_err(|error| {
        Error::new(Kind::Internal, format!("cannot write {}: {error}", R::WHAT))
    })?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// This second, as records hold it.
pub fn now() -> String {
    stamp(SystemTime::now())
}

/// `time` as records hold it.
pub fn stamp(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const VOLUME: &str = r#"{"format":1,"uuid":"00000000-0000-0000-0000-000000000001","name":"v","size":1048576,
        "content":"ext4","birth":"ready","created":"2026-01-01T00:00:00Z"}"#;

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let record: VolumeRecord = read(VOLUME.as_bytes(), "v").unwrap();
        assert_eq!(record.provisioning, Provisioning::Thin);
        assert_eq!(read::<VolumeRecord>(&write(&record).unwrap(), "v").unwrap(), record);
    }

    #[test]
    fn a_newer_format_is_refused_and_a_damaged_record_is_named() {
        let newer = VOLUME.replace("\"format\":1", "\"format\":2,\"content\":\"zfs\"");
        for (text, words) in [
            (newer.as_str(), "has format 2"),
            ("", "is damaged"),
            ("{\"format\":1}", "is damaged"),
            (&VOLUME.replace("\"v\"", "\"../v\""), "is damaged"),
        ] {
            let error = read::<VolumeRecord>(text.as_bytes(), "volumes/v/volume.json").unwrap_err();
            assert_eq!(error.kind(), Kind::WrongState);
            assert!(error.message().contains(words), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read::<VolumeRecord>(&bytes, "v");
            let _ = read::<PoolRecord>(&bytes, "p");
        }
    }
}
