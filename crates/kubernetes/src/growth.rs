//! To what size a claim's volume is to grow, and how the claim says how far that is. Nothing here talks to
//! anybody.
//!
//! Growing has two halves, the controller's and the kubelet's, and each says in the claim's status where it
//! is (`status.allocatedResourceStatuses`, since Kubernetes 1.32). A size that cannot be had may be asked
//! for smaller again, so what was begun is in the status too (`status.allocatedResources`).

use crate::claim::bytes;
use crate::conditions::{self, Said};
use crate::volume::quantity;
use k8s_openapi::api::core::v1::{
    PersistentVolume, PersistentVolumeClaim, PersistentVolumeClaimStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// The annotation that tells the kubelet that nothing is left to it.
const NODE_HAS_NONE: &str = "volume.kubernetes.io/node-expansion-not-required";

/// How far it is.
const CONTROLLER_AT_WORK: &str = "ControllerResizeInProgress";
const CONTROLLER_CANNOT: &str = "ControllerResizeInfeasible";
const NODE_IS_NEXT: &str = "NodeResizePending";
const NODE_AT_WORK: &str = "NodeResizeInProgress";
const NODE_CANNOT: &str = "NodeResizeInfeasible";

/// Conditions that are about growing.
const RESIZING: &str = "Resizing";
const PENDING: &str = "FileSystemResizePending";
const CONTROLLER_FAILED: &str = "ControllerResizeError";
const NODE_FAILED: &str = "NodeResizeError";
const CONDITIONS: [&str; 4] = [RESIZING, PENDING, CONTROLLER_FAILED, NODE_FAILED];

/// What is to be done about the size of a claim's volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Growth {
    /// Nothing, or the kubelet has to go on.
    Enough,
    /// The driver is to be asked for this many bytes.
    To(u64),
    /// Nothing until this long from now: it cannot be, and nobody has changed anything.
    Hopeless(Duration),
}

/// What is to be done about the size of the volume that is bound to the claim.
pub fn due(claim: &PersistentVolumeClaim, volume: &PersistentVolume, now: Timestamp) -> Growth {
    let none = PersistentVolumeClaimStatus::default();
    let status = claim.status.as_ref().unwrap_or(&none);
    let resources = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref());
    let wanted = resources.and_then(|resources| storage(resources.requests.as_ref()));
    let (Some(wanted), Some(has)) = (wanted, storage(status.capacity.as_ref())) else {
        return Growth::Enough;
    };
    let capacity = volume.spec.as_ref().and_then(|spec| storage(spec.capacity.as_ref()));
    if status.phase.as_deref() != Some("Bound") || wanted <= has || !are_bound(claim, volume) {
        return Growth::Enough;
    }
    let begun = storage(status.allocated_resources.as_ref());
    let far = far(status);
    let failed = conditions::holding(status, CONTROLLER_FAILED);
    let asks = Asks { wanted, begun, capacity: capacity.unwrap_or(0), failed: failed.is_some() };
    let Some(size) = asks.size(far) else {
        return Growth::Enough;
    };
    let same = failed.filter(|_| far == Some(CONTROLLER_CANNOT) && begun == Some(size));
    match same.and_then(|failed| conditions::slow(failed, now)) {
        Some(left) => Growth::Hopeless(left),
        None => Growth::To(size),
    }
}

/// The sizes that there are, in bytes.
struct Asks {
    /// What the claim asks for.
    wanted: u64,
    /// What was begun to be made.
    begun: Option<u64>,
    /// What the volume has, the filesystem in it perhaps not yet.
    capacity: u64,
    /// The last try failed, and has surely ended.
    failed: bool,
}

impl Asks {
    /// What the driver is to be asked for; `None` while the kubelet has to go on. What was begun is finished
    /// first, unless it surely failed.
    fn size(&self, far: Option<&str>) -> Option<u64> {
        let begun = self.begun.unwrap_or(self.wanted);
        let grown = self.capacity >= begun;
        if self.capacity >= self.wanted {
            return (far != Some(NODE_IS_NEXT) && far != Some(NODE_AT_WORK)).then_some(begun);
        }
        match far {
            Some(NODE_IS_NEXT | NODE_AT_WORK) if grown => None,
            Some(NODE_IS_NEXT | NODE_AT_WORK | NODE_CANNOT) => Some(begun),
            Some(CONTROLLER_AT_WORK) if !self.failed => Some(begun),
            _ => Some(self.wanted),
        }
    }
}

fn storage(quantities: Option<&BTreeMap<String, Quantity>>) -> Option<u64> {
    bytes(&quantities?.get("storage")?.0)
}

fn far(status: &PersistentVolumeClaimStatus) -> Option<&str> {
    let all = status.allocated_resource_statuses.as_ref()?;
    all.get("storage").map(String::as_str).filter(|far| !far.is_empty())
}

/// True when each names the other.
fn are_bound(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> bool {
    let named = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref());
    let of = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    named.is_some()
        && named == volume.metadata.name.as_deref()
        && of.is_some_and(|of| of.uid.is_some() && of.uid == claim.metadata.uid)
}

/// Where growing is.
#[derive(Debug, Clone, Copy)]
pub enum Stage<'a> {
    /// The driver is asked for this many bytes.
    Begun(u64),
    /// The driver has done its half, and the kubelet is next.
    Grown,
    /// Both halves are done, and the volume has this many bytes.
    Finished(u64),
    /// The driver surely did not do it, and says why.
    Failed(&'a str),
    /// The same, and asking again is of no use.
    Hopeless(&'a str),
    /// The driver may still be doing it.
    Uncertain,
}

/// The change of the claim, as a merge patch of it and its status; `None` where it says all that already.
///
/// It names the version that it is about: who has changed the claim meanwhile is not overwritten.
pub fn told(claim: &PersistentVolumeClaim, stage: Stage<'_>, now: Timestamp) -> Option<Value> {
    let none = PersistentVolumeClaimStatus::default();
    let status = claim.status.as_ref().unwrap_or(&none);
    let same = |size| {
        storage(status.allocated_resources.as_ref()) == Some(size)
            && matches!(far(status), Some(CONTROLLER_AT_WORK | CONTROLLER_CANNOT))
    };
    let mut whole = json!({"metadata": {"resourceVersion": claim.resource_version()}});
    let storage = |value: Value| json!({"storage": value});
    let (change, said, keep) = match stage {
        // It is tried again; what its last failure said still holds.
        Stage::Begun(size) if same(size) => return None,
        Stage::Begun(size) => {
            let change = json!({
                "allocatedResources": storage(json!(quantity(size))),
                "allocatedResourceStatuses": storage(json!(CONTROLLER_AT_WORK)),
            });
            annotate(&mut whole, claim, false);
            (change, Some((RESIZING, String::new())), false)
        }
        Stage::Grown => {
            annotate(&mut whole, claim, false);
            let words = "Waiting for user to (re-)start a pod to finish file system resize of \
                         volume on node.";
            let change = json!({"allocatedResourceStatuses": storage(json!(NODE_IS_NEXT))});
            (change, Some((PENDING, words.to_owned())), true)
        }
        Stage::Finished(size) => {
            annotate(&mut whole, claim, true);
            let change = json!({
                "capacity": storage(json!(quantity(size))),
                "allocatedResourceStatuses": storage(Value::Null),
            });
            (change, None, false)
        }
        Stage::Failed(why) => (json!({}), Some((CONTROLLER_FAILED, failed(why))), true),
        Stage::Hopeless(why) => {
            let change = json!({"allocatedResourceStatuses": storage(json!(CONTROLLER_CANNOT))});
            (change, Some((CONTROLLER_FAILED, failed(why))), true)
        }
        Stage::Uncertain => {
            conditions::holding(status, CONTROLLER_FAILED)?;
            (json!({}), Some((RESIZING, String::new())), false)
        }
    };
    let held = status.conditions.as_deref().unwrap_or_default();
    let said = said.map(|(kind, message)| Said { kind, reason: "", message });
    let said = said.into_iter().collect();
    let conditions = conditions::merged(held, &CONDITIONS, said, keep, now);
    let news = conditions != held || !change.as_object().is_none_or(serde_json::Map::is_empty);
    whole["status"] = change;
    whole["status"]["conditions"] = json!(conditions);
    news.then_some(whole)
}

fn failed(why: &str) -> String {
    format!("failed to expand pvc with {why}")
}

/// Adds the annotation for the kubelet, or takes it away.
fn annotate(whole: &mut Value, claim: &PersistentVolumeClaim, has_none: bool) {
    if claim.annotations().contains_key(NODE_HAS_NONE) != has_none {
        let value = if has_none { json!("true") } else { Value::Null };
        whole["metadata"]["annotations"] = json!({NODE_HAS_NONE: value});
    }
}

#[cfg(test)]
mod tests;
