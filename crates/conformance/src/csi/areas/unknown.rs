//! Ids that nobody knows: NOT_FOUND where something is wanted of them, OK where they should go.

use crate::csi::ask::{self, UNKNOWN};
use crate::csi::check::{Check, Tally, Verdict, check};
use crate::csi::ground::Ground;
use crate::csi::need::{
    ATTACH, CLONE, CREATE, EXPAND, GET_HEALTH, GET_SNAPSHOT, GET_VOLUME, METADATA, MODIFY,
    NODE_EXPAND, NODE_HEALTH, Need, SNAPSHOT, STAGE, STATS,
};
use becket_csi::protocol::csi;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("unknown-volume-validate", Must, [CREATE] => validate,
        "ValidateVolumeCapabilities: a volume that does not exist is NOT_FOUND"),
    check!("unknown-volume-attach", Must, [ATTACH] => attach,
        "ControllerPublishVolume: a volume that does not exist is NOT_FOUND"),
    check!("unknown-volume-detach", Must, [ATTACH] => detach,
        "ControllerUnpublishVolume: a volume that cannot be found is OK where it is safely \
         unpublished, and else NOT_FOUND"),
    check!("unknown-volume-expand", Must, [EXPAND] => expand,
        "ControllerExpandVolume: a volume that does not exist is NOT_FOUND"),
    check!("unknown-volume-get", Must, [GET_VOLUME] => get_volume,
        "ControllerGetVolume: a volume that does not exist is NOT_FOUND"),
    check!("unknown-volume-modify", Must, [MODIFY, Need::MutableParameter] => modify,
        "ControllerModifyVolume: a volume that does not exist is NOT_FOUND"),
    check!("unknown-volume-controller-health", Must, [GET_HEALTH] => controller_health,
        "ControllerGetVolumeHealth: a volume that does not exist is NOT_FOUND"),
    check!("unknown-volume-delete", Must, [CREATE] => delete_volume,
        "DeleteVolume: a volume that does not exist is OK"),
    check!("unknown-source-snapshot", Must, [CREATE, SNAPSHOT] => source_snapshot,
        "CreateVolume: a source that does not exist is NOT_FOUND"),
    check!("unknown-source-volume", Must, [CREATE, CLONE] => source_volume,
        "CreateVolume: a source that does not exist is NOT_FOUND"),
    check!("unknown-volume-snapshot", Should, [SNAPSHOT] => snapshot,
        "CreateSnapshot: a source volume that does not exist is best called NOT_FOUND"),
    check!("unknown-snapshot-delete", Must, [SNAPSHOT] => delete_snapshot,
        "DeleteSnapshot: a snapshot that does not exist is OK"),
    check!("unknown-snapshot-get", Must, [GET_SNAPSHOT] => get_snapshot,
        "GetSnapshot: a snapshot that does not exist is NOT_FOUND"),
    check!("unknown-volume-group", Should, [Need::Groups] => create_group,
        "CreateVolumeGroupSnapshot: a source volume that does not exist is best called NOT_FOUND"),
    check!("unknown-group-delete", Must, [Need::Groups] => delete_group,
        "DeleteVolumeGroupSnapshot: a group snapshot that does not exist is OK"),
    check!("unknown-group-get", Must, [Need::Groups] => get_group,
        "GetVolumeGroupSnapshot: a group snapshot that does not exist is NOT_FOUND"),
    check!("unknown-snapshot-metadata", Must, [METADATA] => metadata,
        "GetMetadataAllocated: a snapshot that was not found is NOT_FOUND, in GetMetadataDelta \
         too"),
    check!("unknown-volume-stage", Must, [STAGE, Need::Here] => stage,
        "NodeStageVolume: a volume that does not exist is NOT_FOUND"),
    check!("unknown-volume-unstage", Must, [STAGE, Need::Here] => unstage,
        "NodeUnstageVolume: a volume that is not staged is OK, one that does not exist NOT_FOUND"),
    check!("unknown-volume-publish", Must, [Need::NodeService, Need::Here] => publish,
        "NodePublishVolume: a volume that does not exist is NOT_FOUND"),
    check!("unknown-volume-unpublish", Must, [Need::NodeService, Need::Here] => unpublish,
        "NodeUnpublishVolume: a volume that is not published is OK, one that does not exist \
         NOT_FOUND"),
    check!("unknown-volume-stats", Must, [STATS, Need::Here] => stats,
        "NodeGetVolumeStats: a volume that does not exist on the path is NOT_FOUND"),
    check!("unknown-volume-node-expand", Must, [NODE_EXPAND, Need::Here] => node_expand,
        "NodeExpandVolume: a volume that does not exist is NOT_FOUND"),
    check!("unknown-volume-node-health", Must, [NODE_HEALTH] => node_health,
        "NodeGetVolumeHealth: a volume that does not exist on the node is NOT_FOUND"),
];

const NOT_FOUND: &[Code] = &[Code::NotFound];
const OK: &[Code] = &[Code::Ok];
const EITHER: &[Code] = &[Code::Ok, Code::NotFound];

/// One check: `$name` calls `$method` with the request, whose volume nobody knows.
macro_rules! unknown {
    ($($name:ident: $method:ident => $codes:ident, |$g:ident| $request:expr;)*) => {$(
        async fn $name($g: &Ground) -> Verdict {
            $g.calls.$method($request).await.when("an id that nobody knows").is($codes)
        }
    )*};
}

fn id() -> String {
    UNKNOWN.to_owned()
}

unknown! {
    validate: validate_volume_capabilities => NOT_FOUND, |g| {
        csi::ValidateVolumeCapabilitiesRequest {
            volume_id: id(),
            volume_capabilities: vec![g.capability(g.access())],
            ..Default::default()
        }
    };
    attach: controller_publish_volume => NOT_FOUND, |g| csi::ControllerPublishVolumeRequest {
        volume_id: id(),
        node_id: g.survey.node_id.clone(),
        volume_capability: Some(g.capability(g.access())),
        ..Default::default()
    };
    detach: controller_unpublish_volume => EITHER, |g| csi::ControllerUnpublishVolumeRequest {
        volume_id: id(),
        node_id: g.survey.node_id.clone(),
        ..Default::default()
    };
    expand: controller_expand_volume => NOT_FOUND, |g| csi::ControllerExpandVolumeRequest {
        volume_id: id(),
        capacity_range: ask::at_least(g.options.expand_size),
        ..Default::default()
    };
    get_volume: controller_get_volume => NOT_FOUND, |g| csi::ControllerGetVolumeRequest {
        volume_id: id(),
    };
    modify: controller_modify_volume => NOT_FOUND, |g| csi::ControllerModifyVolumeRequest {
        volume_id: id(),
        mutable_parameters: g.options.mutable_parameters.clone(),
        ..Default::default()
    };
    controller_health: controller_get_volume_health => NOT_FOUND, |g| {
        csi::ControllerGetVolumeHealthRequest { volume_id: id(), ..Default::default() }
    };
    delete_volume: delete_volume => OK, |g| csi::DeleteVolumeRequest {
        volume_id: id(),
        ..Default::default()
    };
    source_snapshot: create_volume => NOT_FOUND, |g| csi::CreateVolumeRequest {
        volume_content_source: ask::from_snapshot(UNKNOWN),
        ..g.create_request(g.access())
    };
    source_volume: create_volume => NOT_FOUND, |g| csi::CreateVolumeRequest {
        volume_content_source: ask::from_volume(UNKNOWN),
        ..g.create_request(g.access())
    };
    snapshot: create_snapshot => NOT_FOUND, |g| csi::CreateSnapshotRequest {
        source_volume_id: id(),
        name: ask::unique("snapshot"),
        ..Default::default()
    };
    delete_snapshot: delete_snapshot => OK, |g| csi::DeleteSnapshotRequest {
        snapshot_id: id(),
        ..Default::default()
    };
    get_snapshot: get_snapshot => NOT_FOUND, |g| csi::GetSnapshotRequest {
        snapshot_id: id(),
        ..Default::default()
    };
    create_group: create_volume_group_snapshot => NOT_FOUND, |g| {
        csi::CreateVolumeGroupSnapshotRequest {
            name: ask::unique("group"),
            source_volume_ids: vec![id()],
            ..Default::default()
        }
    };
    delete_group: delete_volume_group_snapshot => OK, |g| csi::DeleteVolumeGroupSnapshotRequest {
        group_snapshot_id: id(),
        snapshot_ids: vec![id()],
        ..Default::default()
    };
    get_group: get_volume_group_snapshot => NOT_FOUND, |g| csi::GetVolumeGroupSnapshotRequest {
        group_snapshot_id: id(),
        snapshot_ids: vec![id()],
        ..Default::default()
    };
    stage: node_stage_volume => NOT_FOUND, |g| csi::NodeStageVolumeRequest {
        volume_id: id(),
        staging_target_path: g.places.staging()?,
        volume_capability: Some(g.capability(g.access())),
        ..Default::default()
    };
    unstage: node_unstage_volume => EITHER, |g| csi::NodeUnstageVolumeRequest {
        volume_id: id(),
        staging_target_path: g.places.staging()?,
    };
    unpublish: node_unpublish_volume => EITHER, |g| csi::NodeUnpublishVolumeRequest {
        volume_id: id(),
        target_path: g.places.target()?,
    };
    stats: node_get_volume_stats => NOT_FOUND, |g| csi::NodeGetVolumeStatsRequest {
        volume_id: id(),
        volume_path: g.places.target()?,
        ..Default::default()
    };
    node_expand: node_expand_volume => NOT_FOUND, |g| csi::NodeExpandVolumeRequest {
        volume_id: id(),
        volume_path: g.places.target()?,
        capacity_range: ask::at_least(g.options.expand_size),
        ..Default::default()
    };
    node_health: node_get_volume_health => NOT_FOUND, |g| csi::NodeGetVolumeHealthRequest {
        volume_id: id(),
        ..Default::default()
    };
}

async fn publish(g: &Ground) -> Verdict {
    let staging_target_path = match g.has(STAGE) {
        true => g.places.staging()?,
        false => String::new(),
    };
    let request = csi::NodePublishVolumeRequest {
        volume_id: id(),
        staging_target_path,
        target_path: g.places.target()?,
        volume_capability: Some(g.capability(g.access())),
        ..Default::default()
    };
    g.calls.node_publish_volume(request).await.when("an id that nobody knows").is(NOT_FOUND)
}

async fn metadata(g: &Ground) -> Verdict {
    let mut tally = Tally::default();
    let request = csi::GetMetadataAllocatedRequest { snapshot_id: id(), ..Default::default() };
    let answer = g.calls.get_metadata_allocated(request).await;
    tally.take(answer.when("an id that nobody knows").is(NOT_FOUND))?;
    let request = csi::GetMetadataDeltaRequest {
        base_snapshot_id: id(),
        target_snapshot_id: id(),
        ..Default::default()
    };
    let answer = g.calls.get_metadata_delta(request).await;
    tally.take(answer.when("ids that nobody knows").is(NOT_FOUND))?;
    tally.verdict()
}
