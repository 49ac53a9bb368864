//! Growing volumes, in use or not: the new size is there and the content too.

use crate::csi::answer::Answer;
use crate::csi::ask::{self, Access};
use crate::csi::check::{Check, Verdict, check, skip, want};
use crate::csi::ground::{Ground, Volume};
use crate::csi::need::{CREATE, EXPAND, LIST, NODE_EXPAND, Need, ONLINE, STAGE};
use crate::csi::on_node::OnNode;
use becket_csi::protocol::csi;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("expand-published", Must, [CREATE, ONLINE, Need::Mount, Need::Here] => published,
        "ControllerExpandVolume: with VolumeExpansion ONLINE volumes may be expanded when \
         published; the filesystem then has the new size and the content"),
    check!("expand-published-block", Must,
        [CREATE, ONLINE, Need::Block, Need::Here] => published_block,
        "ControllerExpandVolume: with VolumeExpansion ONLINE volumes may be expanded when \
         published; the device then has the new size and the content"),
    check!("expand-unpublished", Must, [CREATE, EXPAND, Need::Mount, Need::Here] => unpublished,
        "ControllerExpandVolume: a volume that is not in use grows, and once published has the \
         new size and the content"),
    check!("expand-unpublished-block", Must,
        [CREATE, EXPAND, Need::Block, Need::Here] => unpublished_block,
        "ControllerExpandVolume: a volume that is not in use grows, and once published has the \
         new size and the content"),
    check!("expand-exact", Must, [CREATE, EXPAND] => exact,
        "ControllerExpandVolume: the capacity is within capacity_range, which may name one exact \
         size"),
    check!("expand-twice", Must, [CREATE, EXPAND] => twice,
        "ControllerExpandVolume: MUST be idempotent"),
    check!("expand-recorded", Should, [CREATE, EXPAND, LIST] => recorded,
        "ListVolumes: information about volumes is of what they are now, after \
         ControllerExpandVolume too"),
];

pub(super) fn request(volume: &Volume, size: u64) -> csi::ControllerExpandVolumeRequest {
    csi::ControllerExpandVolumeRequest {
        volume_id: volume.id.clone(),
        capacity_range: ask::at_least(size),
        volume_capability: Some(volume.capability.clone()),
        ..Default::default()
    }
}

pub(super) async fn node_expand(
    g: &Ground,
    here: &OnNode,
    path: &str,
    size: u64,
) -> Answer<csi::NodeExpandVolumeResponse> {
    let request = csi::NodeExpandVolumeRequest {
        volume_id: here.volume.id.clone(),
        volume_path: path.to_owned(),
        capacity_range: ask::at_least(size),
        staging_target_path: here.staging.clone(),
        volume_capability: Some(here.volume.capability.clone()),
        ..Default::default()
    };
    g.calls.node_expand_volume(request).await
}

/// The controller's part; true when the node has a part too.
async fn controller_part(g: &Ground, volume: &Volume) -> Verdict<bool> {
    let size = g.options.expand_size;
    if !g.has(EXPAND) {
        return Ok(true);
    }
    let answer = g.calls.controller_expand_volume(request(volume, size)).await.ok()?;
    let got = format!("capacity_bytes {}", answer.capacity_bytes);
    let fits = answer.capacity_bytes >= ask::bytes(size);
    want(fits, "ControllerExpandVolume", got, format!("{size} or more"))?;
    Ok(answer.node_expansion_required)
}

async fn node_part(g: &Ground, here: &OnNode) -> Verdict {
    if !g.has(NODE_EXPAND) {
        return skip(
            "the node would have to expand it, and the driver does not claim EXPAND_VOLUME there",
        );
    }
    let size = g.options.expand_size;
    let answer = node_expand(g, here, &here.target, size).await.ok()?;
    let got = format!("capacity_bytes {}", answer.capacity_bytes);
    let fits = answer.capacity_bytes == 0 || answer.capacity_bytes >= ask::bytes(size);
    want(fits, "NodeExpandVolume", got, format!("{size} or more"))
}

/// Fails unless the published volume has grown and kept its content.
pub(super) fn judge(g: &Ground, here: &OnNode) -> Verdict {
    let size = g.options.expand_size;
    let seen = here.size()?;
    // A filesystem keeps a part for itself; the old size is never nearly this.
    let least = match here.volume.access {
        Access::Block => size,
        Access::Mount => g.options.size.midpoint(size),
    };
    let asked = "look at the size of the expanded volume, published";
    let wanted = format!("{least} bytes or more of {size}");
    want(seen >= least, asked, format!("{seen} bytes"), wanted)?;
    here.expect(0, 1, "the expanded volume")
}

async fn published(g: &Ground) -> Verdict {
    online(g, Access::Mount).await
}

async fn published_block(g: &Ground) -> Verdict {
    online(g, Access::Block).await
}

async fn online(g: &Ground, access: Access) -> Verdict {
    let here = g.new_published(access).await?;
    here.write(0, 1)?;
    if controller_part(g, &here.volume).await? {
        node_part(g, &here).await?;
    }
    judge(g, &here)
}

async fn unpublished(g: &Ground) -> Verdict {
    offline(g, Access::Mount).await
}

async fn unpublished_block(g: &Ground) -> Verdict {
    offline(g, Access::Block).await
}

async fn offline(g: &Ground, access: Access) -> Verdict {
    let volume = super::restore::written(g, access).await?.volume;
    let required = controller_part(g, &volume).await?;
    let here = g.published(volume).await?;
    if required {
        let path = if g.has(STAGE) { &here.staging } else { &here.target };
        if !g.has(NODE_EXPAND) {
            return skip("the node would have to expand it, and does not claim EXPAND_VOLUME");
        }
        node_expand(g, &here, path, g.options.expand_size).await.ok()?;
    }
    judge(g, &here)
}

async fn exact(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let size = g.options.expand_size;
    let mut request = request(&volume, size);
    request.capacity_range = ask::exactly(size);
    let answer = g.calls.controller_expand_volume(request).await;
    let answer = answer.when("limit_bytes and required_bytes the same");
    if answer.code() == Code::OutOfRange {
        return Ok(());
    }
    let asked = answer.asked();
    let capacity = answer.ok()?.capacity_bytes;
    let got = format!("capacity_bytes {capacity}");
    want(capacity == ask::bytes(size), asked, got, size.to_string())
}

async fn twice(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let request = request(&volume, g.options.expand_size);
    let first = g.calls.controller_expand_volume(request.clone()).await.ok()?.capacity_bytes;
    let answer = g.calls.controller_expand_volume(request).await.when("the same again");
    let asked = answer.asked();
    let second = answer.ok()?.capacity_bytes;
    let got = format!("capacity_bytes {second}");
    want(first == second, asked, got, first.to_string())
}

async fn recorded(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let request = request(&volume, g.options.expand_size);
    let grown = g.calls.controller_expand_volume(request).await.prepared()?.capacity_bytes;
    let entry = super::list::entry(g, &volume.id).await?.unwrap_or_default();
    let listed = entry.volume.unwrap_or_default().capacity_bytes;
    let asked = "ListVolumes after ControllerExpandVolume";
    want(listed == grown, asked, format!("capacity_bytes {listed}"), grown.to_string())?;
    let answer = g.calls.create_volume(volume.request).await;
    answer.when("again, after ControllerExpandVolume").ok().map(drop)
}
