//! Snapshots: taking, listing, getting and deleting them.

use crate::csi::ask::{self, UNKNOWN};
use crate::csi::check::{Check, Verdict, check, fail, skip, want};
use crate::csi::ground::Ground;
use crate::csi::need::{CREATE, GET_SNAPSHOT, LIST_SNAPSHOTS, Need, SNAPSHOT, SNAPSHOT_TOPOLOGY};
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::plugin_capability::service::Type as Service;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("snapshot", Must, [CREATE, SNAPSHOT] => create,
        "CreateSnapshot: answers with snapshot_id, source_volume_id and creation_time, which are \
         REQUIRED, and no negative size"),
    check!("snapshot-becomes-ready", Must, [CREATE, SNAPSHOT] => becomes_ready,
        "CreateSnapshot: repeated calls come to ready_to_use true, which says that the snapshot \
         can be a source"),
    check!("snapshot-same-again", Must, [CREATE, SNAPSHOT] => same_again,
        "CreateSnapshot: MUST be idempotent: the same name and source is the same snapshot"),
    check!("snapshot-other-source", Must, [CREATE, SNAPSHOT] => other_source,
        "CreateSnapshot: a snapshot of this name with another source volume is ALREADY_EXISTS"),
    check!("snapshot-unknown-parameter", Should, [CREATE, SNAPSHOT] => unknown_parameter,
        "CreateSnapshot: the plugin is responsible for parsing and validating parameters; an \
         unknown one is INVALID_ARGUMENT"),
    check!("snapshot-kubernetes-parameters", Judgement, [CREATE, SNAPSHOT] => kubernetes_parameters,
        "CreateSnapshot: external-snapshotter adds csi.storage.k8s.io/volumesnapshot/name and the \
         like, which are no reason to refuse"),
    check!("snapshot-topology", Must,
        [CREATE, SNAPSHOT, SNAPSHOT_TOPOLOGY, Need::NodeTopology] => topology,
        "CreateSnapshot: a snapshot is usable from a requisite topology, and impossible ones are \
         RESOURCE_EXHAUSTED"),
    check!("snapshot-topology-told", Judgement,
        [CREATE, SNAPSHOT, SNAPSHOT_TOPOLOGY, Need::NodeTopology] => topology_told,
        "Snapshot: without accessible_topology the CO MAY assume that the snapshot is usable from \
         everywhere, so one that is not says where"),
    check!("snapshot-topology-only-when-claimed", Must, [CREATE, SNAPSHOT] => topology_claimed,
        "CreateSnapshot: a plugin that returns accessible_topology MUST set \
         SNAPSHOT_ACCESSIBILITY_CONSTRAINTS"),
    check!("get-snapshot", Must, [CREATE, SNAPSHOT, GET_SNAPSHOT] => get,
        "GetSnapshot: current information of the snapshot"),
    check!("get-deleted-snapshot", Must, [CREATE, SNAPSHOT, GET_SNAPSHOT] => get_deleted,
        "GetSnapshot: a snapshot that does not exist any more is NOT_FOUND"),
    check!("list-snapshots-by-id", Must, [CREATE, SNAPSHOT, LIST_SNAPSHOTS] => list_by_id,
        "ListSnapshots: with snapshot_id lists only that snapshot"),
    check!("list-snapshots-by-source", Must, [CREATE, SNAPSHOT, LIST_SNAPSHOTS] => list_by_source,
        "ListSnapshots: with source_volume_id lists the snapshots of that volume, all of them and \
         no others"),
    check!("list-snapshots-unknown", Must, [LIST_SNAPSHOTS] => list_unknown,
        "ListSnapshots: filters that nothing fits give an empty list, not an error"),
    check!("list-snapshots-all", Must, [CREATE, SNAPSHOT, LIST_SNAPSHOTS] => list_all,
        "ListSnapshots: SHALL return all snapshots on the storage system, and none that was \
         deleted"),
    check!("list-snapshots-negative-max", Must, [LIST_SNAPSHOTS] => negative,
        "ListSnapshots: the value of max_entries MUST NOT be negative"),
    check!("list-snapshots-bad-token", Must, [LIST_SNAPSHOTS] => bad_token,
        "ListSnapshots: a starting_token that is not valid is ABORTED"),
    check!("delete-snapshot-twice", Must, [CREATE, SNAPSHOT] => delete_twice,
        "DeleteSnapshot: MUST be idempotent; a snapshot that does not exist any more is OK"),
];

async fn create(g: &Ground) -> Verdict {
    for access in g.access_types() {
        let volume = g.volume(access).await?;
        let snapshot = g.calls.create_snapshot(g.snapshot_request(&volume)).await.ok()?;
        let snapshot = snapshot.snapshot.unwrap_or_default();
        let id = snapshot.snapshot_id.len();
        let got = format!("an id of {id} bytes");
        want((1..=128).contains(&id), "CreateSnapshot", got, "1 to 128 bytes")?;
        let source = &snapshot.source_volume_id;
        let got = format!("source_volume_id `{source}`");
        want(*source == volume.id, "CreateSnapshot", got, format!("`{}`", volume.id))?;
        let dated = snapshot.creation_time.is_some_and(|time| time.seconds > 0);
        want(dated, "CreateSnapshot", "no creation_time", "a creation_time")?;
        let size = snapshot.size_bytes;
        want(size >= 0, "CreateSnapshot", format!("size_bytes {size}"), "0 or more")?;
    }
    Ok(())
}

async fn becomes_ready(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let request = g.snapshot_request(&volume);
    g.calls.create_snapshot(request.clone()).await.prepared()?;
    match g.snapshot_as(request).await {
        Ok(_) => Ok(()),
        Err(_) => Err(fail("CreateSnapshot, repeated", "never ready_to_use", "ready_to_use: true")),
    }
}

async fn same_again(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let request = g.snapshot_request(&volume);
    let first = g.snapshot_as(request.clone()).await?;
    let answer = g.calls.create_snapshot(request).await.when("the same again");
    let asked = answer.asked();
    let second = answer.ok()?.snapshot.unwrap_or_default();
    let got = format!("the id `{}`", second.snapshot_id);
    let wanted = format!("the id `{}`", first.snapshot_id);
    want(first.snapshot_id == second.snapshot_id, asked.clone(), got, wanted)?;
    let same = first.creation_time == second.creation_time;
    want(same, asked, "another creation_time", "the same creation_time")
}

async fn other_source(g: &Ground) -> Verdict {
    let (one, other) = (g.volume(g.access()).await?, g.volume(g.access()).await?);
    let mut request = g.snapshot_request(&one);
    g.snapshot_as(request.clone()).await?;
    request.source_volume_id = other.id;
    let answer = g.calls.create_snapshot(request).await.when("the same name, another source");
    answer.is(&[Code::AlreadyExists])
}

async fn unknown_parameter(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let mut request = g.snapshot_request(&volume);
    request.parameters.insert(UNKNOWN.to_owned(), "1".to_owned());
    let answer = g.calls.create_snapshot(request).await.when("an unknown parameter");
    answer.is(&[Code::InvalidArgument])
}

async fn kubernetes_parameters(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let mut request = g.snapshot_request(&volume);
    for key in ["volumesnapshot/name", "volumesnapshot/namespace", "volumesnapshotcontent/name"] {
        let key = format!("csi.storage.k8s.io/{key}");
        request.parameters.insert(key, "becket-check".to_owned());
    }
    let answer = g.calls.create_snapshot(request).await;
    answer.when("parameters of external-snapshotter").ok().map(drop)
}

async fn topology(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let mut request = g.snapshot_request(&volume);
    request.accessibility_requirements = Some(ask::requisite(&g.survey.topology));
    let answer = g.calls.create_snapshot(request).await.when("this node's topology as requisite");
    let places = answer.placed()?.snapshot.unwrap_or_default().accessible_topology;
    let here = csi::Topology { segments: g.survey.topology.clone() };
    let asked = "CreateSnapshot: this node's topology as requisite";
    let fits = places.is_empty() || places.contains(&here);
    want(fits, asked, format!("a snapshot usable from {places:?}"), "usable from this node")?;
    let mut request = g.snapshot_request(&volume);
    let elsewhere = ask::elsewhere(&g.survey.topology);
    request.accessibility_requirements = Some(ask::requisite(&elsewhere));
    let answer = g.calls.create_snapshot(request).await.when("a requisite topology of elsewhere");
    answer.is(&[Code::ResourceExhausted, Code::InvalidArgument])
}

async fn topology_told(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    // Who names one topology alone knows it already, so only the open question is asked.
    let snapshot = g.snapshot_as(g.snapshot_request(&volume)).await?;
    let told = !snapshot.accessible_topology.is_empty();
    want(told, "CreateSnapshot", "no accessible_topology", "where the snapshot is usable")
}

async fn topology_claimed(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let snapshot = g.snapshot(&volume).await?;
    let claimed = g.survey.plugin.contains(&Service::SnapshotAccessibilityConstraints);
    let fits = claimed || snapshot.accessible_topology.is_empty();
    want(fits, "CreateSnapshot", "an accessible_topology", "the capability, or no topology")
}

async fn get(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let snapshot = g.snapshot(&volume).await?;
    let id = snapshot.snapshot_id.clone();
    let request = csi::GetSnapshotRequest { snapshot_id: id, ..Default::default() };
    let found = g.calls.get_snapshot(request).await.ok()?.snapshot.unwrap_or_default();
    want(found == snapshot, "GetSnapshot", format!("{found:?}"), format!("{snapshot:?}"))
}

async fn deleted(g: &Ground) -> Verdict<csi::Snapshot> {
    let volume = g.volume(g.access()).await?;
    let snapshot = g.snapshot(&volume).await?;
    let id = snapshot.snapshot_id.clone();
    let request = csi::DeleteSnapshotRequest { snapshot_id: id, ..Default::default() };
    g.calls.delete_snapshot(request).await.ok()?;
    Ok(snapshot)
}

async fn get_deleted(g: &Ground) -> Verdict {
    let snapshot_id = deleted(g).await?.snapshot_id;
    let request = csi::GetSnapshotRequest { snapshot_id, ..Default::default() };
    let answer = g.calls.get_snapshot(request).await.when("after DeleteSnapshot");
    answer.is(&[Code::NotFound])
}

/// The ids that the filters give, over all pages.
pub(super) async fn listed(g: &Ground, snapshot: &str, source: &str) -> Verdict<Vec<String>> {
    let mut ids = Vec::new();
    let mut request = csi::ListSnapshotsRequest {
        snapshot_id: snapshot.to_owned(),
        source_volume_id: source.to_owned(),
        ..Default::default()
    };
    loop {
        let page = g.calls.list_snapshots(request.clone()).await.ok()?;
        let found = page.entries.into_iter().filter_map(|entry| entry.snapshot);
        ids.extend(found.map(|snapshot| snapshot.snapshot_id));
        if page.next_token.is_empty() {
            ids.sort();
            return Ok(ids);
        }
        request.starting_token = page.next_token;
    }
}

async fn list_by_id(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let (one, _) = (g.snapshot(&volume).await?, g.snapshot(&volume).await?);
    let found = listed(g, &one.snapshot_id, "").await?;
    let asked = "ListSnapshots: with a snapshot_id, of two snapshots";
    want(found == [one.snapshot_id.as_str()], asked, format!("{found:?}"), "that one")
}

async fn list_by_source(g: &Ground) -> Verdict {
    let (one, other) = (g.volume(g.access()).await?, g.volume(g.access()).await?);
    let mut wanted = vec![g.snapshot(&one).await?.snapshot_id, g.snapshot(&one).await?.snapshot_id];
    wanted.sort();
    let strange = g.snapshot(&other).await?;
    let found = listed(g, "", &one.id).await?;
    let asked = "ListSnapshots: with a source_volume_id, of two volumes";
    want(found == wanted, asked, format!("{found:?}"), format!("{wanted:?}"))?;
    let found = listed(g, &strange.snapshot_id, &one.id).await?;
    let asked = "ListSnapshots: a snapshot_id and another volume's source_volume_id";
    want(found.is_empty(), asked, format!("{found:?}"), "nothing")
}

async fn list_unknown(g: &Ground) -> Verdict {
    for (what, snapshot, source) in [
        ("a snapshot_id that nobody knows", UNKNOWN, ""),
        ("a source_volume_id that nobody knows", "", UNKNOWN),
    ] {
        let found = listed(g, snapshot, source).await?;
        let asked = format!("ListSnapshots: {what}");
        want(found.is_empty(), asked, format!("{found:?}"), "nothing")?;
    }
    Ok(())
}

async fn list_all(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let one = g.snapshot(&volume).await?;
    let gone = deleted(g).await?;
    let found = listed(g, "", "").await?;
    let asked = "ListSnapshots without filters";
    want(found.contains(&one.snapshot_id), asked, "the new snapshot is missing", "it is there")?;
    let there = found.contains(&gone.snapshot_id);
    want(!there, asked, "a deleted snapshot is there", "it is not")
}

async fn negative(g: &Ground) -> Verdict {
    let request = csi::ListSnapshotsRequest { max_entries: -1, ..Default::default() };
    let answer = g.calls.list_snapshots(request).await.when("max_entries -1");
    answer.is(&[Code::InvalidArgument])
}

async fn bad_token(g: &Ground) -> Verdict {
    let starting_token = "becket-check-no-such-token".to_owned();
    let request = csi::ListSnapshotsRequest { starting_token, ..Default::default() };
    let answer = g.calls.list_snapshots(request).await.when("a token that was never given");
    answer.is(&[Code::Aborted])
}

async fn delete_twice(g: &Ground) -> Verdict {
    let snapshot_id = deleted(g).await?.snapshot_id;
    if snapshot_id.is_empty() {
        return skip("the snapshot has no id");
    }
    let request = csi::DeleteSnapshotRequest { snapshot_id, ..Default::default() };
    g.calls.delete_snapshot(request).await.when("the same again").ok().map(drop)
}
