//! `NodeExpandVolume` by itself.

use super::expand::node_expand;
use crate::csi::check::{Check, Verdict, check, want};
use crate::csi::ground::Ground;
use crate::csi::need::{CREATE, NODE_EXPAND, Need, STAGE};
use becket_csi::protocol::csi;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("node-expand-large-enough", Should, [CREATE, NODE_EXPAND, Need::Here] => large_enough,
        "NodeExpandVolume: a volume that is already large enough SHOULD be OK"),
    check!("node-expand-without-range", Must, [CREATE, NODE_EXPAND, Need::Here] => without_range,
        "NodeExpandVolume: capacity_range is OPTIONAL; without it the plugin MAY expand to the \
         maximum"),
    check!("node-expand-staging-path", Must,
        [CREATE, NODE_EXPAND, STAGE, Need::Here] => staging_path,
        "NodeExpandVolume: MAY be called before NodePublishVolume, on the path where the volume \
         is staged"),
    check!("node-expand-wrong-path", Must, [CREATE, NODE_EXPAND, Need::Here] => wrong_path,
        "NodeExpandVolume: only supports volumes that are published or staged on the given \
         volume_path"),
];

async fn large_enough(g: &Ground) -> Verdict {
    let here = g.new_published(g.access()).await?;
    for _ in 0..2 {
        let answer = node_expand(g, &here, &here.target, g.options.size).await;
        let answer = answer.when("the size that the volume has").ok()?;
        let (capacity, have) = (answer.capacity_bytes, here.volume.capacity);
        let got = format!("capacity_bytes {capacity}");
        let fits = capacity == 0 || have == 0 || capacity == have;
        want(fits, "NodeExpandVolume: the size that the volume has", got, have.to_string())?;
    }
    Ok(())
}

async fn without_range(g: &Ground) -> Verdict {
    let here = g.new_published(g.access()).await?;
    let request = csi::NodeExpandVolumeRequest {
        volume_id: here.volume.id.clone(),
        volume_path: here.target.clone(),
        staging_target_path: here.staging.clone(),
        ..Default::default()
    };
    let answer = g.calls.node_expand_volume(request).await;
    answer.when("with neither capacity_range nor volume_capability").ok().map(drop)
}

async fn staging_path(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let here = g.staged(volume).await?;
    let answer = node_expand(g, &here, &here.staging, g.options.size).await;
    answer.when("the staging path, before NodePublishVolume").ok().map(drop)
}

async fn wrong_path(g: &Ground) -> Verdict {
    let here = g.new_published(g.access()).await?;
    let nowhere = g.places.target()?;
    let answer = node_expand(g, &here, &nowhere, g.options.size).await;
    let answer = answer.when("a volume_path where nothing is");
    // The table has no line for this; what it may not be is OK.
    answer.is(&[Code::NotFound, Code::InvalidArgument, Code::FailedPrecondition])
}
