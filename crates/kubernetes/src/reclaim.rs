//! Deleting the storage of volumes whose claims are gone, where their class says so.

use crate::driver::{Driver, Secrets};
use crate::duties::Context;
use crate::events::Reason;
use crate::failure::Failure;
use crate::interface::{self, Interface};
use crate::queue::Next;
use crate::volume::{DELETION_SECRET, FINALIZER, PROVISIONED_BY, is_certainly_here, is_reachable};
use crate::{finalizer, secrets};
use k8s_openapi::api::core::v1::{PersistentVolume, SecretReference};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::api::{Api, DeleteParams, ListParams, Preconditions};
use kube::{Resource, ResourceExt};
use std::collections::BTreeMap;

/// True when the storage of the volume is to be deleted by the driver, on a node with these segments.
///
/// Only a volume that the cluster itself has released is: that an object is missing proves nothing.
pub fn is_due(
    volume: &PersistentVolume,
    (driver, interface): (&str, &Interface),
    segments: &BTreeMap<String, String>,
) -> bool {
    let spec = volume.spec.as_ref();
    let status = volume.status.as_ref();
    let is = |text: Option<&String>, wanted: &str| text.is_some_and(|text| text == wanted);
    is(volume.annotations().get(PROVISIONED_BY), driver)
        && interface.id(driver, volume).is_some()
        && is(spec.and_then(|it| it.persistent_volume_reclaim_policy.as_ref()), "Delete")
        && is(status.and_then(|it| it.phase.as_ref()), "Released")
        && (volume.metadata.deletion_timestamp.is_none() || is_guarded(volume))
        && is_certainly_here(volume, segments)
}

/// True while the object waits for its storage to be deleted.
fn is_guarded(volume: &PersistentVolume) -> bool {
    volume.finalizers().iter().any(|name| name == FINALIZER)
}

/// Does what is due for the volume of this name.
pub(crate) async fn volume<D: Driver>(context: &Context<D>, name: &str) -> Next {
    let api: Api<PersistentVolume> = Api::all(context.client.clone());
    let volume = match api.get_opt(name).await {
        Ok(Some(volume)) => volume,
        Ok(None) => return Next::Done,
        Err(error) => return context.failed(&format!("read volume `{name}`"), &error),
    };
    let through = (context.driver.name(), context.driver.interface());
    if !is_due(&volume, through, &context.driver.segments()) {
        return Next::Done;
    }
    match delete(context, &api, &volume).await {
        Ok(()) => {
            context.room_changed.notify_one();
            log::info!("volume `{name}` and its storage are deleted");
            Next::Done
        }
        Err(failure) => {
            log::warn!("volume `{name}` is not deleted yet: {failure}");
            let words = failure.to_string();
            context.events.tell(Reason::VolumeFailedDelete, &volume.object_ref(&()), words).await;
            Next::Retry
        }
    }
}

async fn delete<D: Driver>(
    context: &Context<D>,
    api: &Api<PersistentVolume>,
    volume: &PersistentVolume,
) -> Result<(), Failure> {
    let name = volume.name_any();
    if context.driver.attaches() {
        refuse_attached(context, &name).await?;
    }
    let id = context.driver.interface().id(context.driver.name(), volume).unwrap_or_default();
    refuse_shared(api, &name, &id, &context.driver.segments()).await?;
    let secrets = deletion_secrets(context, volume).await?;
    context.driver.delete(&id, secrets).await.map_err(Failure::Refused)?;
    if volume.metadata.deletion_timestamp.is_none() {
        let same = Preconditions { uid: volume.uid(), resource_version: None };
        let how = DeleteParams { preconditions: Some(same), ..DeleteParams::default() };
        match api.delete(&name, &how).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
            deleted => deleted.map(drop)?,
        }
    }
    finalizer::remove(api, &name, FINALIZER).await
}

async fn deletion_secrets<D: Driver>(
    context: &Context<D>,
    volume: &PersistentVolume,
) -> Result<Secrets, Failure> {
    let [name, namespace] = DELETION_SECRET.map(|key| volume.annotations().get(key).cloned());
    match (name, namespace) {
        (None, None) => Ok(Secrets::default()),
        (name, namespace) => {
            secrets::read(&context.client, &SecretReference { name, namespace }).await
        }
    }
}

/// An error while another object is about the same storage, as one that somebody has copied is. Storage that was
/// made for this object has its name, so that others need not be looked at.
async fn refuse_shared(
    api: &Api<PersistentVolume>,
    name: &str,
    id: &str,
    segments: &BTreeMap<String, String>,
) -> Result<(), Failure> {
    if id.rsplit_once('/').is_some_and(|(_, last)| last == name) {
        return Ok(());
    }
    let all = api.list(&ListParams::default()).await?;
    let other = |it: &&PersistentVolume| it.name_any() != name && may_be_about(it, id, segments);
    match all.items.iter().find(other) {
        None => Ok(()),
        Some(other) => Err(Failure::Wrong(format!(
            "persistentvolume {} has the same storage, `{id}`; delete that first, or keep this one with \
             the reclaim policy Retain",
            other.name_any()
        ))),
    }
}

/// True when the object may be about the storage of this id on a node with these segments. Storage of other nodes
/// may have the same id.
fn may_be_about(volume: &PersistentVolume, id: &str, segments: &BTreeMap<String, String>) -> bool {
    interface::is_about(volume, id) && is_reachable(volume, segments)
}

/// An error while a node has the volume attached.
async fn refuse_attached<D: Driver>(context: &Context<D>, name: &str) -> Result<(), Failure> {
    let api: Api<VolumeAttachment> = Api::all(context.client.clone());
    let all = api.list(&ListParams::default()).await?;
    let of = |attachment: &VolumeAttachment| {
        attachment.spec.source.persistent_volume_name.as_deref() == Some(name)
    };
    match all.items.into_iter().find(of) {
        None => Ok(()),
        Some(attachment) => Err(Failure::Wrong(format!(
            "persistentvolume {name} is still attached to node {}",
            attachment.spec.node_name
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const US: (&str, &Interface) = ("image.becket.dev", &Interface::Csi);

    fn volume(change: impl Fn(&mut Value)) -> PersistentVolume {
        let mut whole = json!({
            "metadata": {
                "name": "pvc-u1",
                "annotations": {PROVISIONED_BY: "image.becket.dev"},
                "finalizers": ["kubernetes.io/pv-protection", FINALIZER],
            },
            "spec": {
                "csi": {"driver": "image.becket.dev", "volumeHandle": "default/a"},
                "persistentVolumeReclaimPolicy": "Delete",
                "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                    {"key": "topology.becket.dev/node", "operator": "In", "values": ["n1"]},
                ]}]}},
            },
            "status": {"phase": "Released"},
        });
        change(&mut whole);
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn storage_is_deleted_only_when_the_cluster_released_it_here_and_its_policy_says_so() {
        let here = BTreeMap::from([("topology.becket.dev/node".to_owned(), "n1".to_owned())]);
        let due = |volume: &PersistentVolume| is_due(volume, US, &here);
        type Change = fn(&mut Value);
        let cases: [(&str, Change, bool); 10] = [
            ("as it is", |_| {}, true),
            ("it is bound", |it| it["status"]["phase"] = json!("Bound"), false),
            ("nothing is known of it", |it| it["status"] = json!({}), false),
            (
                "it is kept",
                |it| it["spec"]["persistentVolumeReclaimPolicy"] = json!("Retain"),
                false,
            ),
            (
                "made by another",
                |it| it["metadata"]["annotations"][PROVISIONED_BY] = json!("x"),
                false,
            ),
            ("of another driver", |it| it["spec"]["csi"]["driver"] = json!("x"), false),
            (
                "on another node",
                |it| {
                    let terms = &mut it["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"];
                    terms[0]["matchExpressions"][0]["values"] = json!(["n2"]);
                },
                false,
            ),
            ("it may be on any node", |it| it["spec"]["nodeAffinity"] = json!(null), false),
            (
                "somebody deleted the object",
                |it| it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"),
                true,
            ),
            (
                "and its storage is gone",
                |it| {
                    it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                    it["metadata"]["finalizers"] = json!(["kubernetes.io/pv-protection"]);
                },
                false,
            ),
        ];
        for (what, change, wanted) in cases {
            assert_eq!(due(&volume(change)), wanted, "{what}");
        }
        // A term that says nothing of our segments is no proof that the volume is here.
        let other = volume(|it| {
            let terms = &mut it["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"];
            terms[0]["matchExpressions"][0]["key"] = json!("zone");
        });
        assert!(!due(&other));
        // Of a driver whose volumes are for all nodes, wherever its pods may run.
        let everywhere = |volume: &PersistentVolume| is_due(volume, US, &BTreeMap::new());
        assert!(everywhere(&volume(|it| it["spec"]["nodeAffinity"] = json!(null))));
        assert!(everywhere(&other));
    }

    #[test]
    fn a_copied_object_is_about_the_same_storage_unless_it_is_on_another_node() {
        let here = BTreeMap::from([("topology.becket.dev/node".to_owned(), "n1".to_owned())]);
        let about = |volume: &PersistentVolume| may_be_about(volume, "default/a", &here);
        assert!(about(&volume(|_| {})));
        assert!(about(&volume(|it| it["spec"]["nodeAffinity"] = json!(null))));
        assert!(!about(&volume(|it| it["spec"]["csi"]["volumeHandle"] = json!("default/b"))));
        assert!(!about(&volume(|it| {
            let terms = &mut it["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"];
            terms[0]["matchExpressions"][0]["values"] = json!(["n2"]);
        })));
        let options = json!({"pool": "default", "name": "a"});
        let source = json!({"driver": "becket/image", "options": options});
        assert!(about(&volume(|it| {
            it["spec"]["csi"] = json!(null);
            it["spec"]["flexVolume"] = source.clone();
        })));
    }
}
