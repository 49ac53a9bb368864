//! Requests, as an orchestrator would make them.

use super::options::Options;
use super::survey::Survey;
use becket_csi::protocol::csi::plugin_capability::service::Type as Plugin;
use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use becket_csi::protocol::csi::volume_capability::{
    AccessMode, AccessType, BlockVolume, MountVolume,
};
use becket_csi::protocol::csi::volume_content_source as source;
use becket_csi::protocol::csi::{
    CapacityRange, CreateVolumeRequest, Topology, TopologyRequirement, VolumeCapability,
    VolumeContentSource,
};
use std::collections::HashMap;

/// How a volume is accessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Mount,
    Block,
}

impl Access {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Access::Mount => "mount",
            Access::Block => "block",
        }
    }

    pub(crate) fn other(self) -> Access {
        match self {
            Access::Mount => Access::Block,
            Access::Block => Access::Mount,
        }
    }
}

/// An id or key that no driver knows.
pub(crate) const UNKNOWN: &str = "becket-check-no-such-thing";

/// A name that nothing else has.
pub(crate) fn unique(what: &str) -> String {
    let id = uuid::Uuid::new_v4().simple().to_string();
    format!("check-{what}-{}", &id[..12])
}

/// A capability with the usual access mode.
pub(crate) fn capability(access: Access, fs_type: &str) -> VolumeCapability {
    with_mode(access, fs_type, Mode::SingleNodeWriter)
}

pub(crate) fn with_mode(access: Access, fs_type: &str, mode: Mode) -> VolumeCapability {
    let access_type = match access {
        Access::Block => AccessType::Block(BlockVolume {}),
        Access::Mount => {
            AccessType::Mount(MountVolume { fs_type: fs_type.to_owned(), ..Default::default() })
        }
    };
    VolumeCapability {
        access_mode: Some(AccessMode { mode: mode.into() }),
        access_type: Some(access_type),
    }
}

/// The same capability with these mount flags.
pub(crate) fn with_flags(capability: &VolumeCapability, flags: &[&str]) -> VolumeCapability {
    edit_mount(capability, |mount| {
        mount.mount_flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    })
}

/// The same capability with its mount part changed, where it has one.
pub(crate) fn edit_mount(
    capability: &VolumeCapability,
    edit: impl FnOnce(&mut MountVolume),
) -> VolumeCapability {
    let mut capability = capability.clone();
    if let Some(AccessType::Mount(mount)) = &mut capability.access_type {
        edit(mount);
    }
    capability
}

/// At least `required` bytes.
pub(crate) fn at_least(required: u64) -> Option<CapacityRange> {
    range(bytes(required), 0)
}

/// Exactly `size` bytes.
pub(crate) fn exactly(size: u64) -> Option<CapacityRange> {
    range(bytes(size), bytes(size))
}

pub(crate) fn range(required_bytes: i64, limit_bytes: i64) -> Option<CapacityRange> {
    Some(CapacityRange { required_bytes, limit_bytes })
}

/// A size as the protocol's type.
pub(crate) fn bytes(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

pub(crate) fn from_snapshot(id: &str) -> Option<VolumeContentSource> {
    let snapshot = source::SnapshotSource { snapshot_id: id.to_owned() };
    Some(VolumeContentSource { r#type: Some(source::Type::Snapshot(snapshot)) })
}

pub(crate) fn from_volume(id: &str) -> Option<VolumeContentSource> {
    let volume = source::VolumeSource { volume_id: id.to_owned() };
    Some(VolumeContentSource { r#type: Some(source::Type::Volume(volume)) })
}

/// A volume of the run's size and parameters, on this node where volumes belong to nodes.
pub(crate) fn create(
    name: String,
    access: Access,
    options: &Options,
    survey: &Survey,
) -> CreateVolumeRequest {
    let constrained = survey.plugin.contains(&Plugin::VolumeAccessibilityConstraints);
    let here = (constrained && !survey.topology.is_empty()).then(|| requisite(&survey.topology));
    CreateVolumeRequest {
        name,
        capacity_range: at_least(options.size),
        volume_capabilities: vec![capability(access, fs_type(access, options))],
        parameters: options.parameters.clone(),
        accessibility_requirements: here,
        ..Default::default()
    }
}

/// The filesystem to ask for; block volumes have none.
pub(crate) fn fs_type(access: Access, options: &Options) -> &str {
    match access {
        Access::Mount => &options.fs_type,
        Access::Block => "",
    }
}

/// A requirement with one requisite topology.
pub(crate) fn requisite(segments: &HashMap<String, String>) -> TopologyRequirement {
    let here = Topology { segments: segments.clone() };
    TopologyRequirement { requisite: vec![here.clone()], preferred: vec![here] }
}

/// The keys of `segments` with values of a place that does not exist.
pub(crate) fn elsewhere(segments: &HashMap<String, String>) -> HashMap<String, String> {
    segments.keys().map(|key| (key.clone(), "becket-check-elsewhere".to_owned())).collect()
}
