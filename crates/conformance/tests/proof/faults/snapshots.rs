//! Drivers whose snapshots and copies are not what they say.

use super::create::says_as_asked;
use super::identity::without_services;
use crate::fault::{Fault, fault};
use crate::proxy::Rule;
use crate::rules::{asks, does_nothing, fails_again, refuses_when, tells, tells_to, then};
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::plugin_capability::service::Type as Service;
use becket_csi::protocol::csi::{CreateSnapshotRequest, CreateVolumeRequest, Snapshot};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tonic::Code;

const TAKE: &str = "CreateSnapshot";
const CREATE: &str = "CreateVolume";

fn snapshot(change: impl Fn(&mut Snapshot) + Send + Sync + 'static) -> Vec<Rule> {
    vec![tells(TAKE, move |answer: &mut csi::CreateSnapshotResponse| {
        change(answer.snapshot.get_or_insert_default());
    })]
}

fn from_snapshot(request: &CreateVolumeRequest) -> bool {
    use csi::volume_content_source::Type;
    let source = request.volume_content_source.as_ref();
    source.is_some_and(|source| matches!(source.r#type, Some(Type::Snapshot(_))))
}

pub fn faults() -> Vec<Fault> {
    let mut all = copies();
    all.extend([
        fault("snapshots have no date", || snapshot(|one| one.creation_time = None), &["snapshot"]),
        fault(
            "snapshots are of another volume",
            || snapshot(|one| one.source_volume_id += "x"),
            &["snapshot"],
        ),
        fault("snapshots have no id", || snapshot(|one| one.snapshot_id.clear()), &["snapshot"]),
        fault(
            "snapshots are never ready",
            || snapshot(|one| one.ready_to_use = false),
            &["snapshot-becomes-ready"],
        )
        .with(|options| options.deadline = Duration::from_secs(2)),
        fault(
            "names of snapshots are forgotten",
            forgotten,
            &["snapshot-same-again", "snapshot-other-source", "burst-snapshot"],
        ),
        fault(
            "a snapshot is younger each time",
            || {
                let count = AtomicU64::new(0);
                snapshot(move |one| {
                    let later = i64::try_from(count.fetch_add(1, Ordering::Relaxed)).unwrap();
                    one.creation_time.get_or_insert_default().seconds += later;
                })
            },
            &["snapshot-same-again"],
        ),
        fault(
            "the snapshotter's own parameters are refused",
            || {
                vec![refuses_when(
                    TAKE,
                    Code::InvalidArgument,
                    |request: &CreateSnapshotRequest| !request.parameters.is_empty(),
                )]
            },
            &["snapshot-kubernetes-parameters"],
        ),
        fault(
            "where a snapshot is to be is ignored",
            || {
                vec![asks(TAKE, |request: &mut CreateSnapshotRequest| {
                    request.accessibility_requirements = None;
                })]
            },
            &["snapshot-topology"],
        ),
        fault(
            "snapshots are elsewhere",
            || {
                snapshot(|one| {
                    let segments = HashMap::from([("x.dev/node".to_owned(), "nowhere".to_owned())]);
                    one.accessible_topology = vec![csi::Topology { segments }];
                })
            },
            &["snapshot-topology"],
        ),
        fault(
            "snapshots are said to be everywhere",
            || snapshot(|one| one.accessible_topology.clear()),
            &["snapshot-topology-told"],
        )
        .base(|| {
            snapshot(|one| {
                let segments = HashMap::from([("x.dev/node".to_owned(), "here".to_owned())]);
                one.accessible_topology = vec![csi::Topology { segments }];
            })
        }),
        fault(
            "a snapshot's topology is told and not claimed",
            || vec![without_services(&[Service::SnapshotAccessibilityConstraints])],
            &["snapshot-topology-only-when-claimed"],
        ),
        fault(
            "another snapshot is got",
            || {
                vec![tells("GetSnapshot", |answer: &mut csi::GetSnapshotResponse| {
                    answer.snapshot.get_or_insert_default().size_bytes += 1;
                })]
            },
            &["get-snapshot"],
        ),
        fault(
            "snapshots are not deleted",
            || vec![does_nothing::<csi::DeleteSnapshotResponse>("DeleteSnapshot")],
            &["get-deleted-snapshot", "list-snapshots-all"],
        ),
        fault(
            "a deleted snapshot cannot be deleted again",
            || vec![fails_again::<csi::DeleteSnapshotRequest>("DeleteSnapshot")],
            &["delete-snapshot-twice"],
        ),
    ]);
    all
}

/// Each call takes a snapshot of its own.
pub fn forgotten() -> Vec<Rule> {
    let count = AtomicU64::new(0);
    vec![asks(TAKE, move |request: &mut CreateSnapshotRequest| {
        request.name += &format!("-{}", count.fetch_add(1, Ordering::Relaxed));
    })]
}

/// Copies are empty volumes.
pub fn empty_copies() -> Vec<Rule> {
    vec![asks(CREATE, |request: &mut CreateVolumeRequest| request.volume_content_source = None)]
}

fn copies() -> Vec<Fault> {
    vec![
        fault(
            "copies are empty",
            empty_copies,
            &[
                "restore-content",
                "restore-block-content",
                "restore-independent",
                "restore-says-source",
                "restore-larger",
                "restore-larger-block",
                "snapshot-survives-source",
                "snapshot-of-published",
                "clone-content",
                "clone-block-content",
                "clone-says-source",
                "clone-larger",
                "clone-survives-source",
                "create-other-source",
                "create-other-source-volume",
            ],
        ),
        fault(
            "a snapshot is its source",
            || {
                vec![asks(CREATE, |request: &mut CreateVolumeRequest| {
                    if from_snapshot(request) {
                        "the-only-copy".clone_into(&mut request.name);
                    }
                })]
            },
            &["restore-independent"],
        ),
        fault(
            "copies do not say what they are of",
            || {
                vec![tells(CREATE, |answer: &mut csi::CreateVolumeResponse| {
                    answer.volume.get_or_insert_default().content_source = None;
                })]
            },
            &["restore-says-source", "clone-says-source"],
        ),
        fault(
            "copies are only said to be larger",
            || {
                vec![
                    asks(CREATE, |request: &mut CreateVolumeRequest| {
                        if request.volume_content_source.is_some() {
                            request.capacity_range = None;
                        }
                    }),
                    says_as_asked(),
                ]
            },
            &["restore-larger", "restore-larger-block", "clone-larger"],
        ),
        fault(
            "larger copies are as large as their source",
            || {
                vec![tells_to(
                    CREATE,
                    |request: &CreateVolumeRequest, answer: &mut csi::CreateVolumeResponse| {
                        if request.volume_content_source.is_some() {
                            answer.volume.get_or_insert_default().capacity_bytes = 64 << 20;
                        }
                    },
                )]
            },
            &["restore-larger", "restore-larger-block", "clone-larger"],
        ),
        fault(
            "snapshots go with their volume",
            || {
                let deleted = Arc::new(AtomicBool::new(false));
                let seen = Arc::clone(&deleted);
                vec![
                    then("DeleteVolume", move |_: &csi::DeleteVolumeRequest| {
                        deleted.store(true, Ordering::Relaxed);
                    }),
                    refuses_when(CREATE, Code::NotFound, move |request: &CreateVolumeRequest| {
                        seen.load(Ordering::Relaxed) && from_snapshot(request)
                    }),
                ]
            },
            &["snapshot-survives-source", "group-member-restore"],
        ),
    ]
}
