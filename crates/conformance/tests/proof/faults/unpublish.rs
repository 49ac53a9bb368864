//! Drivers that leave something at the target path, or take too much from it.

use super::node::PUBLISH;
use crate::fault::{Fault, fault};
use crate::proxy::Rule;
use crate::rules::{does_nothing, fails, fails_again, forgives, refuses_when, then};
use becket_csi::protocol::csi;
use becket_sys::mount;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tonic::Code;

const UNPUBLISH: &str = "NodeUnpublishVolume";

pub fn faults() -> Vec<Fault> {
    vec![
        fault(
            "nothing is unpublished",
            nothing,
            &[
                "unpublish-removes-target",
                "unpublish-one-of-two",
                "unpublish-stacked",
                "unpublish-busy",
                "publish-twice",
                "publish-long-path",
                "burst-unpublish",
                "ephemeral-publish",
                "ephemeral-is-fresh",
            ],
        ),
        fault(
            "the directory stays",
            || {
                vec![then(UNPUBLISH, |request: &csi::NodeUnpublishVolumeRequest| {
                    let _ = std::fs::create_dir(&request.target_path);
                })]
            },
            &["unpublish-removes-target", "unpublish-busy"],
        ),
        fault(
            "what is unpublished cannot be unpublished again",
            || vec![fails_again::<csi::NodeUnpublishVolumeRequest>(UNPUBLISH)],
            &["unpublish-twice", "burst-unpublish", "ephemeral-unpublish-twice"],
        ),
        fault(
            "what is not published cannot be unpublished",
            strict,
            &["unpublish-never-published"],
        ),
        fault("all targets are unpublished at once", all_at_once, &["unpublish-one-of-two"]),
        fault(
            "a busy volume is never unpublished",
            || vec![fails(UNPUBLISH, Code::Internal)],
            &["unpublish-busy"],
        ),
        fault(
            "whatever is there is removed",
            || {
                vec![
                    forgives::<csi::NodeUnpublishVolumeResponse>(UNPUBLISH),
                    then(UNPUBLISH, |request: &csi::NodeUnpublishVolumeRequest| {
                        let _ = std::fs::remove_dir_all(&request.target_path);
                    }),
                ]
            },
            &["unpublish-keeps-strange-files"],
        ),
    ]
}

/// Nothing is unpublished, and everything is said to be.
pub fn nothing() -> Vec<Rule> {
    vec![does_nothing::<csi::NodeUnpublishVolumeResponse>(UNPUBLISH)]
}

fn strict() -> Vec<Rule> {
    let published: Arc<Mutex<Vec<String>>> = Arc::default();
    let known = Arc::clone(&published);
    vec![
        then(PUBLISH, move |request: &csi::NodePublishVolumeRequest| {
            published.lock().unwrap().push(request.target_path.clone());
        }),
        refuses_when(
            UNPUBLISH,
            Code::Internal,
            move |request: &csi::NodeUnpublishVolumeRequest| {
                !known.lock().unwrap().contains(&request.target_path)
            },
        ),
    ]
}

fn all_at_once() -> Vec<Rule> {
    let published: Arc<Mutex<Vec<String>>> = Arc::default();
    let known = Arc::clone(&published);
    vec![
        then(PUBLISH, move |request: &csi::NodePublishVolumeRequest| {
            published.lock().unwrap().push(request.target_path.clone());
        }),
        then(UNPUBLISH, move |_: &csi::NodeUnpublishVolumeRequest| {
            for target in known.lock().unwrap().drain(..) {
                let _ = mount::unmount(Path::new(&target));
            }
        }),
    ]
}
