//! `ControllerPublishVolume` and back: a node's claim, kept with the volume.
//!
//! A volume of this node needs no attaching, so it is done only where that was asked for.

use super::volumes;
use crate::capability::Capability;
use crate::plugin::Plugin;
use crate::protocol::csi::{
    ControllerPublishVolumeRequest, ControllerPublishVolumeResponse,
    ControllerUnpublishVolumeRequest, ControllerUnpublishVolumeResponse,
};
use crate::work::unclaimed;
use becket_core::error::shown;
use becket_core::record::{Claim, VolumeRecord};
use becket_core::{Error, Kind, Result};
use std::collections::HashMap;

/// What the node is told of a claim that may not write.
const READONLY: &str = "readonly";

/// Claims the volume for the node.
pub fn attach(
    plugin: &Plugin,
    request: ControllerPublishVolumeRequest,
) -> Result<ControllerPublishVolumeResponse> {
    if !plugin.attach {
        return unclaimed("ControllerPublishVolume");
    }
    let capability = Capability::read(request.volume_capability.as_ref())?;
    if request.node_id.is_empty() {
        return Err(Error::new(Kind::Invalid, "the node's id is missing"));
    }
    let (id, record) = plugin.volume(&request.volume_id)?;
    expect_node(plugin, &request.node_id)?;
    capability.fits(plugin.driver, record.content)?;
    let readonly = request.readonly || capability.reads_only();
    let claim = Claim { node: request.node_id, readonly, asked: capability.words() };
    within_limit(plugin, &record, &claim.node)?;
    plugin.engine.claim(&id.pool, &id.name, &claim)?;
    let context = HashMap::from([(READONLY.to_owned(), readonly.to_string())]);
    Ok(ControllerPublishVolumeResponse { publish_context: context })
}

/// Takes the claim back; without a node, every claim.
pub fn detach(
    plugin: &Plugin,
    request: ControllerUnpublishVolumeRequest,
) -> Result<ControllerUnpublishVolumeResponse> {
    // A claim from a time when volumes were attached must not stay for ever.
    let left =
        || plugin.volume(&request.volume_id).is_ok_and(|(_, found)| !found.claims.is_empty());
    if !plugin.attach && !left() {
        return unclaimed("ControllerUnpublishVolume");
    }
    if let Some(id) = plugin.to_remove(&request.volume_id, "volume")? {
        let node = Some(request.node_id.as_str()).filter(|node| !node.is_empty());
        plugin.engine.release_claim(&id.pool, &id.name, node)?;
    }
    Ok(ControllerUnpublishVolumeResponse {})
}

/// Volumes are on this node and on no other.
fn expect_node(plugin: &Plugin, node: &str) -> Result<()> {
    match node == plugin.node {
        true => Ok(()),
        false => {
            let shown = shown(node);
            Err(Error::new(Kind::NotFound, format!("node `{shown}` is not known here"))
                .hint(format!("the volumes of this driver are on node `{}`", plugin.node)))
        }
    }
}

fn within_limit(plugin: &Plugin, record: &VolumeRecord, node: &str) -> Result<()> {
    let has = |record: &VolumeRecord| record.claims.iter().any(|claim| claim.node == node);
    let most = plugin.most_volumes as usize;
    if most == 0 || has(record) {
        return Ok(());
    }
    let attached = volumes::all(plugin)?.iter().filter(|(_, record)| has(record)).count();
    match attached < most {
        true => Ok(()),
        false => Err(Error::new(
            Kind::NoSpace,
            format!("node `{node}` has {attached} volumes attached, and {most} are the most"),
        )),
    }
}

/// The node's claim on the volume, where its driver is one with attachments. `WrongState` when it has none.
pub fn claim<'a>(plugin: &Plugin, record: &'a VolumeRecord) -> Result<Option<&'a Claim>> {
    if !plugin.attach {
        return Ok(None);
    }
    match record.claims.iter().find(|claim| claim.node == plugin.node) {
        Some(claim) => Ok(Some(claim)),
        None => Err(Error::new(
            Kind::WrongState,
            format!("volume `{}` is not attached to node `{}`", record.name, plugin.node),
        )
        .hint("it is to be attached with ControllerPublishVolume first")),
    }
}
