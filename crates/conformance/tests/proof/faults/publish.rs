//! Drivers that do not keep the table of second publications.

use super::node::{PUBLISH, capabilities};
use crate::fault::{Fault, fault};
use crate::proxy::Rule;
use crate::rules::{fails_again, forgives, recodes, refuses_when, then};
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use std::sync::{Arc, Mutex};
use tonic::Code;

/// A driver of one node, made to look like one of several: what is for several nodes is for several
/// writers on one.
fn several_nodes() -> Vec<Rule> {
    capabilities(|capability| {
        if let Some(mode) = &mut capability.access_mode
            && matches!(
                mode.mode(),
                Mode::MultiNodeReaderOnly
                    | Mode::MultiNodeSingleWriter
                    | Mode::MultiNodeMultiWriter
            )
        {
            mode.set_mode(Mode::SingleNodeMultiWriter);
        }
    })
}

/// A volume is published at one target only.
fn one_target() -> Vec<Rule> {
    let published: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
    let known = Arc::clone(&published);
    vec![
        then(PUBLISH, move |request: &csi::NodePublishVolumeRequest| {
            let place = (request.volume_id.clone(), request.target_path.clone());
            published.lock().unwrap().push(place);
        }),
        refuses_when(
            PUBLISH,
            Code::FailedPrecondition,
            move |request: &csi::NodePublishVolumeRequest| {
                let elsewhere = |(volume, target): &(String, String)| {
                    *volume == request.volume_id && *target != request.target_path
                };
                known.lock().unwrap().iter().any(elsewhere)
            },
        ),
    ]
}

pub fn faults() -> Vec<Fault> {
    vec![
        fault(
            "a publication cannot be repeated",
            || vec![fails_again::<csi::NodePublishVolumeRequest>(PUBLISH)],
            &[
                "publish-writer-same",
                "publish-reader-same",
                "publish-single-writer-same",
                "publish-multi-writer-same",
            ],
        ),
        fault(
            "a publication for several nodes cannot be repeated",
            || vec![fails_again::<csi::NodePublishVolumeRequest>(PUBLISH)],
            &["publish-readers-same", "publish-one-of-nodes-same", "publish-all-nodes-same"],
        )
        .base(several_nodes),
        fault(
            "other arguments are an internal error",
            || {
                vec![
                    recodes(PUBLISH, Code::AlreadyExists, Code::Internal),
                    refuses_when(
                        PUBLISH,
                        Code::Internal,
                        |request: &csi::NodePublishVolumeRequest| {
                            let mode =
                                request.volume_capability.as_ref().and_then(|one| one.access_mode);
                            mode.is_some_and(|mode| mode.mode() == Mode::SingleNodeReaderOnly)
                                && !request.readonly
                        },
                    ),
                ]
            },
            &[
                "publish-writer-other-arguments",
                "publish-reader-other-arguments",
                "publish-single-writer-other-arguments",
                "publish-multi-writer-other-arguments",
            ],
        ),
        fault(
            "other arguments for several nodes are an internal error",
            || vec![recodes(PUBLISH, Code::AlreadyExists, Code::Internal)],
            &[
                "publish-readers-other-arguments",
                "publish-one-of-nodes-other-arguments",
                "publish-all-nodes-other-arguments",
            ],
        )
        .base(several_nodes),
        fault(
            "another target is said to be published",
            || vec![forgives::<csi::NodePublishVolumeResponse>(PUBLISH)],
            &[
                "publish-writer-other-target",
                "publish-writer-other-both",
                "publish-reader-other-target",
                "publish-reader-other-both",
                "publish-single-writer-other-target",
                "publish-single-writer-other-both",
            ],
        ),
        fault(
            "there is only one target",
            one_target,
            &["publish-multi-writer-other-target", "publish-multi-writer-other-both"],
        ),
        fault(
            "there is only one target on each node",
            one_target,
            &[
                "publish-readers-other-target",
                "publish-readers-other-both",
                "publish-one-of-nodes-other-target",
                "publish-one-of-nodes-other-both",
                "publish-all-nodes-other-target",
                "publish-all-nodes-other-both",
            ],
        )
        .base(several_nodes),
    ]
}
