//! The taint that keeps pods off a new node until the kubelet knows the driver.
//!
//! Whoever registers nodes puts it on (`--register-with-taints` of the kubelet): a pod that comes earlier
//! would wait for a driver that is not there, and the node's limit of volumes would not count for it.

use crate::driver::Driver;
use crate::duties::Context;
use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Taint};
use k8s_openapi::api::storage::v1::CSINode;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::{Value, json};
use std::time::Duration;

/// How often it is looked whether the kubelet knows the driver by now.
const PAUSE: Duration = Duration::from_secs(1);
/// As above, of a kubelet that has not known it for long.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Takes the driver's taint off the node whenever it is there and the kubelet knows the driver.
pub(crate) async fn keep_off<D: Driver>(context: &Context<D>, node: &str) {
    let api: Api<Node> = Api::all(context.client.clone());
    let one = watcher::Config::default().fields(&format!("metadata.name={node}"));
    let changed = watcher(api.clone(), one).default_backoff().applied_objects();
    let mut changed = std::pin::pin!(changed);
    while let Some(event) = changed.next().await {
        let found = match event {
            Ok(found) => found,
            Err(error) => {
                log::warn!("watching node `{node}`: {error}");
                continue;
            }
        };
        let Some(patch) = without(&found, &key(context.driver.name())) else { continue };
        wait_until_known(context, node).await;
        match api.patch(node, &PatchParams::default(), &Patch::Merge(patch)).await {
            Ok(_) => log::info!("node `{node}` is ready for pods with volumes of ours"),
            // Somebody changed the node meanwhile, which comes as the next event.
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => log::warn!("cannot take the taint off node `{node}`: {error}"),
        }
    }
}

/// The taint of a driver.
fn key(driver: &str) -> String {
    format!("{driver}/agent-not-ready")
}

/// What takes the taint of this key off the node as it was found; `None` when that has none.
fn without(node: &Node, key: &str) -> Option<Value> {
    let taints = node.spec.as_ref()?.taints.as_ref()?;
    let others: Vec<&Taint> = taints.iter().filter(|taint| taint.key != key).collect();
    (others.len() < taints.len()).then(|| {
        json!({
            "metadata": {"resourceVersion": node.resource_version()},
            "spec": {"taints": others},
        })
    })
}

async fn wait_until_known<D: Driver>(context: &Context<D>, node: &str) {
    let api: Api<CSINode> = Api::all(context.client.clone());
    let is_known = |found: &CSINode| {
        found.spec.drivers.iter().any(|driver| driver.name == context.driver.name())
    };
    let mut pause = PAUSE;
    loop {
        match api.get_opt(node).await {
            Ok(Some(found)) if is_known(&found) => return,
            Ok(_) => {}
            Err(error) => log::warn!("cannot read what the kubelet knows: {error}"),
        }
        tokio::time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_taint_of_the_driver_is_taken_off() {
        let ours = key("image.becket.dev");
        assert_eq!(ours, "image.becket.dev/agent-not-ready");
        let other = json!({"key": "node.example/slow", "effect": "NoSchedule"});
        let node = |taints: Value| -> Node {
            let metadata = json!({"name": "n1", "resourceVersion": "7"});
            let whole = json!({"metadata": metadata, "spec": {"taints": taints}});
            serde_json::from_value(whole).unwrap()
        };
        let both = json!([{"key": ours, "effect": "NoExecute"}, other]);
        assert_eq!(
            without(&node(both), &ours),
            Some(json!({"metadata": {"resourceVersion": "7"}, "spec": {"taints": [other]}}))
        );
        assert_eq!(without(&node(json!([other])), &ours), None);
        assert_eq!(without(&Node::default(), &ours), None);
    }
}
