//! Volumes made from snapshots: their content, seen by a workload, and their size.

use crate::csi::ask::{self, Access};
use crate::csi::check::{Check, Verdict, check, skip, want};
use crate::csi::ground::{Ground, Volume};
use crate::csi::need::{CREATE, Need, SNAPSHOT};
use crate::csi::on_node::OnNode;
use becket_csi::protocol::csi;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("restore-content", Must, [CREATE, SNAPSHOT, Need::Mount, Need::Here] => mount_content,
        "CreateVolume: a volume from a snapshot has the content at the moment of the snapshot, as \
         NodePublishVolume presents it"),
    check!("restore-block-content", Must,
        [CREATE, SNAPSHOT, Need::Block, Need::Here] => block_content,
        "CreateVolume: a volume from a snapshot has the content at the moment of the snapshot, as \
         NodePublishVolume presents it"),
    check!("restore-independent", Must, [CREATE, SNAPSHOT, Need::Here] => independent,
        "CreateSnapshot: a snapshot is a point in time; writing into a volume made from it \
         changes neither it nor its source"),
    check!("restore-says-source", Should, [CREATE, SNAPSHOT] => says_source,
        "Volume: content_source says that the volume is pre-populated; external-provisioner \
         deletes a volume without it"),
    check!("restore-same-again", Must, [CREATE, SNAPSHOT] => same_again,
        "CreateVolume: MUST be idempotent, with a source as well"),
    check!("restore-larger", Must, [CREATE, SNAPSHOT, Need::Mount, Need::Here] => larger,
        "CreateVolume: a volume larger than its snapshot is OUT_OF_RANGE, or at NodePublishVolume \
         both larger, its filesystem too, and with the snapshot's content"),
    check!("restore-larger-block", Must,
        [CREATE, SNAPSHOT, Need::Block, Need::Here] => larger_block,
        "CreateVolume: a volume larger than its snapshot is OUT_OF_RANGE, or at NodePublishVolume \
         both larger and with the snapshot's content"),
    check!("restore-smaller", Must, [CREATE, SNAPSHOT] => smaller,
        "CreateVolume: a volume smaller than its snapshot is OUT_OF_RANGE"),
    check!("snapshot-survives-source", Must, [CREATE, SNAPSHOT] => survives,
        "DeleteVolume: the snapshots of a deleted volume MUST still be fully operational, or the \
         call is FAILED_PRECONDITION and the volume not altered"),
    check!("snapshot-of-published", Judgement, [CREATE, SNAPSHOT, Need::Here] => of_published,
        "CreateSnapshot: what was synced to a published volume before the call is in the snapshot"),
];

/// A request for a volume from `snapshot`, of the size that `volume` was asked for with.
pub(super) fn from(g: &Ground, volume: &Volume, snapshot: &str) -> csi::CreateVolumeRequest {
    csi::CreateVolumeRequest {
        name: ask::unique("restored"),
        volume_content_source: ask::from_snapshot(snapshot),
        capacity_range: ask::at_least(g.options.size),
        ..volume.request.clone()
    }
}

/// A volume with piece 0 written, taken down again.
pub(super) async fn written(g: &Ground, access: Access) -> Verdict<OnNode> {
    let here = g.new_published(access).await?;
    here.write(0, 1)?;
    g.take_down(&here).await?;
    Ok(here)
}

/// The same volume published again, at other paths.
pub(super) async fn back(g: &Ground, volume: &Volume) -> Verdict<OnNode> {
    g.published(volume.clone()).await
}

async fn mount_content(g: &Ground) -> Verdict {
    content(g, Access::Mount).await
}

async fn block_content(g: &Ground) -> Verdict {
    content(g, Access::Block).await
}

async fn content(g: &Ground, access: Access) -> Verdict {
    let source = written(g, access).await?;
    let snapshot = g.snapshot(&source.volume).await?;
    let again = back(g, &source.volume).await?;
    again.write(0, 2)?;
    g.take_down(&again).await?;
    let request = from(g, &source.volume, &snapshot.snapshot_id);
    let answer = g.calls.create_volume(request.clone()).await.when("a snapshot as source").ok()?;
    let restored = g.published(crate::csi::ground::made(request, answer)?).await?;
    restored.expect(0, 1, "the volume from a snapshot, after the source was overwritten")
}

async fn independent(g: &Ground) -> Verdict {
    let source = written(g, g.access()).await?;
    let snapshot = g.snapshot(&source.volume).await?;
    let first = g.volume_as(from(g, &source.volume, &snapshot.snapshot_id)).await?;
    let first = g.published(first).await?;
    first.write(0, 3)?;
    g.take_down(&first).await?;
    let second = g.volume_as(from(g, &source.volume, &snapshot.snapshot_id)).await?;
    let second = g.published(second).await?;
    let what = "a second volume from the snapshot, after the first was overwritten";
    second.expect(0, 1, what)?;
    let again = back(g, &source.volume).await?;
    again.expect(0, 1, "the source, after the volume from its snapshot was overwritten")
}

async fn says_source(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let snapshot = g.snapshot(&volume).await?;
    let request = from(g, &volume, &snapshot.snapshot_id);
    let wanted = request.volume_content_source.clone();
    let answer = g.calls.create_volume(request).await.when("a snapshot as source");
    let asked = answer.asked();
    let found = answer.prepared()?.volume.unwrap_or_default().content_source;
    want(found == wanted, asked, format!("content_source {found:?}"), format!("{wanted:?}"))
}

async fn same_again(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let snapshot = g.snapshot(&volume).await?;
    let first = g.volume_as(from(g, &volume, &snapshot.snapshot_id)).await?;
    let answer = g.calls.create_volume(first.request).await.when("from a snapshot, the same again");
    let asked = answer.asked();
    let id = answer.ok()?.volume.unwrap_or_default().volume_id;
    want(id == first.id, asked, format!("the id `{id}`"), format!("the id `{}`", first.id))
}

async fn larger(g: &Ground) -> Verdict {
    let source = written(g, Access::Mount).await?;
    let snapshot = g.snapshot(&source.volume).await?;
    let request = from(g, &source.volume, &snapshot.snapshot_id);
    grown(g, request).await
}

async fn larger_block(g: &Ground) -> Verdict {
    let source = written(g, Access::Block).await?;
    let snapshot = g.snapshot(&source.volume).await?;
    let request = from(g, &source.volume, &snapshot.snapshot_id);
    grown(g, request).await
}

/// A copy asked for with the larger size has that size and the content, or is out of range.
pub(super) async fn grown(g: &Ground, mut request: csi::CreateVolumeRequest) -> Verdict {
    let size = g.options.expand_size;
    request.capacity_range = ask::at_least(size);
    let answer =
        g.calls.create_volume(request.clone()).await.when("a size larger than the source's");
    if answer.code() == Code::OutOfRange {
        return Ok(());
    }
    let volume = crate::csi::ground::made(request, answer.ok()?)?;
    let capacity = volume.capacity;
    let asked = "CreateVolume: a size larger than the source's";
    let got = format!("capacity_bytes {capacity}");
    want(capacity == 0 || capacity >= ask::bytes(size), asked, got, format!("{size} or more"))?;
    let here = g.published(volume).await?;
    here.expect(0, 1, "the larger copy")?;
    let seen = here.size()?;
    // A filesystem keeps a part for itself; the source's size is never nearly this.
    let least = match here.volume.access {
        Access::Block => size,
        Access::Mount => g.options.size.midpoint(size),
    };
    let asked = "look at the size of the larger copy, published";
    want(seen >= least, asked, format!("{seen} bytes"), format!("{least} bytes or more of {size}"))
}

async fn smaller(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let snapshot = g.snapshot(&volume).await?;
    if snapshot.size_bytes == 0 && volume.capacity == 0 {
        return skip("neither snapshot nor volume say their size");
    }
    let mut request = from(g, &volume, &snapshot.snapshot_id);
    let half = ask::bytes(g.options.size / 2);
    request.capacity_range = ask::range(half, half);
    let answer = g.calls.create_volume(request).await;
    answer.when("a limit_bytes of half the snapshot's size").is(&[Code::OutOfRange])
}

async fn survives(g: &Ground) -> Verdict {
    let on_node = g.has(Need::NodeService) && g.has(Need::Here);
    let volume = match on_node {
        true => written(g, g.access()).await?.volume,
        false => g.volume(g.access()).await?,
    };
    let snapshot = g.snapshot(&volume).await?;
    let request = csi::DeleteVolumeRequest { volume_id: volume.id.clone(), ..Default::default() };
    let answer = g.calls.delete_volume(request).await.when("a volume with a snapshot");
    if answer.code() == Code::FailedPrecondition {
        let again = g.calls.create_volume(volume.request).await;
        let answer = again.when("after DeleteVolume was FAILED_PRECONDITION").ok()?;
        let id = answer.volume.unwrap_or_default().volume_id;
        return want(id == volume.id, "CreateVolume again", "another id", "the unaltered volume");
    }
    answer.ok()?;
    let request = from(g, &volume, &snapshot.snapshot_id);
    let answer = g.calls.create_volume(request.clone()).await;
    let answer = answer.when("the snapshot of a deleted volume as source").ok()?;
    if on_node {
        let restored = g.published(crate::csi::ground::made(request, answer)?).await?;
        restored.expect(0, 1, "a volume from the snapshot of a deleted volume")?;
    }
    if g.has(crate::csi::need::LIST_SNAPSHOTS) {
        let found = super::snapshots::listed(g, &snapshot.snapshot_id, "").await?;
        let asked = "ListSnapshots after the source was deleted";
        want(found.len() == 1, asked, "the snapshot is missing", "it is there")?;
    }
    Ok(())
}

async fn of_published(g: &Ground) -> Verdict {
    let here = g.new_published(g.access()).await?;
    here.write(0, 1)?;
    let answer = g.calls.create_snapshot(g.snapshot_request(&here.volume)).await;
    let answer = answer.when("of a published volume");
    if answer.code() == Code::FailedPrecondition {
        return skip(format!("the driver takes none of volumes in use: {}", answer.shown()));
    }
    let taken = answer.ok()?.snapshot.unwrap_or_default();
    here.write(0, 2)?;
    let restored = g.volume_as(from(g, &here.volume, &taken.snapshot_id)).await?;
    let restored = g.published(restored).await?;
    restored.expect(0, 1, "a volume from a snapshot that was taken while its source was published")
}
