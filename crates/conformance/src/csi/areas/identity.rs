//! Who the driver is: name, version, readiness, and the node's identity.

use crate::csi::check::{Check, Verdict, check, fail, want};
use crate::csi::ground::Ground;
use crate::csi::need::{Need, TOPOLOGY};
use becket_csi::protocol::csi;
use std::time::{Duration, Instant};

pub(super) const CHECKS: &[Check] = &[
    check!("plugin-name", Must, [] => name,
        "GetPluginInfo: name follows domain name notation, has 63 characters or less, begins and \
         ends with an alphanumeric, with dashes, dots and alphanumerics between"),
    check!("plugin-version", Must, [] => version,
        "GetPluginInfo: vendor_version is REQUIRED"),
    check!("plugin-ready", Must, [] => ready,
        "Probe: a plugin that is healthy answers OK, and ready is true or absent once it has \
         started"),
    check!("answers-stable", Must, [] => stable,
        "GetPluginCapabilities: all instances of one version of a plugin return the same set of \
         capabilities"),
    check!("node-id", Must, [Need::NodeService] => node_id,
        "NodeGetInfo: node_id is REQUIRED, SHALL NOT exceed 256 bytes and identifies the node \
         each time"),
    check!("node-volume-limit", Must, [Need::NodeService] => volume_limit,
        "NodeGetInfo: max_volumes_per_node MUST NOT be negative"),
    check!("node-topology-format", Must, [Need::NodeService, Need::NodeTopology] => topology_format,
        "Topology: keys are PREFIX/NAME with one prefix for all and unique whatever their case, \
         and values have 63 characters or less, of alphanumerics, dashes, underscores and dots"),
    check!("node-topology-present", Should, [Need::NodeService, TOPOLOGY] => topology_present,
        "NodeGetInfo: a plugin with VOLUME_ACCESSIBILITY_CONSTRAINTS says where the node is, so \
         that volumes can be matched to it"),
];

async fn info(g: &Ground) -> Verdict<csi::GetPluginInfoResponse> {
    g.calls.get_plugin_info(csi::GetPluginInfoRequest {}).await.ok()
}

async fn name(g: &Ground) -> Verdict {
    let name = info(g).await?.name;
    let fits = name.len() <= 63 && is_name(&name, "-.");
    want(fits, "GetPluginInfo", format!("name `{name}`"), "a domain name of 63 characters or less")
}

/// Begins and ends with an alphanumeric, with alphanumerics and `more` between.
fn is_name(text: &str, more: &str) -> bool {
    let inner = |letter: char| letter.is_ascii_alphanumeric() || more.contains(letter);
    let outer = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
    text.chars().all(inner) && outer(text.chars().next()) && outer(text.chars().last())
}

async fn version(g: &Ground) -> Verdict {
    let version = info(g).await?.vendor_version;
    want(!version.is_empty(), "GetPluginInfo", "no vendor_version", "a vendor_version")
}

async fn ready(g: &Ground) -> Verdict {
    let started = Instant::now();
    loop {
        let answer = g.calls.probe(csi::ProbeRequest {}).await.ok()?;
        if answer.ready != Some(false) {
            return Ok(());
        }
        if started.elapsed() > g.options.deadline.min(Duration::from_secs(30)) {
            return Err(fail("Probe", "ready: false, again and again", "ready: true"));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

async fn stable(g: &Ground) -> Verdict {
    let request = csi::GetPluginCapabilitiesRequest {};
    let first = claimed(g.calls.get_plugin_capabilities(request).await.ok()?);
    for _ in 0..5 {
        let again = claimed(g.calls.get_plugin_capabilities(request).await.ok()?);
        want(first == again, "GetPluginCapabilities again", again.join(", "), first.join(", "))?;
    }
    let other = claimed(g.calls.controller_plugin_capabilities().await.ok()?);
    let asked = "GetPluginCapabilities at the controller's endpoint";
    want(first == other, asked, other.join(", "), first.join(", "))
}

fn claimed(answer: csi::GetPluginCapabilitiesResponse) -> Vec<String> {
    let mut words: Vec<String> =
        answer.capabilities.iter().map(|capability| format!("{:?}", capability.r#type)).collect();
    words.sort();
    words
}

async fn node_info(g: &Ground) -> Verdict<csi::NodeGetInfoResponse> {
    g.calls.node_get_info(csi::NodeGetInfoRequest {}).await.ok()
}

async fn node_id(g: &Ground) -> Verdict {
    let first = node_info(g).await?.node_id;
    let fits = !first.is_empty() && first.len() <= 256;
    let got = format!("node_id of {} bytes", first.len());
    want(fits, "NodeGetInfo", got, "1 to 256 bytes")?;
    let again = node_info(g).await?.node_id;
    want(first == again, "NodeGetInfo again", format!("node_id `{again}`"), format!("`{first}`"))
}

async fn volume_limit(g: &Ground) -> Verdict {
    let limit = node_info(g).await?.max_volumes_per_node;
    want(limit >= 0, "NodeGetInfo", format!("max_volumes_per_node {limit}"), "0 or more")
}

async fn topology_format(g: &Ground) -> Verdict {
    let segments = node_info(g).await?.accessible_topology.unwrap_or_default().segments;
    let prefix = |key: &str| key.split_once('/').map(|(prefix, _)| prefix.to_owned());
    let first = segments.keys().next().and_then(|key| prefix(key));
    let mut lower: Vec<String> = segments.keys().map(|key| key.to_lowercase()).collect();
    lower.sort();
    lower.dedup();
    want(lower.len() == segments.len(), "NodeGetInfo", "keys that differ only in case", "none")?;
    for (key, value) in &segments {
        let name = key.split_once('/').map_or(key.as_str(), |(_, name)| name);
        let leading = prefix(key);
        let lowercase =
            |text: &String| is_name(text, "-.") && text.len() <= 63 && *text == text.to_lowercase();
        let fits = name.len() <= 63
            && is_name(name, "-_.")
            && leading.as_ref().is_none_or(lowercase)
            && leading == first;
        want(fits, "NodeGetInfo", format!("topology key `{key}`"), "a valid key with one prefix")?;
        let fits = value.len() <= 63 && is_name(value, "-_.");
        want(fits, "NodeGetInfo", format!("topology value `{value}`"), "a valid value")?;
    }
    Ok(())
}

async fn topology_present(g: &Ground) -> Verdict {
    let segments = node_info(g).await?.accessible_topology.unwrap_or_default().segments;
    want(!segments.is_empty(), "NodeGetInfo", "no accessible_topology", "the node's segments")
}
