//! Node: the wiring of its RPCs, and what the driver is on this node.

use super::{expand, health, publish, service, stage, stats};
use crate::plugin::Plugin;
use crate::protocol::csi::node_server::Node;
use crate::protocol::csi::node_service_capability::rpc::Type as Can;
use crate::protocol::csi::node_service_capability::{Rpc, Type};
use crate::protocol::csi::{
    NodeGetCapabilitiesRequest, NodeGetCapabilitiesResponse, NodeGetInfoRequest,
    NodeGetInfoResponse, NodeServiceCapability,
};
use becket_core::Result;

service! {
    /// The Node service.
    NodeService: Node {
        node_stage_volume(NodeStageVolumeRequest) -> NodeStageVolumeResponse, Node, stage::stage;
        node_unstage_volume(NodeUnstageVolumeRequest) -> NodeUnstageVolumeResponse, Node,
            stage::unstage;
        node_publish_volume(NodePublishVolumeRequest) -> NodePublishVolumeResponse, Node,
            publish::publish;
        node_unpublish_volume(NodeUnpublishVolumeRequest) -> NodeUnpublishVolumeResponse, Node,
            publish::unpublish;
        node_get_volume_stats(NodeGetVolumeStatsRequest) -> NodeGetVolumeStatsResponse, Question,
            stats::stats;
        node_expand_volume(NodeExpandVolumeRequest) -> NodeExpandVolumeResponse, Node,
            expand::expand_on_node;
        node_get_capabilities(NodeGetCapabilitiesRequest) -> NodeGetCapabilitiesResponse,
            Question, capabilities;
        node_get_info(NodeGetInfoRequest) -> NodeGetInfoResponse, Question, info;
        node_get_volume_health(NodeGetVolumeHealthRequest) -> NodeGetVolumeHealthResponse,
            Question, health::of_volume_on_node;
        node_get_storage_health(NodeGetStorageHealthRequest) -> NodeGetStorageHealthResponse,
            Question, health::of_storage;
    }
}

fn capabilities(_: &Plugin, _: NodeGetCapabilitiesRequest) -> Result<NodeGetCapabilitiesResponse> {
    let all = [
        Can::StageUnstageVolume,
        Can::GetVolumeStats,
        Can::ExpandVolume,
        Can::SingleNodeMultiWriter,
        Can::VolumeMountGroup,
        Can::GetVolumeHealth,
        Can::GetStorageHealth,
    ];
    let capability =
        |can: Can| NodeServiceCapability { r#type: Some(Type::Rpc(Rpc { r#type: can as i32 })) };
    Ok(NodeGetCapabilitiesResponse { capabilities: all.map(capability).to_vec() })
}

fn info(plugin: &Plugin, _: NodeGetInfoRequest) -> Result<NodeGetInfoResponse> {
    Ok(NodeGetInfoResponse {
        node_id: plugin.node.clone(),
        max_volumes_per_node: plugin.most_volumes.into(),
        accessible_topology: plugin.topologies().pop(),
    })
}
