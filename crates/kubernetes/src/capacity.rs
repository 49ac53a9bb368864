//! Telling the scheduler how much room there is on this node: a `CSIStorageCapacity` for each class.
//!
//! The objects are owned by this pod, so they go with it. Each has a name that follows from what it is
//! about, so writing one is one request that need not know whether it is there.

use crate::claim::Us;
use crate::driver::{Driver, Form, Mode, Use, Wanted, Words};
use crate::duties::Context;
use crate::volume::quantity;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::storage::v1::{CSIStorageCapacity, StorageClass};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, OwnerReference};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use std::collections::HashMap;
use std::time::Duration;
use uuid::Uuid;

/// How often room is looked at where nothing says that it changed.
const EVERY: Duration = Duration::from_secs(60);

/// How long to wait for more changes before one is written.
const TOGETHER: Duration = Duration::from_secs(1);

/// Who wrote the objects' fields.
const WRITER: &str = "becket";

/// The labels by which the objects of one driver on one node are found.
const DRIVER: &str = "csi.storage.k8s.io/drivername";
const OWNER: &str = "csi.storage.k8s.io/managed-by";

/// The pod that this process is.
#[derive(Debug, Clone)]
pub(crate) struct Own {
    namespace: String,
    name: String,
}

impl Own {
    /// What the environment says; `None` outside of a pod.
    pub(crate) fn of_environment() -> Option<Own> {
        let variable = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
        Some(Own { namespace: variable("POD_NAMESPACE")?, name: variable("POD_NAME")? })
    }
}

/// Keeps the objects as they should be, for ever.
pub(crate) async fn keep<D: Driver>(context: &Context<D>, own: &Own, node: &str) {
    let mut told = HashMap::new();
    loop {
        if let Err(error) = tell(context, own, node, &mut told).await {
            log::warn!("the room on this node could not be told: {error}");
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = context.room_changed.notified() => tokio::time::sleep(TOGETHER).await,
        }
    }
}

/// Writes what is not as it was told last, and removes what is about classes that are gone.
async fn tell<D: Driver>(
    context: &Context<D>,
    own: &Own,
    node: &str,
    told: &mut HashMap<String, u64>,
) -> kube::Result<()> {
    let us = Us { node: Some(node), ..context.us() };
    let api: Api<CSIStorageCapacity> = Api::namespaced(context.client.clone(), &own.namespace);
    let classes = context.classes();
    let mut now = HashMap::new();
    for class in &classes {
        let Some(room) = room(context, class).await else { continue };
        now.insert(class.name_any(), room);
    }
    if now == *told {
        return Ok(());
    }
    let pods: Api<Pod> = Api::namespaced(context.client.clone(), &own.namespace);
    let owner = pods.get(&own.name).await?.owner_ref(&());
    for (class, room) in &now {
        if told.get(class) == Some(room) {
            continue;
        }
        let object = object(us, &context.driver.segments(), class, *room, owner.clone());
        let how = PatchParams::apply(WRITER).force();
        api.patch(&object.name_any(), &how, &Patch::Apply(&object)).await?;
    }
    let labels = format!("{DRIVER}={},{OWNER}={}", us.driver, owner_label(node));
    for found in api.list_metadata(&ListParams::default().labels(&labels)).await? {
        let name = found.name_any();
        if !now.keys().any(|class| name_of(us, class) == name) {
            api.delete(&name, &DeleteParams::default()).await?;
        }
    }
    *told = now;
    Ok(())
}

/// The largest volume of the class that there is room for; `None` where the driver cannot say.
async fn room<D: Driver>(context: &Context<D>, class: &StorageClass) -> Option<u64> {
    let none = Words::new();
    let parameters = class.parameters.as_ref().unwrap_or(&none);
    let filesystem = crate::class::filesystem(parameters).or(context.driver.filesystem());
    let form = Form::Mounted {
        filesystem: filesystem.unwrap_or("").to_owned(),
        flags: class.mount_options.clone().unwrap_or_default(),
    };
    let wanted = Wanted {
        name: String::new(),
        bytes: 0,
        uses: vec![Use { form, mode: Mode::OneNode }],
        parameters: crate::class::of_driver(parameters).ok()?,
        attributes: Words::new(),
        secrets: Default::default(),
        source: None,
    };
    match context.driver.room(&wanted).await {
        Ok(room) => Some(room),
        Err(refusal) => {
            log::debug!("no capacity for class `{}`: {refusal}", class.name_any());
            None
        }
    }
}

fn object(
    us: Us<'_>,
    segments: &Words,
    class: &str,
    room: u64,
    owner: Option<OwnerReference>,
) -> CSIStorageCapacity {
    let labels = [
        (DRIVER.to_owned(), us.driver.to_owned()),
        (OWNER.to_owned(), owner_label(us.node.unwrap_or_default())),
    ];
    CSIStorageCapacity {
        metadata: ObjectMeta {
            name: Some(name_of(us, class)),
            labels: Some(labels.into()),
            owner_references: owner.map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        capacity: Some(quantity(room)),
        maximum_volume_size: Some(quantity(room)),
        node_topology: Some(LabelSelector {
            match_labels: Some(segments.clone()),
            match_expressions: None,
        }),
        storage_class_name: class.to_owned(),
    }
}

/// The same for the same driver, node and class, and a name whatever those are.
fn name_of(us: Us<'_>, class: &str) -> String {
    let what = format!("{}/{}/{class}", us.driver, us.node.unwrap_or_default());
    format!("csisc-{}", Uuid::new_v5(&Uuid::NAMESPACE_URL, what.as_bytes()).simple())
}

/// A node's name may be longer than a label's value.
fn owner_label(node: &str) -> String {
    format!("becket-{}", Uuid::new_v5(&Uuid::NAMESPACE_URL, node.as_bytes()).simple())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interface::Interface;
    use serde_json::json;

    #[test]
    fn the_room_on_a_node_is_told_for_a_class() {
        let us = Us { driver: "image.becket.dev", interface: &Interface::Csi, node: Some("n1") };
        let segments = [("topology.becket.dev/node".to_owned(), "n1".to_owned())].into();
        let found = serde_json::to_value(object(us, &segments, "fast", 3 << 30, None)).unwrap();
        assert_eq!(found["storageClassName"], "fast");
        assert_eq!(found["capacity"], "3Gi");
        assert_eq!(found["maximumVolumeSize"], "3Gi");
        assert_eq!(
            found["nodeTopology"],
            json!({"matchLabels": {"topology.becket.dev/node": "n1"}})
        );
        assert_eq!(found["metadata"]["labels"][DRIVER], "image.becket.dev");
        let name = name_of(us, "fast");
        assert_eq!(found["metadata"]["name"], name);
        assert!(name.len() < 64);
        let other = Us { node: Some("n2"), ..us };
        assert!(name != name_of(other, "fast") && name != name_of(us, "slow"));
        assert!(owner_label(&"n".repeat(253)).len() < 64);
    }
}
