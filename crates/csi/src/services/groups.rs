//! GroupController: several volumes, cut at one moment.

use super::{service, snapshots};
use crate::identifier::Identifier;
use crate::plugin::Plugin;
use crate::protocol::csi::group_controller_server::GroupController;
use crate::protocol::csi::group_controller_service_capability::rpc::Type as Can;
use crate::protocol::csi::group_controller_service_capability::{Rpc, Type};
use crate::protocol::csi::{
    CreateVolumeGroupSnapshotRequest, CreateVolumeGroupSnapshotResponse,
    DeleteVolumeGroupSnapshotRequest, DeleteVolumeGroupSnapshotResponse,
    GetVolumeGroupSnapshotRequest, GetVolumeGroupSnapshotResponse,
    GroupControllerGetCapabilitiesRequest, GroupControllerGetCapabilitiesResponse,
    GroupControllerServiceCapability, VolumeGroupSnapshot,
};
use becket_core::record::SnapshotRecord;
use becket_core::{Error, Kind, Name, Result};
use std::collections::BTreeSet;

service! {
    /// The GroupController service.
    GroupService: GroupController {
        group_controller_get_capabilities(GroupControllerGetCapabilitiesRequest)
            -> GroupControllerGetCapabilitiesResponse, Question, capabilities;
        create_volume_group_snapshot(CreateVolumeGroupSnapshotRequest)
            -> CreateVolumeGroupSnapshotResponse, Controller, create;
        delete_volume_group_snapshot(DeleteVolumeGroupSnapshotRequest)
            -> DeleteVolumeGroupSnapshotResponse, Controller, delete;
        get_volume_group_snapshot(GetVolumeGroupSnapshotRequest)
            -> GetVolumeGroupSnapshotResponse, Question, get;
    }
}

fn capabilities(
    _: &Plugin,
    _: GroupControllerGetCapabilitiesRequest,
) -> Result<GroupControllerGetCapabilitiesResponse> {
    let can = Can::CreateDeleteGetVolumeGroupSnapshot as i32;
    let capability =
        GroupControllerServiceCapability { r#type: Some(Type::Rpc(Rpc { r#type: can })) };
    Ok(GroupControllerGetCapabilitiesResponse { capabilities: vec![capability] })
}

fn create(
    plugin: &Plugin,
    request: CreateVolumeGroupSnapshotRequest,
) -> Result<CreateVolumeGroupSnapshotResponse> {
    if request.name.is_empty() {
        return Err(Error::new(Kind::Invalid, "the group snapshot's name is missing"));
    }
    snapshots::no_parameters(&request.parameters)?;
    let (pool, volumes) = sources(plugin, &request)?;
    refuse_elsewhere(plugin, &request.name, &pool)?;
    let id = Identifier::of(pool.clone(), &request.name);
    let members: Vec<(Name, Name)> =
        volumes.into_iter().map(|volume| (member(&pool, &request.name, &volume), volume)).collect();
    let made = plugin.engine.create_group_snapshot(&id.pool, &id.name, &members)?;
    Ok(CreateVolumeGroupSnapshotResponse { group_snapshot: Some(group(plugin, &id, &made)) })
}

/// The volumes, which must be of one pool, each once.
fn sources(
    plugin: &Plugin,
    request: &CreateVolumeGroupSnapshotRequest,
) -> Result<(Name, Vec<Name>)> {
    let mut volumes = BTreeSet::new();
    for id in &request.source_volume_ids {
        volumes.insert(Identifier::expect(id, "volume")?);
    }
    let Some(first) = volumes.first() else {
        return Err(Error::new(Kind::Invalid, "the source volumes' ids are missing"));
    };
    let pool = first.pool.clone();
    if let Some(other) = volumes.iter().find(|id| id.pool != pool) {
        return Err(Error::new(
            Kind::WrongState,
            format!("volumes `{first}` and `{other}` are not of one pool"),
        )
        .hint("only volumes of one pool can be cut at one moment"));
    }
    let there = Identifier::of(pool.clone(), &request.name);
    // Of a group that is there already the volumes may be gone.
    if plugin.engine.group(&pool, &there.name).is_err() {
        volumes.iter().try_for_each(|id| plugin.volume(&id.to_string()).map(drop))?;
    }
    Ok((pool, volumes.into_iter().map(|id| id.name).collect()))
}

/// The name of a group's snapshot of one volume: the same each time, and no other's. The line break keeps
/// it from being one that could be asked for.
fn member(pool: &Name, group: &str, volume: &Name) -> Name {
    Identifier::of(pool.clone(), &format!("{group}\n{volume}")).name
}

/// A name stands for one group, of whatever pool.
fn refuse_elsewhere(plugin: &Plugin, name: &str, pool: &Name) -> Result<()> {
    for other in plugin.pools()?.0.into_iter().filter(|other| other != pool) {
        let id = Identifier::of(other, name);
        if plugin.engine.group(&id.pool, &id.name).is_ok() {
            return Err(Error::new(
                Kind::Conflict,
                format!("group snapshot `{id}` has that name and is of other volumes"),
            ));
        }
    }
    Ok(())
}

fn delete(
    plugin: &Plugin,
    request: DeleteVolumeGroupSnapshotRequest,
) -> Result<DeleteVolumeGroupSnapshotResponse> {
    let Some(id) = plugin.to_remove(&request.group_snapshot_id, "group snapshot")? else {
        return Ok(DeleteVolumeGroupSnapshotResponse {});
    };
    match plugin.engine.group(&id.pool, &id.name) {
        Ok(found) => expect_members(&id, &found, &request.snapshot_ids)?,
        Err(error) if error.kind() == Kind::NotFound => {}
        Err(error) => return Err(error),
    }
    plugin.engine.delete_group_snapshot(&id.pool, &id.name)?;
    Ok(DeleteVolumeGroupSnapshotResponse {})
}

fn get(
    plugin: &Plugin,
    request: GetVolumeGroupSnapshotRequest,
) -> Result<GetVolumeGroupSnapshotResponse> {
    let id = plugin.identifier(&request.group_snapshot_id, "group snapshot")?;
    let found = plugin.engine.group(&id.pool, &id.name)?;
    expect_members(&id, &found, &request.snapshot_ids)?;
    Ok(GetVolumeGroupSnapshotResponse { group_snapshot: Some(group(plugin, &id, &found)) })
}

/// `Invalid` when the snapshots that a caller takes for the group's are others.
fn expect_members(id: &Identifier, found: &[SnapshotRecord], given: &[String]) -> Result<()> {
    let given: BTreeSet<&str> = given.iter().map(String::as_str).collect();
    let found: Vec<String> = found.iter().map(|record| of(id, record).to_string()).collect();
    match given == found.iter().map(String::as_str).collect() {
        true => Ok(()),
        false => Err(Error::new(
            Kind::Invalid,
            format!("the snapshot ids are not those of group snapshot `{id}`"),
        )
        .hint("the answer to its creation named them")),
    }
}

fn of(group: &Identifier, record: &SnapshotRecord) -> Identifier {
    Identifier { pool: group.pool.clone(), name: record.name.clone() }
}

fn group(plugin: &Plugin, id: &Identifier, found: &[SnapshotRecord]) -> VolumeGroupSnapshot {
    let member = |record| snapshots::snapshot(plugin, &of(id, record), record);
    VolumeGroupSnapshot {
        group_snapshot_id: id.to_string(),
        snapshots: found.iter().map(member).collect(),
        creation_time: found.first().and_then(|record| snapshots::time(&record.created)),
        ready_to_use: true,
    }
}
