//! Drivers whose controllers say or do the wrong thing with volumes that exist.

use super::forgiving::UNKNOWN;
use crate::fault::{Fault, fault};
use crate::rules::{
    does_nothing, does_nothing_when, fails_again, forgives, pardons, refuses_when, tells, tells_to,
};
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::validate_volume_capabilities_response::Confirmed;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use tonic::{Code, Status};

pub fn faults() -> Vec<Fault> {
    let mut all = capacity();
    all.extend(attach());
    all.extend([
        fault(
            "nothing is ever confirmed",
            || {
                vec![tells(
                    "ValidateVolumeCapabilities",
                    |answer: &mut csi::ValidateVolumeCapabilitiesResponse| answer.confirmed = None,
                )]
            },
            &["validate-confirms"],
        ),
        fault(
            "everything is confirmed",
            || {
                vec![tells_to(
                    "ValidateVolumeCapabilities",
                    |request: &csi::ValidateVolumeCapabilitiesRequest,
                     answer: &mut csi::ValidateVolumeCapabilitiesResponse| {
                        answer.confirmed = Some(Confirmed {
                            volume_capabilities: request.volume_capabilities.clone(),
                            ..Default::default()
                        });
                    },
                )]
            },
            &["validate-other-access-type", "validate-mixed", "validate-unknown-filesystem"],
        ),
        fault(
            "nobody says why",
            || {
                vec![tells(
                    "ValidateVolumeCapabilities",
                    |answer: &mut csi::ValidateVolumeCapabilitiesResponse| answer.message.clear(),
                )]
            },
            &["validate-says-why"],
        ),
        fault(
            "volumes have no status",
            || {
                vec![tells(
                    "ControllerGetVolume",
                    |answer: &mut csi::ControllerGetVolumeResponse| answer.status = None,
                )]
            },
            &["get-volume", "get-volume-published-nodes"],
        ),
        fault(
            "another volume is got",
            || {
                vec![tells(
                    "ControllerGetVolume",
                    |answer: &mut csi::ControllerGetVolumeResponse| {
                        let volume = answer.volume.get_or_insert_default();
                        volume.volume_id += "x";
                        volume.volume_context.insert("other".to_owned(), "1".to_owned());
                    },
                )]
            },
            &["get-volume", "volume-context-constant"],
        ),
        fault(
            "a refused modification is half applied",
            || {
                let broken = Arc::new(AtomicBool::new(false));
                let seen = Arc::clone(&broken);
                vec![
                    pardons(
                        "ControllerModifyVolume",
                        move |_: &csi::ControllerModifyVolumeRequest, _: &Status| {
                            broken.store(true, Ordering::Relaxed);
                            None::<Result<csi::ControllerModifyVolumeResponse, Status>>
                        },
                    ),
                    refuses_when(
                        "CreateVolume",
                        Code::AlreadyExists,
                        move |_: &csi::CreateVolumeRequest| seen.load(Ordering::Relaxed),
                    ),
                ]
            },
            &["modify-all-or-nothing"],
        ),
        fault(
            "what was modified cannot be modified again",
            || vec![fails_again::<csi::ControllerModifyVolumeRequest>("ControllerModifyVolume")],
            &["modify-volume"],
        ),
        fault(
            "mutable parameters are for later only",
            || {
                vec![refuses_when(
                    "CreateVolume",
                    Code::InvalidArgument,
                    |request: &csi::CreateVolumeRequest| !request.mutable_parameters.is_empty(),
                )]
            },
            &["create-with-mutable-parameters"],
        ),
        fault(
            "what was deleted cannot be deleted again",
            || vec![fails_again::<csi::DeleteVolumeRequest>("DeleteVolume")],
            &["delete-twice", "burst-delete"],
        ),
        fault(
            "volumes are not deleted",
            || vec![does_nothing::<csi::DeleteVolumeResponse>("DeleteVolume")],
            &[
                "deleted-is-gone",
                "list-forgets-deleted",
                "get-deleted-volume",
                "name-free-after-delete",
            ],
        ),
        fault(
            "volumes cannot be deleted",
            || {
                vec![refuses_when(
                    "DeleteVolume",
                    Code::Internal,
                    |request: &csi::DeleteVolumeRequest| request.volume_id != UNKNOWN,
                )]
            },
            &["everything-undone"],
        )
        .beside(&["create-volume"]),
    ]);
    all
}

fn capacity() -> Vec<Fault> {
    let maximum = |size: i64| {
        move || {
            vec![tells("GetCapacity", move |answer: &mut csi::GetCapacityResponse| {
                answer.maximum_volume_size = Some(size);
            })]
        }
    };
    vec![
        fault(
            "there is less than no room",
            || {
                vec![tells("GetCapacity", |answer: &mut csi::GetCapacityResponse| {
                    answer.available_capacity = -1;
                })]
            },
            &["capacity-not-negative"],
        ),
        fault(
            "each volume makes room",
            || {
                let room = AtomicI64::new(1 << 40);
                vec![tells("GetCapacity", move |answer: &mut csi::GetCapacityResponse| {
                    answer.available_capacity = room.fetch_add(1 << 30, Ordering::Relaxed);
                })]
            },
            &["capacity-falls"],
        ),
        fault(
            "there is no room on this node",
            || {
                vec![tells("GetCapacity", |answer: &mut csi::GetCapacityResponse| {
                    answer.available_capacity = 0;
                })]
            },
            &["capacity-of-this-node"],
        ),
        fault(
            "there is room for everything everywhere",
            || {
                vec![
                    forgives::<csi::GetCapacityResponse>("GetCapacity"),
                    tells("GetCapacity", |answer: &mut csi::GetCapacityResponse| {
                        answer.available_capacity = 1 << 40;
                    }),
                ]
            },
            &[
                "capacity-of-elsewhere",
                "capacity-for-unknown-filesystem",
                "capacity-for-unknown-parameter",
            ],
        ),
        fault("larger volumes are possible than is said", maximum(1), &["capacity-maximum-size"])
            .base(maximum(1 << 60)),
        fault(
            "smaller volumes are possible than is said",
            || {
                vec![tells("GetCapacity", |answer: &mut csi::GetCapacityResponse| {
                    answer.minimum_volume_size = Some(1 << 30);
                })]
            },
            &["capacity-minimum-size"],
        ),
    ]
}

fn attach() -> Vec<Fault> {
    vec![
        fault(
            "the publish context is another each time",
            || {
                let count = AtomicI64::new(0);
                vec![tells(
                    "ControllerPublishVolume",
                    move |answer: &mut csi::ControllerPublishVolumeResponse| {
                        let count = count.fetch_add(1, Ordering::Relaxed).to_string();
                        answer.publish_context.insert("count".to_owned(), count);
                    },
                )]
            },
            &["attach-twice"],
        ),
        fault(
            "what is attached cannot be attached again",
            || vec![fails_again::<csi::ControllerPublishVolumeRequest>("ControllerPublishVolume")],
            &["attach-twice", "burst-attach"],
        ),
        fault(
            "what is detached cannot be detached again",
            || {
                vec![fails_again::<csi::ControllerUnpublishVolumeRequest>(
                    "ControllerUnpublishVolume",
                )]
            },
            &["detach-twice"],
        ),
        fault(
            "detaching from all nodes detaches from none",
            || {
                vec![does_nothing_when::<
                    csi::ControllerUnpublishVolumeRequest,
                    csi::ControllerUnpublishVolumeResponse,
                >("ControllerUnpublishVolume", |request| {
                    request.node_id.is_empty()
                })]
            },
            &["detach-from-all-nodes"],
        ),
    ]
}
