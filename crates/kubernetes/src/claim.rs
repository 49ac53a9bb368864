//! Whether a claim is ours to serve, here and now, and what it asks for. Nothing here talks to anybody.

use crate::class;
use crate::driver::{Form, Mode, Secrets, Use, Wanted, Words};
use crate::interface::Interface;
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use k8s_openapi::api::storage::v1::StorageClass;
use kube::ResourceExt;

/// The annotations by which the cluster says which provisioner is meant.
const PROVISIONER: [&str; 2] =
    ["volume.kubernetes.io/storage-provisioner", "volume.beta.kubernetes.io/storage-provisioner"];

/// The annotation by which the scheduler says for which node the volume is, and by which a node takes a
/// claim that no scheduler decides about.
pub const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// The annotation of claims that have their volume.
const BOUND: &str = "pv.kubernetes.io/bind-completed";

/// The group of snapshots.
pub const SNAPSHOTS: &str = "snapshot.storage.k8s.io";

/// The binding mode of classes whose claims wait for a pod.
const WAITING: &str = "WaitForFirstConsumer";

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Us<'a> {
    /// The driver's name.
    pub driver: &'a str,
    /// Through which interface nodes reach its volumes.
    pub interface: &'a Interface,
    /// The node, as the API server names it; `None` where a volume is for all nodes.
    pub node: Option<&'a str>,
}

/// What is to be done about a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: it is another's, has its volume, or waits for the scheduler.
    Leave,
    /// Any node may take it.
    Compete,
    /// Its volume is to be made here.
    Make,
}

/// True when the annotations of a claim say that it is the driver's, whatever else it says.
pub fn is_of(annotations: &Words, driver: &str) -> bool {
    PROVISIONER.iter().any(|key| annotations.get(*key).is_some_and(|name| name == driver))
}

/// True when the annotations of a claim say whose it is. Those of claims for volumes that were made by hand
/// do not.
fn names_a_provisioner(annotations: &Words) -> bool {
    PROVISIONER.iter().any(|key| annotations.contains_key(*key))
}

/// True when the annotations of a claim say that it is the driver's, or do not say whose volume it has.
pub fn may_be_of(annotations: &Words, driver: &str) -> bool {
    let bound = annotations.contains_key(BOUND);
    is_of(annotations, driver) || bound && !names_a_provisioner(annotations)
}

/// True when the annotations of a claim do not say that it is another node's.
pub fn may_be_for(annotations: &Words, node: Option<&str>) -> bool {
    match (annotations.get(SELECTED_NODE), node) {
        (Some(selected), Some(node)) => selected == node,
        _ => true,
    }
}

/// What is to be done about the claim.
pub fn decide(claim: &PersistentVolumeClaim, class: &StorageClass, us: Us<'_>) -> Decision {
    let spec = claim.spec.as_ref();
    let bound =
        spec.and_then(|spec| spec.volume_name.as_deref()).is_some_and(|name| !name.is_empty());
    if bound
        || claim.metadata.deletion_timestamp.is_some()
        || !is_of(claim.annotations(), us.driver)
        || class.provisioner != us.driver
        || !us.interface.is_of(class)
        || is_for_a_populator(claim)
    {
        return Decision::Leave;
    }
    let waits = class.volume_binding_mode.as_deref() == Some(WAITING);
    match (claim.annotations().get(SELECTED_NODE), us.node) {
        (Some(selected), Some(node)) if selected != node => Decision::Leave,
        (None, _) if waits => Decision::Leave,
        (None, Some(_)) => Decision::Compete,
        _ => Decision::Make,
    }
}

/// True when the data comes from something that fills volumes itself: it makes a claim of its own for that.
fn is_for_a_populator(claim: &PersistentVolumeClaim) -> bool {
    let spec = claim.spec.as_ref();
    let named = spec.and_then(|spec| spec.data_source_ref.as_ref());
    let known = [("", "PersistentVolumeClaim"), (SNAPSHOTS, "VolumeSnapshot")];
    named.is_some_and(|named| {
        let group = named.api_group.as_deref().unwrap_or_default();
        !known.contains(&(group, named.kind.as_str()))
    })
}

/// True when the claim whose volume the driver had `begun` to make is gone by now, or going. Another one may
/// have its name.
///
/// It gets its volume all the same: the cluster then finds no claim for it, and has it deleted. Otherwise
/// nobody would know of it.
pub fn is_gone(begun: &PersistentVolumeClaim, found: Option<&PersistentVolumeClaim>) -> bool {
    found.is_none_or(|found| {
        found.metadata.deletion_timestamp.is_some() || found.metadata.uid != begun.metadata.uid
    })
}

/// The annotation that named the class before claims had a field for that, and is still the stronger one.
const CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// The class that the claim names; `None` where it names none.
pub fn class_name(claim: &PersistentVolumeClaim) -> Option<&str> {
    let annotated = claim.annotations().get(CLASS).map(String::as_str);
    let named = annotated.or_else(|| claim.spec.as_ref()?.storage_class_name.as_deref());
    named.filter(|name| !name.is_empty())
}

/// The name of the volume for a claim; and of the persistent volume.
pub fn volume_name(claim: &PersistentVolumeClaim) -> String {
    format!("pvc-{}", claim.uid().unwrap_or_default())
}

/// What the claim asks of the driver, but for its attributes, its secrets and its source. `filesystem` is for those that
/// name none.
///
/// An error, in words, for what cannot be.
pub fn wanted(
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
    filesystem: Option<&str>,
) -> Result<Wanted, String> {
    let name = volume_name(claim);
    let none = Words::new();
    let parameters = class.parameters.as_ref().unwrap_or(&none);
    let spec = claim.spec.as_ref().ok_or("the claim has no spec")?;
    let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let size = requests.and_then(|requests| requests.get("storage"));
    let size = size.ok_or("the claim asks for no storage")?;
    let form = match spec.volume_mode.as_deref() {
        Some("Block") => Form::Block,
        _ => Form::Mounted {
            filesystem: class::filesystem(parameters).or(filesystem).unwrap_or("").to_owned(),
            flags: class.mount_options.clone().unwrap_or_default(),
        },
    };
    let modes = spec.access_modes.iter().flatten();
    let uses: Result<Vec<Use>, String> =
        modes.map(|word| Ok(Use { form: form.clone(), mode: mode(word)? })).collect();
    Ok(Wanted {
        bytes: bytes(&size.0).ok_or_else(|| format!("`{}` is no size", size.0))?,
        uses: uses?,
        parameters: class::for_driver(parameters, claim, &name)?,
        attributes: Words::new(),
        secrets: Secrets::default(),
        source: None,
        name,
    })
}

/// The class of attributes that the claim names.
pub fn attributes_class(claim: &PersistentVolumeClaim) -> Option<&str> {
    let named = claim.spec.as_ref()?.volume_attributes_class_name.as_deref();
    named.filter(|name| !name.is_empty())
}

fn mode(word: &str) -> Result<Mode, String> {
    match word {
        "ReadWriteOnce" => Ok(Mode::OneNode),
        "ReadWriteOncePod" => Ok(Mode::OnePod),
        "ReadOnlyMany" => Ok(Mode::ReadByMany),
        "ReadWriteMany" => Ok(Mode::WrittenByMany),
        other => Err(format!("access mode `{other}` is not known")),
    }
}

/// The bytes that a quantity means, rounded up. `None` for what is none, and for more than there can be.
///
/// Quantities are numbers with a decimal or binary suffix or an exponent (apimachinery
/// `pkg/api/resource/quantity.go`). The API server has rounded those with more than nine digits behind the
/// point.
pub fn bytes(quantity: &str) -> Option<u64> {
    let end = quantity.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
    let (number, suffix) = quantity.split_at(end.unwrap_or(quantity.len()));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let tens = |exponent: u32| 10_u128.checked_pow(exponent);
    // The factor as a fraction: over thousands there are three of them.
    let (factor, divisor) = match suffix {
        "" => (1, 1),
        "n" => (1, 1_000_000_000),
        "u" => (1, 1_000_000),
        "m" => (1, 1000),
        "k" => (tens(3)?, 1),
        "M" => (tens(6)?, 1),
        "G" => (tens(9)?, 1),
        "T" => (tens(12)?, 1),
        "P" => (tens(15)?, 1),
        "E" => (tens(18)?, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        other => match other.strip_prefix(['e', 'E'])?.parse::<i32>().ok()? {
            exponent @ 0.. => (tens(exponent.unsigned_abs())?, 1),
            exponent => (1, tens(exponent.unsigned_abs())?),
        },
    };
    let digits = format!("{whole}{fraction}");
    let digits: u128 = digits.parse().ok()?;
    let divisor = tens(u32::try_from(fraction.len()).ok()?)?.checked_mul(divisor)?;
    u64::try_from(digits.checked_mul(factor)?.div_ceil(divisor)).ok()
}

#[cfg(test)]
mod tests;
