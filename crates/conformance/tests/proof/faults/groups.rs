//! Drivers whose group snapshots are none.

use super::forgiving::UNKNOWN;
use crate::fault::{Fault, fault};
use crate::proxy::Rule;
use crate::rules::{asks, does_nothing, fails_again, forgives, instead, refuses_when, tells};
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::group_controller_client::GroupControllerClient;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tonic::{Code, Response, Status};

const TAKE: &str = "CreateVolumeGroupSnapshot";
const GET: &str = "GetVolumeGroupSnapshot";
const DELETE: &str = "DeleteVolumeGroupSnapshot";

fn group(change: impl Fn(&mut csi::VolumeGroupSnapshot) + Send + Sync + 'static) -> Vec<Rule> {
    vec![tells(TAKE, move |answer: &mut csi::CreateVolumeGroupSnapshotResponse| {
        change(answer.group_snapshot.get_or_insert_default());
    })]
}

/// A driver whose snapshots of a group belong to it.
fn belonging() -> Vec<Rule> {
    let members: Arc<Mutex<Vec<String>>> = Arc::default();
    let known = Arc::clone(&members);
    let mut rules = group(move |one| {
        for snapshot in &mut one.snapshots {
            snapshot.group_snapshot_id.clone_from(&one.group_snapshot_id);
            members.lock().unwrap().push(snapshot.snapshot_id.clone());
        }
    });
    let member = move |request: &csi::DeleteSnapshotRequest| {
        known.lock().unwrap().contains(&request.snapshot_id)
    };
    rules.push(refuses_when("DeleteSnapshot", Code::InvalidArgument, member));
    rules
}

pub fn faults() -> Vec<Fault> {
    vec![
        fault("groups have no date", || group(|one| one.creation_time = None), &["group"])
            .base(belonging),
        fault("a member is missing", || group(|one| drop(one.snapshots.pop())), &["group"])
            .base(belonging),
        fault(
            "members are deleted alone",
            || vec![forgives::<csi::DeleteSnapshotResponse>("DeleteSnapshot")],
            &["group-member-delete"],
        )
        .base(belonging),
        fault(
            "members do not know their group",
            || {
                group(|one| {
                    for snapshot in &mut one.snapshots {
                        snapshot.group_snapshot_id.clear();
                    }
                })
            },
            &["group"],
        )
        .base(belonging),
        fault(
            "names of groups are forgotten",
            || {
                let count = AtomicU64::new(0);
                vec![asks(TAKE, move |request: &mut csi::CreateVolumeGroupSnapshotRequest| {
                    request.name += &format!("-{}", count.fetch_add(1, Ordering::Relaxed));
                })]
            },
            &["group-same-again", "group-other-volumes"],
        ),
        fault(
            "a group is got without its members",
            || {
                vec![tells(GET, |answer: &mut csi::GetVolumeGroupSnapshotResponse| {
                    answer.group_snapshot.get_or_insert_default().snapshots.clear();
                })]
            },
            &["group-get"],
        ),
        fault(
            "groups are not deleted",
            || vec![does_nothing::<csi::DeleteVolumeGroupSnapshotResponse>(DELETE)],
            &["group-delete", "group-delete-mismatch"],
        ),
        fault(
            "a deleted group cannot be deleted again",
            || vec![fails_again::<csi::DeleteVolumeGroupSnapshotRequest>(DELETE)],
            &["group-delete"],
        ),
        fault("members cannot be used", unusable, &["group-member-restore"]),
        fault("a group that failed leaves its members", leaking, &["group-failed-leaves-nothing"]),
        fault("volumes of a group are taken one by one", one_by_one, &["group-write-order"]),
    ]
}

fn unusable() -> Vec<Rule> {
    vec![asks("CreateVolume", |request: &mut csi::CreateVolumeRequest| {
        use csi::volume_content_source::Type;
        if let Some(source) = &mut request.volume_content_source
            && let Some(Type::Snapshot(snapshot)) = &mut source.r#type
        {
            snapshot.snapshot_id += "x";
        }
    })]
}

/// Takes what it can of a group, and then fails.
fn leaking() -> Vec<Rule> {
    vec![instead(TAKE, |channel, mut request: csi::CreateVolumeGroupSnapshotRequest| async move {
        let before = request.source_volume_ids.len();
        request.source_volume_ids.retain(|id| id != UNKNOWN);
        let failed = request.source_volume_ids.len() != before;
        let mut client = GroupControllerClient::new(channel);
        let answer = client.create_volume_group_snapshot(request).await.map(Response::into_inner);
        if failed { Err(Status::not_found("one of the volumes is not there")) } else { answer }
    })]
}

/// The second volume is taken a moment later than the first.
fn one_by_one() -> Vec<Rule> {
    vec![instead(TAKE, |channel, request: csi::CreateVolumeGroupSnapshotRequest| async move {
        let mut client = GroupControllerClient::new(channel);
        let first = client.create_volume_group_snapshot(request.clone()).await?.into_inner();
        tokio::time::sleep(Duration::from_millis(200)).await;
        let later = csi::CreateVolumeGroupSnapshotRequest {
            name: format!("{}-later", request.name),
            ..request.clone()
        };
        let second = client.create_volume_group_snapshot(later).await?.into_inner();
        let mut group = first.group_snapshot.unwrap_or_default();
        let late = second.group_snapshot.unwrap_or_default();
        let of =
            |snapshot: &csi::Snapshot| snapshot.source_volume_id == request.source_volume_ids[1];
        group.snapshots.retain(|snapshot| !of(snapshot));
        group.snapshots.extend(late.snapshots.into_iter().filter(of));
        Ok(csi::CreateVolumeGroupSnapshotResponse { group_snapshot: Some(group) })
    })]
}
