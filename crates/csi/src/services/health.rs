//! What is wrong with volumes and with the storage below them.

use crate::identifier::Identifier;
use crate::page::page;
use crate::plugin::Plugin;
use crate::protocol::csi::node_get_storage_health_response::StorageBackendHealth;
use crate::protocol::csi::volume_health::VolumeHealthEntry;
use crate::protocol::csi::{
    ControllerGetVolumeHealthRequest, ControllerGetVolumeHealthResponse,
    ControllerListVolumeHealthRequest, ControllerListVolumeHealthResponse,
    NodeGetStorageHealthRequest, NodeGetStorageHealthResponse, NodeGetVolumeHealthRequest,
    NodeGetVolumeHealthResponse, StorageHealthErrorType, VolumeHealth, VolumeHealthErrorType,
};
use becket_core::Result;
use becket_core::engine::{Complaint, Severity};

/// `ControllerGetVolumeHealth`.
pub fn of_volume(
    plugin: &Plugin,
    request: ControllerGetVolumeHealthRequest,
) -> Result<ControllerGetVolumeHealthResponse> {
    let volume_health = Some(health(plugin, &request.volume_id)?);
    Ok(ControllerGetVolumeHealthResponse { volume_health })
}

/// `ControllerListVolumeHealth`: the volumes that something is wrong with.
pub fn list(
    plugin: &Plugin,
    request: ControllerListVolumeHealthRequest,
) -> Result<ControllerListVolumeHealthResponse> {
    let mut all = Vec::new();
    for pool in plugin.pools()?.0 {
        let unhealthy = match plugin.engine.unhealthy_volumes(&pool) {
            Ok(unhealthy) => unhealthy,
            // Of the volumes of other pools it is known all the same; that of the pool, its own health says.
            Err(error) => {
                log::warn!("the health of the volumes of pool `{pool}` is not known: {error}");
                continue;
            }
        };
        all.extend(
            unhealthy
                .into_iter()
                .map(|(name, complaints)| (Identifier { pool: pool.clone(), name }, complaints)),
        );
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    let (page, next_token) = page(all, request.max_entries, &request.starting_token)?;
    let entries = page.into_iter().map(|(id, complaints)| told(id.to_string(), complaints));
    Ok(ControllerListVolumeHealthResponse { entries: entries.collect(), next_token })
}

/// `NodeGetVolumeHealth`: the storage is this node's, so there is nothing else to tell here.
pub fn of_volume_on_node(
    plugin: &Plugin,
    request: NodeGetVolumeHealthRequest,
) -> Result<NodeGetVolumeHealthResponse> {
    let volume_health = Some(health(plugin, &request.volume_id)?);
    Ok(NodeGetVolumeHealthResponse { volume_health })
}

/// `NodeGetStorageHealth`: the pools that something is wrong with.
pub fn of_storage(
    plugin: &Plugin,
    _: NodeGetStorageHealthRequest,
) -> Result<NodeGetStorageHealthResponse> {
    let (usable, broken) = plugin.pools()?;
    let pools = usable.into_iter().chain(broken.into_iter().map(|(name, _)| name));
    let complaints = pools.flat_map(|pool| plugin.engine.pool_health(&pool));
    let backend_health = complaints
        .map(|complaint| StorageBackendHealth {
            status: match complaint.severity {
                Severity::Degraded => StorageHealthErrorType::StorageDegraded,
                Severity::Inaccessible | Severity::DataLoss => {
                    StorageHealthErrorType::StorageUnreachable
                }
            } as i32,
            reason: complaint.reason.to_owned(),
            message: complaint.message,
            volume_capability: None,
        })
        .collect();
    Ok(NodeGetStorageHealthResponse { backend_health })
}

fn health(plugin: &Plugin, id: &str) -> Result<VolumeHealth> {
    let id = plugin.identifier(id, "volume")?;
    let complaints = plugin.engine.volume_health(&id.pool, &id.name)?;
    Ok(told(id.to_string(), complaints))
}

fn told(volume_id: String, complaints: Vec<Complaint>) -> VolumeHealth {
    let entry = |complaint: Complaint| VolumeHealthEntry {
        status: match complaint.severity {
            Severity::Degraded => VolumeHealthErrorType::Degraded,
            Severity::Inaccessible => VolumeHealthErrorType::Inaccessible,
            Severity::DataLoss => VolumeHealthErrorType::DataLoss,
        } as i32,
        reason: complaint.reason.to_owned(),
        message: complaint.message,
    };
    VolumeHealth { volume_id, health_statuses: complaints.into_iter().map(entry).collect() }
}
