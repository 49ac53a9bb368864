//! Drivers that do not know who they are.

use crate::fault::{Fault, fault};
use crate::proxy::Rule;
use crate::rules::{fails, tells};
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::controller_service_capability::{self as controller, rpc as c};
use becket_csi::protocol::csi::node_service_capability::{self as node, rpc as n};
use becket_csi::protocol::csi::plugin_capability::{self as plugin, service as s};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tonic::Code;

/// The controller does not claim these.
pub fn without_controller(hidden: &'static [c::Type]) -> Rule {
    tells("ControllerGetCapabilities", |answer: &mut csi::ControllerGetCapabilitiesResponse| {
        answer.capabilities.retain(|capability| match &capability.r#type {
            Some(controller::Type::Rpc(rpc)) => !hidden.contains(&rpc.r#type()),
            None => true,
        });
    })
}

/// The node does not claim these.
pub fn without_node(hidden: &'static [n::Type]) -> Rule {
    tells("NodeGetCapabilities", |answer: &mut csi::NodeGetCapabilitiesResponse| {
        answer.capabilities.retain(|capability| match &capability.r#type {
            Some(node::Type::Rpc(rpc)) => !hidden.contains(&rpc.r#type()),
            None => true,
        });
    })
}

/// The plugin does not claim these services.
pub fn without_services(hidden: &'static [s::Type]) -> Rule {
    tells("GetPluginCapabilities", |answer: &mut csi::GetPluginCapabilitiesResponse| {
        answer.capabilities.retain(|capability| match &capability.r#type {
            Some(plugin::Type::Service(service)) => !hidden.contains(&service.r#type()),
            _ => true,
        });
    })
}

fn node_info(change: impl Fn(&mut csi::NodeGetInfoResponse) + Send + Sync + 'static) -> Vec<Rule> {
    vec![tells("NodeGetInfo", change)]
}

fn segments(given: &'static [(&'static str, &'static str)]) -> Vec<Rule> {
    node_info(|answer| {
        let pairs = given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        answer.accessible_topology = Some(csi::Topology { segments: pairs.collect() });
    })
}

pub fn faults() -> Vec<Fault> {
    let mut all = claims();
    all.extend([
        fault(
            "the name is no domain name",
            || {
                vec![tells("GetPluginInfo", |answer: &mut csi::GetPluginInfoResponse| {
                    answer.name = "-my_driver".to_owned();
                })]
            },
            &["plugin-name"],
        ),
        fault(
            "the name has 64 characters",
            || {
                vec![tells("GetPluginInfo", |answer: &mut csi::GetPluginInfoResponse| {
                    answer.name = "x".repeat(64);
                })]
            },
            &["plugin-name"],
        ),
        fault(
            "there is no version",
            || {
                vec![tells("GetPluginInfo", |answer: &mut csi::GetPluginInfoResponse| {
                    answer.vendor_version.clear();
                })]
            },
            &["plugin-version"],
        ),
        fault(
            "it is never ready",
            || vec![tells("Probe", |answer: &mut csi::ProbeResponse| answer.ready = Some(false))],
            &["plugin-ready"],
        )
        .with(|options| options.deadline = Duration::from_secs(2)),
        fault(
            "it is not healthy",
            || vec![fails("Probe", Code::FailedPrecondition)],
            &["plugin-ready"],
        ),
        fault(
            "capabilities change",
            || {
                let count = AtomicU64::new(0);
                vec![tells(
                    "GetPluginCapabilities",
                    move |answer: &mut csi::GetPluginCapabilitiesResponse| {
                        if count.fetch_add(1, Ordering::Relaxed) % 2 == 1 {
                            answer.capabilities.pop();
                        }
                    },
                )]
            },
            &["answers-stable"],
        ),
        fault(
            "the node's id changes",
            || {
                let count = AtomicU64::new(0);
                node_info(move |answer| {
                    answer.node_id += &count.fetch_add(1, Ordering::Relaxed).to_string();
                })
            },
            &["node-id"],
        ),
        fault(
            "the node's id is too long",
            || node_info(|answer| answer.node_id = "n".repeat(257)),
            &["node-id"],
        ),
        fault(
            "the node takes less than no volumes",
            || node_info(|answer| answer.max_volumes_per_node = -1),
            &["node-volume-limit"],
        ),
        fault("a topology key has spaces", || segments(&[("a b", "x")]), &["node-topology-format"]),
        fault(
            "a topology prefix is upper case",
            || segments(&[("A.b/c", "x")]),
            &["node-topology-format"],
        ),
        fault(
            "topology keys have two prefixes",
            || segments(&[("a.b/c", "x"), ("a.c/d", "x")]),
            &["node-topology-format"],
        ),
        fault(
            "topology keys differ in case only",
            || segments(&[("a.b/c", "x"), ("a.b/C", "x")]),
            &["node-topology-format"],
        ),
        fault(
            "a topology value is empty",
            || segments(&[("a.b/c", "")]),
            &["node-topology-format"],
        ),
        fault(
            "the node is nowhere",
            || node_info(|answer| answer.accessible_topology = None),
            &["node-topology-present"],
        ),
    ]);
    all
}

/// Capabilities that are wrong, or wrong together.
fn claims() -> Vec<Fault> {
    vec![
        fault(
            "a capability is not set",
            || {
                vec![tells(
                    "GetPluginCapabilities",
                    |answer: &mut csi::GetPluginCapabilitiesResponse| {
                        answer.capabilities.push(csi::PluginCapability { r#type: None });
                    },
                )]
            },
            &["capabilities-set"],
        ),
        fault(
            "a capability was removed from the specification",
            || {
                vec![tells(
                    "ControllerGetCapabilities",
                    |answer: &mut csi::ControllerGetCapabilitiesResponse| {
                        let rpc = controller::Rpc { r#type: 11 };
                        let r#type = Some(controller::Type::Rpc(rpc));
                        answer.capabilities.push(csi::ControllerServiceCapability { r#type });
                    },
                )]
            },
            &["capabilities-known"],
        ),
        fault(
            "capabilities cannot be asked for",
            || {
                vec![
                    fails("ControllerGetCapabilities", Code::Internal),
                    fails("NodeGetCapabilities", Code::Internal),
                    fails("GroupControllerGetCapabilities", Code::Internal),
                ]
            },
            &["controller-service-answers", "node-service-answers", "group-service-answers"],
        ),
        fault(
            "the group service can do nothing",
            || {
                vec![tells(
                    "GroupControllerGetCapabilities",
                    |answer: &mut csi::GroupControllerGetCapabilitiesResponse| {
                        answer.capabilities.clear();
                    },
                )]
            },
            &["group-capability-claimed"],
        ),
        fault(
            "health is listed but not given",
            || vec![without_controller(&[c::Type::GetVolumeHealth])],
            &["list-health-needs-get-health", "unclaimed-controller-rpcs"],
        ),
        fault(
            "nodes are listed to which nothing is published",
            || vec![without_controller(&[c::Type::PublishUnpublishVolume])],
            &["published-nodes-need-publish"],
        ),
        fault(
            "there are copies but no volumes",
            || vec![without_controller(&[c::Type::CreateDeleteVolume])],
            &["snapshots-need-create", "clone-needs-create"],
        ),
        fault(
            "expansion is promised and not there",
            || {
                vec![
                    without_controller(&[c::Type::ExpandVolume]),
                    without_node(&[n::Type::ExpandVolume]),
                ]
            },
            &["expansion-implemented"],
        ),
        fault(
            "expansion is there and not promised",
            || {
                vec![tells(
                    "GetPluginCapabilities",
                    |answer: &mut csi::GetPluginCapabilitiesResponse| {
                        let service = |one: &csi::PluginCapability| {
                            matches!(one.r#type, Some(plugin::Type::Service(_)))
                        };
                        answer.capabilities.retain(service);
                    },
                )]
            },
            &["expansion-declared"],
        ),
        fault(
            "only the controller knows the newer modes",
            || vec![without_node(&[n::Type::SingleNodeMultiWriter])],
            &["multi-writer-on-both"],
        ),
        fault(
            "the node does what it does not claim",
            || vec![without_node(&[n::Type::GetVolumeStats])],
            &["unclaimed-node-rpcs"],
        ),
        fault(
            "services are there that are not claimed",
            || {
                vec![without_services(&[
                    s::Type::GroupControllerService,
                    s::Type::SnapshotMetadataService,
                ])]
            },
            &["unclaimed-services:2"],
        ),
    ]
}
