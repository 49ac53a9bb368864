//! Snapshots and clones of the life's volume: they have the content of their time.

use super::life::{Life, Undo};
use super::plan::{Plan, Volume, seed, text, wrong};
use crate::commands::csi::{Done, Failure};
use becket_csi::client::Need;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long a snapshot may take to become ready, and how often it is asked for.
const READY_WITHIN: Duration = Duration::from_secs(300);
const EVERY: Duration = Duration::from_millis(500);

/// Takes a snapshot, waits until it is ready, and finds it in the list. `None` where the driver cannot.
pub(super) fn snapshot(
    life: &mut Life,
    plan: &Plan<'_>,
    volume: &mut Volume,
) -> Result<Option<Value>, Failure> {
    if !life.capabilities.has(Need::Controller("CREATE_DELETE_SNAPSHOT")) {
        life.skip("snapshot", "the controller does not claim CREATE_DELETE_SNAPSHOT");
        return Ok(None);
    }
    let (name, of) = (format!("{}-snapshot", volume.name), volume.id.clone());
    let first = plan.unused(life, volume, "snapshot", |life| take(life, &of, &name))?;
    let id = text(&first, "snapshot_id");
    life.undo.push(Undo::Snapshot { id: id.clone() });
    let snapshot = ready(life, &of, &name, first)?;
    find(life, &id)?;
    Ok(Some(snapshot))
}

fn take(life: &mut Life, of: &str, name: &str) -> Result<Value, Failure> {
    let request = json!({"source_volume_id": of, "name": name});
    let answer = life.call("snapshot", "CreateSnapshot", request, |answer| {
        let snapshot = &answer["snapshot"];
        let ready = if snapshot["ready_to_use"] == true { "ready" } else { "not ready yet" };
        match text(snapshot, "snapshot_id").as_str() {
            "" => Err(wrong("the snapshot has no id")),
            _ if snapshot["source_volume_id"] != *of => Err(wrong("it is of another volume")),
            id => Ok(format!("{id}, {ready}")),
        }
    })?;
    Ok(answer["snapshot"].clone())
}

/// Asks for the snapshot again until it is ready, which is how CSI waits.
fn ready(life: &mut Life, of: &str, name: &str, first: Value) -> Result<Value, Failure> {
    let deadline = Instant::now() + READY_WITHIN;
    let mut snapshot = first;
    while snapshot["ready_to_use"] != true {
        if Instant::now() > deadline {
            return Err(Failure::Wrong(wrong("the snapshot does not become ready")));
        }
        std::thread::sleep(EVERY);
        let again = take(life, of, name)?;
        if again["snapshot_id"] != snapshot["snapshot_id"] {
            return Err(Failure::Wrong(wrong("the same request made another snapshot")));
        }
        snapshot = again;
    }
    Ok(snapshot)
}

fn find(life: &mut Life, id: &str) -> Done {
    if !life.capabilities.has(Need::Controller("LIST_SNAPSHOTS")) {
        life.skip("list snapshots", "the controller does not claim LIST_SNAPSHOTS");
        return Ok(());
    }
    life.call("list snapshots", "ListSnapshots", json!({"snapshot_id": id}), |list| {
        let entries = list["entries"].as_array().map_or(&[][..], Vec::as_slice);
        let ids: Vec<String> =
            entries.iter().map(|entry| text(&entry["snapshot"], "snapshot_id")).collect();
        match ids == [id] {
            true => Ok("found".to_owned()),
            false => Err(wrong(format!("the list of this one has {ids:?}"))),
        }
    })
    .map(|_| ())
}

/// A volume from the snapshot has what was in the origin then.
pub(super) fn restore(life: &mut Life, plan: &Plan<'_>, snapshot: &Value) -> Done {
    let id = text(snapshot, "snapshot_id");
    let size = snapshot["size_bytes"].as_u64().unwrap_or_default().max(plan.size());
    let source = json!({"snapshot": {"snapshot_id": id}});
    let name = format!("{}-restore", plan.name());
    let restored = plan.create(life, "restore", &name, size, source)?;
    compare(life, plan, restored, "before")
}

/// A clone has what is in the origin now.
pub(super) fn clone(life: &mut Life, plan: &Plan<'_>, origin: &mut Volume) -> Done {
    if !life.capabilities.has(Need::Controller("CLONE_VOLUME")) {
        life.skip("clone", "the controller does not claim CLONE_VOLUME");
        return Ok(());
    }
    let source = json!({"volume": {"volume_id": origin.id}});
    let (name, size) = (format!("{}-clone", plan.name()), origin.size);
    let cloned = plan.unused(life, origin, "clone", |life| {
        plan.create(life, "clone", &name, size, source.clone())
    })?;
    compare(life, plan, cloned, "after")
}

/// Brings the copy up and compares what is in it.
fn compare(life: &mut Life, plan: &Plan<'_>, mut copy: Volume, when: &str) -> Done {
    plan.bring_up(life, &mut copy)?;
    let seed = seed(plan.name(), when);
    life.here("compare", || copy.place.read(&seed, plan.size()))
}
