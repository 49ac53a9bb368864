//! Drivers that are ill, or say nothing of use about blocks.

use crate::fault::{Fault, fault};
use crate::proxy::Rule;
use crate::rules::{asks, fails, tells};
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::node_get_storage_health_response::StorageBackendHealth;
use becket_csi::protocol::csi::volume_health::VolumeHealthEntry;
use tonic::Code;

const GET: &str = "ControllerGetVolumeHealth";
const LIST: &str = "ControllerListVolumeHealth";
const NODE: &str = "NodeGetVolumeHealth";

fn entry(status: i32, reason: &str) -> VolumeHealthEntry {
    VolumeHealthEntry { status, reason: reason.to_owned(), message: String::new() }
}

fn got(
    change: impl Fn(&mut csi::ControllerGetVolumeHealthResponse) + Send + Sync + 'static,
) -> Vec<Rule> {
    vec![tells(GET, change)]
}

fn listed(entries: Vec<VolumeHealthEntry>) -> Vec<Rule> {
    vec![tells(LIST, move |answer: &mut csi::ControllerListVolumeHealthResponse| {
        let health_statuses = entries.clone();
        answer.entries = vec![csi::VolumeHealth { volume_id: "v".to_owned(), health_statuses }];
    })]
}

pub fn faults() -> Vec<Fault> {
    let mut all = metadata();
    all.extend([
        fault(
            "there is no health",
            || got(|answer| answer.volume_health = None),
            &["health-of-volume"],
        ),
        fault(
            "the health is another volume's",
            || got(|answer| answer.volume_health.get_or_insert_default().volume_id += "x"),
            &["health-of-volume"],
        ),
        fault(
            "reasons are sentences",
            || {
                got(|answer| {
                    let health = answer.volume_health.get_or_insert_default();
                    health.health_statuses.push(entry(1, "it is slow"));
                })
            },
            &["health-of-volume"],
        ),
        fault(
            "a new volume is ill",
            || {
                got(|answer| {
                    let health = answer.volume_health.get_or_insert_default();
                    health.health_statuses.push(entry(1, "Slow"));
                })
            },
            &["health-of-healthy-volume"],
        ),
        fault(
            "an illness is listed twice",
            || listed(vec![entry(1, "Slow"), entry(1, "Slow")]),
            &["health-list"],
        ),
        fault("an illness is unknown", || listed(vec![entry(0, "Slow")]), &["health-list"]),
        fault("the healthy are listed", healthy_listed, &["health-list-omits-healthy"]),
        fault(
            "the node knows no health",
            || {
                vec![tells(NODE, |answer: &mut csi::NodeGetVolumeHealthResponse| {
                    answer.volume_health = None;
                })]
            },
            &["node-health-of-published"],
        ),
        fault(
            "the node's health fails",
            || vec![fails(NODE, Code::Internal)],
            &["node-health-of-published", "node-health-of-unstaged"],
        ),
        fault(
            "the storage is ill twice",
            || {
                vec![tells(
                    "NodeGetStorageHealth",
                    |answer: &mut csi::NodeGetStorageHealthResponse| {
                        let one = StorageBackendHealth {
                            status: 1,
                            reason: "Slow".to_owned(),
                            ..Default::default()
                        };
                        answer.backend_health = vec![one.clone(), one];
                    },
                )]
            },
            &["storage-health"],
        ),
    ]);
    all
}

fn healthy_listed() -> Vec<Rule> {
    use std::sync::{Arc, Mutex};
    let made: Arc<Mutex<Vec<String>>> = Arc::default();
    let known = Arc::clone(&made);
    vec![
        tells("CreateVolume", move |answer: &mut csi::CreateVolumeResponse| {
            let volume = answer.volume.clone().unwrap_or_default();
            made.lock().unwrap().push(volume.volume_id);
        }),
        tells(LIST, move |answer: &mut csi::ControllerListVolumeHealthResponse| {
            let known = known.lock().unwrap();
            let healthy = |id: &String| csi::VolumeHealth {
                volume_id: id.clone(),
                health_statuses: Vec::new(),
            };
            answer.entries = known.last().into_iter().map(healthy).collect();
        }),
    ]
}

const ALLOCATED: &str = "GetMetadataAllocated";
const DELTA: &str = "GetMetadataDelta";
type Allocated = Vec<csi::GetMetadataAllocatedResponse>;
type Delta = Vec<csi::GetMetadataDeltaResponse>;

/// The ranges of both streams are changed, message by message.
fn ranges(change: fn(&mut Vec<csi::BlockMetadata>)) -> Vec<Rule> {
    vec![
        tells(ALLOCATED, move |stream: &mut Allocated| {
            stream.iter_mut().for_each(|message| change(&mut message.block_metadata));
        }),
        tells(DELTA, move |stream: &mut Delta| {
            stream.iter_mut().for_each(|message| change(&mut message.block_metadata));
        }),
    ]
}

fn metadata() -> Vec<Fault> {
    vec![
        fault(
            "the last range is missing",
            || ranges(|ranges| ranges.truncate(ranges.len().saturating_sub(1))),
            &["allocated-covers-data", "delta-covers-changes"],
        ),
        fault(
            "each range is there twice",
            || {
                ranges(|ranges| {
                    *ranges = ranges.iter().flat_map(|range| [*range, *range]).collect();
                })
            },
            &["allocated-ordered", "delta-ordered"],
        ),
        fault(
            "everything has changed",
            || {
                vec![tells(DELTA, |stream: &mut Delta| {
                    stream.truncate(1);
                    for message in stream {
                        let size_bytes = message.volume_capacity_bytes;
                        message.block_metadata =
                            vec![csi::BlockMetadata { byte_offset: 0, size_bytes }];
                    }
                })]
            },
            &["delta-only-changes"],
        ),
        fault(
            "messages are as long as they like",
            || {
                vec![
                    asks(ALLOCATED, |request: &mut csi::GetMetadataAllocatedRequest| {
                        request.max_results = 0;
                    }),
                    asks(DELTA, |request: &mut csi::GetMetadataDeltaRequest| {
                        request.max_results = 0
                    }),
                ]
            },
            &["allocated-max-results", "delta-max-results"],
        ),
        fault(
            "streams start again from the beginning",
            || {
                vec![
                    asks(ALLOCATED, |request: &mut csi::GetMetadataAllocatedRequest| {
                        request.starting_offset = request.starting_offset.min(0);
                    }),
                    asks(DELTA, |request: &mut csi::GetMetadataDeltaRequest| {
                        request.starting_offset = request.starting_offset.min(0);
                    }),
                ]
            },
            &["allocated-resumes", "delta-resumes", "allocated-bad-offset", "delta-bad-offset"],
        ),
        fault(
            "streams go on too late",
            || {
                vec![
                    asks(ALLOCATED, |request: &mut csi::GetMetadataAllocatedRequest| {
                        request.starting_offset += i64::from(request.starting_offset > 0) << 23;
                    }),
                    asks(DELTA, |request: &mut csi::GetMetadataDeltaRequest| {
                        request.starting_offset += i64::from(request.starting_offset > 0) << 23;
                    }),
                ]
            },
            &["allocated-resumes", "delta-resumes"],
        ),
    ]
}
