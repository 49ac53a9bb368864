//! Drivers that make too much, or too little, of a name.

use crate::fault::{Fault, fault};
use crate::rules::{asks, refuses_when};
use becket_csi::protocol::csi::{CreateSnapshotRequest, CreateVolumeRequest};
use tonic::Code;

/// A name as a careless driver makes a file of it.
fn flattened(name: &str) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    name.chars().map(plain).collect()
}

pub fn faults() -> Vec<Fault> {
    const INVALID: Code = Code::InvalidArgument;
    vec![
        fault(
            "only plain names are taken",
            || {
                vec![
                    refuses_when("CreateVolume", INVALID, |request: &CreateVolumeRequest| {
                        request.name != flattened(&request.name)
                    }),
                    refuses_when("CreateSnapshot", INVALID, |request: &CreateSnapshotRequest| {
                        request.name != flattened(&request.name)
                    }),
                ]
            },
            &["name-any-unicode:8", "snapshot-name-any-unicode:8"],
        ),
        fault(
            "long names are refused",
            || {
                vec![
                    refuses_when("CreateVolume", INVALID, |request: &CreateVolumeRequest| {
                        request.name.len() > 100
                    }),
                    refuses_when("CreateSnapshot", INVALID, |request: &CreateSnapshotRequest| {
                        request.name.len() > 100
                    }),
                ]
            },
            &["name-of-128-bytes", "snapshot-name-of-128-bytes"],
        ),
        fault(
            "unsafe characters are replaced",
            || {
                vec![
                    asks("CreateVolume", |request: &mut CreateVolumeRequest| {
                        request.name = flattened(&request.name);
                    }),
                    asks("CreateSnapshot", |request: &mut CreateSnapshotRequest| {
                        request.name = flattened(&request.name);
                    }),
                ]
            },
            &["names-distinct", "snapshot-names-distinct"],
        ),
        fault(
            "case is folded",
            || {
                vec![asks("CreateVolume", |request: &mut CreateVolumeRequest| {
                    request.name = request.name.to_lowercase();
                })]
            },
            &["names-distinct"],
        ),
        fault(
            "names are cut",
            || {
                vec![asks("CreateVolume", |request: &mut CreateVolumeRequest| {
                    request.name = request.name.chars().take(120).collect();
                })]
            },
            &["names-distinct"],
        ),
    ]
}
