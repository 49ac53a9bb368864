//! What a claim's volume is copied from.

use crate::claim::SNAPSHOTS;
use crate::driver::Source;
use crate::failure::Failure;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{Api, DynamicObject};
use kube::core::{ApiResource, GroupVersionKind};
use kube::{Client, ResourceExt};

/// The source that the claim names; `None` where it names none.
///
/// A failure where that is not there, not ready, or not the driver's.
pub(crate) async fn of(
    client: &Client,
    claim: &PersistentVolumeClaim,
    driver: &str,
) -> Result<Option<Source>, Failure> {
    let Some(spec) = &claim.spec else { return Ok(None) };
    let namespace = claim.namespace().unwrap_or_default();
    let (group, kind, name, there) = match (&spec.data_source_ref, &spec.data_source) {
        (Some(it), _) => (it.api_group.as_deref(), &it.kind, &it.name, it.namespace.clone()),
        (None, Some(it)) => (it.api_group.as_deref(), &it.kind, &it.name, None),
        (None, None) => return Ok(None),
    };
    if there.is_some_and(|there| there != namespace) {
        return Err(Failure::Wrong("a source in another namespace is not supported".to_owned()));
    }
    match (group.unwrap_or_default(), kind.as_str()) {
        ("", "PersistentVolumeClaim") => volume(client, claim, name, driver).await.map(Some),
        (SNAPSHOTS, "VolumeSnapshot") => snapshot(client, claim, name, driver).await.map(Some),
        (group, kind) => {
            Err(Failure::Wrong(format!("a source of kind {group}/{kind} is not known")))
        }
    }
}

async fn volume(
    client: &Client,
    wanted: &PersistentVolumeClaim,
    name: &str,
    driver: &str,
) -> Result<Source, Failure> {
    let namespace = wanted.namespace().unwrap_or_default();
    let wrong = |words: &str| Failure::Wrong(format!("source claim `{name}` {words}"));
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), &namespace);
    let claim = claims.get_opt(name).await?.ok_or_else(|| wrong("is not there"))?;
    if claim.metadata.deletion_timestamp.is_some() {
        return Err(wrong("is being deleted"));
    }
    if is_block(&claim) != is_block(wanted) {
        return Err(wrong("has another volume mode"));
    }
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    let bound = claim.spec.as_ref().and_then(|spec| spec.volume_name.clone());
    let Some(bound) = bound.filter(|_| phase == Some("Bound")) else {
        return Err(wrong("is not bound"));
    };
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let volume = volumes.get_opt(&bound).await?.ok_or_else(|| wrong("has no volume"))?;
    let holder = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    if !holder.is_some_and(|it| it.uid.is_some() && it.uid == claim.uid()) {
        return Err(wrong("says that it has a volume, which does not say so"));
    }
    let source = volume.spec.and_then(|spec| spec.csi);
    match source.filter(|source| source.driver == driver) {
        Some(source) => Ok(Source::Volume(source.volume_handle)),
        None => Err(wrong("is of another driver")),
    }
}

/// The mode of raw block volumes.
const BLOCK: &str = "Block";

/// The annotation of a content that lets a volume of another mode be made of it.
const OTHER_MODE: &str = "snapshot.storage.kubernetes.io/allow-volume-mode-change";

/// True when the content is bound to the snapshot, and not only the snapshot to the content.
fn refers_to(content: &DynamicObject, snapshot: &DynamicObject) -> bool {
    let of = &content.data["spec"]["volumeSnapshotRef"];
    let same = |key: &str, wanted: Option<String>| of[key].as_str() == wanted.as_deref();
    snapshot.uid().is_some()
        && same("uid", snapshot.uid())
        && same("namespace", snapshot.namespace())
        && same("name", Some(snapshot.name_any()))
}

/// A kind of the snapshots' group.
pub(crate) fn kind(kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(SNAPSHOTS, "v1", kind))
}

/// A kind of the group snapshots' group.
pub(crate) fn group_kind(kind: &str) -> ApiResource {
    const GROUP_SNAPSHOTS: &str = "groupsnapshot.storage.k8s.io";
    ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP_SNAPSHOTS, "v1", kind))
}

/// True where raw block is wanted; a claim that does not say wants a filesystem.
fn is_block(claim: &PersistentVolumeClaim) -> bool {
    let mode = claim.spec.as_ref().and_then(|spec| spec.volume_mode.as_deref());
    mode == Some(BLOCK)
}

async fn snapshot(
    client: &Client,
    wanted: &PersistentVolumeClaim,
    name: &str,
    driver: &str,
) -> Result<Source, Failure> {
    let namespace = wanted.namespace().unwrap_or_default();
    let wrong = |words: &str| Failure::Wrong(format!("snapshot `{name}` {words}"));
    let snapshots: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &namespace, &kind("VolumeSnapshot"));
    let snapshot = snapshots.get_opt(name).await?.ok_or_else(|| wrong("is not there"))?;
    if snapshot.metadata.deletion_timestamp.is_some() {
        return Err(wrong("is being deleted"));
    }
    let status = &snapshot.data["status"];
    let content = status["boundVolumeSnapshotContentName"].as_str();
    let Some(content) = content.filter(|_| status["readyToUse"] == true) else {
        return Err(wrong("is not ready to use"));
    };
    let contents: Api<DynamicObject> =
        Api::all_with(client.clone(), &kind("VolumeSnapshotContent"));
    let content = contents.get_opt(content).await?.ok_or_else(|| wrong("has no content"))?;
    if content.data["spec"]["driver"] != driver {
        return Err(wrong("is of another driver"));
    }
    // Whoever may write the snapshot's status may name any content there.
    if !refers_to(&content, &snapshot) {
        return Err(wrong("says that it has a content, which does not say so"));
    }
    let held = content.data["spec"]["sourceVolumeMode"].as_str();
    let other = held.is_some_and(|held| (held == BLOCK) != is_block(wanted));
    if other && content.annotations().get(OTHER_MODE).is_none_or(|word| word != "true") {
        return Err(wrong(&format!(
            "is of a volume of another mode; the annotation `{OTHER_MODE}: \"true\"` of its content \
             would allow that"
        )));
    }
    let handle = content.data["status"]["snapshotHandle"].as_str();
    handle.map(|id| Source::Snapshot(id.to_owned())).ok_or_else(|| wrong("has no handle yet"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_content_is_taken_only_for_the_snapshot_that_it_names_itself() {
        let object = |whole: Value| -> DynamicObject { serde_json::from_value(whole).unwrap() };
        let content = |of: Value| {
            object(json!({"metadata": {"name": "c"}, "spec": {"volumeSnapshotRef": of}}))
        };
        let metadata = json!({"name": "s", "namespace": "shop", "uid": "u1"});
        let snapshot = object(json!({"metadata": metadata}));
        assert!(refers_to(&content(metadata.clone()), &snapshot));
        for (key, value) in [("name", "t"), ("namespace", "bank"), ("uid", "u2")] {
            let mut other = metadata.clone();
            other[key] = json!(value);
            assert!(!refers_to(&content(other), &snapshot), "{key}");
        }
        assert!(!refers_to(&content(json!({})), &object(json!({"metadata": {"name": "s"}}))));
    }
}
