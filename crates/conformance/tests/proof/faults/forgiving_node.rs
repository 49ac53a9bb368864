//! Nodes that answer OK to what they must refuse, and deletions that are too strict or not enough.

use super::forgiving::UNKNOWN;
use crate::fault::{Fault, fault};
use crate::rules::{forgives, refuses_when};
use becket_csi::protocol::csi;
use tonic::Code;

pub fn faults() -> Vec<Fault> {
    let mut all = nodes();
    all.extend(deletions());
    all
}

fn nodes() -> Vec<Fault> {
    vec![
        fault(
            "NodeStageVolume never fails",
            || vec![forgives::<csi::NodeStageVolumeResponse>("NodeStageVolume")],
            &[
                "missing-fields-stage:3",
                "unknown-volume-stage",
                "stage-other-flags",
                "stage-other-filesystem",
                "stage-other-access-type",
                "stage-other-access-mode",
                "stage-unsupported",
            ],
        ),
        fault(
            "NodeUnstageVolume never fails",
            || vec![forgives::<csi::NodeUnstageVolumeResponse>("NodeUnstageVolume")],
            &["missing-fields-unstage:2"],
        ),
        fault(
            "NodePublishVolume never fails",
            || vec![forgives::<csi::NodePublishVolumeResponse>("NodePublishVolume")],
            &[
                "missing-fields-publish:3",
                "unknown-volume-publish",
                "publish-without-staging-path",
                "publish-before-stage",
                "publish-unsupported",
                "publish-writer-other-arguments",
                "publish-writer-other-target",
                "publish-writer-other-both",
                "publish-reader-other-target",
                "publish-reader-other-both",
                "publish-single-writer-other-arguments",
                "publish-single-writer-other-target",
                "publish-single-writer-other-both",
                "publish-multi-writer-other-arguments",
            ],
        ),
        fault(
            "NodeUnpublishVolume never fails",
            || vec![forgives::<csi::NodeUnpublishVolumeResponse>("NodeUnpublishVolume")],
            &["missing-fields-unpublish:2"],
        ),
        fault(
            "NodeGetVolumeStats never fails",
            || vec![forgives::<csi::NodeGetVolumeStatsResponse>("NodeGetVolumeStats")],
            &[
                "missing-fields-stats:2",
                "unknown-volume-stats",
                "stats-wrong-path",
                "stats-path-of-another",
                "stats-after-unpublish",
            ],
        ),
        fault(
            "NodeExpandVolume never fails",
            || vec![forgives::<csi::NodeExpandVolumeResponse>("NodeExpandVolume")],
            &[
                "missing-fields-node-expand:2",
                "unknown-volume-node-expand",
                "node-expand-wrong-path",
            ],
        ),
    ]
}

/// Deletions that are too strict, or not strict enough.
fn deletions() -> Vec<Fault> {
    vec![
        fault(
            "deletions never fail",
            || {
                vec![
                    forgives::<csi::DeleteVolumeResponse>("DeleteVolume"),
                    forgives::<csi::DeleteSnapshotResponse>("DeleteSnapshot"),
                ]
            },
            &[
                "missing-fields-delete-volume",
                "missing-fields-delete-snapshot",
                "delete-attached",
                "delete-published",
            ],
        ),
        fault(
            "what does not exist cannot be deleted",
            || {
                let code = Code::NotFound;
                vec![
                    refuses_when("DeleteVolume", code, |request: &csi::DeleteVolumeRequest| {
                        request.volume_id == UNKNOWN
                    }),
                    refuses_when("DeleteSnapshot", code, |request: &csi::DeleteSnapshotRequest| {
                        request.snapshot_id == UNKNOWN
                    }),
                    refuses_when(
                        "DeleteVolumeGroupSnapshot",
                        code,
                        |request: &csi::DeleteVolumeGroupSnapshotRequest| {
                            request.group_snapshot_id == UNKNOWN
                        },
                    ),
                ]
            },
            &["unknown-volume-delete", "unknown-snapshot-delete", "unknown-group-delete"],
        ),
        fault(
            "undoing what was never done is an internal error",
            || {
                let code = Code::Internal;
                vec![
                    refuses_when(
                        "ControllerUnpublishVolume",
                        code,
                        |request: &csi::ControllerUnpublishVolumeRequest| {
                            request.volume_id == UNKNOWN || request.node_id == UNKNOWN
                        },
                    ),
                    refuses_when(
                        "NodeUnstageVolume",
                        code,
                        |request: &csi::NodeUnstageVolumeRequest| request.volume_id == UNKNOWN,
                    ),
                    refuses_when(
                        "NodeUnpublishVolume",
                        code,
                        |request: &csi::NodeUnpublishVolumeRequest| request.volume_id == UNKNOWN,
                    ),
                ]
            },
            &[
                "unknown-volume-detach",
                "detach-unknown-node",
                "unknown-volume-unstage",
                "unknown-volume-unpublish",
            ],
        ),
    ]
}
