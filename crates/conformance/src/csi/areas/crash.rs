//! The driver killed in the middle of each operation: started again and asked again, it ends with
//! one result and nothing beside it.

use super::concurrency::volumes;
use crate::csi::answer::Answer;
use crate::csi::check::{Check, Stop, Verdict, cannot_run, check, want};
use crate::csi::ground::{Ground, Volume, made};
use crate::csi::need::{ATTACH, CREATE, EXPAND, Need, SNAPSHOT, STAGE};
use crate::csi::on_node::OnNode;
use crate::csi::together::until;
use becket_csi::protocol::csi;
use becket_sys::mountinfo;
use std::path::Path;
use std::time::{Duration, Instant};
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("crash-create", Must, [CREATE, Need::Restart] => create,
        "CreateVolume: a call that was cut off continues where it left off when it is retried, \
         and makes one volume"),
    check!("crash-restore", Must, [CREATE, SNAPSHOT, Need::Restart] => restore,
        "CreateVolume: from a snapshot, a call that was cut off is completed when it is retried"),
    check!("crash-snapshot", Must, [CREATE, SNAPSHOT, Need::Restart] => snapshot,
        "CreateSnapshot: a call that was cut off is completed when it is retried, and takes one \
         snapshot"),
    check!("crash-attach", Must, [CREATE, ATTACH, Need::NodeService, Need::Restart] => attach,
        "ControllerPublishVolume: a call that was cut off is completed when it is retried"),
    check!("crash-stage", Must, [CREATE, STAGE, Need::Here, Need::Restart] => stage,
        "NodeStageVolume: a call that was cut off is completed when it is retried, and mounts \
         once"),
    check!("crash-publish", Must, [CREATE, Need::NodeService, Need::Here, Need::Restart] => publish,
        "NodePublishVolume: a call that was cut off is completed when it is retried, and mounts \
         once"),
    check!("crash-expand", Must,
        [CREATE, EXPAND, Need::NodeService, Need::Here, Need::Restart] => expand,
        "ControllerExpandVolume: a call that was cut off is completed when it is retried, with \
         the content kept"),
    check!("crash-unpublish", Must,
        [CREATE, Need::NodeService, Need::Here, Need::Restart] => unpublish,
        "NodeUnpublishVolume: a call that was cut off is completed when it is retried, and leaves \
         nothing"),
    check!("crash-unstage", Must, [CREATE, STAGE, Need::Here, Need::Restart] => unstage,
        "NodeUnstageVolume: a call that was cut off is completed when it is retried, and leaves \
         nothing"),
    check!("crash-delete-snapshot", Must, [CREATE, SNAPSHOT, Need::Restart] => delete_snapshot,
        "DeleteSnapshot: a call that was cut off is completed when it is retried"),
    check!("crash-delete", Must, [CREATE, Need::Restart] => delete,
        "DeleteVolume: a call that was cut off is completed when it is retried"),
    check!("crash-published-survives", Must,
        [CREATE, Need::NodeService, Need::Here, Need::Restart] => survives,
        "NodePublishVolume: a workload keeps its volume while the driver restarts, and the driver \
         takes it up again"),
];

/// Runs `call` on new ground once undisturbed, and then once for each moment at which the driver is
/// killed; each time `judge` looks at the result of the retry and everything is cleaned up.
async fn crash<S, T>(
    g: &Ground,
    ready: impl AsyncFn(&Ground) -> Verdict<S>,
    call: impl AsyncFn(&Ground, &S) -> Answer<T>,
    judge: impl AsyncFn(&Ground, &S, T) -> Verdict,
) -> Verdict {
    let Some(driver) = &g.driver else { return Err(cannot_run("there is no driver to kill")) };
    let before = volumes(g).await?;
    let state = ready(g).await?;
    let started = Instant::now();
    call(g, &state).await.prepared()?;
    let whole = started.elapsed();
    g.clean().await;
    for moment in 1..=g.options.crash_moments {
        let state = ready(g).await?;
        let what = match moment < g.options.crash_moments {
            true => {
                let wait = whole * moment / g.options.crash_moments;
                until(call(g, &state), tokio::time::sleep(wait)).await;
                format!("again, after it was killed {wait:.1?} after the call")
            }
            // Last, the call is done and the answer may be thought lost.
            false => {
                call(g, &state).await.prepared()?;
                "again, after it was killed right behind the answer".to_owned()
            }
        };
        driver.restart(g.options.deadline).await?;
        let value = retried(g, &what, async || call(g, &state).await).await?;
        judge(g, &state, value).await?;
        drop(state);
        let troubles = g.clean().await;
        let asked = format!("undo everything, {what}");
        want(troubles.is_empty(), asked, troubles.join("; "), "nothing left behind")?;
        if let (Some(before), Some(after)) = (&before, volumes(g).await?) {
            let left: Vec<&String> = after.difference(before).collect();
            let asked = format!("ListVolumes after undoing everything, {what}");
            want(left.is_empty(), asked, format!("{left:?}"), "what was there before")?;
        }
    }
    Ok(())
}

/// The answer, once the driver is up and not busy any more.
async fn retried<T>(g: &Ground, what: &str, call: impl AsyncFn() -> Answer<T>) -> Verdict<T> {
    let started = Instant::now();
    loop {
        let answer = call().await.when(what);
        let busy = matches!(answer.code(), Code::Aborted | Code::Unavailable | Code::Cancelled)
            || connection_lost(&answer);
        if !busy || started.elapsed() > g.options.deadline {
            return answer.ok();
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

fn connection_lost<T>(answer: &Answer<T>) -> bool {
    use std::error::Error as _;
    answer.result.as_ref().is_err_and(|status| status.source().is_some())
}

async fn new_volume(g: &Ground) -> Verdict<Volume> {
    g.volume(g.access()).await
}

async fn create(g: &Ground) -> Verdict {
    let before = volumes(g).await?;
    let ready = async |g: &Ground| Ok(g.create_request(g.access()));
    let call = async |g: &Ground, request: &csi::CreateVolumeRequest| {
        g.calls.create_volume(request.clone()).await
    };
    let judge = async |g: &Ground,
                       request: &csi::CreateVolumeRequest,
                       answer: csi::CreateVolumeResponse| {
        let volume = made(request.clone(), answer)?;
        if let (Some(before), Some(after)) = (&before, volumes(g).await?) {
            let new: Vec<&String> = after.difference(before).collect();
            let asked = "ListVolumes after CreateVolume was cut off and retried";
            want(new == [&volume.id], asked, format!("new volumes {new:?}"), "one new volume")?;
        }
        works(g, volume).await
    };
    crash(g, ready, call, judge).await
}

/// The volume can be used, where that can be tried.
async fn works(g: &Ground, volume: Volume) -> Verdict {
    if !g.has(Need::NodeService) || !g.has(Need::Here) {
        return Ok(());
    }
    let here = g.published(volume).await.map_err(found)?;
    here.write(0, 1)?;
    here.expect(0, 1, "the volume whose creation was cut off")
}

/// After a crash, what does not work any more is a finding.
fn found(stop: Stop) -> Stop {
    stop.into_finding("use the volume after a crash")
}

async fn restore(g: &Ground) -> Verdict {
    let on_node = g.has(Need::NodeService) && g.has(Need::Here);
    let ready = async |g: &Ground| {
        let source = match on_node {
            true => super::restore::written(g, g.access()).await?.volume,
            false => new_volume(g).await?,
        };
        let snapshot = g.snapshot(&source).await?;
        Ok(super::restore::from(g, &source, &snapshot.snapshot_id))
    };
    let call = async |g: &Ground, request: &csi::CreateVolumeRequest| {
        g.calls.create_volume(request.clone()).await
    };
    let judge = async |g: &Ground,
                       request: &csi::CreateVolumeRequest,
                       answer: csi::CreateVolumeResponse| {
        if !on_node {
            return Ok(());
        }
        let here = g.published(made(request.clone(), answer)?).await.map_err(found)?;
        here.expect(0, 1, "a volume from a snapshot, whose creation was cut off")
    };
    crash(g, ready, call, judge).await
}

async fn snapshot(g: &Ground) -> Verdict {
    let ready = async |g: &Ground| Ok(g.snapshot_request(&new_volume(g).await?));
    let call = async |g: &Ground, request: &csi::CreateSnapshotRequest| {
        g.calls.create_snapshot(request.clone()).await
    };
    let judge = async |g: &Ground,
                       request: &csi::CreateSnapshotRequest,
                       answer: csi::CreateSnapshotResponse| {
        if !g.has(crate::csi::need::LIST_SNAPSHOTS) {
            return Ok(());
        }
        let id = answer.snapshot.unwrap_or_default().snapshot_id;
        let found = super::snapshots::listed(g, "", &request.source_volume_id).await?;
        let asked = "ListSnapshots after CreateSnapshot was cut off and retried";
        want(found == [id], asked, format!("{found:?}"), "one snapshot")
    };
    crash(g, ready, call, judge).await
}

async fn attach(g: &Ground) -> Verdict {
    let call = async |g: &Ground, volume: &Volume| g.attach(volume, false).await;
    crash(g, new_volume, call, async |_: &Ground, _: &Volume, _| Ok(())).await
}

fn mounts_at(path: &str) -> Verdict<usize> {
    let table = mountinfo::read().map_err(becket_core::Error::from)?;
    Ok(table.iter().filter(|entry| entry.point == Path::new(path)).count())
}

fn once(path: &str) -> Verdict {
    let mounts = mounts_at(path)?;
    let asked = "count the mounts after a call that was cut off and retried";
    want(mounts <= 1, asked, mounts.to_string(), "1 at the most")
}

async fn stage(g: &Ground) -> Verdict {
    let ready = async |g: &Ground| g.attached(new_volume(g).await?).await;
    let call =
        async |g: &Ground, here: &OnNode| g.calls.node_stage_volume(here.stage_request()).await;
    let judge = async |g: &Ground, here: &OnNode, _| {
        once(&here.staging)?;
        g.calls.node_publish_volume(here.publish_request()).await.ok()?;
        here.write(0, 1)
    };
    crash(g, ready, call, judge).await
}

async fn publish(g: &Ground) -> Verdict {
    let ready = async |g: &Ground| g.staged(new_volume(g).await?).await;
    let call =
        async |g: &Ground, here: &OnNode| g.calls.node_publish_volume(here.publish_request()).await;
    let judge = async |_: &Ground, here: &OnNode, _| {
        here.expect_there()?;
        once(&here.target)?;
        here.write(0, 1)
    };
    crash(g, ready, call, judge).await
}

async fn expand(g: &Ground) -> Verdict {
    let ready = async |g: &Ground| super::restore::written(g, g.access()).await;
    let call = async |g: &Ground, here: &OnNode| {
        let request = super::expand::request(&here.volume, g.options.expand_size);
        g.calls.controller_expand_volume(request).await
    };
    let judge = async |g: &Ground, here: &OnNode, answer: csi::ControllerExpandVolumeResponse| {
        let again = g.published(here.volume.clone()).await.map_err(found)?;
        if answer.node_expansion_required {
            let size = g.options.expand_size;
            super::expand::node_expand(g, &again, &again.target, size).await.ok()?;
        }
        super::expand::judge(g, &again)
    };
    crash(g, ready, call, judge).await
}

async fn unpublish(g: &Ground) -> Verdict {
    let ready = async |g: &Ground| g.new_published(g.access()).await;
    let call = async |g: &Ground, here: &OnNode| {
        g.calls.node_unpublish_volume(here.unpublish_request()).await
    };
    crash(g, ready, call, async |_: &Ground, here: &OnNode, _| here.expect_gone()).await
}

async fn unstage(g: &Ground) -> Verdict {
    let ready = async |g: &Ground| g.staged(new_volume(g).await?).await;
    let call =
        async |g: &Ground, here: &OnNode| g.calls.node_unstage_volume(here.unstage_request()).await;
    let judge = async |_: &Ground, here: &OnNode, _| {
        let left = mounts_at(&here.staging)?;
        let asked = "count the mounts after NodeUnstageVolume was cut off and retried";
        want(left == 0, asked, left.to_string(), "0")
    };
    crash(g, ready, call, judge).await
}

async fn delete_snapshot(g: &Ground) -> Verdict {
    let ready = async |g: &Ground| Ok(g.snapshot(&new_volume(g).await?).await?.snapshot_id);
    let call = async |g: &Ground, id: &String| {
        let request = csi::DeleteSnapshotRequest { snapshot_id: id.clone(), ..Default::default() };
        g.calls.delete_snapshot(request).await
    };
    crash(g, ready, call, async |_: &Ground, _: &String, _| Ok(())).await
}

async fn delete(g: &Ground) -> Verdict {
    let call = async |g: &Ground, volume: &Volume| {
        let request =
            csi::DeleteVolumeRequest { volume_id: volume.id.clone(), ..Default::default() };
        g.calls.delete_volume(request).await
    };
    crash(g, new_volume, call, async |_: &Ground, _: &Volume, _| Ok(())).await
}

async fn survives(g: &Ground) -> Verdict {
    let Some(driver) = &g.driver else { return Err(cannot_run("there is no driver to kill")) };
    let here = g.new_published(g.access()).await?;
    here.write(0, 1)?;
    driver.restart(g.options.deadline).await?;
    here.expect_there()?;
    here.expect(0, 1, "a published volume after the driver was killed and started again")?;
    let what = "of a published volume, after the driver was killed and started again";
    let again = async || g.calls.node_publish_volume(here.publish_request()).await;
    retried(g, what, again).await?;
    here.write(1, 2)?;
    g.calls.node_unpublish_volume(here.unpublish_request()).await.when(what).ok()?;
    here.expect_gone()
}
