//! Drivers that answer OK to what they must refuse, one RPC at a time.

use crate::fault::{Fault, fault};
use crate::rules::{forgives, refuses_when};
use becket_csi::protocol::csi;
use tonic::Code;

/// The id that checks use for what does not exist.
pub const UNKNOWN: &str = "becket-check-no-such-thing";

pub fn faults() -> Vec<Fault> {
    vec![
        fault(
            "CreateVolume never fails",
            || vec![forgives::<csi::CreateVolumeResponse>("CreateVolume")],
            &[
                "missing-fields-create-volume:2",
                "missing-fields-content-source:3",
                "name-too-long",
                "parameters-too-large",
                "mount-flags-too-large",
                "name-control-characters:61",
                "unknown-source-snapshot",
                "unknown-source-volume",
                "create-several-capabilities",
                "create-unknown-parameter",
                "create-unknown-filesystem",
                "create-unknown-mutable-parameter",
                "create-negative-size:3",
                "create-limit-below-required",
                "create-empty-range",
                "create-absurd-size:2",
                "create-other-size",
                "create-other-limit",
                "create-other-access-type",
                "create-other-parameters",
                "create-other-good-parameters",
                "create-other-topology",
                "create-other-source",
                "create-other-source-volume",
                "create-other-mutable-parameters",
                "topology-of-elsewhere",
                "topology-multi-node-mode",
                "restore-smaller",
                "clone-smaller",
            ],
        ),
        fault(
            "ValidateVolumeCapabilities never fails",
            || {
                vec![forgives::<csi::ValidateVolumeCapabilitiesResponse>(
                    "ValidateVolumeCapabilities",
                )]
            },
            &[
                "missing-fields-validate:2",
                "id-too-long",
                "unknown-volume-validate",
                "deleted-is-gone",
            ],
        ),
        fault(
            "capabilities are not looked at",
            || {
                vec![
                    forgives::<csi::CreateVolumeResponse>("CreateVolume"),
                    forgives::<csi::ValidateVolumeCapabilitiesResponse>(
                        "ValidateVolumeCapabilities",
                    ),
                    forgives::<csi::ControllerPublishVolumeResponse>("ControllerPublishVolume"),
                    forgives::<csi::NodeStageVolumeResponse>("NodeStageVolume"),
                    forgives::<csi::NodePublishVolumeResponse>("NodePublishVolume"),
                ]
            },
            &["access-mode-unknown:5", "access-mode-missing:5", "access-type-missing:5"],
        ),
        fault(
            "ControllerPublishVolume never fails",
            || vec![forgives::<csi::ControllerPublishVolumeResponse>("ControllerPublishVolume")],
            &[
                "missing-fields-attach:3",
                "unknown-volume-attach",
                "attach-unknown-node",
                "attach-other-readonly",
                "attach-other-capability",
                "attach-limit",
            ],
        ),
        fault(
            "ControllerUnpublishVolume never fails",
            || {
                vec![forgives::<csi::ControllerUnpublishVolumeResponse>(
                    "ControllerUnpublishVolume",
                )]
            },
            &["missing-fields-detach"],
        ),
        fault(
            "ControllerGetVolume never fails",
            || vec![forgives::<csi::ControllerGetVolumeResponse>("ControllerGetVolume")],
            &["missing-fields-get-volume", "unknown-volume-get", "get-deleted-volume"],
        ),
        fault(
            "ControllerExpandVolume never fails",
            || vec![forgives::<csi::ControllerExpandVolumeResponse>("ControllerExpandVolume")],
            &[
                "missing-fields-expand:2",
                "unknown-volume-expand",
                "expand-beyond:2",
                "expand-negative:2",
                "expand-limit-below-required",
                "expand-refused-changes-nothing",
                "expand-other-capability",
            ],
        ),
        fault(
            "ControllerModifyVolume never fails",
            || vec![forgives::<csi::ControllerModifyVolumeResponse>("ControllerModifyVolume")],
            &[
                "missing-fields-modify:2",
                "unknown-volume-modify",
                "modify-unknown-parameter",
                "modify-all-or-nothing",
            ],
        )
        .base(|| {
            let empty = |request: &csi::ControllerModifyVolumeRequest| {
                request.mutable_parameters.is_empty()
            };
            vec![refuses_when("ControllerModifyVolume", Code::InvalidArgument, empty)]
        }),
        fault(
            "CreateSnapshot never fails",
            || vec![forgives::<csi::CreateSnapshotResponse>("CreateSnapshot")],
            &[
                "missing-fields-create-snapshot:2",
                "snapshot-name-too-long",
                "snapshot-name-control-characters:61",
                "unknown-volume-snapshot",
                "snapshot-other-source",
                "snapshot-unknown-parameter",
            ],
        ),
        fault(
            "GetSnapshot never fails",
            || vec![forgives::<csi::GetSnapshotResponse>("GetSnapshot")],
            &["missing-fields-get-snapshot", "unknown-snapshot-get", "get-deleted-snapshot"],
        ),
        fault(
            "the group service never fails",
            || {
                vec![
                    forgives::<csi::CreateVolumeGroupSnapshotResponse>("CreateVolumeGroupSnapshot"),
                    forgives::<csi::DeleteVolumeGroupSnapshotResponse>("DeleteVolumeGroupSnapshot"),
                    forgives::<csi::GetVolumeGroupSnapshotResponse>("GetVolumeGroupSnapshot"),
                ]
            },
            &[
                "missing-fields-create-group:2",
                "missing-fields-delete-group",
                "missing-fields-get-group",
                "group-name-control-characters:61",
                "unknown-volume-group",
                "unknown-group-get",
                "group-other-volumes",
                "group-unknown-parameter",
                "group-get-mismatch",
                "group-delete-mismatch",
            ],
        ),
        fault(
            "lists never fail",
            || {
                vec![
                    forgives::<csi::ListVolumesResponse>("ListVolumes"),
                    forgives::<csi::ListSnapshotsResponse>("ListSnapshots"),
                    forgives::<csi::ControllerListVolumeHealthResponse>(
                        "ControllerListVolumeHealth",
                    ),
                ]
            },
            &[
                "list-negative-max",
                "list-bad-token",
                "list-snapshots-negative-max",
                "list-snapshots-bad-token",
                "health-list-negative-max",
                "health-list-bad-token",
            ],
        ),
        fault(
            "health never fails",
            || {
                vec![
                    forgives::<csi::ControllerGetVolumeHealthResponse>("ControllerGetVolumeHealth"),
                    forgives::<csi::NodeGetVolumeHealthResponse>("NodeGetVolumeHealth"),
                ]
            },
            &[
                "missing-fields-controller-health",
                "missing-fields-node-health",
                "unknown-volume-controller-health",
                "unknown-volume-node-health",
            ],
        ),
        fault(
            "metadata never fails",
            || {
                vec![
                    forgives::<Vec<csi::GetMetadataAllocatedResponse>>("GetMetadataAllocated"),
                    forgives::<Vec<csi::GetMetadataDeltaResponse>>("GetMetadataDelta"),
                ]
            },
            &[
                "missing-fields-metadata:3",
                "unknown-snapshot-metadata:2",
                "allocated-bad-offset",
                "delta-bad-offset",
                "delta-of-two-volumes",
            ],
        ),
    ]
}
