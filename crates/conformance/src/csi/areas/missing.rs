//! Requests of controllers without a REQUIRED field. Everything else in them is right.

use crate::csi::answer::Answer;
use crate::csi::ask::{self, Access};
use crate::csi::check::{Check, Tally, Verdict, check};
use crate::csi::ground::Ground;
use crate::csi::need::{
    ATTACH, CREATE, EXPAND, GET_HEALTH, GET_SNAPSHOT, GET_VOLUME, METADATA, MODIFY, Need, SNAPSHOT,
};
use becket_csi::protocol::csi;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("missing-fields-create-volume", Must, [CREATE] => create_volume,
        "CreateVolume: name and volume_capabilities are REQUIRED; a missing one is \
         INVALID_ARGUMENT"),
    check!("missing-fields-content-source", Must, [CREATE] => content_source,
        "CreateVolume: a volume_content_source MUST name a snapshot or a volume, whose id is \
         REQUIRED"),
    check!("missing-fields-delete-volume", Must, [CREATE] => delete_volume,
        "DeleteVolume: volume_id is REQUIRED; a missing one is INVALID_ARGUMENT"),
    check!("missing-fields-validate", Must, [CREATE] => validate,
        "ValidateVolumeCapabilities: volume_id and volume_capabilities are REQUIRED; a missing \
         one is INVALID_ARGUMENT"),
    check!("missing-fields-attach", Must, [CREATE, ATTACH] => attach,
        "ControllerPublishVolume: volume_id, node_id and volume_capability are REQUIRED; a \
         missing one is INVALID_ARGUMENT"),
    check!("missing-fields-detach", Must, [ATTACH] => detach,
        "ControllerUnpublishVolume: volume_id is REQUIRED; a missing one is INVALID_ARGUMENT"),
    check!("missing-fields-get-volume", Must, [GET_VOLUME] => get_volume,
        "ControllerGetVolume: volume_id is REQUIRED; a missing one is INVALID_ARGUMENT"),
    check!("missing-fields-expand", Must, [CREATE, EXPAND] => expand,
        "ControllerExpandVolume: volume_id and capacity_range are REQUIRED; a missing one is \
         INVALID_ARGUMENT"),
    check!("missing-fields-modify", Must, [CREATE, MODIFY] => modify,
        "ControllerModifyVolume: volume_id and mutable_parameters are REQUIRED; a missing one is \
         INVALID_ARGUMENT"),
    check!("missing-fields-controller-health", Must, [GET_HEALTH] => health,
        "ControllerGetVolumeHealth: volume_id is REQUIRED; a missing one is INVALID_ARGUMENT"),
    check!("missing-fields-create-snapshot", Must, [CREATE, SNAPSHOT] => create_snapshot,
        "CreateSnapshot: source_volume_id and name are REQUIRED; a missing one is \
         INVALID_ARGUMENT"),
    check!("missing-fields-delete-snapshot", Must, [SNAPSHOT] => delete_snapshot,
        "DeleteSnapshot: snapshot_id is REQUIRED; a missing one is INVALID_ARGUMENT"),
    check!("missing-fields-get-snapshot", Must, [GET_SNAPSHOT] => get_snapshot,
        "GetSnapshot: snapshot_id is REQUIRED; a missing one is INVALID_ARGUMENT"),
    check!("missing-fields-create-group", Must, [CREATE, Need::Groups] => create_group,
        "CreateVolumeGroupSnapshot: name and source_volume_ids are REQUIRED; a missing one is \
         INVALID_ARGUMENT"),
    check!("missing-fields-delete-group", Must, [Need::Groups] => delete_group,
        "DeleteVolumeGroupSnapshot: group_snapshot_id is REQUIRED; a missing one is \
         INVALID_ARGUMENT"),
    check!("missing-fields-get-group", Must, [Need::Groups] => get_group,
        "GetVolumeGroupSnapshot: group_snapshot_id is REQUIRED; a missing one is INVALID_ARGUMENT"),
    check!("missing-fields-metadata", Must, [CREATE, SNAPSHOT, METADATA, Need::Block] => metadata,
        "GetMetadataAllocated: snapshot ids are REQUIRED; a missing one is INVALID_ARGUMENT"),
];

/// Wants INVALID_ARGUMENT of a request without `field`.
pub(super) fn without<T>(field: &str, answer: Answer<T>) -> Verdict {
    answer.when(format!("without {field}")).is(&[Code::InvalidArgument])
}

async fn create_volume(g: &Ground) -> Verdict {
    let mut tally = Tally::default();
    let good = g.create_request(g.access());
    let request = csi::CreateVolumeRequest { name: String::new(), ..good.clone() };
    tally.take(without("name", g.calls.create_volume(request).await))?;
    let request = csi::CreateVolumeRequest { volume_capabilities: Vec::new(), ..good };
    tally.take(without("volume_capabilities", g.calls.create_volume(request).await))?;
    tally.verdict()
}

async fn content_source(g: &Ground) -> Verdict {
    let mut tally = Tally::default();
    let nothing = csi::VolumeContentSource { r#type: None };
    for (field, source) in [
        ("the type of volume_content_source", Some(nothing)),
        ("snapshot_id in volume_content_source", ask::from_snapshot("")),
        ("volume_id in volume_content_source", ask::from_volume("")),
    ] {
        let mut request = g.create_request(g.access());
        request.volume_content_source = source;
        tally.take(without(field, g.calls.create_volume(request).await))?;
    }
    tally.verdict()
}

async fn delete_volume(g: &Ground) -> Verdict {
    without("volume_id", g.calls.delete_volume(csi::DeleteVolumeRequest::default()).await)
}

async fn validate(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let mut tally = Tally::default();
    let good = csi::ValidateVolumeCapabilitiesRequest {
        volume_id: volume.id,
        volume_context: volume.context,
        volume_capabilities: vec![volume.capability],
        ..Default::default()
    };
    let request =
        csi::ValidateVolumeCapabilitiesRequest { volume_id: String::new(), ..good.clone() };
    tally.take(without("volume_id", g.calls.validate_volume_capabilities(request).await))?;
    let request =
        csi::ValidateVolumeCapabilitiesRequest { volume_capabilities: Vec::new(), ..good };
    let answer = g.calls.validate_volume_capabilities(request).await;
    tally.take(without("volume_capabilities", answer))?;
    tally.verdict()
}

async fn attach(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let good = g.attach_request(&volume, false);
    let mut tally = Tally::default();
    let request = csi::ControllerPublishVolumeRequest { volume_id: String::new(), ..good.clone() };
    tally.take(without("volume_id", g.calls.controller_publish_volume(request).await))?;
    let request = csi::ControllerPublishVolumeRequest { node_id: String::new(), ..good.clone() };
    tally.take(without("node_id", g.calls.controller_publish_volume(request).await))?;
    let request = csi::ControllerPublishVolumeRequest { volume_capability: None, ..good };
    let answer = g.calls.controller_publish_volume(request).await;
    tally.take(without("volume_capability", answer))?;
    tally.verdict()
}

async fn detach(g: &Ground) -> Verdict {
    let request = csi::ControllerUnpublishVolumeRequest {
        node_id: g.survey.node_id.clone(),
        ..Default::default()
    };
    without("volume_id", g.calls.controller_unpublish_volume(request).await)
}

async fn get_volume(g: &Ground) -> Verdict {
    let request = csi::ControllerGetVolumeRequest::default();
    without("volume_id", g.calls.controller_get_volume(request).await)
}

async fn expand(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let good = csi::ControllerExpandVolumeRequest {
        volume_id: volume.id,
        capacity_range: ask::at_least(g.options.expand_size),
        ..Default::default()
    };
    let mut tally = Tally::default();
    let request = csi::ControllerExpandVolumeRequest { volume_id: String::new(), ..good.clone() };
    tally.take(without("volume_id", g.calls.controller_expand_volume(request).await))?;
    let request = csi::ControllerExpandVolumeRequest { capacity_range: None, ..good };
    tally.take(without("capacity_range", g.calls.controller_expand_volume(request).await))?;
    tally.verdict()
}

async fn modify(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let mut tally = Tally::default();
    let request = csi::ControllerModifyVolumeRequest {
        mutable_parameters: [("key".to_owned(), "value".to_owned())].into(),
        ..Default::default()
    };
    tally.take(without("volume_id", g.calls.controller_modify_volume(request).await))?;
    let request = csi::ControllerModifyVolumeRequest { volume_id: volume.id, ..Default::default() };
    tally.take(without("mutable_parameters", g.calls.controller_modify_volume(request).await))?;
    tally.verdict()
}

async fn health(g: &Ground) -> Verdict {
    let request = csi::ControllerGetVolumeHealthRequest::default();
    without("volume_id", g.calls.controller_get_volume_health(request).await)
}

async fn create_snapshot(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let good = g.snapshot_request(&volume);
    let mut tally = Tally::default();
    let request = csi::CreateSnapshotRequest { source_volume_id: String::new(), ..good.clone() };
    tally.take(without("source_volume_id", g.calls.create_snapshot(request).await))?;
    let request = csi::CreateSnapshotRequest { name: String::new(), ..good };
    tally.take(without("name", g.calls.create_snapshot(request).await))?;
    tally.verdict()
}

async fn delete_snapshot(g: &Ground) -> Verdict {
    without("snapshot_id", g.calls.delete_snapshot(csi::DeleteSnapshotRequest::default()).await)
}

async fn get_snapshot(g: &Ground) -> Verdict {
    without("snapshot_id", g.calls.get_snapshot(csi::GetSnapshotRequest::default()).await)
}

async fn create_group(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let mut tally = Tally::default();
    let request = csi::CreateVolumeGroupSnapshotRequest {
        source_volume_ids: vec![volume.id],
        ..Default::default()
    };
    tally.take(without("name", g.calls.create_volume_group_snapshot(request).await))?;
    let request =
        csi::CreateVolumeGroupSnapshotRequest { name: ask::unique("group"), ..Default::default() };
    let answer = g.calls.create_volume_group_snapshot(request).await;
    tally.take(without("source_volume_ids", answer))?;
    tally.verdict()
}

async fn delete_group(g: &Ground) -> Verdict {
    let request = csi::DeleteVolumeGroupSnapshotRequest {
        snapshot_ids: vec![ask::UNKNOWN.to_owned()],
        ..Default::default()
    };
    without("group_snapshot_id", g.calls.delete_volume_group_snapshot(request).await)
}

async fn get_group(g: &Ground) -> Verdict {
    let request = csi::GetVolumeGroupSnapshotRequest {
        snapshot_ids: vec![ask::UNKNOWN.to_owned()],
        ..Default::default()
    };
    without("group_snapshot_id", g.calls.get_volume_group_snapshot(request).await)
}

async fn metadata(g: &Ground) -> Verdict {
    let mut tally = Tally::default();
    let request = csi::GetMetadataAllocatedRequest::default();
    tally.take(without("snapshot_id", g.calls.get_metadata_allocated(request).await))?;
    let volume = g.volume(Access::Block).await?;
    let id = g.snapshot(&volume).await?.snapshot_id;
    for (field, base, target) in
        [("base_snapshot_id", "", id.as_str()), ("target_snapshot_id", id.as_str(), "")]
    {
        let request = csi::GetMetadataDeltaRequest {
            base_snapshot_id: base.to_owned(),
            target_snapshot_id: target.to_owned(),
            ..Default::default()
        };
        tally.take(without(field, g.calls.get_metadata_delta(request).await))?;
    }
    tally.verdict()
}
