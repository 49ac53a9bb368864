//! `ListVolumes` and `ControllerGetVolume`: what the driver knows of its volumes.

use crate::csi::ask;
use crate::csi::check::{Check, Verdict, check, fail, want};
use crate::csi::ground::{Ground, Volume};
use crate::csi::need::{CREATE, GET_VOLUME, LIST, Need, PUBLISHED_NODES};
use becket_csi::protocol::csi;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("list-shows-volumes", Must, [CREATE, LIST] => shows,
        "ListVolumes: SHALL return the information about all the volumes that the plugin knows \
         about"),
    check!("list-forgets-deleted", Must, [CREATE, LIST] => forgets,
        "ListVolumes: a volume that was deleted is none that the plugin knows about"),
    check!("list-negative-max", Must, [LIST] => negative,
        "ListVolumes: the value of max_entries MUST NOT be negative"),
    check!("list-bad-token", Must, [LIST] => bad_token,
        "ListVolumes: a starting_token that is not valid is ABORTED"),
    check!("list-published-nodes", Must, [CREATE, LIST, PUBLISHED_NODES] => published_nodes,
        "ListVolumes: status MUST be specified with LIST_VOLUMES_PUBLISHED_NODES, and names the \
         nodes a volume is controller published on"),
    check!("get-volume", Must, [CREATE, GET_VOLUME] => get_volume,
        "ControllerGetVolume: current information of the volume, with volume and status, which \
         are REQUIRED"),
    check!("get-deleted-volume", Must, [CREATE, GET_VOLUME] => get_deleted,
        "ControllerGetVolume: a volume that does not exist any more is NOT_FOUND"),
    check!("volume-context-constant", Must, [CREATE] => context_constant,
        "Volume: a volume_id SHALL always report the same volume_context, whichever RPC is asked"),
    check!("get-volume-published-nodes", Must,
        [CREATE, GET_VOLUME, PUBLISHED_NODES, Need::NodeService] => get_published,
        "ControllerGetVolume: published_node_ids MUST be specified with \
         LIST_VOLUMES_PUBLISHED_NODES"),
];

/// The entry of `volume` in the whole list.
pub(super) async fn entry(
    g: &Ground,
    id: &str,
) -> Verdict<Option<csi::list_volumes_response::Entry>> {
    let mut token = String::new();
    loop {
        let request = csi::ListVolumesRequest { max_entries: 0, starting_token: token };
        let page = g.calls.list_volumes(request).await.ok()?;
        let is = |entry: &csi::list_volumes_response::Entry| {
            entry.volume.as_ref().is_some_and(|volume| volume.volume_id == id)
        };
        if let Some(found) = page.entries.into_iter().find(is) {
            return Ok(Some(found));
        }
        if page.next_token.is_empty() {
            return Ok(None);
        }
        token = page.next_token;
    }
}

async fn shows(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let Some(entry) = entry(g, &volume.id).await? else {
        let got = format!("no entry for `{}`", volume.id);
        return Err(fail("ListVolumes after CreateVolume", got, "an entry for the volume"));
    };
    let capacity = entry.volume.unwrap_or_default().capacity_bytes;
    let fits = capacity == volume.capacity;
    let got = format!("capacity_bytes {capacity}");
    want(fits, "ListVolumes after CreateVolume", got, volume.capacity.to_string())
}

async fn forgets(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    g.delete(&volume).await?;
    let found = entry(g, &volume.id).await?;
    let got = format!("an entry for `{}`", volume.id);
    want(found.is_none(), "ListVolumes after DeleteVolume", got, "no such entry")
}

async fn negative(g: &Ground) -> Verdict {
    let request = csi::ListVolumesRequest { max_entries: -1, ..Default::default() };
    let answer = g.calls.list_volumes(request).await.when("max_entries -1");
    answer.is(&[Code::InvalidArgument])
}

async fn bad_token(g: &Ground) -> Verdict {
    let starting_token = "becket-check-no-such-token".to_owned();
    let request = csi::ListVolumesRequest { max_entries: 0, starting_token };
    let answer = g.calls.list_volumes(request).await.when("a token that was never given");
    answer.is(&[Code::Aborted])
}

async fn published_nodes(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    for (attached, when) in [(false, "before"), (true, "after")] {
        if attached {
            g.attach(&volume, false).await.prepared()?;
        }
        let asked = format!("ListVolumes {when} ControllerPublishVolume");
        let entry = entry(g, &volume.id).await?.unwrap_or_default();
        let Some(status) = entry.status else {
            return Err(fail(asked, "an entry without status", "an entry with status"));
        };
        let listed = status.published_node_ids.contains(&g.survey.node_id);
        let got = format!("published_node_ids {:?}", status.published_node_ids);
        let wanted = if attached { "this node in them" } else { "not this node" };
        want(listed == attached, asked, got, wanted)?;
    }
    Ok(())
}

async fn got(g: &Ground, volume: &Volume) -> Verdict<csi::ControllerGetVolumeResponse> {
    let request = csi::ControllerGetVolumeRequest { volume_id: volume.id.clone() };
    g.calls.controller_get_volume(request).await.ok()
}

async fn get_volume(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let answer = got(g, &volume).await?;
    let asked = "ControllerGetVolume";
    want(answer.status.is_some(), asked, "no status", "a status")?;
    let found = answer.volume.unwrap_or_default();
    let got = format!("`{}` of {} bytes", found.volume_id, found.capacity_bytes);
    let wanted = format!("`{}` of {} bytes", volume.id, volume.capacity);
    let same = found.volume_id == volume.id && found.capacity_bytes == volume.capacity;
    want(same, asked, got, wanted)
}

async fn get_deleted(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    g.delete(&volume).await?;
    let request = csi::ControllerGetVolumeRequest { volume_id: volume.id };
    let answer = g.calls.controller_get_volume(request).await.when("after DeleteVolume");
    answer.is(&[Code::NotFound])
}

async fn get_published(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    g.attach(&volume, false).await.prepared()?;
    let status = got(g, &volume).await?.status.unwrap_or_default();
    let listed = status.published_node_ids.contains(&g.survey.node_id);
    let got = format!("published_node_ids {:?}", status.published_node_ids);
    want(listed, "ControllerGetVolume after ControllerPublishVolume", got, "this node in them")
}

async fn context_constant(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let same = |asked: &str, found: Option<csi::Volume>| {
        let found = found.unwrap_or_default().volume_context;
        let got = format!("volume_context {found:?}");
        want(found == volume.context, asked, got, format!("{:?}", volume.context))
    };
    let request = volume.request.clone();
    let again = g.calls.create_volume(request).await.prepared()?;
    same("CreateVolume again", again.volume)?;
    if g.has(LIST) {
        same("ListVolumes", entry(g, &volume.id).await?.unwrap_or_default().volume)?;
    }
    if g.has(GET_VOLUME) {
        same("ControllerGetVolume", got(g, &volume).await?.volume)?;
    }
    let mut request = volume.request.clone();
    request.name = ask::unique("other");
    let other = g.volume_as(request).await?;
    let different = other.id != volume.id;
    want(different, "CreateVolume with another name", "the same id", "another id")
}
