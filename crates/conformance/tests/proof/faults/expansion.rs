//! Drivers whose volumes do not grow.

use crate::fault::{Fault, fault};
use crate::proxy::Rule;
use crate::rules::{asks, fails, fails_again, instead, pardons, refuses_when, tells, then};
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::plugin_capability::{Type, VolumeExpansion, volume_expansion};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use tonic::{Code, Status};

pub const EXPAND: &str = "ControllerExpandVolume";
const NODE: &str = "NodeExpandVolume";

/// Sizes are said and nothing grows.
pub fn says_so() -> Vec<Rule> {
    vec![instead(EXPAND, |_, request: csi::ControllerExpandVolumeRequest| async move {
        let capacity_bytes = request.capacity_range.unwrap_or_default().required_bytes;
        Ok(csi::ControllerExpandVolumeResponse { capacity_bytes, node_expansion_required: false })
    })]
}

/// A driver that expands only what is not published, and says so.
fn offline_only() -> Vec<Rule> {
    let published: Arc<Mutex<Vec<String>>> = Arc::default();
    let known = Arc::clone(&published);
    vec![
        offline(),
        then("NodePublishVolume", move |request: &csi::NodePublishVolumeRequest| {
            published.lock().unwrap().push(request.volume_id.clone());
        }),
        refuses_when(
            EXPAND,
            Code::FailedPrecondition,
            move |request: &csi::ControllerExpandVolumeRequest| {
                known.lock().unwrap().contains(&request.volume_id)
            },
        ),
    ]
}

fn offline() -> Rule {
    tells("GetPluginCapabilities", |answer: &mut csi::GetPluginCapabilitiesResponse| {
        for capability in &mut answer.capabilities {
            if let Some(Type::VolumeExpansion(_)) = capability.r#type {
                let offline = VolumeExpansion { r#type: volume_expansion::Type::Offline.into() };
                capability.r#type = Some(Type::VolumeExpansion(offline));
            }
        }
    })
}

pub fn faults() -> Vec<Fault> {
    let mut all = nodes();
    all.extend([
        fault(
            "volumes are only said to grow",
            says_so,
            &["expand-published-block", "expand-unpublished", "expand-unpublished-block"],
        ),
        fault("filesystems are only said to grow", says_so, &["expand-published"])
            .with(|options| {
                // Any filesystem grows where this runs but ext4, which takes a capability for it.
                options.fs_type = "xfs".to_owned();
                (options.size, options.expand_size) = (320 << 20, 640 << 20);
            })
            .base(Vec::new),
        fault(
            "volumes grow a little too much",
            || {
                vec![tells(EXPAND, |answer: &mut csi::ControllerExpandVolumeResponse| {
                    answer.capacity_bytes += 1;
                })]
            },
            &["expand-exact", "expand-recorded", "expand-smaller"],
        ),
        fault(
            "volumes grow each time",
            || {
                let more = AtomicI64::new(0);
                vec![tells(EXPAND, move |answer: &mut csi::ControllerExpandVolumeResponse| {
                    answer.capacity_bytes += more.fetch_add(4096, Ordering::Relaxed);
                })]
            },
            &["expand-twice", "burst-expand"],
        ),
        fault(
            "what has grown cannot grow again",
            || vec![fails_again::<csi::ControllerExpandVolumeRequest>(EXPAND)],
            &["expand-twice"],
        ),
        fault(
            "nothing grows",
            || vec![fails(EXPAND, Code::OutOfRange)],
            &["expand-smaller", "expand-twice"],
        ),
        fault(
            "a refused expansion grows the volume",
            grows_anyway,
            &["expand-refused-changes-nothing"],
        ),
        fault(
            "a published volume is said to grow",
            || {
                vec![pardons(EXPAND, |_: &csi::ControllerExpandVolumeRequest, _: &Status| {
                    Some(Ok(csi::ControllerExpandVolumeResponse::default()))
                })]
            },
            &["expand-published-offline-only"],
        )
        .base(offline_only),
    ]);
    all
}

fn grows_anyway() -> Vec<Rule> {
    vec![
        asks(EXPAND, |request: &mut csi::ControllerExpandVolumeRequest| {
            if let Some(range) = &mut request.capacity_range {
                range.required_bytes = range.required_bytes.min(128 << 20);
            }
        }),
        fails(EXPAND, Code::OutOfRange),
    ]
}

fn nodes() -> Vec<Fault> {
    vec![
        fault(
            "what is large enough cannot be expanded",
            || vec![fails(NODE, Code::Internal)],
            &["node-expand-large-enough", "node-expand-staging-path"],
        ),
        fault(
            "the node says another size",
            || {
                vec![tells(NODE, |answer: &mut csi::NodeExpandVolumeResponse| {
                    answer.capacity_bytes += 1;
                })]
            },
            &["node-expand-large-enough"],
        ),
        fault(
            "the node needs a range",
            || {
                vec![refuses_when(
                    NODE,
                    Code::InvalidArgument,
                    |request: &csi::NodeExpandVolumeRequest| request.capacity_range.is_none(),
                )]
            },
            &["node-expand-without-range"],
        ),
        fault(
            "only what is published can be expanded",
            || {
                vec![refuses_when(
                    NODE,
                    Code::FailedPrecondition,
                    |request: &csi::NodeExpandVolumeRequest| {
                        request.volume_path == request.staging_target_path
                    },
                )]
            },
            &["node-expand-staging-path"],
        ),
    ]
}
