//! Many calls at once: the same one, which may be done once only, and different ones, which must
//! not wait for each other or fail.

use crate::csi::answer::Answer;
use crate::csi::check::{Check, Tally, Verdict, cannot_run, check, want};
use crate::csi::ground::Ground;
use crate::csi::need::{ATTACH, CREATE, EXPAND, LIST, Need, SNAPSHOT, STAGE};
use crate::csi::together::all;
use becket_csi::protocol::csi;
use becket_sys::mountinfo;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("burst-create", Must, [CREATE] => create,
        "Concurrency: the same CreateVolume many times at once is OK or ABORTED, and makes one \
         volume"),
    check!("burst-delete", Must, [CREATE] => delete,
        "Concurrency: the same DeleteVolume many times at once is OK or ABORTED"),
    check!("burst-snapshot", Must, [CREATE, SNAPSHOT] => snapshot,
        "Concurrency: the same CreateSnapshot many times at once is OK or ABORTED, and takes one \
         snapshot"),
    check!("burst-attach", Must, [CREATE, ATTACH, Need::NodeService] => attach,
        "Concurrency: the same ControllerPublishVolume many times at once is OK or ABORTED"),
    check!("burst-stage", Must, [CREATE, STAGE, Need::Here] => stage,
        "Concurrency: the same NodeStageVolume many times at once is OK or ABORTED, and mounts \
         once"),
    check!("burst-publish", Must, [CREATE, Need::NodeService, Need::Here] => publish,
        "Concurrency: the same NodePublishVolume many times at once is OK or ABORTED, and mounts \
         once"),
    check!("burst-unpublish", Must, [CREATE, Need::NodeService, Need::Here] => unpublish,
        "Concurrency: the same NodeUnpublishVolume many times at once is OK or ABORTED, and \
         leaves nothing"),
    check!("burst-expand", Must, [CREATE, EXPAND] => expand,
        "Concurrency: the same ControllerExpandVolume many times at once is OK or ABORTED, and \
         all OK say one size"),
    check!("parallel-volumes", Should, [CREATE, Need::NodeService, Need::Here] => parallel,
        "Concurrency: calls for different volumes at the same time all succeed"),
];

/// Calls of one burst.
const MANY: usize = 10;

/// Makes the same call `MANY` times at once, and then until it is OK. Fails for any code but OK and
/// ABORTED; gives all that was answered with OK, the last call's last.
async fn burst<T>(g: &Ground, call: impl AsyncFn(&Ground) -> Answer<T>) -> Verdict<Vec<T>> {
    let answers = all((0..MANY).map(|_| call(g))).await;
    let mut tally = Tally::default();
    let mut done = Vec::new();
    for answer in answers {
        let answer = answer.when(format!("one of {MANY} at once"));
        match answer.code() {
            Code::Aborted => {}
            _ => match answer.ok() {
                Ok(value) => done.push(value),
                Err(stop) => tally.take(Err(stop))?,
            },
        }
    }
    tally.verdict()?;
    let started = Instant::now();
    loop {
        let answer = call(g).await.when("once more, after many at once");
        if answer.code() != Code::Aborted || started.elapsed() > g.options.deadline {
            done.push(answer.ok()?);
            return Ok(done);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Fails unless all of `ids` are one.
fn one(rpc: &str, ids: impl Iterator<Item = String>) -> Verdict<String> {
    let ids: BTreeSet<String> = ids.collect();
    let asked = format!("{rpc}, {MANY} times at once");
    want(ids.len() == 1, asked, format!("the ids {ids:?}"), "one id")?;
    ids.into_iter().next().ok_or_else(|| cannot_run("no id"))
}

/// The ids of all volumes; nothing where the driver does not list them.
pub(super) async fn volumes(g: &Ground) -> Verdict<Option<BTreeSet<String>>> {
    if !g.has(LIST) {
        return Ok(None);
    }
    let mut request = csi::ListVolumesRequest::default();
    let mut ids = BTreeSet::new();
    loop {
        let page = g.calls.list_volumes(request).await.prepared()?;
        let volumes = page.entries.into_iter().filter_map(|entry| entry.volume);
        ids.extend(volumes.map(|volume| volume.volume_id));
        if page.next_token.is_empty() {
            return Ok(Some(ids));
        }
        request = csi::ListVolumesRequest { max_entries: 0, starting_token: page.next_token };
    }
}

async fn create(g: &Ground) -> Verdict {
    let before = volumes(g).await?;
    let request = g.create_request(g.access());
    let made = burst(g, async |g: &Ground| g.calls.create_volume(request.clone()).await).await?;
    let ids = made.into_iter().map(|answer| answer.volume.unwrap_or_default().volume_id);
    let id = one("CreateVolume", ids)?;
    if let (Some(before), Some(after)) = (before, volumes(g).await?) {
        let new: Vec<&String> = after.difference(&before).collect();
        let asked = format!("ListVolumes after CreateVolume, {MANY} times at once");
        want(new == [&id], asked, format!("the new volumes {new:?}"), "one new volume")?;
    }
    Ok(())
}

async fn delete(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let request = csi::DeleteVolumeRequest { volume_id: volume.id, ..Default::default() };
    burst(g, async |g: &Ground| g.calls.delete_volume(request.clone()).await).await.map(drop)
}

async fn snapshot(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let request = g.snapshot_request(&volume);
    let made = burst(g, async |g: &Ground| g.calls.create_snapshot(request.clone()).await).await?;
    let ids = made.into_iter().map(|answer| answer.snapshot.unwrap_or_default().snapshot_id);
    let id = one("CreateSnapshot", ids)?;
    if g.has(crate::csi::need::LIST_SNAPSHOTS) {
        let found = super::snapshots::listed(g, "", &volume.id).await?;
        let asked = format!("ListSnapshots after CreateSnapshot, {MANY} times at once");
        want(found == [id], asked, format!("{found:?}"), "one snapshot")?;
    }
    Ok(())
}

async fn attach(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    burst(g, async |g: &Ground| g.attach(&volume, false).await).await.map(drop)
}

/// Mounts that are attached exactly at `path`.
fn mounts_at(path: &str) -> Verdict<usize> {
    let table = mountinfo::read().map_err(becket_core::Error::from)?;
    Ok(table.iter().filter(|entry| entry.point == Path::new(path)).count())
}

async fn stage(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let here = g.attached(volume).await?;
    let request = here.stage_request();
    burst(g, async |g: &Ground| g.calls.node_stage_volume(request.clone()).await).await?;
    let mounts = mounts_at(&here.staging)?;
    let asked = format!("count the mounts after NodeStageVolume, {MANY} times at once");
    want(mounts <= 1, asked, mounts.to_string(), "1 at the most")?;
    g.calls.node_publish_volume(here.publish_request()).await.ok().map(drop)
}

async fn publish(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let here = g.staged(volume).await?;
    let request = here.publish_request();
    burst(g, async |g: &Ground| g.calls.node_publish_volume(request.clone()).await).await?;
    here.expect_there()?;
    let mounts = mounts_at(&here.target)?;
    let asked = format!("count the mounts after NodePublishVolume, {MANY} times at once");
    want(mounts <= 1, asked, mounts.to_string(), "1 at the most")
}

async fn unpublish(g: &Ground) -> Verdict {
    let here = g.new_published(g.access()).await?;
    let request = here.unpublish_request();
    burst(g, async |g: &Ground| g.calls.node_unpublish_volume(request.clone()).await).await?;
    here.expect_gone()
}

async fn expand(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let request = super::expand::request(&volume, g.options.expand_size);
    let call = async |g: &Ground| g.calls.controller_expand_volume(request.clone()).await;
    let answers = burst(g, call).await?;
    let sizes: BTreeSet<i64> = answers.iter().map(|answer| answer.capacity_bytes).collect();
    let asked = format!("ControllerExpandVolume, {MANY} times at once");
    want(sizes.len() == 1, asked, format!("the sizes {sizes:?}"), "one size")
}

async fn parallel(g: &Ground) -> Verdict {
    const VOLUMES: u64 = 6;
    let life = async |seed: u64| -> Verdict {
        let request = g.create_request(g.access());
        let answer = g.calls.create_volume(request.clone()).await;
        let answer = answer.when("beside calls for other volumes").ok()?;
        let here = g.published(crate::csi::ground::made(request, answer)?).await?;
        here.write(0, seed)?;
        here.expect(0, seed, "one of several volumes")?;
        g.take_down(&here).await?;
        g.delete(&here.volume).await
    };
    let mut tally = Tally::default();
    for ended in all((1..=VOLUMES).map(life)).await {
        // Any error beside other volumes is what this check is about.
        tally.take(ended.map_err(|stop| stop.into_finding("several volumes at once")))?;
    }
    tally.verdict()
}
