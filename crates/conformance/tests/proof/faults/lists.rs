//! Drivers whose lists are not what there is.

use crate::fault::{Fault, fault};
use crate::proxy::Rule;
use crate::rules::{asks, instead, tells, tells_to, then};
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::controller_client::ControllerClient;
use becket_csi::protocol::csi::list_volumes_response::Entry;
use std::sync::{Arc, Mutex};
use tonic::{Response, Status};

const VOLUMES: &str = "ListVolumes";
const SNAPSHOTS: &str = "ListSnapshots";

fn volumes(change: impl Fn(&mut csi::ListVolumesResponse) + Send + Sync + 'static) -> Rule {
    tells(VOLUMES, change)
}

fn snapshots(change: impl Fn(&mut csi::ListSnapshotsResponse) + Send + Sync + 'static) -> Rule {
    tells(SNAPSHOTS, change)
}

/// Tokens that are positions: what comes and goes before them moves everything behind.
fn by_position() -> Vec<Rule> {
    vec![
        instead(VOLUMES, |channel, request: csi::ListVolumesRequest| async move {
            let mut client = ControllerClient::new(channel);
            let all = client.list_volumes(csi::ListVolumesRequest::default()).await;
            let mut all = all.map(Response::into_inner)?;
            all.next_token = cut(&mut all.entries, &request.starting_token, request.max_entries);
            Ok(all)
        }),
        instead(SNAPSHOTS, |channel, mut request: csi::ListSnapshotsRequest| async move {
            let mut client = ControllerClient::new(channel);
            let token = std::mem::take(&mut request.starting_token);
            let most = std::mem::take(&mut request.max_entries);
            let mut all = client.list_snapshots(request).await.map(Response::into_inner)?;
            all.next_token = cut(&mut all.entries, &token, most);
            Ok(all)
        }),
    ]
}

/// Leaves one page in `entries`; gives the next token.
fn cut<T>(entries: &mut Vec<T>, token: &str, most: i32) -> String {
    let from = token.parse().unwrap_or(0).min(entries.len());
    entries.drain(..from);
    let most = usize::try_from(most).unwrap_or(0);
    if most == 0 || entries.len() <= most {
        return String::new();
    }
    entries.truncate(most);
    (from + most).to_string()
}

pub fn faults() -> Vec<Fault> {
    let mut all = pages();
    all.extend([
        fault(
            "no volume is listed",
            || vec![volumes(|answer| answer.entries.clear())],
            &["list-shows-volumes", "list-published-nodes", "expand-recorded"],
        ),
        fault(
            "volumes are listed with another size",
            || {
                vec![volumes(|answer| {
                    for entry in &mut answer.entries {
                        entry.volume.get_or_insert_default().capacity_bytes -= 1 << 20;
                    }
                })]
            },
            &["list-shows-volumes", "expand-recorded"],
        ),
        fault(
            "volumes are listed with another context",
            || {
                vec![volumes(|answer| {
                    for entry in &mut answer.entries {
                        let context = &mut entry.volume.get_or_insert_default().volume_context;
                        context.insert("other".to_owned(), "1".to_owned());
                    }
                })]
            },
            &["volume-context-constant"],
        ),
        fault("deleted volumes stay in the list", deleted_stay, &["list-forgets-deleted"]),
        fault(
            "volumes are listed without status",
            || {
                vec![volumes(|answer| {
                    for entry in &mut answer.entries {
                        entry.status = None;
                    }
                })]
            },
            &["list-published-nodes"],
        ),
        fault(
            "volumes are published to no node",
            || {
                vec![
                    volumes(|answer| {
                        for entry in &mut answer.entries {
                            entry.status.get_or_insert_default().published_node_ids.clear();
                        }
                    }),
                    tells(
                        "ControllerGetVolume",
                        |answer: &mut csi::ControllerGetVolumeResponse| {
                            answer.status.get_or_insert_default().published_node_ids.clear();
                        },
                    ),
                ]
            },
            &["list-published-nodes", "get-volume-published-nodes"],
        ),
        fault(
            "snapshots are not filtered by id",
            || {
                vec![asks(SNAPSHOTS, |request: &mut csi::ListSnapshotsRequest| {
                    request.snapshot_id.clear();
                })]
            },
            &["list-snapshots-by-id"],
        ),
        fault(
            "snapshots are not filtered by source",
            || {
                vec![asks(SNAPSHOTS, |request: &mut csi::ListSnapshotsRequest| {
                    request.source_volume_id.clear();
                })]
            },
            &["list-snapshots-by-source", "pages-of-snapshots-of-a-volume"],
        ),
        fault(
            "an empty list is an error",
            || {
                vec![Rule {
                    rpc: SNAPSHOTS,
                    effect: crate::proxy::Effect::Answer(Box::new(|_, answer| {
                        let empty = answer.as_ref().is_ok_and(|message| {
                            let list = message.downcast_ref::<csi::ListSnapshotsResponse>();
                            list.is_some_and(|list| list.entries.is_empty())
                        });
                        if empty {
                            *answer = Err(Status::not_found("no such snapshot"));
                        }
                    })),
                }]
            },
            &["list-snapshots-unknown"],
        ),
        fault(
            "no snapshot is listed",
            || vec![snapshots(|answer| answer.entries.clear())],
            &["list-snapshots-all", "list-snapshots-by-id"],
        ),
    ]);
    all
}

fn deleted_stay() -> Vec<Rule> {
    let made: Arc<Mutex<Vec<csi::Volume>>> = Arc::default();
    let known = Arc::clone(&made);
    vec![
        tells("CreateVolume", move |answer: &mut csi::CreateVolumeResponse| {
            made.lock().unwrap().extend(answer.volume.clone());
        }),
        volumes(move |answer| {
            let listed = |id: &str, entries: &[Entry]| {
                entries
                    .iter()
                    .any(|entry| entry.volume.as_ref().is_some_and(|volume| volume.volume_id == id))
            };
            for volume in known.lock().unwrap().iter() {
                if !listed(&volume.volume_id, &answer.entries) {
                    answer.entries.push(Entry { volume: Some(volume.clone()), status: None });
                }
            }
        }),
    ]
}

fn pages() -> Vec<Fault> {
    vec![
        fault(
            "pages are as long as the list",
            || {
                vec![
                    asks(VOLUMES, |request: &mut csi::ListVolumesRequest| request.max_entries = 0),
                    asks(SNAPSHOTS, |request: &mut csi::ListSnapshotsRequest| {
                        request.max_entries = 0
                    }),
                ]
            },
            &["pages-of-volumes", "pages-of-snapshots", "pages-of-snapshots-of-a-volume"],
        ),
        fault(
            "there is only one page",
            || {
                vec![
                    volumes(|answer| answer.next_token.clear()),
                    snapshots(|answer| answer.next_token.clear()),
                ]
            },
            &["pages-of-volumes", "pages-of-snapshots"],
        ),
        fault(
            "the last entry of a page is on the next page too",
            || {
                let last: Arc<Mutex<Option<Entry>>> = Arc::default();
                vec![tells_to(
                    VOLUMES,
                    move |request: &csi::ListVolumesRequest,
                          answer: &mut csi::ListVolumesResponse| {
                        let mut last = last.lock().unwrap();
                        let before = std::mem::replace(&mut *last, answer.entries.last().cloned());
                        if let Some(before) = before.filter(|_| !request.starting_token.is_empty())
                        {
                            answer.entries[0] = before;
                        }
                    },
                )]
            },
            &["pages-of-volumes"],
        ),
        fault(
            "the next page is of the whole list",
            || {
                vec![asks(SNAPSHOTS, |request: &mut csi::ListSnapshotsRequest| {
                    if !request.starting_token.is_empty() {
                        request.source_volume_id.clear();
                    }
                })]
            },
            &["pages-of-snapshots-of-a-volume"],
        ),
        fault(
            "tokens are positions",
            by_position,
            &["pages-of-changing-volumes", "pages-of-changing-snapshots"],
        ),
        fault(
            "a token ends with the next change",
            || {
                let changed: Arc<Mutex<bool>> = Arc::default();
                let note = Arc::clone(&changed);
                vec![
                    then("DeleteVolume", move |_: &csi::DeleteVolumeRequest| {
                        *note.lock().unwrap() = true;
                    }),
                    Rule {
                        rpc: VOLUMES,
                        effect: crate::proxy::Effect::Answer(Box::new(move |request, answer| {
                            let request = request.downcast_ref::<csi::ListVolumesRequest>();
                            let resumed = request.is_some_and(|one| !one.starting_token.is_empty());
                            if std::mem::take(&mut *changed.lock().unwrap()) && resumed {
                                *answer = Err(Status::internal("the list has changed"));
                            }
                        })),
                    },
                ]
            },
            &["pages-of-changing-volumes"],
        ),
    ]
}
