//! The operations that can be done apart, as they are handed over.

use crate::Name;
use crate::engine::{NewPool, NewVolume, Publication, Staging};
use crate::record::{Claim, VolumeRecord};
use crate::settings::Settings;
use crate::target::Target;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

/// One operation of [`super::Engine`] with its arguments, the pool aside.
#[derive(Debug, Serialize, Deserialize)]
#[allow(missing_docs)] // Each is named after the engine's function, which says what it is.
pub(in crate::engine) enum Operation {
    CreatePool(Box<NewPool>),
    DeletePool,
    Volume(Name),
    FindVolume(Name),
    Volumes,
    Snapshot(Name),
    Snapshots,
    Allocated(Vec<VolumeRecord>),
    LastingPath(Name),
    Mounts(Box<VolumeRecord>),
    Abilities,
    Capacity,
    Create(Box<NewVolume>),
    Expand {
        name: Name,
        bytes: u64,
        filesystem: bool,
    },
    Delete(Name),
    CreateSnapshot {
        name: Name,
        volume: Name,
        labels: BTreeMap<String, String>,
    },
    DeleteSnapshot(Name),
    CreateGroupSnapshot {
        group: Name,
        members: Vec<(Name, Name)>,
    },
    Group(Name),
    DeleteGroupSnapshot(Name),
    AllocatedRanges {
        snapshot: Name,
        from: u64,
    },
    ChangedRanges {
        base: Name,
        target: Name,
        from: u64,
    },
    Claim {
        name: Name,
        claim: Claim,
    },
    ReleaseClaim {
        name: Name,
        node: Option<String>,
    },
    Modify {
        name: Name,
        settings: Settings,
    },
    Stage {
        name: Name,
        staging: Target,
        how: Staging,
    },
    Publish {
        name: Name,
        staging: Target,
        target: Target,
        publication: Publication,
    },
    Mount {
        name: Name,
        make: Option<Box<NewVolume>>,
        target: Target,
        publication: Publication,
    },
    MountInline {
        new: Box<NewVolume>,
        target: Target,
        publication: Publication,
    },
    EndInline {
        name: Name,
        target: Option<Target>,
    },
    Usage {
        name: Name,
        place: Target,
    },
    IsAt {
        name: Name,
        place: Target,
    },
    Trash,
    RestoreTrash(Uuid),
    EmptyTrash {
        all: bool,
    },
    Reconcile,
    Thaw,
    VolumeHealth(Name),
    UnhealthyVolumes,
    PoolHealth,
    /// Unmounts what is mounted at a path, and waits for it to be written back.
    Unmount(PathBuf),
    /// Unmounts it although its server is gone.
    UnmountLazily(PathBuf),
    /// How full a share that is no pool's is, where it is mounted.
    ShareUsage(Target),
    /// Mounts a share that is no pool's.
    MountStatic {
        share: crate::engine::Share,
        target: Target,
        publication: Publication,
    },
}

impl Operation {
    /// How long the process may be silent. A dead server is told from a slow one by its own probe and by
    /// the deadlines of the mount, so this is only for what hangs all the same; what works through
    /// whole trees says nothing meanwhile, or says how far it has come.
    pub(super) fn limit(&self) -> Duration {
        let seconds = match self {
            Operation::Unmount(_) | Operation::UnmountLazily(_) => 5,
            Operation::Create(_)
            | Operation::Delete(_)
            | Operation::CreateSnapshot { .. }
            | Operation::DeleteSnapshot(_)
            | Operation::CreateGroupSnapshot { .. }
            | Operation::DeleteGroupSnapshot(_)
            | Operation::MountInline { .. }
            | Operation::EndInline { .. }
            | Operation::EmptyTrash { .. }
            | Operation::Reconcile
            // The filesystem in an image may be checked, grown or replayed for it.
            | Operation::Stage { .. }
            | Operation::Mount { .. }
            | Operation::Expand { .. } => 600,
            Operation::Publish { publication, .. }
                if publication.group.is_some() && publication.deep =>
            {
                600
            }
            _ => 45,
        };
        Duration::from_secs(seconds)
    }
}
