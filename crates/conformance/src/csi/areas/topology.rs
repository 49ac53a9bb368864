//! Where volumes are made, for drivers whose volumes belong to places.

use crate::csi::ask;
use crate::csi::check::{Check, Verdict, check, skip, want};
use crate::csi::ground::Ground;
use crate::csi::need::{CREATE, Need, TOPOLOGY};
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::plugin_capability::service::Type as Service;
use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use std::collections::HashMap;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("topology-only-when-claimed", Must, [CREATE] => only_when_claimed,
        "CreateVolume: a plugin that returns accessible_topology MUST set \
         VOLUME_ACCESSIBILITY_CONSTRAINTS"),
    check!("topology-of-requisite", Must, [CREATE, TOPOLOGY, Need::NodeTopology] => of_requisite,
        "TopologyRequirement: the volume MUST be accessible from at least one of the requisite \
         topologies"),
    check!("topology-without-requirement", Must, [CREATE, TOPOLOGY, Need::NodeTopology] => without,
        "CreateVolume: accessibility_requirements is OPTIONAL; without it the SP MAY choose where"),
    check!("topology-of-elsewhere", Must, [CREATE, TOPOLOGY, Need::NodeTopology] => elsewhere,
        "TopologyRequirement: unable to make the volume accessible from any requisite topology, \
         it MUST fail the call"),
    check!("topology-preferred", Must, [CREATE, TOPOLOGY, Need::NodeTopology] => preferred,
        "TopologyRequirement: an SP MUST attempt the preferred topologies in order, and takes \
         another of the requisite ones"),
    check!("topology-multi-node-mode", Judgement,
        [CREATE, TOPOLOGY, Need::NodeTopology] => multi_node,
        "CreateVolume: volumes that are accessible from one node only cannot satisfy a MULTI_NODE \
         mode with writers"),
];

async fn only_when_claimed(g: &Ground) -> Verdict {
    let request = csi::CreateVolumeRequest {
        accessibility_requirements: None,
        ..g.create_request(g.access())
    };
    let volume = g.calls.create_volume(request).await.prepared()?.volume.unwrap_or_default();
    let claimed = g.survey.plugin.contains(&Service::VolumeAccessibilityConstraints);
    let fits = claimed || volume.accessible_topology.is_empty();
    want(fits, "CreateVolume", "an accessible_topology", "the capability, or no topology")?;
    let node = g.survey.topology.is_empty();
    want(claimed || node, "NodeGetInfo", "an accessible_topology", "the capability, or no topology")
}

/// Where a volume made with this requirement is accessible from.
async fn made_in(
    g: &Ground,
    requirement: Option<csi::TopologyRequirement>,
    what: &str,
) -> Verdict<Vec<csi::Topology>> {
    let request = csi::CreateVolumeRequest {
        accessibility_requirements: requirement,
        ..g.create_request(g.access())
    };
    let answer = g.calls.create_volume(request).await.when(what).placed()?;
    Ok(answer.volume.unwrap_or_default().accessible_topology)
}

/// True when a node with `segments` is in one of `places`.
fn covers(places: &[csi::Topology], segments: &HashMap<String, String>) -> bool {
    let inside = |place: &csi::Topology| {
        place.segments.iter().all(|(key, value)| segments.get(key) == Some(value))
    };
    places.iter().any(inside)
}

fn here(g: &Ground) -> csi::Topology {
    csi::Topology { segments: g.survey.topology.clone() }
}

fn nowhere(g: &Ground) -> csi::Topology {
    csi::Topology { segments: ask::elsewhere(&g.survey.topology) }
}

async fn of_requisite(g: &Ground) -> Verdict {
    let what = "this node's topology as requisite";
    let places = made_in(g, Some(ask::requisite(&g.survey.topology)), what).await?;
    let fits = covers(&places, &g.survey.topology);
    let got = format!("a volume accessible from {places:?}");
    want(fits, format!("CreateVolume: {what}"), got, "a volume accessible from this node")
}

async fn without(g: &Ground) -> Verdict {
    let places = made_in(g, None, "without accessibility_requirements").await?;
    let asked = "CreateVolume: without accessibility_requirements";
    want(!places.is_empty(), asked, "no accessible_topology", "where the volume is")
}

async fn elsewhere(g: &Ground) -> Verdict {
    let request = csi::CreateVolumeRequest {
        accessibility_requirements: Some(ask::requisite(&nowhere(g).segments)),
        ..g.create_request(g.access())
    };
    let answer = g.calls.create_volume(request).await;
    let codes = &[Code::ResourceExhausted, Code::InvalidArgument];
    answer.when("a requisite topology of elsewhere").is(codes)
}

async fn preferred(g: &Ground) -> Verdict {
    let requirement = csi::TopologyRequirement {
        requisite: vec![nowhere(g), here(g)],
        preferred: vec![nowhere(g), here(g)],
    };
    let what = "preferred: elsewhere, then this node";
    let places = made_in(g, Some(requirement), what).await?;
    let fits = covers(&places, &g.survey.topology);
    let got = format!("a volume accessible from {places:?}");
    want(fits, format!("CreateVolume: {what}"), got, "a volume accessible from this node")
}

async fn multi_node(g: &Ground) -> Verdict {
    if !g.survey.topology.values().any(|value| *value == g.survey.node_id) {
        return skip("the node's topology does not name the node");
    }
    let access = g.access();
    let request = csi::CreateVolumeRequest {
        volume_capabilities: vec![g.with_mode(access, Mode::MultiNodeMultiWriter)],
        ..g.create_request(access)
    };
    let answer = g.calls.create_volume(request).await.when("MULTI_NODE_MULTI_WRITER");
    answer.is(&[Code::InvalidArgument])
}
