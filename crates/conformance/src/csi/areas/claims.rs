//! Capabilities that only make sense together, and RPCs that are not claimed.

use crate::csi::answer::Answer;
use crate::csi::ask::{self, Access, UNKNOWN};
use crate::csi::check::{Check, Tally, Verdict, check, want};
use crate::csi::ground::Ground;
use crate::csi::need::{
    ATTACH, CAPACITY, CLONE, CONTROLLER, CREATE, EXPAND, GET_HEALTH, GET_SNAPSHOT, GET_VOLUME,
    LIST, LIST_HEALTH, LIST_SNAPSHOTS, METADATA, MODIFY, NODE_EXPAND, NODE_HEALTH, Need,
    PUBLISHED_NODES, SNAPSHOT, STAGE, STATS, STORAGE_HEALTH,
};
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::plugin_capability::service::Type as Service;
use becket_csi::protocol::csi::plugin_capability::volume_expansion::Type as Expansion;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("capabilities-set", Must, [] => set,
        "GetPluginCapabilities: every capability says which one it is; UNKNOWN is none"),
    check!("capabilities-known", Judgement, [] => known,
        "ControllerGetCapabilities: values that this version does not define, or has removed, \
         tell an orchestrator nothing"),
    check!("controller-service-answers", Must, [CONTROLLER] => controller,
        "ControllerGetCapabilities: a Controller Plugin MUST implement this RPC"),
    check!("node-service-answers", Must, [] => node,
        "NodeGetCapabilities: a Node Plugin MUST implement this RPC"),
    check!("group-service-answers", Must, [Need::Plugin(Service::GroupControllerService)] => group,
        "GroupControllerGetCapabilities: a Plugin that implements GroupController MUST implement \
         this RPC"),
    check!("group-capability-claimed", Should,
        [Need::Plugin(Service::GroupControllerService)] => group_claimed,
        "GroupControllerGetCapabilities: a group service without \
         CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT has nothing to offer"),
    check!("list-health-needs-get-health", Must, [LIST_HEALTH] => list_health,
        "ControllerListVolumeHealth: a plugin with LIST_VOLUME_HEALTH MUST also have \
         GET_VOLUME_HEALTH"),
    check!("published-nodes-need-publish", Must, [PUBLISHED_NODES] => published_nodes,
        "ControllerGetCapabilities: with LIST_VOLUMES_PUBLISHED_NODES the SP MUST also support \
         PUBLISH_UNPUBLISH_VOLUME"),
    check!("snapshots-need-create", Must, [SNAPSHOT] => snapshots,
        "ControllerGetCapabilities: plugins with CREATE_DELETE_SNAPSHOT MUST support creating \
         volumes from snapshots"),
    check!("clone-needs-create", Must, [CLONE] => clones,
        "CreateVolume: cloning takes both CREATE_DELETE_VOLUME and CLONE_VOLUME"),
    check!("expansion-implemented", Must, [] => expansion,
        "GetPluginCapabilities: ONLINE takes EXPAND_VOLUME of the controller or the node, and \
         OFFLINE that of the controller"),
    check!("expansion-declared", Judgement, [EXPAND] => declared,
        "GetPluginCapabilities: EXPAND_VOLUME without VolumeExpansion leaves open when volumes \
         may be expanded"),
    check!("multi-writer-on-both", Judgement, [Need::NodeService, CONTROLLER] => multi_writer,
        "NodeGetCapabilities: SINGLE_NODE_MULTI_WRITER serves an orchestrator only when \
         controller and node both have it"),
    check!("unclaimed-controller-rpcs", Should, [CONTROLLER] => unclaimed_controller,
        "Error Scheme: an RPC that is not implemented or disabled answers UNIMPLEMENTED"),
    check!("unclaimed-node-rpcs", Should, [Need::NodeService] => unclaimed_node,
        "Error Scheme: an RPC that is not implemented or disabled answers UNIMPLEMENTED"),
    check!("unclaimed-services", Should, [] => unclaimed_services,
        "Error Scheme: RPCs of a service that is not claimed answer UNIMPLEMENTED"),
];

/// Numbers of all capabilities; nothing for one that is not set at all.
async fn numbers(g: &Ground) -> Verdict<Vec<(&'static str, Option<i32>)>> {
    use csi::controller_service_capability::Type::Rpc as Controller;
    use csi::node_service_capability::Type::Rpc as Node;
    use csi::plugin_capability::Type;
    let mut found = Vec::new();
    let plugin =
        g.calls.get_plugin_capabilities(csi::GetPluginCapabilitiesRequest {}).await.ok()?;
    for capability in plugin.capabilities {
        found.push(match capability.r#type {
            Some(Type::Service(service)) => ("plugin service", Some(service.r#type)),
            Some(Type::VolumeExpansion(how)) => ("volume expansion", Some(how.r#type)),
            None => ("plugin", None),
        });
    }
    let request = csi::ControllerGetCapabilitiesRequest {};
    let controller = g.calls.controller_get_capabilities(request).await.result.unwrap_or_default();
    for capability in controller.capabilities {
        let number = capability.r#type.map(|Controller(rpc)| rpc.r#type);
        found.push(("controller", number));
    }
    let request = csi::NodeGetCapabilitiesRequest {};
    let node = g.calls.node_get_capabilities(request).await.result.unwrap_or_default();
    for capability in node.capabilities {
        found.push(("node", capability.r#type.map(|Node(rpc)| rpc.r#type)));
    }
    Ok(found)
}

async fn set(g: &Ground) -> Verdict {
    for (kind, number) in numbers(g).await? {
        let asked = format!("{kind} capabilities");
        want(number.is_some_and(|number| number != 0), asked, "UNKNOWN", "a capability")?;
    }
    Ok(())
}

async fn known(g: &Ground) -> Verdict {
    let mut tally = Tally::default();
    for (kind, number) in numbers(g).await? {
        let Some(number) = number else { continue };
        let defined = match kind {
            "plugin service" => Service::try_from(number).is_ok(),
            "volume expansion" => Expansion::try_from(number).is_ok(),
            "controller" => csi::controller_service_capability::rpc::Type::try_from(number).is_ok(),
            _ => csi::node_service_capability::rpc::Type::try_from(number).is_ok(),
        };
        let asked = format!("{kind} capabilities");
        tally.take(want(defined, asked, format!("value {number}"), "values of CSI 1.13"))?;
    }
    tally.verdict()
}

async fn controller(g: &Ground) -> Verdict {
    let request = csi::ControllerGetCapabilitiesRequest {};
    g.calls.controller_get_capabilities(request).await.ok().map(drop)
}

async fn node(g: &Ground) -> Verdict {
    let answer = g.calls.node_get_capabilities(csi::NodeGetCapabilitiesRequest {}).await;
    if answer.code() == Code::Unimplemented {
        return crate::csi::check::skip("there is no node service at the endpoint");
    }
    answer.ok().map(drop)
}

async fn group(g: &Ground) -> Verdict {
    let request = csi::GroupControllerGetCapabilitiesRequest {};
    g.calls.group_controller_get_capabilities(request).await.ok().map(drop)
}

async fn group_claimed(g: &Ground) -> Verdict {
    group(g).await?;
    together(g, "GROUP_CONTROLLER_SERVICE", Need::Groups).await
}

/// The driver, which claims `one`, must claim `other`.
async fn together(g: &Ground, one: &str, other: Need) -> Verdict {
    let word = other.word();
    want(g.has(other), "the driver's capabilities", format!("{one} without {word}"), word)
}

async fn list_health(g: &Ground) -> Verdict {
    together(g, "LIST_VOLUME_HEALTH", GET_HEALTH).await
}

async fn published_nodes(g: &Ground) -> Verdict {
    together(g, "LIST_VOLUMES_PUBLISHED_NODES", ATTACH).await
}

async fn snapshots(g: &Ground) -> Verdict {
    together(g, "CREATE_DELETE_SNAPSHOT", CREATE).await
}

async fn clones(g: &Ground) -> Verdict {
    together(g, "CLONE_VOLUME", CREATE).await
}

async fn expansion(g: &Ground) -> Verdict {
    let claimed = &g.survey.expansion;
    if claimed.is_empty() {
        return crate::csi::check::skip("the driver does not claim VolumeExpansion");
    }
    if claimed.contains(&Expansion::Offline) {
        together(g, "VolumeExpansion OFFLINE", EXPAND).await?;
    }
    match claimed.contains(&Expansion::Online) && !g.has(NODE_EXPAND) {
        true => together(g, "VolumeExpansion ONLINE", EXPAND).await,
        false => Ok(()),
    }
}

async fn declared(g: &Ground) -> Verdict {
    let there = !g.survey.expansion.is_empty();
    let got = "EXPAND_VOLUME without VolumeExpansion";
    want(there, "the driver's capabilities", got, "ONLINE or OFFLINE")
}

async fn multi_writer(g: &Ground) -> Verdict {
    use csi::controller_service_capability::rpc::Type as Controller;
    use csi::node_service_capability::rpc::Type as Node;
    let controller = g.survey.controller.contains(&Controller::SingleNodeMultiWriter);
    let node = g.survey.node.contains(&Node::SingleNodeMultiWriter);
    let got = if controller { "only the controller has it" } else { "only the node has it" };
    want(controller == node, "SINGLE_NODE_MULTI_WRITER", got, "both or neither")
}

/// Fails unless an RPC that `claim` unlocks is unimplemented where that is not claimed.
fn unimplemented<T>(g: &Ground, tally: &mut Tally, claim: Need, answer: Answer<T>) -> Verdict {
    match g.has(claim) {
        true => Ok(()),
        false => {
            let answer = answer.when(format!("without {}", claim.word()));
            tally.take(answer.is(&[Code::Unimplemented]))
        }
    }
}

/// Calls `$method` with `$request` where `$claim` is not claimed.
macro_rules! unclaimed {
    ($g:ident, $tally:ident, $claim:expr, $method:ident, $request:expr) => {
        if !$g.has($claim) {
            unimplemented($g, &mut $tally, $claim, $g.calls.$method($request).await)?;
        }
    };
}

async fn unclaimed_controller(g: &Ground) -> Verdict {
    let mut tally = Tally::default();
    let id = || UNKNOWN.to_owned();
    let create = csi::CreateVolumeRequest {
        volume_capabilities: vec![ask::capability(Access::Mount, "")],
        name: ask::unique("unclaimed"),
        ..Default::default()
    };
    unclaimed!(g, tally, CREATE, create_volume, create);
    let request = csi::DeleteVolumeRequest { volume_id: id(), ..Default::default() };
    unclaimed!(g, tally, CREATE, delete_volume, request);
    let request = csi::ControllerPublishVolumeRequest {
        volume_id: id(),
        node_id: id(),
        volume_capability: Some(ask::capability(Access::Mount, "")),
        ..Default::default()
    };
    unclaimed!(g, tally, ATTACH, controller_publish_volume, request);
    unclaimed!(g, tally, LIST, list_volumes, csi::ListVolumesRequest::default());
    unclaimed!(g, tally, CAPACITY, get_capacity, csi::GetCapacityRequest::default());
    let request = csi::CreateSnapshotRequest {
        source_volume_id: id(),
        name: ask::unique("unclaimed"),
        ..Default::default()
    };
    unclaimed!(g, tally, SNAPSHOT, create_snapshot, request);
    let request = csi::DeleteSnapshotRequest { snapshot_id: id(), ..Default::default() };
    unclaimed!(g, tally, SNAPSHOT, delete_snapshot, request);
    unclaimed!(g, tally, LIST_SNAPSHOTS, list_snapshots, csi::ListSnapshotsRequest::default());
    let request = csi::GetSnapshotRequest { snapshot_id: id(), ..Default::default() };
    unclaimed!(g, tally, GET_SNAPSHOT, get_snapshot, request);
    let request = csi::ControllerExpandVolumeRequest {
        volume_id: id(),
        capacity_range: ask::at_least(g.options.expand_size),
        ..Default::default()
    };
    unclaimed!(g, tally, EXPAND, controller_expand_volume, request);
    let request = csi::ControllerGetVolumeRequest { volume_id: id() };
    unclaimed!(g, tally, GET_VOLUME, controller_get_volume, request);
    let request = csi::ControllerModifyVolumeRequest {
        volume_id: id(),
        mutable_parameters: [(id(), "1".to_owned())].into(),
        ..Default::default()
    };
    unclaimed!(g, tally, MODIFY, controller_modify_volume, request);
    let request = csi::ControllerGetVolumeHealthRequest { volume_id: id(), ..Default::default() };
    unclaimed!(g, tally, GET_HEALTH, controller_get_volume_health, request);
    let request = csi::ControllerListVolumeHealthRequest::default();
    unclaimed!(g, tally, LIST_HEALTH, controller_list_volume_health, request);
    tally.verdict()
}

async fn unclaimed_node(g: &Ground) -> Verdict {
    let mut tally = Tally::default();
    let id = || UNKNOWN.to_owned();
    let path = || "/becket-check-no-such-path".to_owned();
    let request = csi::NodeStageVolumeRequest {
        volume_id: id(),
        staging_target_path: path(),
        volume_capability: Some(ask::capability(Access::Mount, "")),
        ..Default::default()
    };
    unclaimed!(g, tally, STAGE, node_stage_volume, request);
    let request = csi::NodeGetVolumeStatsRequest {
        volume_id: id(),
        volume_path: path(),
        ..Default::default()
    };
    unclaimed!(g, tally, STATS, node_get_volume_stats, request);
    let request =
        csi::NodeExpandVolumeRequest { volume_id: id(), volume_path: path(), ..Default::default() };
    unclaimed!(g, tally, NODE_EXPAND, node_expand_volume, request);
    let request = csi::NodeGetVolumeHealthRequest { volume_id: id(), ..Default::default() };
    unclaimed!(g, tally, NODE_HEALTH, node_get_volume_health, request);
    let request = csi::NodeGetStorageHealthRequest::default();
    unclaimed!(g, tally, STORAGE_HEALTH, node_get_storage_health, request);
    tally.verdict()
}

async fn unclaimed_services(g: &Ground) -> Verdict {
    let mut tally = Tally::default();
    let service = Need::Plugin(Service::GroupControllerService);
    let request = csi::GroupControllerGetCapabilitiesRequest {};
    unclaimed!(g, tally, service, group_controller_get_capabilities, request);
    let request =
        csi::GetMetadataAllocatedRequest { snapshot_id: UNKNOWN.to_owned(), ..Default::default() };
    unclaimed!(g, tally, METADATA, get_metadata_allocated, request);
    tally.verdict()
}
