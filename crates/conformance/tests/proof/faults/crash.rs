//! Drivers that do not take up what a kill cut off.

use super::expansion::{EXPAND, says_so};
use super::node::{PUBLISH, UNSTAGE, bind, stages_again};
use crate::fault::{Fault, fault};
use crate::rules::{does_nothing, fails, then};
use becket_csi::protocol::csi;
use std::path::Path;
use tonic::Code;

pub fn faults() -> Vec<Fault> {
    let faults = vec![
        fault("after a restart, names are forgotten", super::create::forgotten, &["crash-create"]),
        fault(
            "after a restart, copies are empty",
            super::snapshots::empty_copies,
            &["crash-restore"],
        ),
        fault(
            "after a restart, names of snapshots are forgotten",
            super::snapshots::forgotten,
            &["crash-snapshot"],
        ),
        fault(
            "after a restart, nothing is attached",
            || vec![fails("ControllerPublishVolume", Code::Internal)],
            &["crash-attach"],
        ),
        fault("after a restart, staging mounts again", stages_again, &["crash-stage"]),
        fault(
            "after a restart, publishing mounts again",
            || {
                vec![then(PUBLISH, |request: &csi::NodePublishVolumeRequest| {
                    let path = Path::new(&request.target_path);
                    bind(path, path);
                })]
            },
            &["crash-publish"],
        ),
        fault("after a restart, volumes are only said to grow", says_so, &["crash-expand"]),
        fault(
            "after a restart, nothing is unpublished",
            super::unpublish::nothing,
            &["crash-unpublish"],
        ),
        fault(
            "after a restart, nothing is unstaged",
            || vec![does_nothing::<csi::NodeUnstageVolumeResponse>(UNSTAGE)],
            &["crash-unstage"],
        ),
        fault(
            "after a restart, snapshots cannot be deleted",
            || vec![fails("DeleteSnapshot", Code::Internal)],
            &["crash-delete-snapshot"],
        ),
        fault(
            "after a restart, volumes cannot be deleted",
            || vec![fails("DeleteVolume", Code::Internal)],
            &["crash-delete"],
        ),
        fault(
            "after a restart, what is published is not known",
            || vec![fails(PUBLISH, Code::NotFound), fails(EXPAND, Code::NotFound)],
            &["crash-published-survives"],
        ),
    ];
    faults.into_iter().map(Fault::after_restart).collect()
}
