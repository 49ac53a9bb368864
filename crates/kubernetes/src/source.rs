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
        ("", "PersistentVolumeClaim") => volume(client, &namespace, name, driver).await.map(Some),
        (SNAPSHOTS, "VolumeSnapshot") => snapshot(client, &namespace, name, driver).await.map(Some),
        (group, kind) => {
            Err(Failure::Wrong(format!("a source of kind {group}/{kind} is not known")))
        }
    }
}

async fn volume(
    client: &Client,
    namespace: &str,
    name: &str,
    driver: &str,
) -> Result<Source, Failure> {
    let wrong = |words: &str| Failure::Wrong(format!("source claim `{name}` {words}"));
    let claims: Api<PersistentVolumeClaim> = Api::namespaced(client.clone(), namespace);
    let claim = claims.get_opt(name).await?.ok_or_else(|| wrong("is not there"))?;
    let phase = claim.status.as_ref().and_then(|status| status.phase.as_deref());
    let bound = claim.spec.and_then(|spec| spec.volume_name);
    let Some(bound) = bound.filter(|_| phase == Some("Bound")) else {
        return Err(wrong("is not bound"));
    };
    let volumes: Api<PersistentVolume> = Api::all(client.clone());
    let volume = volumes.get_opt(&bound).await?.ok_or_else(|| wrong("has no volume"))?;
    let source = volume.spec.and_then(|spec| spec.csi);
    match source.filter(|source| source.driver == driver) {
        Some(source) => Ok(Source::Volume(source.volume_handle)),
        None => Err(wrong("is of another driver")),
    }
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

async fn snapshot(
    client: &Client,
    namespace: &str,
    name: &str,
    driver: &str,
) -> Result<Source, Failure> {
    let wrong = |words: &str| Failure::Wrong(format!("snapshot `{name}` {words}"));
    let snapshots: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), namespace, &kind("VolumeSnapshot"));
    let snapshot = snapshots.get_opt(name).await?.ok_or_else(|| wrong("is not there"))?;
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
    let handle = content.data["status"]["snapshotHandle"].as_str();
    handle.map(|id| Source::Snapshot(id.to_owned())).ok_or_else(|| wrong("has no handle yet"))
}
