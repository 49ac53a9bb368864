//! Which class of attributes a claim's volume is to get, and how the claim says how far that is. Nothing here
//! talks to anybody.
//!
//! A claim names a `VolumeAttributesClass` (Kubernetes 1.34), and its status says which one the volume has and
//! which one it is getting. What was begun is finished before another one is begun, unless it surely failed:
//! otherwise the volume could be left with something of both.

use crate::conditions::{self, Said};
use crate::driver::{Code, Refusal};
use k8s_openapi::api::core::v1::{
    ModifyVolumeStatus, PersistentVolumeClaim, PersistentVolumeClaimStatus,
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::time::Duration;

/// How far it is.
const PENDING: &str = "Pending";
const AT_WORK: &str = "InProgress";
const CANNOT: &str = "Infeasible";

/// Conditions that are about it.
const MODIFYING: &str = "ModifyingVolume";
const FAILED: &str = "ModifyVolumeError";
const CONDITIONS: [&str; 2] = [MODIFYING, FAILED];

/// What is to be done about the attributes of a claim's volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Nothing.
    Nothing,
    /// The claim asks for none any more, and is to say that nothing goes on.
    Withdrawn,
    /// The volume is to get what this class says.
    To(String),
    /// Nothing until this long from now: it cannot be, and nobody has changed anything.
    Hopeless(Duration),
}

/// What is to be done about the attributes of the volume that the claim has.
pub fn due(claim: &PersistentVolumeClaim, now: Timestamp) -> Change {
    let none = PersistentVolumeClaimStatus::default();
    let status = claim.status.as_ref().unwrap_or(&none);
    if status.phase.as_deref() != Some("Bound") {
        return Change::Nothing;
    }
    let asked = claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref());
    let asked = asked.filter(|name| !name.is_empty());
    let failed = conditions::holding(status, FAILED);
    match (&status.modify_volume_status, asked) {
        (None, asked) if asked == status.current_volume_attributes_class_name.as_deref() => {
            Change::Nothing
        }
        (Some(begun), asked) if begun.status == AT_WORK => {
            let code = failed.and_then(|failed| Code::named(failed.reason.as_deref()?));
            let sure = code.is_some_and(|code| !code.may_go_on());
            match (asked.filter(|_| sure), &begun.target_volume_attributes_class_name) {
                (Some(asked), _) => Change::To(asked.to_owned()),
                (None, Some(target)) => Change::To(target.clone()),
                (None, None) => Change::Nothing,
            }
        }
        (_, None) if conditions::holding(status, MODIFYING).is_some() => Change::Withdrawn,
        (_, None) => Change::Nothing,
        (Some(begun), Some(asked)) if begun.status == CANNOT && is_of(begun, asked) => {
            match failed.and_then(|failed| conditions::slow(failed, now)) {
                Some(left) => Change::Hopeless(left),
                None => Change::To(asked.to_owned()),
            }
        }
        (_, Some(asked)) => Change::To(asked.to_owned()),
    }
}

/// True when the class is the one that was begun.
fn is_of(begun: &ModifyVolumeStatus, class: &str) -> bool {
    begun.target_volume_attributes_class_name.as_deref() == Some(class)
}

/// Where it is.
#[derive(Debug, Clone, Copy)]
pub enum Stage<'a> {
    /// There is no such class yet.
    Pending,
    /// The driver is asked for what this class says.
    Begun(&'a str),
    /// The volume has what this class says.
    Finished(&'a str),
    /// The driver refused this class.
    Refused(&'a str, &'a Refusal),
    /// The claim asks for none any more.
    Withdrawn,
}

/// The change of the claim, as a merge patch of it and its status; `None` where it says all that already.
///
/// It names the version that it is about: who has changed the claim meanwhile is not overwritten.
pub fn told(claim: &PersistentVolumeClaim, stage: Stage<'_>, now: Timestamp) -> Option<Value> {
    let none = PersistentVolumeClaimStatus::default();
    let status = claim.status.as_ref().unwrap_or(&none);
    let begun = status.modify_volume_status.as_ref();
    let modifying = |message: String| Said { kind: MODIFYING, reason: "", message };
    let far = |word: &str, target: &str| {
        let whole = json!({"status": word, "targetVolumeAttributesClassName": target});
        json!({"modifyVolumeStatus": whole})
    };
    let (change, said, keep) = match stage {
        Stage::Pending if begun.is_some_and(|begun| begun.status == PENDING) => return None,
        Stage::Pending => (json!({"modifyVolumeStatus": {"status": PENDING}}), vec![], true),
        // It is tried again; what its last failure said still holds.
        Stage::Begun(class) if begun.is_some_and(|it| it.status == AT_WORK && is_of(it, class)) => {
            return None;
        }
        Stage::Begun(class) => {
            let words = format!("Modifying volume to \"{class}\" is in progress.");
            (far(AT_WORK, class), vec![modifying(words)], false)
        }
        Stage::Finished(class) => {
            let change = json!({
                "modifyVolumeStatus": Value::Null,
                "currentVolumeAttributesClassName": class,
            });
            (change, vec![], false)
        }
        Stage::Refused(class, refusal) => {
            let words = match refusal.code.may_go_on() {
                true => "is still in progress.",
                false => "failed. Waiting for retry.",
            };
            let why = Said {
                kind: FAILED,
                reason: refusal.code.name(),
                message: refusal.message.clone(),
            };
            let word = if refusal.code == Code::INVALID { CANNOT } else { AT_WORK };
            let words = format!("Modifying volume to \"{class}\" {words}");
            (far(word, class), vec![modifying(words), why], false)
        }
        Stage::Withdrawn => (json!({}), vec![], false),
    };
    let held = status.conditions.as_deref().unwrap_or_default();
    let conditions = conditions::merged(held, &CONDITIONS, said, keep, now);
    let mut whole = json!({"metadata": {"resourceVersion": claim.resource_version()}});
    whole["status"] = change;
    whole["status"]["conditions"] = json!(conditions);
    Some(whole)
}

#[cfg(test)]
mod tests;
