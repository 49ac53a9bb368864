//! How full a volume is where it is mounted.

use super::{share, stage};
use crate::plugin::Plugin;
use crate::protocol::csi::volume_usage::Unit;
use crate::protocol::csi::{NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse, VolumeUsage};
use becket_core::engine::Usage;
use becket_core::{Error, Kind, Result};

/// `NodeGetVolumeStats`.
pub fn stats(
    plugin: &Plugin,
    request: NodeGetVolumeStatsRequest,
) -> Result<NodeGetVolumeStatsResponse> {
    if request.volume_id.is_empty() {
        return Err(Error::new(Kind::Invalid, "the volume's id is missing"));
    }
    if request.volume_path.is_empty() {
        return Err(Error::new(Kind::Invalid, "the volume's path is missing"));
    }
    if share::may_be(plugin, &request.volume_id)? {
        let place = stage::expect_place(&request.volume_id, &request.volume_path)?;
        let usage = plugin.engine.share_usage(&place)?;
        return Ok(NodeGetVolumeStatsResponse { usage: usages(usage) });
    }
    let (id, _) = plugin.volume(&request.volume_id)?;
    let place = stage::expect_at(plugin, &id, &request.volume_path)?;
    let usage = plugin.engine.usage(&id.pool, &id.name, &place)?;
    Ok(NodeGetVolumeStatsResponse { usage: usages(usage) })
}

fn usages(usage: Usage) -> Vec<VolumeUsage> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let bytes = VolumeUsage {
        total: number(usage.total),
        used: number(usage.used.unwrap_or(0)),
        available: number(usage.available.unwrap_or(0)),
        unit: Unit::Bytes as i32,
    };
    let inodes = usage.inodes.map(|(total, used, available)| VolumeUsage {
        total: number(total),
        used: number(used),
        available: number(available),
        unit: Unit::Inodes as i32,
    });
    std::iter::once(bytes).chain(inodes).collect()
}
