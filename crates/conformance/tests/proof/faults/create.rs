//! Drivers that make other volumes than they were asked for.

use super::identity::without_services;
use crate::fault::{Fault, fault};
use crate::proxy::Rule;
use crate::rules::{asks, pardons, recodes, refuses_when, tells, tells_to};
use becket_csi::protocol::csi::plugin_capability::service::Type as Service;
use becket_csi::protocol::csi::{
    CapacityRange, CreateVolumeRequest, CreateVolumeResponse, Topology, Volume,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tonic::{Code, Status};

const CREATE: &str = "CreateVolume";

/// The volume of each answer is changed.
pub fn volume(change: impl Fn(&mut Volume) + Send + Sync + 'static) -> Rule {
    tells(CREATE, move |answer: &mut CreateVolumeResponse| {
        if let Some(volume) = &mut answer.volume {
            change(volume);
        }
    })
}

/// The driver is asked for another range.
fn range(change: impl Fn(&mut CapacityRange) + Send + Sync + 'static) -> Rule {
    asks(CREATE, move |request: &mut CreateVolumeRequest| {
        if let Some(range) = &mut request.capacity_range {
            change(range);
        }
        if request.capacity_range == Some(CapacityRange::default()) {
            request.capacity_range = None;
        }
    })
}

/// The answer says what was asked for, whatever was made.
pub fn says_as_asked() -> Rule {
    tells_to(CREATE, |request: &CreateVolumeRequest, answer: &mut CreateVolumeResponse| {
        let required = request.capacity_range.unwrap_or_default().required_bytes;
        if let Some(volume) = answer.volume.as_mut().filter(|_| required > 0) {
            volume.capacity_bytes = required;
        }
    })
}

fn nowhere() -> Topology {
    let segments = HashMap::from([("becket.dev/node".to_owned(), "nowhere".to_owned())]);
    Topology { segments }
}

fn refuses(which: impl Fn(&CreateVolumeRequest) -> bool + Send + Sync + 'static) -> Vec<Rule> {
    vec![refuses_when(CREATE, Code::InvalidArgument, which)]
}

pub fn faults() -> Vec<Fault> {
    let mut all = vec![
        fault(
            "volumes have no id",
            || vec![volume(|one| one.volume_id.clear())],
            &["create-volume"],
        ),
        fault(
            "volumes have a context of 5 KiB",
            || {
                vec![volume(|one| {
                    one.volume_context.insert("key".to_owned(), "x".repeat(5000));
                })]
            },
            &["create-volume"],
        ),
        fault(
            "volumes are smaller than asked for",
            || vec![volume(|one| one.capacity_bytes -= 1 << 20)],
            &[
                "create-volume",
                "create-block-volume",
                "create-exact-size",
                "create-size-of-odd-bytes",
            ],
        ),
        fault(
            "a volume needs a range",
            || refuses(|request| request.capacity_range.is_none()),
            &["create-without-range"],
        ),
        fault(
            "the old mode is not taken any more",
            || {
                refuses(|request| {
                    let mode = |one: &becket_csi::protocol::csi::VolumeCapability| {
                        one.access_mode.is_some_and(|mode| mode.mode == 1)
                    };
                    request.volume_capabilities.iter().any(mode)
                })
            },
            &["create-single-writer"],
        ),
        fault(
            "the provisioner's own parameters are refused",
            || {
                refuses(|request| {
                    request.parameters.keys().any(|key| key.starts_with("csi.storage.k8s.io/"))
                })
            },
            &["create-kubernetes-parameters"],
        ),
        fault("refused names stay taken", refused_stay, &["create-refused-leaves-nothing"]),
        fault(
            "sizes are rounded up beyond the limit",
            || {
                vec![range(|range| {
                    range.required_bytes += 1 << 20;
                    range.limit_bytes = 0;
                })]
            },
            &["create-exact-size"],
        ),
        fault(
            "limits are ignored",
            || vec![range(|range| range.limit_bytes = 0)],
            &["create-limit-honoured"],
        ),
        fault(
            "sizes are rounded down",
            || {
                vec![
                    range(|range| range.required_bytes &= !0xf_ffff),
                    volume(|one| one.capacity_bytes &= !0xf_ffff),
                ]
            },
            &["create-size-of-odd-bytes"],
        ),
        fault(
            "what is out of range is called invalid",
            || vec![recodes(CREATE, Code::OutOfRange, Code::InvalidArgument)],
            &["create-absurd-size", "restore-smaller", "clone-smaller"],
        ),
        fault(
            "names are forgotten",
            forgotten,
            &[
                "create-same-again",
                "create-compatible-range",
                "create-other-size",
                "restore-same-again",
                "clone-same-again",
                "burst-create",
            ],
        ),
        fault(
            "a taken name is never right",
            || {
                let made = Mutex::new(Vec::new());
                vec![refuses_when(
                    CREATE,
                    Code::AlreadyExists,
                    move |request: &CreateVolumeRequest| {
                        let mut made = made.lock().unwrap();
                        let taken = made.contains(&request.name);
                        made.push(request.name.clone());
                        taken
                    },
                )]
            },
            &["create-same-again", "create-compatible-range", "create-with-mutable-parameters"],
        ),
        fault(
            "the context is another each time",
            changing_context,
            &["create-same-again", "volume-context-constant"],
        ),
    ];
    all.extend(topology());
    all
}

fn refused_stay() -> Vec<Rule> {
    let refused = Arc::new(Mutex::new(Vec::new()));
    let known = Arc::clone(&refused);
    vec![
        refuses_when(CREATE, Code::AlreadyExists, move |request: &CreateVolumeRequest| {
            known.lock().unwrap().contains(&request.name)
        }),
        pardons(CREATE, move |request: &CreateVolumeRequest, _: &Status| {
            refused.lock().unwrap().push(request.name.clone());
            None::<Result<CreateVolumeResponse, Status>>
        }),
    ]
}

/// Each call makes a volume of its own.
pub fn forgotten() -> Vec<Rule> {
    let count = AtomicU64::new(0);
    vec![asks(CREATE, move |request: &mut CreateVolumeRequest| {
        request.name += &format!("-{}", count.fetch_add(1, Ordering::Relaxed));
    })]
}

fn changing_context() -> Vec<Rule> {
    let count = AtomicU64::new(0);
    vec![volume(move |one| {
        let count = count.fetch_add(1, Ordering::Relaxed).to_string();
        one.volume_context.insert("count".to_owned(), count);
    })]
}

fn topology() -> Vec<Fault> {
    vec![
        fault(
            "topology is told and not claimed",
            || vec![without_services(&[Service::VolumeAccessibilityConstraints])],
            &["topology-only-when-claimed"],
        ),
        fault(
            "volumes are made elsewhere",
            || vec![volume(|one| one.accessible_topology = vec![nowhere()])],
            &["topology-of-requisite", "topology-preferred"],
        ),
        fault(
            "volumes are nowhere",
            || vec![volume(|one| one.accessible_topology.clear())],
            &["topology-of-requisite", "topology-without-requirement"],
        ),
        fault(
            "topology requirements are ignored",
            || {
                vec![asks(CREATE, |request: &mut CreateVolumeRequest| {
                    request.accessibility_requirements = None;
                })]
            },
            &["topology-of-elsewhere", "create-other-topology"],
        ),
        fault(
            "only the first preferred topology counts",
            || {
                vec![asks(CREATE, |request: &mut CreateVolumeRequest| {
                    if let Some(requirement) = &mut request.accessibility_requirements {
                        requirement.requisite.truncate(1);
                        requirement.preferred.truncate(1);
                    }
                })]
            },
            &["topology-preferred"],
        ),
    ]
}
