//! The duties' plain values as the messages of CSI, and back.

use becket_csi::local::Refused;
use becket_csi::protocol::csi::volume_capability::access_mode::Mode as AccessMode;
use becket_csi::protocol::csi::volume_capability::{
    AccessMode as Access, AccessType, BlockVolume, MountVolume,
};
use becket_csi::protocol::csi::volume_content_source::{SnapshotSource, Type, VolumeSource};
use becket_csi::protocol::csi::{
    Snapshot, Volume, VolumeCapability, VolumeContentSource, VolumeGroupSnapshot,
};
use becket_kubernetes::driver::{Code, Cut, Form, Group, Made, Mode, Refusal, Source, Use};

/// What an answer must have.
pub(super) fn some<T>(found: Option<T>, what: &str) -> Result<T, Refusal> {
    found.ok_or_else(|| Refusal {
        code: Code::INTERNAL,
        message: format!("the answer has no {what}"),
    })
}

/// The answer, or `None` where there is no such thing.
pub(super) fn there<T>(answered: Result<T, Refused>) -> Result<Option<T>, Refusal> {
    match answered.map_err(refusal) {
        Ok(found) => Ok(Some(found)),
        Err(refusal) if refusal.code == Code::NOT_FOUND => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

pub(super) fn group(cut_at_once: VolumeGroupSnapshot) -> Group {
    let member = |it: Snapshot| (it.source_volume_id.clone(), cut(it));
    Group {
        id: cut_at_once.group_snapshot_id,
        nanoseconds: cut_at_once.creation_time.map_or(0, |it| nanoseconds(it.seconds, it.nanos)),
        is_ready: cut_at_once.ready_to_use,
        members: cut_at_once.snapshots.into_iter().map(member).collect(),
    }
}

fn nanoseconds(seconds: i64, more: i32) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(i64::from(more))
}

pub(super) fn cut(snapshot: Snapshot) -> Cut {
    Cut {
        id: snapshot.snapshot_id,
        bytes: snapshot.size_bytes,
        nanoseconds: snapshot.creation_time.map_or(0, |it| nanoseconds(it.seconds, it.nanos)),
        is_ready: snapshot.ready_to_use,
        group: Some(snapshot.group_snapshot_id).filter(|group| !group.is_empty()),
    }
}

pub(super) fn refusal(refused: Refused) -> Refusal {
    Refusal { code: Code(refused.code), message: refused.message }
}

pub(super) fn capability(wanted: &Use) -> VolumeCapability {
    let mode = match wanted.mode {
        Mode::OneNode => AccessMode::SingleNodeMultiWriter,
        Mode::OnePod => AccessMode::SingleNodeSingleWriter,
        Mode::ReadByMany => AccessMode::MultiNodeReaderOnly,
        Mode::WrittenByMany => AccessMode::MultiNodeMultiWriter,
    };
    let form = match &wanted.form {
        Form::Block => AccessType::Block(BlockVolume {}),
        Form::Mounted { filesystem, flags } => AccessType::Mount(MountVolume {
            fs_type: filesystem.clone(),
            mount_flags: flags.clone(),
            ..MountVolume::default()
        }),
    };
    VolumeCapability { access_mode: Some(Access { mode: mode as i32 }), access_type: Some(form) }
}

pub(super) fn content(source: Source) -> VolumeContentSource {
    let r#type = match source {
        Source::Snapshot(snapshot_id) => Type::Snapshot(SnapshotSource { snapshot_id }),
        Source::Volume(volume_id) => Type::Volume(VolumeSource { volume_id }),
    };
    VolumeContentSource { r#type: Some(r#type) }
}

pub(super) fn made(volume: Volume) -> Made {
    let source = volume.content_source.and_then(|source| source.r#type);
    Made {
        id: volume.volume_id,
        bytes: u64::try_from(volume.capacity_bytes).unwrap_or(0),
        context: volume.volume_context.into_iter().collect(),
        topologies: volume
            .accessible_topology
            .into_iter()
            .map(|topology| topology.segments.into_iter().collect())
            .collect(),
        source: source.map(|source| match source {
            Type::Snapshot(SnapshotSource { snapshot_id }) => Source::Snapshot(snapshot_id),
            Type::Volume(VolumeSource { volume_id }) => Source::Volume(volume_id),
        }),
    }
}
