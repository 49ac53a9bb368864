//! What unlocks a check: a capability the driver claims, or something the caller gave.

use super::options::Options;
use super::survey::Survey;
use becket_csi::protocol::csi::controller_service_capability::rpc::Type as Controller;
use becket_csi::protocol::csi::node_service_capability::rpc::Type as Node;
use becket_csi::protocol::csi::plugin_capability::service::Type as Plugin;
use becket_csi::protocol::csi::plugin_capability::volume_expansion::Type as Expansion;

/// One condition of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Plugin(Plugin),
    Controller(Controller),
    Node(Node),
    Expansion(Expansion),
    /// The group service with its one capability.
    Groups,
    /// A node service at the endpoint.
    NodeService,
    /// Volumes with a filesystem.
    Mount,
    /// Raw block volumes.
    Block,
    /// The checker can look at the node's paths.
    Here,
    /// The node says where it is.
    NodeTopology,
    /// A size is a limit; not so with `--no-limit`.
    Limit,
    /// `--ephemeral`.
    Ephemeral,
    /// `--mutable-parameter`.
    MutableParameter,
    /// `--other-parameter`.
    OtherParameter,
    /// `--restart-command`.
    Restart,
    /// `--secrets`.
    Secrets,
}

pub(crate) const CONTROLLER: Need = Need::Plugin(Plugin::ControllerService);
pub(crate) const TOPOLOGY: Need = Need::Plugin(Plugin::VolumeAccessibilityConstraints);
pub(crate) const METADATA: Need = Need::Plugin(Plugin::SnapshotMetadataService);
pub(crate) const SNAPSHOT_TOPOLOGY: Need = Need::Plugin(Plugin::SnapshotAccessibilityConstraints);
pub(crate) const CREATE: Need = Need::Controller(Controller::CreateDeleteVolume);
pub(crate) const ATTACH: Need = Need::Controller(Controller::PublishUnpublishVolume);
pub(crate) const ATTACH_READONLY: Need = Need::Controller(Controller::PublishReadonly);
pub(crate) const LIST: Need = Need::Controller(Controller::ListVolumes);
pub(crate) const PUBLISHED_NODES: Need = Need::Controller(Controller::ListVolumesPublishedNodes);
pub(crate) const CAPACITY: Need = Need::Controller(Controller::GetCapacity);
pub(crate) const SNAPSHOT: Need = Need::Controller(Controller::CreateDeleteSnapshot);
pub(crate) const LIST_SNAPSHOTS: Need = Need::Controller(Controller::ListSnapshots);
pub(crate) const GET_SNAPSHOT: Need = Need::Controller(Controller::GetSnapshot);
pub(crate) const CLONE: Need = Need::Controller(Controller::CloneVolume);
pub(crate) const EXPAND: Need = Need::Controller(Controller::ExpandVolume);
pub(crate) const GET_VOLUME: Need = Need::Controller(Controller::GetVolume);
pub(crate) const MODIFY: Need = Need::Controller(Controller::ModifyVolume);
pub(crate) const GET_HEALTH: Need = Need::Controller(Controller::GetVolumeHealth);
pub(crate) const LIST_HEALTH: Need = Need::Controller(Controller::ListVolumeHealth);
pub(crate) const STAGE: Need = Need::Node(Node::StageUnstageVolume);
pub(crate) const STATS: Need = Need::Node(Node::GetVolumeStats);
pub(crate) const NODE_EXPAND: Need = Need::Node(Node::ExpandVolume);
pub(crate) const MOUNT_GROUP: Need = Need::Node(Node::VolumeMountGroup);
pub(crate) const NODE_HEALTH: Need = Need::Node(Node::GetVolumeHealth);
pub(crate) const STORAGE_HEALTH: Need = Need::Node(Node::GetStorageHealth);
pub(crate) const ONLINE: Need = Need::Expansion(Expansion::Online);

impl Need {
    /// Why a check that needs this is skipped, or nothing when it is there.
    pub(crate) fn missing(self, survey: &Survey, options: &Options) -> Option<String> {
        let claimed =
            |there: bool, name: &str| (!there).then(|| format!("the driver does not claim {name}"));
        let given = |there: bool, option: &str| {
            (!there).then(|| format!("needs {option}, which was not given"))
        };
        let of_controller = matches!(
            self,
            Need::Controller(_)
                | Need::Groups
                | Need::Plugin(Plugin::ControllerService)
                | Need::Plugin(Plugin::GroupControllerService)
                | Need::Plugin(Plugin::SnapshotMetadataService)
        );
        if let Some(reason) = survey.no_controller.as_ref().filter(|_| of_controller) {
            return Some(reason.clone());
        }
        match self {
            Need::Plugin(one) => claimed(survey.plugin.contains(&one), one.as_str_name()),
            Need::Controller(one) => claimed(survey.controller.contains(&one), one.as_str_name()),
            Need::Node(one) => claimed(survey.node.contains(&one), one.as_str_name()),
            Need::Expansion(one) => {
                let name = format!("VolumeExpansion {}", one.as_str_name());
                claimed(survey.expansion.contains(&one), &name)
            }
            Need::Groups => claimed(survey.groups, "CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT"),
            Need::NodeService => {
                (!survey.has_node).then(|| "there is no node service at the endpoint".to_owned())
            }
            Need::Mount => survey.no_mount.clone(),
            Need::Block => survey.no_block.clone(),
            Need::Here => survey.not_here.clone(),
            Need::NodeTopology => (survey.topology.is_empty())
                .then(|| "NodeGetInfo gives no accessible_topology".to_owned()),
            Need::Limit => {
                options.no_limit.then(|| "--no-limit: a size is no limit here".to_owned())
            }
            Need::Ephemeral => given(!options.ephemeral.is_empty(), "--ephemeral"),
            Need::MutableParameter => {
                given(!options.mutable_parameters.is_empty(), "--mutable-parameter")
            }
            Need::OtherParameter => {
                given(!options.other_parameters.is_empty(), "--other-parameter")
            }
            Need::Secrets => given(!options.secret_values().is_empty(), "--secrets"),
            Need::Restart => given(options.restart_command.is_some(), "--restart-command"),
        }
    }

    /// The words by which `--list` names it.
    pub(crate) fn word(self) -> String {
        match self {
            Need::Plugin(one) => one.as_str_name().to_owned(),
            Need::Controller(one) => one.as_str_name().to_owned(),
            Need::Node(one) => format!("node {}", one.as_str_name()),
            Need::Expansion(one) => format!("VolumeExpansion {}", one.as_str_name()),
            Need::Groups => "CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT".to_owned(),
            Need::NodeService => "a node service".to_owned(),
            Need::Mount => "mount volumes".to_owned(),
            Need::Block => "block volumes".to_owned(),
            Need::Here => "the node's paths".to_owned(),
            Need::NodeTopology => "the node's topology".to_owned(),
            Need::Limit => "a size that is a limit".to_owned(),
            Need::Ephemeral => "--ephemeral".to_owned(),
            Need::MutableParameter => "--mutable-parameter".to_owned(),
            Need::OtherParameter => "--other-parameter".to_owned(),
            Need::Restart => "--restart-command".to_owned(),
            Need::Secrets => "--secrets".to_owned(),
        }
    }
}
