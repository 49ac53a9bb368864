//! `ControllerPublishVolume` and its opposite, called attach and detach here.

use crate::csi::answer::Answer;
use crate::csi::ask::UNKNOWN;
use crate::csi::check::{Check, Verdict, check, skip, want};
use crate::csi::ground::{Ground, Volume};
use crate::csi::need::{ATTACH, ATTACH_READONLY, CREATE, LIST, Need, PUBLISHED_NODES};
use becket_csi::protocol::csi;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("attach-twice", Must, [CREATE, ATTACH, Need::NodeService] => twice,
        "ControllerPublishVolume: MUST be idempotent, and publish_context SHALL NOT be mutable"),
    check!("attach-unknown-node", Must, [CREATE, ATTACH] => unknown_node,
        "ControllerPublishVolume: a node that does not exist is NOT_FOUND"),
    check!("attach-other-readonly", Must,
        [CREATE, ATTACH, ATTACH_READONLY, Need::NodeService] => other_readonly,
        "ControllerPublishVolume: a volume published at the node with another readonly flag is \
         ALREADY_EXISTS"),
    check!("attach-other-capability", Must,
        [CREATE, ATTACH, Need::NodeService, Need::Mount] => other_capability,
        "ControllerPublishVolume: a volume published at the node with another volume_capability \
         is ALREADY_EXISTS"),
    check!("attach-limit", Must, [CREATE, ATTACH, Need::NodeService] => limit,
        "ControllerPublishVolume: more volumes than the node's maximum are RESOURCE_EXHAUSTED"),
    check!("detach-twice", Must, [CREATE, ATTACH, Need::NodeService] => detach_twice,
        "ControllerUnpublishVolume: MUST be idempotent; a volume that is not attached is OK"),
    check!("detach-unknown-node", Must, [CREATE, ATTACH] => detach_unknown_node,
        "ControllerUnpublishVolume: a node that cannot be found is OK where the volume is safely \
         unpublished, and else NOT_FOUND"),
    check!("detach-from-all-nodes", Must, [CREATE, ATTACH, Need::NodeService] => detach_all,
        "ControllerUnpublishVolume: without node_id the SP MUST unpublish the volume from all \
         nodes"),
    check!("delete-attached", Should, [CREATE, ATTACH, Need::NodeService] => delete_attached,
        "DeleteVolume: a volume that is in use is FAILED_PRECONDITION"),
];

async fn twice(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let first = g.attach(&volume, false).await.ok()?.publish_context;
    let answer = g.attach(&volume, false).await.when("the same again");
    let asked = answer.asked();
    let second = answer.ok()?.publish_context;
    want(first == second, asked, "another publish_context", "the same publish_context")
}

async fn unknown_node(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let mut request = g.attach_request(&volume, false);
    request.node_id = UNKNOWN.to_owned();
    let answer = g.calls.controller_publish_volume(request).await;
    answer.when("a node that nobody knows").is(&[Code::NotFound])
}

async fn other_readonly(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    g.attach(&volume, false).await.prepared()?;
    let answer = g.attach(&volume, true).await.when("again, but readonly");
    answer.is(&[Code::AlreadyExists])
}

async fn other_capability(g: &Ground) -> Verdict {
    let volume = g.volume(crate::csi::ask::Access::Mount).await?;
    g.attach(&volume, false).await.prepared()?;
    let mut request = g.attach_request(&volume, false);
    request.volume_capability = Some(g.capability(volume.access.other()));
    let answer = g.calls.controller_publish_volume(request).await;
    // A capability the volume never had may also be called invalid.
    let codes = &[Code::AlreadyExists, Code::InvalidArgument, Code::FailedPrecondition];
    answer.when("again, with block instead of mount").is(codes)
}

async fn limit(g: &Ground) -> Verdict {
    const MOST: i64 = 32;
    let limit = g.survey.max_volumes;
    match limit {
        0 => return skip("the node has no max_volumes_per_node"),
        1..=MOST => {}
        _ => return skip(format!("a limit of {limit} volumes is too many to try")),
    }
    for _ in 0..limit {
        let volume = g.volume(g.access()).await?;
        g.attach(&volume, false).await.ok()?;
    }
    let volume = g.volume(g.access()).await?;
    let answer = g.attach(&volume, false).await;
    answer.when(format!("volume number {}", limit + 1)).is(&[Code::ResourceExhausted])
}

async fn detach(
    g: &Ground,
    volume: &Volume,
    node: &str,
) -> Answer<csi::ControllerUnpublishVolumeResponse> {
    let request = csi::ControllerUnpublishVolumeRequest {
        volume_id: volume.id.clone(),
        node_id: node.to_owned(),
        ..Default::default()
    };
    g.calls.controller_unpublish_volume(request).await
}

async fn detach_twice(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    g.attach(&volume, false).await.prepared()?;
    let node = g.survey.node_id.clone();
    detach(g, &volume, &node).await.ok()?;
    detach(g, &volume, &node).await.when("the same again").ok().map(drop)
}

async fn detach_unknown_node(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let answer = detach(g, &volume, UNKNOWN).await.when("a node that nobody knows");
    answer.is(&[Code::Ok, Code::NotFound])
}

async fn detach_all(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    g.attach(&volume, false).await.prepared()?;
    detach(g, &volume, "").await.when("without node_id").ok()?;
    if g.has(LIST) && g.has(PUBLISHED_NODES) {
        let entry = super::list::entry(g, &volume.id).await?.unwrap_or_default();
        let nodes = entry.status.unwrap_or_default().published_node_ids;
        let asked = "ListVolumes after ControllerUnpublishVolume without node_id";
        let got = format!("published_node_ids {nodes:?}");
        want(!nodes.contains(&g.survey.node_id), asked, got, "not this node")?;
    }
    // Detached as it is, it can be deleted, also by a driver that refuses attached volumes.
    let request = csi::DeleteVolumeRequest { volume_id: volume.id, ..Default::default() };
    let answer = g.calls.delete_volume(request).await;
    answer.when("after ControllerUnpublishVolume without node_id").ok().map(drop)
}

async fn delete_attached(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    g.attach(&volume, false).await.prepared()?;
    let request = csi::DeleteVolumeRequest { volume_id: volume.id, ..Default::default() };
    let answer = g.calls.delete_volume(request).await.when("a volume that is attached");
    answer.is(&[Code::FailedPrecondition])
}
