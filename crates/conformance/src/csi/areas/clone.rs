//! Volumes made from volumes.

use super::restore::{back, grown, written};
use crate::csi::ask::{self, Access};
use crate::csi::check::{Check, Verdict, check, skip, want};
use crate::csi::ground::{Ground, Volume, made};
use crate::csi::need::{CLONE, CREATE, Need};
use becket_csi::protocol::csi;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("clone-content", Must, [CREATE, CLONE, Need::Mount, Need::Here] => mount_content,
        "CreateVolume: a volume from a volume has its content, and is another volume from then on"),
    check!("clone-block-content", Must, [CREATE, CLONE, Need::Block, Need::Here] => block_content,
        "CreateVolume: a volume from a volume has its content, and is another volume from then on"),
    check!("clone-says-source", Should, [CREATE, CLONE] => says_source,
        "Volume: content_source says that the volume is pre-populated; external-provisioner \
         deletes a volume without it"),
    check!("clone-same-again", Must, [CREATE, CLONE] => same_again,
        "CreateVolume: MUST be idempotent, with a source as well"),
    check!("clone-larger", Must, [CREATE, CLONE, Need::Mount, Need::Here] => larger,
        "CreateVolume: a volume larger than its source is OUT_OF_RANGE, or at NodePublishVolume \
         both larger, its filesystem too, and with the source's content"),
    check!("clone-smaller", Must, [CREATE, CLONE] => smaller,
        "CreateVolume: a volume smaller than its source is OUT_OF_RANGE"),
    check!("clone-survives-source", Must, [CREATE, CLONE, Need::Here] => survives,
        "DeleteVolume: a source whose clones need it is FAILED_PRECONDITION; once it is deleted, \
         its clones go on"),
];

fn from(volume: &Volume) -> csi::CreateVolumeRequest {
    csi::CreateVolumeRequest {
        name: ask::unique("clone"),
        volume_content_source: ask::from_volume(&volume.id),
        ..volume.request.clone()
    }
}

async fn mount_content(g: &Ground) -> Verdict {
    content(g, Access::Mount).await
}

async fn block_content(g: &Ground) -> Verdict {
    content(g, Access::Block).await
}

async fn content(g: &Ground, access: Access) -> Verdict {
    let source = written(g, access).await?;
    let request = from(&source.volume);
    let answer = g.calls.create_volume(request.clone()).await.when("a volume as source").ok()?;
    let clone = made(request, answer)?;
    let again = back(g, &source.volume).await?;
    again.write(0, 2)?;
    let clone = g.published(clone).await?;
    clone.expect(0, 1, "the clone, after the source was overwritten")?;
    clone.write(0, 3)?;
    again.expect(0, 2, "the source, after the clone was overwritten")
}

async fn says_source(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let request = from(&volume);
    let wanted = request.volume_content_source.clone();
    let answer = g.calls.create_volume(request).await.when("a volume as source");
    let asked = answer.asked();
    let found = answer.prepared()?.volume.unwrap_or_default().content_source;
    want(found == wanted, asked, format!("content_source {found:?}"), format!("{wanted:?}"))
}

async fn same_again(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let first = g.volume_as(from(&volume)).await?;
    let answer = g.calls.create_volume(first.request).await.when("from a volume, the same again");
    let asked = answer.asked();
    let id = answer.ok()?.volume.unwrap_or_default().volume_id;
    want(id == first.id, asked, format!("the id `{id}`"), format!("the id `{}`", first.id))
}

async fn larger(g: &Ground) -> Verdict {
    let source = written(g, Access::Mount).await?;
    let request = from(&source.volume);
    grown(g, request).await
}

async fn smaller(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    if volume.capacity == 0 {
        return skip("the volume does not say its size");
    }
    let half = ask::bytes(g.options.size / 2);
    let request =
        csi::CreateVolumeRequest { capacity_range: ask::range(half, half), ..from(&volume) };
    let answer = g.calls.create_volume(request).await;
    answer.when("a limit_bytes of half the source's size").is(&[Code::OutOfRange])
}

async fn survives(g: &Ground) -> Verdict {
    let source = written(g, g.access()).await?;
    let clone = g.volume_as(from(&source.volume)).await?;
    let request =
        csi::DeleteVolumeRequest { volume_id: source.volume.id.clone(), ..Default::default() };
    let answer = g.calls.delete_volume(request).await.when("a volume with a clone");
    answer.is(&[Code::Ok, Code::FailedPrecondition])?;
    let clone = g.published(clone).await?;
    clone.expect(0, 1, "the clone of a volume that was deleted")
}
