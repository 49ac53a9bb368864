//! Identity: what the driver is, what it has, and whether it is in order.

use super::service;
use crate::plugin::Plugin;
use crate::protocol::csi::identity_server::Identity;
use crate::protocol::csi::plugin_capability::service::Type as Has;
use crate::protocol::csi::plugin_capability::{self, Service, VolumeExpansion, volume_expansion};
use crate::protocol::csi::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest,
    GetPluginInfoResponse, PluginCapability, ProbeRequest, ProbeResponse,
};
use becket_core::Result;
use std::collections::HashMap;

service! {
    /// The Identity service.
    IdentityService: Identity {
        get_plugin_info(GetPluginInfoRequest) -> GetPluginInfoResponse, Question, info;
        get_plugin_capabilities(GetPluginCapabilitiesRequest) -> GetPluginCapabilitiesResponse,
            Question, capabilities;
        probe(ProbeRequest) -> ProbeResponse, Question, probe;
    }
}

fn info(plugin: &Plugin, _: GetPluginInfoRequest) -> Result<GetPluginInfoResponse> {
    Ok(GetPluginInfoResponse {
        name: plugin.driver.name().to_owned(),
        vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
        manifest: HashMap::from([("backend".to_owned(), plugin.driver.backend().to_owned())]),
    })
}

/// The same from each half of the driver, on every node.
fn capabilities(
    plugin: &Plugin,
    _: GetPluginCapabilitiesRequest,
) -> Result<GetPluginCapabilitiesResponse> {
    let service = |service: Has| PluginCapability {
        r#type: Some(plugin_capability::Type::Service(Service { r#type: service as i32 })),
    };
    let mut all = vec![service(Has::ControllerService)];
    if !plugin.driver.is_shared() {
        all.push(service(Has::VolumeAccessibilityConstraints));
        all.push(service(Has::SnapshotAccessibilityConstraints));
    }
    if plugin.driver.has_groups() {
        all.push(service(Has::GroupControllerService));
    }
    if plugin.driver.has_metadata() {
        all.push(service(Has::SnapshotMetadataService));
    }
    let online = VolumeExpansion { r#type: volume_expansion::Type::Online as i32 };
    all.push(PluginCapability { r#type: Some(plugin_capability::Type::VolumeExpansion(online)) });
    Ok(GetPluginCapabilitiesResponse { capabilities: all })
}

fn probe(plugin: &Plugin, _: ProbeRequest) -> Result<ProbeResponse> {
    plugin.in_order()?;
    Ok(ProbeResponse { ready: Some(true) })
}
