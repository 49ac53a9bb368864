//! Requests of nodes without a REQUIRED field. Everything else in them is right.

use super::missing::without;
use crate::csi::check::{Check, Tally, Verdict, check};
use crate::csi::ground::Ground;
use crate::csi::need::{CREATE, NODE_EXPAND, NODE_HEALTH, Need, STAGE, STATS};
use becket_csi::protocol::csi;

pub(super) const CHECKS: &[Check] = &[
    check!("missing-fields-stage", Must, [CREATE, STAGE, Need::Here] => stage,
        "NodeStageVolume: volume_id, staging_target_path and volume_capability are REQUIRED; a \
         missing one is INVALID_ARGUMENT"),
    check!("missing-fields-unstage", Must, [CREATE, STAGE, Need::Here] => unstage,
        "NodeUnstageVolume: volume_id and staging_target_path are REQUIRED; a missing one is \
         INVALID_ARGUMENT"),
    check!("missing-fields-publish", Must, [CREATE, Need::NodeService, Need::Here] => publish,
        "NodePublishVolume: volume_id, target_path and volume_capability are REQUIRED; a missing \
         one is INVALID_ARGUMENT"),
    check!("missing-fields-unpublish", Must, [CREATE, Need::NodeService, Need::Here] => unpublish,
        "NodeUnpublishVolume: volume_id and target_path are REQUIRED; a missing one is \
         INVALID_ARGUMENT"),
    check!("missing-fields-stats", Must, [CREATE, STATS, Need::Here] => stats,
        "NodeGetVolumeStats: volume_id and volume_path are REQUIRED; a missing one is \
         INVALID_ARGUMENT"),
    check!("missing-fields-node-expand", Must, [CREATE, NODE_EXPAND, Need::Here] => expand,
        "NodeExpandVolume: volume_id and volume_path are REQUIRED; a missing one is \
         INVALID_ARGUMENT"),
    check!("missing-fields-node-health", Must, [NODE_HEALTH] => health,
        "NodeGetVolumeHealth: volume_id is REQUIRED; a missing one is INVALID_ARGUMENT"),
];

async fn stage(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let good = g.attached(volume).await?.stage_request();
    let mut tally = Tally::default();
    let request = csi::NodeStageVolumeRequest { volume_id: String::new(), ..good.clone() };
    tally.take(without("volume_id", g.calls.node_stage_volume(request).await))?;
    let request =
        csi::NodeStageVolumeRequest { staging_target_path: String::new(), ..good.clone() };
    tally.take(without("staging_target_path", g.calls.node_stage_volume(request).await))?;
    let request = csi::NodeStageVolumeRequest { volume_capability: None, ..good };
    tally.take(without("volume_capability", g.calls.node_stage_volume(request).await))?;
    tally.verdict()
}

async fn unstage(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let good = g.staged(volume).await?.unstage_request();
    let mut tally = Tally::default();
    let request = csi::NodeUnstageVolumeRequest { volume_id: String::new(), ..good.clone() };
    tally.take(without("volume_id", g.calls.node_unstage_volume(request).await))?;
    let request = csi::NodeUnstageVolumeRequest { staging_target_path: String::new(), ..good };
    tally.take(without("staging_target_path", g.calls.node_unstage_volume(request).await))?;
    tally.verdict()
}

async fn publish(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let good = g.staged(volume).await?.publish_request();
    let mut tally = Tally::default();
    let request = csi::NodePublishVolumeRequest { volume_id: String::new(), ..good.clone() };
    tally.take(without("volume_id", g.calls.node_publish_volume(request).await))?;
    let request = csi::NodePublishVolumeRequest { target_path: String::new(), ..good.clone() };
    tally.take(without("target_path", g.calls.node_publish_volume(request).await))?;
    let request = csi::NodePublishVolumeRequest { volume_capability: None, ..good };
    tally.take(without("volume_capability", g.calls.node_publish_volume(request).await))?;
    tally.verdict()
}

async fn unpublish(g: &Ground) -> Verdict {
    let good = g.new_published(g.access()).await?.unpublish_request();
    let mut tally = Tally::default();
    let request = csi::NodeUnpublishVolumeRequest { volume_id: String::new(), ..good.clone() };
    tally.take(without("volume_id", g.calls.node_unpublish_volume(request).await))?;
    let request = csi::NodeUnpublishVolumeRequest { target_path: String::new(), ..good };
    tally.take(without("target_path", g.calls.node_unpublish_volume(request).await))?;
    tally.verdict()
}

async fn stats(g: &Ground) -> Verdict {
    let here = g.new_published(g.access()).await?;
    let mut tally = Tally::default();
    let request =
        csi::NodeGetVolumeStatsRequest { volume_path: here.target.clone(), ..Default::default() };
    tally.take(without("volume_id", g.calls.node_get_volume_stats(request).await))?;
    let request =
        csi::NodeGetVolumeStatsRequest { volume_id: here.volume.id, ..Default::default() };
    tally.take(without("volume_path", g.calls.node_get_volume_stats(request).await))?;
    tally.verdict()
}

async fn expand(g: &Ground) -> Verdict {
    let here = g.new_published(g.access()).await?;
    let mut tally = Tally::default();
    let request =
        csi::NodeExpandVolumeRequest { volume_path: here.target.clone(), ..Default::default() };
    tally.take(without("volume_id", g.calls.node_expand_volume(request).await))?;
    let request = csi::NodeExpandVolumeRequest { volume_id: here.volume.id, ..Default::default() };
    tally.take(without("volume_path", g.calls.node_expand_volume(request).await))?;
    tally.verdict()
}

async fn health(g: &Ground) -> Verdict {
    without("volume_id", g.calls.node_get_volume_health(Default::default()).await)
}
