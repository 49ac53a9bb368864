//! Snapshots: taking, deleting, listing, looking at.

use crate::class::{self, KUBERNETES};
use crate::identifier::Identifier;
use crate::page::page;
use crate::plugin::Plugin;
use crate::protocol::csi::list_snapshots_response::Entry;
use crate::protocol::csi::{
    CreateSnapshotRequest, CreateSnapshotResponse, DeleteSnapshotRequest, DeleteSnapshotResponse,
    GetSnapshotRequest, GetSnapshotResponse, ListSnapshotsRequest, ListSnapshotsResponse, Snapshot,
    TopologyRequirement,
};
use becket_core::error::shown;
use becket_core::record::SnapshotRecord;
use becket_core::{Error, Kind, Name, Result};
use std::collections::HashMap;

/// `CreateSnapshot`: cut when it answers, and ready.
pub fn create(plugin: &Plugin, request: CreateSnapshotRequest) -> Result<CreateSnapshotResponse> {
    if request.name.is_empty() {
        return Err(Error::new(Kind::Invalid, "the snapshot's name is missing"));
    }
    let source = Identifier::expect(&request.source_volume_id, "volume")?;
    no_parameters(&request.parameters)?;
    plugin.is_wanted_here("snapshot", request.accessibility_requirements.as_ref())?;
    expect_source(plugin, &request, &source)?;
    refuse_elsewhere(plugin, &request.name, &source.pool)?;
    let id = Identifier::of(source.pool.clone(), &request.name);
    let labels = class::labels(&request.name, &request.parameters);
    let made = plugin.engine.create_snapshot_labelled(&id.pool, &id.name, &source.name, labels)?;
    let mut snapshot = snapshot(plugin, &id, &made);
    if is_here_alone(plugin, request.accessibility_requirements.as_ref()) {
        snapshot.accessible_topology.clear();
    }
    Ok(CreateSnapshotResponse { snapshot: Some(snapshot) })
}

/// True when the caller asked for this node's topology and no other. There is nothing to tell it then, and
/// the field is optional. (csi-sanity 5.6 takes what it is told for wrong here: it compares the messages
/// together with their cached sizes.)
fn is_here_alone(plugin: &Plugin, wanted: Option<&TopologyRequirement>) -> bool {
    wanted.is_some_and(|wanted| wanted.requisite == [plugin.topology()])
}

/// The source must be there; or, for a snapshot that is there already, have been the one it was taken of.
fn expect_source(
    plugin: &Plugin,
    request: &CreateSnapshotRequest,
    source: &Identifier,
) -> Result<()> {
    let Err(error) = plugin.volume(&request.source_volume_id) else {
        return Ok(());
    };
    let taken = Identifier::of(source.pool.clone(), &request.name);
    match plugin.snapshot(&taken.to_string()) {
        Ok((_, found)) if found.volume == source.name => Ok(()),
        _ => Err(error),
    }
}

/// Snapshots of ours have no parameters but those that Kubernetes adds.
pub fn no_parameters(given: &HashMap<String, String>) -> Result<()> {
    match given.keys().find(|key| !key.starts_with(KUBERNETES)) {
        None => Ok(()),
        Some(key) => {
            let shown = shown(key);
            Err(Error::new(Kind::Invalid, format!("snapshots know no parameter `{shown}`")))
        }
    }
}

/// A name stands for one snapshot, of whatever pool.
fn refuse_elsewhere(plugin: &Plugin, name: &str, pool: &Name) -> Result<()> {
    for other in plugin.pools()?.0.into_iter().filter(|other| other != pool) {
        let id = Identifier::of(other, name);
        if plugin.engine.snapshot(&id.pool, &id.name).is_ok() {
            return Err(Error::new(
                Kind::Conflict,
                format!("snapshot `{id}` has that name and is of another volume"),
            ));
        }
    }
    Ok(())
}

/// `DeleteSnapshot`: what never was, or is gone, is deleted.
pub fn delete(plugin: &Plugin, request: DeleteSnapshotRequest) -> Result<DeleteSnapshotResponse> {
    if let Some(id) = plugin.to_remove(&request.snapshot_id, "snapshot")? {
        plugin.engine.delete_snapshot(&id.pool, &id.name)?;
    }
    Ok(DeleteSnapshotResponse {})
}

/// `ListSnapshots`, by id; of one volume, or one snapshot, where that is asked.
pub fn list(plugin: &Plugin, request: ListSnapshotsRequest) -> Result<ListSnapshotsResponse> {
    let wanted = |id: &Identifier, record: &SnapshotRecord| {
        let source = Identifier { pool: id.pool.clone(), name: record.volume.clone() };
        let snapshot = request.snapshot_id.is_empty() || id.to_string() == request.snapshot_id;
        let volume = &request.source_volume_id;
        snapshot && (volume.is_empty() || source.to_string() == *volume)
    };
    let mut all = Vec::new();
    for pool in plugin.pools()?.0 {
        for record in plugin.engine.snapshots(&pool)? {
            let id = Identifier { pool: pool.clone(), name: record.name.clone() };
            if wanted(&id, &record) {
                all.push((id, record));
            }
        }
    }
    all.sort_by(|(one, _), (other, _)| one.cmp(other));
    let (page, next_token) = page(all, request.max_entries, &request.starting_token)?;
    let entry = |(id, record): (Identifier, SnapshotRecord)| Entry {
        snapshot: Some(snapshot(plugin, &id, &record)),
    };
    Ok(ListSnapshotsResponse { entries: page.into_iter().map(entry).collect(), next_token })
}

/// `GetSnapshot`.
pub fn get(plugin: &Plugin, request: GetSnapshotRequest) -> Result<GetSnapshotResponse> {
    let (id, record) = plugin.snapshot(&request.snapshot_id)?;
    Ok(GetSnapshotResponse { snapshot: Some(snapshot(plugin, &id, &record)) })
}

/// The snapshot as every answer shows it.
pub fn snapshot(plugin: &Plugin, id: &Identifier, record: &SnapshotRecord) -> Snapshot {
    let within = |name: &Name| Identifier { pool: id.pool.clone(), name: name.clone() };
    let source = within(&record.volume);
    let group = record.group.as_ref().map(|group| within(&group.name));
    Snapshot {
        size_bytes: i64::try_from(record.size).unwrap_or(i64::MAX),
        snapshot_id: id.to_string(),
        source_volume_id: source.to_string(),
        creation_time: time(&record.created),
        ready_to_use: true,
        group_snapshot_id: group.map(|group| group.to_string()).unwrap_or_default(),
        accessible_topology: plugin.topologies(),
    }
}

/// A record's time as the protocol has it.
pub fn time(created: &str) -> Option<prost_types::Timestamp> {
    humantime::parse_rfc3339(created).ok().map(prost_types::Timestamp::from)
}
