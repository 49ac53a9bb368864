//! The persistent volume for a volume that was made. Nothing here talks to anybody.

use crate::claim::attributes_class;
use crate::class::{self, Purpose};
use crate::driver::{Made, Wanted, Words};
use crate::interface::Interface;
use k8s_openapi::api::core::v1::{
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, ObjectReference, PersistentVolume,
    PersistentVolumeClaim, PersistentVolumeSpec, VolumeNodeAffinity,
};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::ResourceExt;
use kube::core::ObjectMeta;

/// The annotation that names the provisioner of a volume.
pub const PROVISIONED_BY: &str = "pv.kubernetes.io/provisioned-by";

/// The annotations that name the secret for deleting a volume, when its class may be gone.
pub const DELETION_SECRET: [&str; 2] = [
    "volume.kubernetes.io/provisioner-deletion-secret-name",
    "volume.kubernetes.io/provisioner-deletion-secret-namespace",
];

/// The annotations that name the secret for giving a volume other attributes.
pub const MODIFICATION_SECRET: [&str; 2] = [
    "volume.kubernetes.io/controller-modify-secret-name",
    "volume.kubernetes.io/controller-modify-secret-namespace",
];

/// The finalizer of volumes whose storage is still to be deleted.
pub const FINALIZER: &str = "external-provisioner.volume.kubernetes.io/finalizer";

/// The persistent volume of `made`, bound to the claim that it was made for. The driver is that of the duties,
/// and nodes reach the volume through the interface.
///
/// An error, in words, where the class's secrets cannot be.
pub fn persistent(
    (driver, interface): (&str, &Interface),
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    wanted: &Wanted,
    made: &Made,
) -> Result<PersistentVolume, String> {
    let none = Words::new();
    let parameters = class.parameters.as_ref().unwrap_or(&none);
    let secret = |purpose| class::secret(purpose, parameters, claim, &wanted.name);
    let mut annotations = Words::from([(PROVISIONED_BY.to_owned(), driver.to_owned())]);
    for (purpose, keys) in
        [(Purpose::Provision, DELETION_SECRET), (Purpose::ControllerModify, MODIFICATION_SECRET)]
    {
        if let Some(secret) = secret(purpose)? {
            let values = [secret.name, secret.namespace].map(Option::unwrap_or_default);
            annotations.extend(keys.map(str::to_owned).into_iter().zip(values));
        }
    }
    let reclaim = class.reclaim_policy.clone().unwrap_or_else(|| "Delete".to_owned());
    let asked = claim.spec.as_ref();
    let bytes = if made.bytes == 0 { wanted.bytes } else { made.bytes };
    let mut spec = PersistentVolumeSpec {
        access_modes: asked.and_then(|spec| spec.access_modes.clone()),
        capacity: Some([("storage".to_owned(), quantity(bytes))].into()),
        claim_ref: Some(reference(claim)),
        mount_options: class.mount_options.clone(),
        node_affinity: affinity(&made.topologies),
        persistent_volume_reclaim_policy: Some(reclaim.clone()),
        storage_class_name: Some(class.name_any()),
        volume_attributes_class_name: attributes_class(claim).map(str::to_owned),
        volume_mode: asked.and_then(|spec| spec.volume_mode.clone()),
        ..PersistentVolumeSpec::default()
    };
    interface.describe(driver, claim, class, (wanted, made), &mut spec)?;
    Ok(PersistentVolume {
        metadata: ObjectMeta {
            name: Some(wanted.name.clone()),
            annotations: Some(annotations),
            labels: labels(&made.topologies),
            finalizers: (reclaim == "Delete").then(|| vec![FINALIZER.to_owned()]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    })
}

/// The segments of the only topology, by which [`may_be_here`] tells others' volumes without a look at them.
fn labels(topologies: &[Words]) -> Option<Words> {
    match topologies {
        [only] => Some(only.clone()),
        _ => None,
    }
}

/// What selects all volumes that [`may_be_here`], and not those of other nodes, by their labels.
pub fn selectors(segments: &Words) -> Vec<String> {
    let here: Vec<String> = segments.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let unsaid = segments.keys().map(|key| format!("!{key}"));
    std::iter::once(here.join(",")).chain(unsaid).collect()
}

/// False when the labels of a volume say that it is on a node with other segments than these. Volumes of the
/// official provisioner have none.
pub fn may_be_here(labels: &Words, segments: &Words) -> bool {
    segments.iter().all(|(key, value)| labels.get(key).is_none_or(|label| label == value))
}

/// True when a node with these segments is among those that the volume can be used on. Volumes of a driver
/// without segments are everywhere.
pub fn is_reachable(volume: &PersistentVolume, segments: &Words) -> bool {
    let Some(required) = required(volume).filter(|_| !segments.is_empty()) else {
        return true;
    };
    required.node_selector_terms.iter().any(|term| {
        let expressions = term.match_expressions.iter().flatten();
        let mut ours = expressions.filter(|it| segments.contains_key(&it.key)).peekable();
        ours.peek().is_some()
            && ours.all(|it| {
                it.operator == "In"
                    && it.values.iter().flatten().any(|value| segments.get(&it.key) == Some(value))
            })
    })
}

/// True when it is certain that the volume is on a node with these segments, and on no other. One that does not
/// say where it is may be on any node that has one of that id.
pub fn is_certainly_here(volume: &PersistentVolume, segments: &Words) -> bool {
    is_reachable(volume, segments) && (segments.is_empty() || required(volume).is_some())
}

fn required(volume: &PersistentVolume) -> Option<&NodeSelector> {
    volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref()
}

/// The claim, as a volume refers to it.
fn reference(claim: &PersistentVolumeClaim) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("PersistentVolumeClaim".to_owned()),
        name: claim.metadata.name.clone(),
        namespace: claim.metadata.namespace.clone(),
        uid: claim.metadata.uid.clone(),
        resource_version: claim.metadata.resource_version.clone(),
        ..ObjectReference::default()
    }
}

/// The nodes that are in one of the topologies; all, where there is none.
fn affinity(topologies: &[Words]) -> Option<VolumeNodeAffinity> {
    let term = |topology: &Words| NodeSelectorTerm {
        match_expressions: Some(
            topology
                .iter()
                .map(|(key, value)| NodeSelectorRequirement {
                    key: key.clone(),
                    operator: "In".to_owned(),
                    values: Some(vec![value.clone()]),
                })
                .collect(),
        ),
        match_fields: None,
    };
    let node_selector_terms: Vec<NodeSelectorTerm> = topologies.iter().map(term).collect();
    (!node_selector_terms.is_empty())
        .then_some(VolumeNodeAffinity { required: Some(NodeSelector { node_selector_terms }) })
}

/// A number of bytes as people write it, exactly.
pub fn quantity(bytes: u64) -> Quantity {
    const SUFFIXES: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let power = (bytes.trailing_zeros() / 10).min(6);
    let power = if bytes == 0 { 0 } else { power };
    Quantity(format!("{}{}", bytes >> (10 * power), SUFFIXES[power as usize]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claim::{bytes, wanted};
    use serde_json::json;

    #[test]
    fn a_persistent_volume_says_what_was_made_and_for_whom() {
        let claim: PersistentVolumeClaim = serde_json::from_value(json!({
            "metadata": {"name": "data", "namespace": "shop", "uid": "u1", "resourceVersion": "7"},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "1Gi"}},
                "volumeMode": "Filesystem",
                "volumeAttributesClassName": "kept",
            },
        }))
        .unwrap();
        let class: StorageClass = serde_json::from_value(json!({
            "metadata": {"name": "fast"},
            "provisioner": "image.becket.dev",
            "mountOptions": ["noatime"],
            "parameters": {
                "csi.storage.k8s.io/provisioner-secret-name": "keys",
                "csi.storage.k8s.io/provisioner-secret-namespace": "${pvc.namespace}",
                "csi.storage.k8s.io/controller-modify-secret-name": "dials",
                "csi.storage.k8s.io/controller-modify-secret-namespace": "storage",
            },
        }))
        .unwrap();
        let wanted = wanted(&claim, &class, Some("ext4")).unwrap();
        let made = Made {
            id: "default/data".to_owned(),
            bytes: 3 << 29,
            context: [("pool".to_owned(), "default".to_owned())].into(),
            topologies: vec![[("topology.becket.dev/node".to_owned(), "n1".to_owned())].into()],
            source: None,
        };
        let volume =
            persistent(("image.becket.dev", &Interface::Csi), &claim, &class, &wanted, &made)
                .unwrap();
        assert_eq!(
            serde_json::to_value(&volume).unwrap(),
            json!({
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {
                    "name": "pvc-u1",
                    "annotations": {
                        "pv.kubernetes.io/provisioned-by": "image.becket.dev",
                        "volume.kubernetes.io/controller-modify-secret-name": "dials",
                        "volume.kubernetes.io/controller-modify-secret-namespace": "storage",
                        "volume.kubernetes.io/provisioner-deletion-secret-name": "keys",
                        "volume.kubernetes.io/provisioner-deletion-secret-namespace": "shop",
                    },
                    "finalizers": ["external-provisioner.volume.kubernetes.io/finalizer"],
                    "labels": {"topology.becket.dev/node": "n1"},
                },
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "capacity": {"storage": "1536Mi"},
                    "claimRef": {
                        "apiVersion": "v1",
                        "kind": "PersistentVolumeClaim",
                        "name": "data",
                        "namespace": "shop",
                        "uid": "u1",
                        "resourceVersion": "7",
                    },
                    "csi": {
                        "driver": "image.becket.dev",
                        "volumeHandle": "default/data",
                        "fsType": "ext4",
                        "volumeAttributes": {
                            "pool": "default",
                            "storage.kubernetes.io/csiProvisionerIdentity": "image.becket.dev",
                        },
                    },
                    "mountOptions": ["noatime"],
                    "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                        {"key": "topology.becket.dev/node", "operator": "In", "values": ["n1"]},
                    ]}]}},
                    "persistentVolumeReclaimPolicy": "Delete",
                    "storageClassName": "fast",
                    "volumeAttributesClassName": "kept",
                    "volumeMode": "Filesystem",
                },
            })
        );
        let labels = volume.metadata.labels.unwrap();
        let node = |name: &str| [("topology.becket.dev/node".to_owned(), name.to_owned())].into();
        assert!(may_be_here(&labels, &node("n1")) && !may_be_here(&labels, &node("n2")));
        assert!(may_be_here(&Words::new(), &node("n2")), "no label says nothing");
        assert_eq!(
            selectors(&node("n1")),
            ["topology.becket.dev/node=n1", "!topology.becket.dev/node"]
        );
        assert_eq!(selectors(&Words::new()), [""], "volumes for all nodes");
        let kept = StorageClass { reclaim_policy: Some("Retain".to_owned()), ..class };
        let volume =
            persistent(("image.becket.dev", &Interface::Csi), &claim, &kept, &wanted, &made)
                .unwrap();
        assert_eq!(volume.metadata.finalizers, None);
    }

    #[test]
    fn sizes_are_written_exactly() {
        for size in [0, 1, 1023, 1024, 1 << 20, (1 << 30) + 1, 3 << 29, 5 << 40, u64::MAX] {
            assert_eq!(bytes(&quantity(size).0), Some(size));
        }
        assert_eq!(quantity(10 << 30).0, "10Gi");
    }
}
