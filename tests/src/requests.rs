//! CSI requests as Kubernetes' sidecars and the kubelet make them.

use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use becket_csi::protocol::csi::volume_capability::{
    AccessMode, AccessType, BlockVolume, MountVolume,
};
use becket_csi::protocol::csi::volume_content_source::{SnapshotSource, Type, VolumeSource};
use becket_csi::protocol::csi::{
    CapacityRange, ControllerExpandVolumeRequest, CreateSnapshotRequest, CreateVolumeRequest,
    NodeExpandVolumeRequest, NodePublishVolumeRequest, NodeStageVolumeRequest,
    NodeUnpublishVolumeRequest, NodeUnstageVolumeRequest, VolumeCapability, VolumeContentSource,
};
use std::path::Path;

/// The capability of a claim with `ReadWriteOnce`: a filesystem of the type `filesystem`, which may be
/// left open, or raw block where it is `block`.
pub fn capability(filesystem: &str) -> VolumeCapability {
    let access = match filesystem {
        "block" => AccessType::Block(BlockVolume {}),
        fs_type => {
            AccessType::Mount(MountVolume { fs_type: fs_type.to_owned(), ..MountVolume::default() })
        }
    };
    VolumeCapability {
        access_mode: Some(AccessMode { mode: Mode::SingleNodeMultiWriter as i32 }),
        access_type: Some(access),
    }
}

/// At least so many bytes.
pub fn at_least(bytes: u64) -> CapacityRange {
    CapacityRange { required_bytes: i64::try_from(bytes).unwrap_or(i64::MAX), limit_bytes: 0 }
}

/// A volume of at least `bytes`, of the class with these parameters.
pub fn create(
    name: &str,
    bytes: u64,
    capability: VolumeCapability,
    class: &[(&str, &str)],
) -> CreateVolumeRequest {
    let class = class.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    CreateVolumeRequest {
        name: name.to_owned(),
        capacity_range: Some(at_least(bytes)),
        volume_capabilities: vec![capability],
        parameters: class.collect(),
        ..CreateVolumeRequest::default()
    }
}

/// The snapshot `id`, to make a volume from.
pub fn from_snapshot(id: &str) -> Option<VolumeContentSource> {
    let source = SnapshotSource { snapshot_id: id.to_owned() };
    Some(VolumeContentSource { r#type: Some(Type::Snapshot(source)) })
}

/// The volume `id`, to make a clone of.
pub fn from_volume(id: &str) -> Option<VolumeContentSource> {
    let source = VolumeSource { volume_id: id.to_owned() };
    Some(VolumeContentSource { r#type: Some(Type::Volume(source)) })
}

/// The snapshot `name` of the volume `id`.
pub fn snapshot(name: &str, id: &str) -> CreateSnapshotRequest {
    CreateSnapshotRequest {
        source_volume_id: id.to_owned(),
        name: name.to_owned(),
        ..CreateSnapshotRequest::default()
    }
}

/// More storage for a volume.
pub fn expand(id: &str, bytes: u64, capability: VolumeCapability) -> ControllerExpandVolumeRequest {
    ControllerExpandVolumeRequest {
        volume_id: id.to_owned(),
        capacity_range: Some(at_least(bytes)),
        volume_capability: Some(capability),
        ..ControllerExpandVolumeRequest::default()
    }
}

/// The filesystem at `path` is to follow its storage.
pub fn expand_on_node(
    id: &str,
    path: &Path,
    capability: VolumeCapability,
) -> NodeExpandVolumeRequest {
    NodeExpandVolumeRequest {
        volume_id: id.to_owned(),
        volume_path: text(path),
        volume_capability: Some(capability),
        ..NodeExpandVolumeRequest::default()
    }
}

/// The volume, staged at `path`.
pub fn stage(id: &str, path: &Path, capability: VolumeCapability) -> NodeStageVolumeRequest {
    NodeStageVolumeRequest {
        volume_id: id.to_owned(),
        staging_target_path: text(path),
        volume_capability: Some(capability),
        ..NodeStageVolumeRequest::default()
    }
}

/// The volume staged at `staging`, for a pod at `target`.
pub fn publish(
    id: &str,
    staging: &Path,
    target: &Path,
    capability: VolumeCapability,
) -> NodePublishVolumeRequest {
    NodePublishVolumeRequest {
        volume_id: id.to_owned(),
        staging_target_path: text(staging),
        target_path: text(target),
        volume_capability: Some(capability),
        ..NodePublishVolumeRequest::default()
    }
}

/// The way back from [`publish`].
pub fn unpublish(id: &str, target: &Path) -> NodeUnpublishVolumeRequest {
    NodeUnpublishVolumeRequest { volume_id: id.to_owned(), target_path: text(target) }
}

/// The way back from [`stage`].
pub fn unstage(id: &str, path: &Path) -> NodeUnstageVolumeRequest {
    NodeUnstageVolumeRequest { volume_id: id.to_owned(), staging_target_path: text(path) }
}

/// A path as the protocol has it.
pub fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
