//! Volumes that exist: deleting, listing, looking at, judging, modifying.

use super::create;
use crate::capability::Capability;
use crate::class::LABEL;
use crate::identifier::Identifier;
use crate::page::page;
use crate::plugin::Plugin;
use crate::protocol::csi::controller_get_volume_response::VolumeStatus;
use crate::protocol::csi::list_volumes_response::{self, Entry};
use crate::protocol::csi::validate_volume_capabilities_response::Confirmed;
use crate::protocol::csi::{
    ControllerGetVolumeRequest, ControllerGetVolumeResponse, ControllerModifyVolumeRequest,
    ControllerModifyVolumeResponse, DeleteVolumeRequest, DeleteVolumeResponse, ListVolumesRequest,
    ListVolumesResponse, ValidateVolumeCapabilitiesRequest, ValidateVolumeCapabilitiesResponse,
};
use becket_core::record::VolumeRecord;
use becket_core::settings::Settings;
use becket_core::{Error, Kind, Result};

/// `DeleteVolume`: what never was, or is gone, is deleted.
pub fn delete(plugin: &Plugin, request: DeleteVolumeRequest) -> Result<DeleteVolumeResponse> {
    if let Some(id) = plugin.to_remove(&request.volume_id, "volume")? {
        plugin.engine.delete(&id.pool, &id.name)?;
    }
    Ok(DeleteVolumeResponse {})
}

/// `ListVolumes`, by id.
pub fn list(plugin: &Plugin, request: ListVolumesRequest) -> Result<ListVolumesResponse> {
    let all = all(plugin)?;
    let (page, next_token) = page(all, request.max_entries, &request.starting_token)?;
    let entry = |(id, record): (Identifier, VolumeRecord)| Entry {
        volume: Some(create::volume(plugin, &id, &record)),
        status: Some(list_volumes_response::VolumeStatus { published_node_ids: nodes(&record) }),
    };
    Ok(ListVolumesResponse { entries: page.into_iter().map(entry).collect(), next_token })
}

/// All volumes of the driver's pools, in the order of their ids.
pub fn all(plugin: &Plugin) -> Result<Vec<(Identifier, VolumeRecord)>> {
    let mut all = Vec::new();
    for pool in plugin.pools()?.0 {
        let volumes = plugin.engine.volumes(&pool)?;
        all.extend(volumes.into_iter().map(|record| {
            let id = Identifier { pool: pool.clone(), name: record.name.clone() };
            (id, record)
        }));
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    Ok(all)
}

fn nodes(record: &VolumeRecord) -> Vec<String> {
    record.claims.iter().map(|claim| claim.node.clone()).collect()
}

/// `ControllerGetVolume`.
pub fn get(
    plugin: &Plugin,
    request: ControllerGetVolumeRequest,
) -> Result<ControllerGetVolumeResponse> {
    let (id, record) = plugin.volume(&request.volume_id)?;
    Ok(ControllerGetVolumeResponse {
        volume: Some(create::volume(plugin, &id, &record)),
        status: Some(VolumeStatus { published_node_ids: nodes(&record) }),
    })
}

/// `ValidateVolumeCapabilities`: confirms everything that was asked, or says in words what is not so.
pub fn validate(
    plugin: &Plugin,
    request: ValidateVolumeCapabilitiesRequest,
) -> Result<ValidateVolumeCapabilitiesResponse> {
    let (_, record) = plugin.volume(&request.volume_id)?;
    let capabilities = Capability::read_all(&request.volume_capabilities)?;
    let judged = capabilities.iter().try_for_each(|capability| {
        capability.fits(plugin.driver, record.content).map_err(|error| error.to_string())
    });
    let judged = judged.and_then(|()| same_class(&record, &request)).and_then(|()| {
        Settings::read(&request.mutable_parameters, record.content)
            .map(drop)
            .map_err(|error| error.to_string())
    });
    Ok(match judged {
        Ok(()) => ValidateVolumeCapabilitiesResponse {
            confirmed: Some(Confirmed {
                volume_context: request.volume_context,
                volume_capabilities: request.volume_capabilities,
                parameters: request.parameters,
                mutable_parameters: request.mutable_parameters,
            }),
            message: String::new(),
        },
        Err(message) => ValidateVolumeCapabilitiesResponse { confirmed: None, message },
    })
}

/// Parameters and context that are named must be those of the volume.
fn same_class(
    record: &VolumeRecord,
    request: &ValidateVolumeCapabilitiesRequest,
) -> std::result::Result<(), String> {
    for (key, value) in &request.parameters {
        if record.labels.get(&format!("{LABEL}{key}")) != Some(value) {
            return Err(format!("the volume was made with another parameter `{key}`"));
        }
    }
    let content = record.content.name();
    match request.volume_context.get("content") {
        Some(other) if other != content => Err(format!("the volume holds {content}")),
        _ => Ok(()),
    }
}

/// `ControllerModifyVolume`: all of it, or nothing.
pub fn modify(
    plugin: &Plugin,
    request: ControllerModifyVolumeRequest,
) -> Result<ControllerModifyVolumeResponse> {
    let (id, _) = plugin.volume(&request.volume_id)?;
    if request.mutable_parameters.is_empty() {
        return Err(Error::new(Kind::Invalid, "the mutable parameters are missing"));
    }
    plugin.engine.modify(&id.pool, &id.name, |record| {
        Settings::read(&request.mutable_parameters, record.content)
    })?;
    Ok(ControllerModifyVolumeResponse {})
}
