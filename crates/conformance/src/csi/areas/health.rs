//! Health of volumes and of the storage, of a healthy driver.

use crate::csi::check::{Check, Verdict, check, fail, want};
use crate::csi::ground::Ground;
use crate::csi::need::{CREATE, GET_HEALTH, LIST_HEALTH, NODE_HEALTH, Need, STORAGE_HEALTH};
use becket_csi::protocol::csi;
use std::collections::BTreeSet;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("health-of-volume", Must, [CREATE, GET_HEALTH] => of_volume,
        "ControllerGetVolumeHealth: volume_health is REQUIRED and is about the volume asked for, \
         with valid entries"),
    check!("health-of-healthy-volume", Should, [CREATE, GET_HEALTH] => of_healthy,
        "ControllerGetVolumeHealth: a volume without adverse condition has an entry with empty \
         health_statuses"),
    check!("health-list", Must, [CREATE, LIST_HEALTH] => list,
        "ControllerListVolumeHealth: lists health with valid entries"),
    check!("health-list-omits-healthy", Should, [CREATE, LIST_HEALTH] => omits_healthy,
        "ControllerListVolumeHealth: SHOULD omit volumes with no known adverse health condition"),
    check!("health-list-bad-token", Must, [LIST_HEALTH] => bad_token,
        "ControllerListVolumeHealth: a starting_token that is not valid is ABORTED"),
    check!("health-list-negative-max", Must, [LIST_HEALTH] => negative,
        "ControllerListVolumeHealth: the value of max_entries MUST NOT be negative"),
    check!("node-health-of-published", Must, [CREATE, NODE_HEALTH, Need::Here] => published,
        "NodeGetVolumeHealth: volume_health is REQUIRED and is about the volume asked for, with \
         and without its paths"),
    check!("node-health-of-unstaged", Judgement, [CREATE, NODE_HEALTH] => unstaged,
        "NodeGetVolumeHealth: MAY be called for a volume that is not staged, so it is answered or \
         NOT_FOUND"),
    check!("storage-health", Must, [STORAGE_HEALTH] => storage,
        "NodeGetStorageHealth: every entry has a status and a CamelCase reason, and no two are of \
         the same (status, reason, volume_capability)"),
];

fn camel_case(reason: &str) -> bool {
    reason.starts_with(|letter: char| letter.is_ascii_uppercase())
        && reason.chars().all(|letter| letter.is_ascii_alphanumeric())
}

/// Fails unless `health` is valid, and about the volume `id`.
fn judge(asked: &str, health: Option<csi::VolumeHealth>, id: &str) -> Verdict<csi::VolumeHealth> {
    let health = health.ok_or_else(|| fail(asked, "no volume_health", "a volume_health"))?;
    let got = format!("volume_id `{}`", health.volume_id);
    want(health.volume_id == id, asked, got, format!("`{id}`"))?;
    entries(asked, &health)?;
    Ok(health)
}

fn entries(asked: &str, health: &csi::VolumeHealth) -> Verdict {
    let mut seen = BTreeSet::new();
    for entry in &health.health_statuses {
        let got = format!("status {} with reason `{}`", entry.status, entry.reason);
        let fits = entry.status > 0 && camel_case(&entry.reason);
        want(fits, asked, got.clone(), "a status and a CamelCase reason")?;
        let new = seen.insert((entry.status, entry.reason.clone()));
        want(new, asked, format!("twice {got}"), "each once")?;
    }
    Ok(())
}

async fn got(g: &Ground) -> Verdict<csi::VolumeHealth> {
    let volume = g.volume(g.access()).await?;
    let request = csi::ControllerGetVolumeHealthRequest {
        volume_id: volume.id.clone(),
        ..Default::default()
    };
    let answer = g.calls.controller_get_volume_health(request).await.ok()?;
    judge("ControllerGetVolumeHealth", answer.volume_health, &volume.id)
}

async fn of_volume(g: &Ground) -> Verdict {
    got(g).await.map(drop)
}

async fn of_healthy(g: &Ground) -> Verdict {
    let statuses = got(g).await?.health_statuses;
    let asked = "ControllerGetVolumeHealth of a new volume";
    want(statuses.is_empty(), asked, format!("{statuses:?}"), "empty health_statuses")
}

async fn listed(g: &Ground) -> Verdict<Vec<csi::VolumeHealth>> {
    let mut entries = Vec::new();
    let mut request =
        csi::ControllerListVolumeHealthRequest { max_entries: 2, ..Default::default() };
    loop {
        let page = g.calls.controller_list_volume_health(request.clone()).await.ok()?;
        let got = format!("{} entries", page.entries.len());
        let asked = "ControllerListVolumeHealth: max_entries 2";
        want(page.entries.len() <= 2, asked, got, "at most 2")?;
        entries.extend(page.entries);
        if page.next_token.is_empty() {
            return Ok(entries);
        }
        request.starting_token = page.next_token;
    }
}

async fn list(g: &Ground) -> Verdict {
    g.volume(g.access()).await?;
    for health in listed(g).await? {
        let asked = "ControllerListVolumeHealth";
        want(!health.volume_id.is_empty(), asked, "an entry without volume_id", "its volume_id")?;
        entries(asked, &health)?;
    }
    Ok(())
}

async fn omits_healthy(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let is = |health: &csi::VolumeHealth| {
        health.volume_id == volume.id && health.health_statuses.is_empty()
    };
    let listed = listed(g).await?.iter().any(is);
    let asked = "ControllerListVolumeHealth beside a new volume";
    want(!listed, asked, "an entry for it, without a status", "no entry for it")
}

async fn bad_token(g: &Ground) -> Verdict {
    let starting_token = "becket-check-no-such-token".to_owned();
    let request = csi::ControllerListVolumeHealthRequest { starting_token, ..Default::default() };
    let answer = g.calls.controller_list_volume_health(request).await;
    answer.when("a token that was never given").is(&[Code::Aborted])
}

async fn negative(g: &Ground) -> Verdict {
    let request = csi::ControllerListVolumeHealthRequest { max_entries: -1, ..Default::default() };
    let answer = g.calls.controller_list_volume_health(request).await;
    answer.when("max_entries -1").is(&[Code::InvalidArgument])
}

async fn published(g: &Ground) -> Verdict {
    let here = g.new_published(g.access()).await?;
    for (what, target, staging) in [
        ("with both paths", here.target.clone(), here.staging.clone()),
        ("with volume_id alone", String::new(), String::new()),
    ] {
        let request = csi::NodeGetVolumeHealthRequest {
            volume_id: here.volume.id.clone(),
            volume_publish_path: target,
            staging_target_path: staging,
        };
        let answer = g.calls.node_get_volume_health(request).await.when(what).ok()?;
        let asked = format!("NodeGetVolumeHealth {what}");
        judge(&asked, answer.volume_health, &here.volume.id)?;
    }
    Ok(())
}

async fn unstaged(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let request =
        csi::NodeGetVolumeHealthRequest { volume_id: volume.id.clone(), ..Default::default() };
    let answer = g.calls.node_get_volume_health(request).await.when("a volume that is not staged");
    if answer.code() == Code::NotFound {
        return Ok(());
    }
    judge("NodeGetVolumeHealth", answer.ok()?.volume_health, &volume.id).map(drop)
}

async fn storage(g: &Ground) -> Verdict {
    let request = csi::NodeGetStorageHealthRequest::default();
    let answer = g.calls.node_get_storage_health(request).await.ok()?;
    let mut seen = BTreeSet::new();
    for entry in answer.backend_health {
        let got = format!("status {} with reason `{}`", entry.status, entry.reason);
        let fits = entry.status > 0 && camel_case(&entry.reason);
        let asked = "NodeGetStorageHealth";
        want(fits, asked, got.clone(), "a status and a CamelCase reason")?;
        let capability = format!("{:?}", entry.volume_capability);
        let new = seen.insert((entry.status, entry.reason, capability));
        want(new, asked, format!("twice {got}"), "each once")?;
    }
    Ok(())
}
