//! `NodeGetVolumeStats`.

use crate::csi::answer::Answer;
use crate::csi::ask::Access;
use crate::csi::check::{Check, Verdict, check, fail, want};
use crate::csi::ground::Ground;
use crate::csi::need::{CREATE, Need, STAGE, STATS};
use crate::csi::on_node::OnNode;
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::volume_usage::Unit;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("stats", Must, [CREATE, STATS, Need::Mount, Need::Here] => usage,
        "NodeGetVolumeStats: each usage has a unit and a total, which are REQUIRED, and nothing \
         negative"),
    check!("stats-true", Judgement,
        [CREATE, STATS, Need::Mount, Need::Limit, Need::Here] => true_to_life,
        "NodeGetVolumeStats: used grows with what is written, and total is the volume's own, not \
         its host's"),
    check!("stats-block", Must, [CREATE, STATS, Need::Block, Need::Here] => block,
        "NodeGetVolumeStats: of a block volume, used and available MAY be omitted; total is the \
         device's size"),
    check!("stats-of-staging-path", Should,
        [CREATE, STATS, STAGE, Need::Mount, Need::Here] => of_staging_path,
        "NodeGetVolumeStats: volume_path can be any path where the volume was staged or published"),
    check!("stats-wrong-path", Must, [CREATE, STATS, Need::Here] => wrong_path,
        "NodeGetVolumeStats: a volume that does not exist on the specified volume_path is \
         NOT_FOUND"),
    check!("stats-path-of-another", Must,
        [CREATE, STATS, Need::Mount, Need::Here] => path_of_another,
        "NodeGetVolumeStats: a volume that does not exist on the specified volume_path is \
         NOT_FOUND, also where another volume is there"),
    check!("stats-after-unpublish", Must, [CREATE, STATS, Need::Here] => after_unpublish,
        "NodeGetVolumeStats: a volume that does not exist on the specified volume_path any more \
         is NOT_FOUND"),
];

async fn asked(g: &Ground, here: &OnNode, path: &str) -> Answer<csi::NodeGetVolumeStatsResponse> {
    let request = csi::NodeGetVolumeStatsRequest {
        volume_id: here.volume.id.clone(),
        volume_path: path.to_owned(),
        staging_target_path: here.staging.clone(),
    };
    g.calls.node_get_volume_stats(request).await
}

/// The usage in bytes.
async fn bytes(g: &Ground, here: &OnNode) -> Verdict<csi::VolumeUsage> {
    let answer = asked(g, here, &here.target).await.ok()?;
    let bytes = answer.usage.into_iter().find(|usage| usage.unit() == Unit::Bytes);
    bytes.ok_or_else(|| fail("NodeGetVolumeStats", "no usage in BYTES", "a usage in BYTES"))
}

async fn usage(g: &Ground) -> Verdict {
    let here = g.new_published(Access::Mount).await?;
    let answer = asked(g, &here, &here.target).await.ok()?;
    bytes(g, &here).await?;
    for usage in answer.usage {
        let csi::VolumeUsage { available, total, used, .. } = usage;
        let got = format!("unit {}", usage.unit);
        want(usage.unit() != Unit::Unknown, "NodeGetVolumeStats", got, "BYTES or INODES")?;
        let got = format!("available {available}, total {total}, used {used}");
        let fits = available >= 0 && used >= 0 && total >= used;
        // btrfs has no number of inodes to give.
        let some = total > 0 || usage.unit() == Unit::Inodes;
        want(fits && some, "NodeGetVolumeStats", got, "0 or more, and total not below used")?;
    }
    Ok(())
}

async fn true_to_life(g: &Ground) -> Verdict {
    let here = g.new_published(Access::Mount).await?;
    let before = bytes(g, &here).await?;
    for piece in 0..8 {
        here.write(piece, piece + 1)?;
    }
    here.settle()?;
    let after = bytes(g, &here).await?;
    let got = format!("used {} after {}", after.used, before.used);
    let asked = "NodeGetVolumeStats after writing 8 MiB";
    want(after.used >= before.used + (7 << 20), asked, got, "8 MiB more")?;
    let seen = i64::try_from(here.size()?).unwrap_or(i64::MAX);
    let got = format!("total {}", after.total);
    want(after.total == seen, "NodeGetVolumeStats", got, format!("the filesystem's {seen}"))?;
    let capacity = here.volume.capacity;
    let fits = capacity == 0 || after.total <= capacity;
    let got = format!("total {}", after.total);
    want(fits, "NodeGetVolumeStats", got, format!("at most capacity_bytes {capacity}"))
}

async fn block(g: &Ground) -> Verdict {
    let here = g.new_published(Access::Block).await?;
    let total = bytes(g, &here).await?.total;
    let seen = here.size()?;
    let same = u64::try_from(total).is_ok_and(|total| total == seen);
    let got = format!("total {total}");
    want(same, "NodeGetVolumeStats of a block volume", got, format!("the device's {seen}"))
}

async fn of_staging_path(g: &Ground) -> Verdict {
    let here = g.new_published(Access::Mount).await?;
    asked(g, &here, &here.staging).await.when("the staging path").ok().map(drop)
}

async fn wrong_path(g: &Ground) -> Verdict {
    let here = g.new_published(g.access()).await?;
    let empty = g.places.target()?;
    let answer = asked(g, &here, &empty).await.when("a path where nothing is");
    answer.is(&[Code::NotFound])
}

async fn path_of_another(g: &Ground) -> Verdict {
    let one = g.new_published(Access::Mount).await?;
    let other = g.new_published(Access::Mount).await?;
    let answer = asked(g, &one, &other.target).await.when("the target path of another volume");
    answer.is(&[Code::NotFound])
}

async fn after_unpublish(g: &Ground) -> Verdict {
    let here = g.new_published(g.access()).await?;
    g.calls.node_unpublish_volume(here.unpublish_request()).await.prepared()?;
    let answer = asked(g, &here, &here.target).await.when("after NodeUnpublishVolume");
    answer.is(&[Code::NotFound])
}
