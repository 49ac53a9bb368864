//! Group snapshots.

use crate::csi::ask::{self, UNKNOWN};
use crate::csi::check::{Check, Verdict, cannot_run, check, skip, want};
use crate::csi::ground::{Ground, Volume};
use crate::csi::need::{CREATE, GET_SNAPSHOT, LIST_SNAPSHOTS, Need, SNAPSHOT};
use becket_csi::protocol::csi;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("group", Must, [CREATE, Need::Groups] => create,
        "CreateVolumeGroupSnapshot: answers with group_snapshot_id, creation_time and one \
         snapshot of each volume, each with the group's id"),
    check!("group-same-again", Must, [CREATE, Need::Groups] => same_again,
        "CreateVolumeGroupSnapshot: MUST be idempotent: the same name, volumes and parameters are \
         one group snapshot"),
    check!("group-other-volumes", Must, [CREATE, Need::Groups] => other_volumes,
        "CreateVolumeGroupSnapshot: a group snapshot of this name with other source_volume_ids is \
         ALREADY_EXISTS"),
    check!("group-unknown-parameter", Should, [CREATE, Need::Groups] => unknown_parameter,
        "CreateVolumeGroupSnapshot: the plugin is responsible for parsing and validating \
         parameters; an unknown one is INVALID_ARGUMENT"),
    check!("group-get", Must, [CREATE, Need::Groups] => get,
        "GetVolumeGroupSnapshot: current information of the group snapshot"),
    check!("group-get-mismatch", Should, [CREATE, Need::Groups] => get_mismatch,
        "GetVolumeGroupSnapshot: snapshot_ids that do not match are INVALID_ARGUMENT"),
    check!("group-delete", Must, [CREATE, Need::Groups] => delete,
        "DeleteVolumeGroupSnapshot: deletes the group snapshot with all of its snapshots, and \
         MUST be idempotent"),
    check!("group-delete-mismatch", Should, [CREATE, Need::Groups] => delete_mismatch,
        "DeleteVolumeGroupSnapshot: snapshot_ids that do not match are INVALID_ARGUMENT, and \
         nothing is deleted"),
    check!("group-member-delete", Should, [CREATE, SNAPSHOT, Need::Groups] => member_delete,
        "DeleteSnapshot: a snapshot that is part of a group is INVALID_ARGUMENT"),
    check!("group-member-restore", Must, [CREATE, Need::Groups] => member_restore,
        "CreateVolumeGroupSnapshot: any individual snapshot of the group MAY be used as a source"),
    check!("group-failed-leaves-nothing", Should,
        [CREATE, LIST_SNAPSHOTS, Need::Groups] => leaves_nothing,
        "CreateVolumeGroupSnapshot: after an error the SP SHOULD make sure that no snapshots are \
         leaked"),
];

/// Two volumes to take a group snapshot of.
pub(super) async fn pair(g: &Ground) -> Verdict<[Volume; 2]> {
    Ok([g.volume(g.access()).await?, g.volume(g.access()).await?])
}

fn request(volumes: &[Volume]) -> csi::CreateVolumeGroupSnapshotRequest {
    csi::CreateVolumeGroupSnapshotRequest {
        name: ask::unique("group"),
        source_volume_ids: volumes.iter().map(|volume| volume.id.clone()).collect(),
        ..Default::default()
    }
}

/// A group snapshot of `volumes` that can be used.
pub(super) async fn group(g: &Ground, volumes: &[Volume]) -> Verdict<csi::VolumeGroupSnapshot> {
    group_as(g, request(volumes)).await
}

async fn group_as(
    g: &Ground,
    request: csi::CreateVolumeGroupSnapshotRequest,
) -> Verdict<csi::VolumeGroupSnapshot> {
    let started = std::time::Instant::now();
    loop {
        let answer = g.calls.create_volume_group_snapshot(request.clone()).await.prepared()?;
        let group = answer.group_snapshot.unwrap_or_default();
        if group.ready_to_use {
            return Ok(group);
        }
        if started.elapsed() > g.options.deadline {
            return Err(cannot_run("the group snapshot did not become ready to use"));
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

fn ids(group: &csi::VolumeGroupSnapshot) -> Vec<String> {
    let mut ids: Vec<String> =
        group.snapshots.iter().map(|snapshot| snapshot.snapshot_id.clone()).collect();
    ids.sort();
    ids
}

async fn create(g: &Ground) -> Verdict {
    let volumes = pair(g).await?;
    let asked = "CreateVolumeGroupSnapshot of two volumes";
    let answer = g.calls.create_volume_group_snapshot(request(&volumes)).await;
    let group = answer.when("two volumes").ok()?.group_snapshot.unwrap_or_default();
    let id = group.group_snapshot_id.len();
    want((1..=128).contains(&id), asked, format!("an id of {id} bytes"), "1 to 128 bytes")?;
    want(group.creation_time.is_some(), asked, "no creation_time", "a creation_time")?;
    let mut sources: Vec<&str> =
        group.snapshots.iter().map(|snapshot| snapshot.source_volume_id.as_str()).collect();
    let mut wanted: Vec<&str> = volumes.iter().map(|volume| volume.id.as_str()).collect();
    sources.sort_unstable();
    wanted.sort_unstable();
    want(sources == wanted, asked, format!("snapshots of {sources:?}"), format!("of {wanted:?}"))?;
    for snapshot in &group.snapshots {
        let same = snapshot.group_snapshot_id == group.group_snapshot_id;
        let got = format!("a snapshot with group_snapshot_id `{}`", snapshot.group_snapshot_id);
        want(same, asked, got, "the group's id")?;
        let fits = snapshot.ready_to_use || !group.ready_to_use;
        want(fits, asked, "a ready group with a snapshot that is not", "ready_to_use: false")?;
    }
    Ok(())
}

async fn same_again(g: &Ground) -> Verdict {
    let volumes = pair(g).await?;
    let request = request(&volumes);
    let first = group_as(g, request.clone()).await?;
    let answer = g.calls.create_volume_group_snapshot(request).await.when("the same again");
    let asked = answer.asked();
    let second = answer.ok()?.group_snapshot.unwrap_or_default();
    let same = first.group_snapshot_id == second.group_snapshot_id && ids(&first) == ids(&second);
    want(same, asked, "another group snapshot", "the same group with the same snapshots")
}

async fn other_volumes(g: &Ground) -> Verdict {
    let volumes = pair(g).await?;
    let mut request = request(&volumes);
    group_as(g, request.clone()).await?;
    request.source_volume_ids.pop();
    let answer = g.calls.create_volume_group_snapshot(request.clone()).await;
    answer.when("the same name, one volume less").is(&[Code::AlreadyExists])?;
    request.source_volume_ids.push(g.volume(g.access()).await?.id);
    let answer = g.calls.create_volume_group_snapshot(request).await;
    answer.when("the same name, another volume").is(&[Code::AlreadyExists])
}

async fn unknown_parameter(g: &Ground) -> Verdict {
    let volumes = pair(g).await?;
    let mut request = request(&volumes);
    request.parameters.insert(UNKNOWN.to_owned(), "1".to_owned());
    let answer = g.calls.create_volume_group_snapshot(request).await;
    answer.when("an unknown parameter").is(&[Code::InvalidArgument])
}

fn get_request(id: &str, snapshots: Vec<String>) -> csi::GetVolumeGroupSnapshotRequest {
    csi::GetVolumeGroupSnapshotRequest {
        group_snapshot_id: id.to_owned(),
        snapshot_ids: snapshots,
        ..Default::default()
    }
}

async fn get(g: &Ground) -> Verdict {
    let volumes = pair(g).await?;
    let group = group(g, &volumes).await?;
    let request = get_request(&group.group_snapshot_id, ids(&group));
    let answer = g.calls.get_volume_group_snapshot(request).await.ok()?;
    let found = answer.group_snapshot.unwrap_or_default();
    let same = found.group_snapshot_id == group.group_snapshot_id && ids(&found) == ids(&group);
    let got = format!("`{}` with {:?}", found.group_snapshot_id, ids(&found));
    let wanted = format!("`{}` with {:?}", group.group_snapshot_id, ids(&group));
    want(same, "GetVolumeGroupSnapshot", got, wanted)
}

async fn get_mismatch(g: &Ground) -> Verdict {
    let volumes = pair(g).await?;
    let group = group(g, &volumes).await?;
    let strange = vec![UNKNOWN.to_owned()];
    let request = get_request(&group.group_snapshot_id, strange);
    let answer = g.calls.get_volume_group_snapshot(request).await;
    answer.when("snapshot_ids that are not the group's").is(&[Code::InvalidArgument])
}

fn delete_request(id: &str, snapshots: Vec<String>) -> csi::DeleteVolumeGroupSnapshotRequest {
    csi::DeleteVolumeGroupSnapshotRequest {
        group_snapshot_id: id.to_owned(),
        snapshot_ids: snapshots,
        ..Default::default()
    }
}

async fn delete(g: &Ground) -> Verdict {
    let volumes = pair(g).await?;
    let group = group(g, &volumes).await?;
    let request = delete_request(&group.group_snapshot_id, ids(&group));
    g.calls.delete_volume_group_snapshot(request.clone()).await.ok()?;
    let answer = g.calls.delete_volume_group_snapshot(request).await;
    answer.when("the same again").ok()?;
    let request = get_request(&group.group_snapshot_id, ids(&group));
    let answer = g.calls.get_volume_group_snapshot(request).await;
    answer.when("after DeleteVolumeGroupSnapshot").is(&[Code::NotFound])?;
    for id in ids(&group) {
        if g.has(GET_SNAPSHOT) {
            let request = csi::GetSnapshotRequest { snapshot_id: id.clone(), ..Default::default() };
            let answer = g.calls.get_snapshot(request).await;
            answer.when("a member of the deleted group").is(&[Code::NotFound])?;
        }
        if g.has(LIST_SNAPSHOTS) {
            let found = super::snapshots::listed(g, &id, "").await?;
            let asked = "ListSnapshots: a member of the deleted group";
            want(found.is_empty(), asked, "it is there", "it is not")?;
        }
    }
    Ok(())
}

async fn delete_mismatch(g: &Ground) -> Verdict {
    let volumes = pair(g).await?;
    let group = group(g, &volumes).await?;
    let request = delete_request(&group.group_snapshot_id, vec![UNKNOWN.to_owned()]);
    let answer = g.calls.delete_volume_group_snapshot(request).await;
    answer.when("snapshot_ids that are not the group's").is(&[Code::InvalidArgument])?;
    let request = get_request(&group.group_snapshot_id, ids(&group));
    let answer = g.calls.get_volume_group_snapshot(request).await;
    answer.when("after a refused DeleteVolumeGroupSnapshot").ok().map(drop)
}

async fn member_delete(g: &Ground) -> Verdict {
    let volumes = pair(g).await?;
    let group = group(g, &volumes).await?;
    let Some(member) = group.snapshots.iter().find(|one| !one.group_snapshot_id.is_empty()) else {
        return skip("the snapshots do not say that they are part of a group");
    };
    let id = member.snapshot_id.clone();
    let request = csi::DeleteSnapshotRequest { snapshot_id: id, ..Default::default() };
    let answer = g.calls.delete_snapshot(request).await;
    answer.when("a member of a group snapshot").is(&[Code::InvalidArgument])
}

async fn member_restore(g: &Ground) -> Verdict {
    let volumes = pair(g).await?;
    let group = group(g, &volumes).await?;
    for snapshot in &group.snapshots {
        let source = volumes.iter().find(|volume| volume.id == snapshot.source_volume_id);
        let source = source.ok_or_else(|| cannot_run("a snapshot of another volume"))?;
        let request = super::restore::from(g, source, &snapshot.snapshot_id);
        let answer = g.calls.create_volume(request).await;
        answer.when("a member of a group snapshot as source").ok()?;
    }
    Ok(())
}

async fn leaves_nothing(g: &Ground) -> Verdict {
    let volumes = pair(g).await?;
    let mut request = request(&volumes);
    request.source_volume_ids.push(UNKNOWN.to_owned());
    let answer = g.calls.create_volume_group_snapshot(request).await;
    answer.when("two volumes and one that nobody knows").refused()?;
    for volume in &volumes {
        let found = super::snapshots::listed(g, "", &volume.id).await?;
        let asked = "ListSnapshots after a refused CreateVolumeGroupSnapshot";
        want(found.is_empty(), asked, format!("snapshots {found:?}"), "none")?;
    }
    Ok(())
}
