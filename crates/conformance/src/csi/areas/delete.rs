//! `DeleteVolume`.

use crate::csi::ask::Access;
use crate::csi::check::{Check, Verdict, check, want};
use crate::csi::ground::Ground;
use crate::csi::need::{CREATE, Need};
use becket_csi::protocol::csi;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("delete-twice", Must, [CREATE] => twice,
        "DeleteVolume: MUST be idempotent; a volume that does not exist any more is OK"),
    check!("deleted-is-gone", Must, [CREATE] => gone,
        "ValidateVolumeCapabilities: a volume that was deleted does not exist, so it is NOT_FOUND"),
    check!("name-free-after-delete", Must, [CREATE] => name_free,
        "CreateVolume: a name whose volume was deleted stands for a new volume, in which nothing \
         of the old one is left"),
    check!("delete-published", Must, [CREATE, Need::NodeService, Need::Here] => published,
        "DeleteVolume: a volume that is in use is FAILED_PRECONDITION"),
];

fn request(id: &str) -> csi::DeleteVolumeRequest {
    csi::DeleteVolumeRequest { volume_id: id.to_owned(), ..Default::default() }
}

async fn twice(g: &Ground) -> Verdict {
    for access in g.access_types() {
        let volume = g.volume(access).await?;
        g.calls.delete_volume(request(&volume.id)).await.ok()?;
        g.calls.delete_volume(request(&volume.id)).await.when("the same again").ok()?;
    }
    Ok(())
}

async fn gone(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    g.delete(&volume).await?;
    let request = csi::ValidateVolumeCapabilitiesRequest {
        volume_id: volume.id,
        volume_context: volume.context,
        volume_capabilities: vec![volume.capability],
        ..Default::default()
    };
    let answer = g.calls.validate_volume_capabilities(request).await;
    answer.when("after DeleteVolume").is(&[Code::NotFound])
}

async fn name_free(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let create = volume.request.clone();
    let on_node = g.has(Need::NodeService) && g.has(Need::Here);
    if on_node {
        let here = g.published(volume.clone()).await?;
        here.write(3, 1)?;
        g.take_down(&here).await?;
    }
    g.delete(&volume).await?;
    let answer = g.calls.create_volume(create.clone()).await;
    let answer = answer.when("a name whose volume was deleted").ok()?;
    if !on_node {
        return Ok(());
    }
    let here = g.published(crate::csi::ground::made(create, answer)?).await?;
    let old = here.expect(3, 1, "the new volume").is_ok();
    let what = match here.volume.access {
        Access::Mount => "the file of the deleted volume",
        Access::Block => "the blocks of the deleted volume",
    };
    want(!old, "look into the new volume of an old name", what, "an empty volume")
}

async fn published(g: &Ground) -> Verdict {
    let here = g.new_published(g.access()).await?;
    here.write(0, 1)?;
    let answer = g.calls.delete_volume(request(&here.volume.id)).await;
    answer.when("a volume that is published").is(&[Code::FailedPrecondition])?;
    here.expect(0, 1, "the volume whose deletion was refused")
}
