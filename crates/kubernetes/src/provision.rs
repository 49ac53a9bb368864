//! Making volumes for claims.

use crate::claim::{self, Decision, SELECTED_NODE};
use crate::class::{self, Purpose};
use crate::driver::{Code, Driver, Made, Refusal, Source, Wanted, Words};
use crate::duties::Context;
use crate::events::Reason;
use crate::failure::Failure;
use crate::interface::Interface;
use crate::queue::Next;
use crate::watch::Key;
use crate::{modify, secrets, volume};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use std::time::Duration;

/// How long at most a node waits before it takes a claim that any node may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// A request that is wrong stays wrong until somebody changes something.
const SLOW: Duration = Duration::from_secs(300);

/// Makes the volume of the claim of this key where that is due.
pub(crate) async fn claim<D: Driver>(
    context: &Context<D>,
    api: &Api<PersistentVolumeClaim>,
    key: &Key,
    claim: &PersistentVolumeClaim,
) -> Next {
    let Some(name) = claim::class_name(claim) else { return Next::Done };
    let class = match context.class(name).await {
        Ok(Some(class)) => class,
        // The cluster itself says that the class is missing.
        Ok(None) => return Next::Done,
        Err(error) => {
            return context.failed(&format!("read the class of `{}/{}`", key.0, key.1), &error);
        }
    };
    match claim::decide(claim, &class, context.us()) {
        Decision::Make => finish(context, api, key, claim, &class).await,
        Decision::Leave => Next::Done,
        Decision::Compete => compete(context, api, claim, &class).await,
    }
}

/// Makes the volume of the claim, or goes on with that, whatever has become of the claim and its class meanwhile.
pub(crate) async fn finish<D: Driver>(
    context: &Context<D>,
    api: &Api<PersistentVolumeClaim>,
    key: &Key,
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
) -> Next {
    match make(context, key, claim, class).await {
        Ok(()) => {
            context.finished(key);
            Next::Done
        }
        Err(failure) => refused(context, api, key, claim, failure).await,
    }
}

async fn make<D: Driver>(
    context: &Context<D>,
    key: &Key,
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
) -> Result<(), Failure> {
    let about = claim.object_ref(&());
    let whose = format!("{}/{}", claim.namespace().unwrap_or_default(), claim.name_any());
    let words = format!("External provisioner is provisioning volume for claim \"{whose}\"");
    context.events.tell(Reason::Provisioning, &about, words).await;
    if context.node.is_some() && !allows(class, &context.driver.segments()) {
        let words = "selected node is not in the allowed topologies of the class".to_owned();
        return Err(Failure::Wrong(words));
    }
    let wanted = wanted(context, claim, class).await?;
    // From here on there may be a volume of which only the driver knows.
    context.begun(key, claim, class);
    let made = context.driver.create(wanted.clone()).await.map_err(Failure::Refused)?;
    if let Some(wrong) = broken_promise(&wanted, &made) {
        // It can only be taken back, and the next try may get what was asked for.
        context.driver.delete(&made.id, wanted.secrets).await.map_err(Failure::Refused)?;
        context.finished(key);
        return Err(Failure::Wrong(wrong));
    }
    let through = (context.driver.name(), context.driver.interface());
    let volume = volume::persistent(through, claim, class, &wanted, &made)?;
    let api: Api<PersistentVolume> = Api::all(context.client.clone());
    match api.create(&PostParams::default(), &volume).await {
        // An earlier try did this, and did not hear of it.
        Err(kube::Error::Api(status)) if status.code == 409 => {}
        created => created.map(drop)?,
    }
    context.room_changed.notify_one();
    log::info!("claim `{whose}` has volume `{}`, which is `{}`", wanted.name, made.id);
    let words = format!("Successfully provisioned volume {}", wanted.name);
    context.events.tell(Reason::ProvisioningSucceeded, &about, words).await;
    Ok(())
}

/// What the claim asks for, its secrets and its source included. Whatever can be wrong with it is found here,
/// before there is a volume.
async fn wanted<D: Driver>(
    context: &Context<D>,
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
) -> Result<Wanted, Failure> {
    context.driver.interface().check(claim, class)?;
    let mut wanted = claim::wanted(claim, class, context.driver.filesystem())?;
    let none = Words::new();
    let parameters = class.parameters.as_ref().unwrap_or(&none);
    for purpose in Purpose::ALL {
        class::secret(purpose, parameters, claim, &wanted.name)?;
    }
    if let Some(named) = class::secret(Purpose::Provision, parameters, claim, &wanted.name)? {
        wanted.secrets = secrets::read(&context.client, &named).await?;
    }
    if let Some(name) = claim::attributes_class(claim) {
        let found = modify::attributes(&context.client, name, context.driver.name()).await?;
        wanted.attributes =
            found.ok_or_else(|| format!("volume attributes class `{name}` is not there"))?;
    }
    wanted.source = crate::source::of(&context.client, claim, context.driver.name()).await?;
    Ok(wanted)
}

/// What is wrong with a volume that was made.
fn broken_promise(wanted: &Wanted, made: &Made) -> Option<String> {
    let small = made.bytes != 0 && made.bytes < wanted.bytes;
    match (small, wanted.source.is_some() && made.source.is_none()) {
        (true, _) => Some(format!(
            "created volume capacity {} less than requested capacity {}",
            made.bytes, wanted.bytes
        )),
        (false, true) => Some("volume content source missing".to_owned()),
        (false, false) => None,
    }
}

/// Tells why the volume was not made, and says when to try again.
async fn refused<D: Driver>(
    context: &Context<D>,
    api: &Api<PersistentVolumeClaim>,
    key: &Key,
    claim: &PersistentVolumeClaim,
    failure: Failure,
) -> Next {
    let words = format!(
        "failed to provision volume with StorageClass \"{}\": {failure}",
        claim::class_name(claim).unwrap_or_default()
    );
    log::warn!("claim `{}/{}`: {words}", key.0, key.1);
    context.events.tell(Reason::ProvisioningFailed, &claim.object_ref(&()), words).await;
    let code = match &failure {
        Failure::Refused(refusal) => Some(refusal.code),
        Failure::Api(_) | Failure::Wrong(_) => None,
    };
    // After any other failure the driver may still be making it, or has made it.
    if code.is_some_and(|code| !code.may_go_on()) {
        context.finished(key);
    }
    match code {
        // Another node may have room.
        Some(code) if context.node.is_some() && is_this_nodes(code, context.driver.interface()) => {
            let version = claim.resource_version();
            match select(api, &key.1, Value::Null, version).await {
                Ok(()) => Next::Done,
                // It has changed since, and comes again.
                Err(kube::Error::Api(status)) if status.code == 409 => Next::Retry,
                Err(error) => context.failed("give a claim back to the scheduler", &error),
            }
        }
        Some(Code::INVALID) => Next::After(SLOW),
        _ => Next::Retry,
    }
}

/// True where another node may not refuse. The scheduler knows which nodes have a pool, and room in it, only of CSI
/// drivers.
fn is_this_nodes(code: Code, interface: &Interface) -> bool {
    code == Code::EXHAUSTED || code == Code::INVALID && *interface != Interface::Csi
}

/// Takes a claim that no scheduler decides about, unless another node is quicker.
async fn compete<D: Driver>(
    context: &Context<D>,
    api: &Api<PersistentVolumeClaim>,
    claim: &PersistentVolumeClaim,
    class: &StorageClass,
) -> Next {
    let Some(node) = &context.node else { return Next::Done };
    if !allows(class, &context.driver.segments()) {
        return Next::Done;
    }
    let Ok(wanted) = wanted(context, claim, class).await else {
        // Whoever takes it will say so.
        return take(context, api, claim, node, PATIENCE).await;
    };
    // Only the node that has what a volume is made of can make it, so there is nobody to wait for.
    let patience = match &wanted.source {
        None => PATIENCE,
        Some(source) => match has(context.driver.as_ref(), source).await {
            Ok(true) => Duration::ZERO,
            Ok(false) | Err(_) => return Next::Retry,
        },
    };
    match context.driver.room(&wanted).await {
        Ok(room) if room >= wanted.bytes => take(context, api, claim, node, patience).await,
        // Others may have room, or there may be some here later.
        Ok(_) | Err(_) => Next::Retry,
    }
}

/// True when what a volume is to be made of is on this node.
async fn has<D: Driver>(driver: &D, source: &Source) -> Result<bool, Refusal> {
    match source {
        Source::Volume(id) => driver.knows(id).await,
        Source::Snapshot(id) => Ok(driver.snapshot(id).await?.is_some()),
    }
}

async fn take<D: Driver>(
    context: &Context<D>,
    api: &Api<PersistentVolumeClaim>,
    claim: &PersistentVolumeClaim,
    node: &str,
    patience: Duration,
) -> Next {
    tokio::time::sleep(patience.mul_f64(chance())).await;
    let version = claim.resource_version();
    match select(api, &claim.name_any(), json!(node), version).await {
        // The change comes back as one.
        Ok(()) => Next::Done,
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Next::Done,
        Err(error) => context.failed("take a claim", &error),
    }
}

/// Writes which node is to make the volume; `null` for none. With a version, only where nobody has changed
/// the claim since.
async fn select(
    api: &Api<PersistentVolumeClaim>,
    name: &str,
    node: Value,
    version: Option<String>,
) -> kube::Result<()> {
    let mut metadata = json!({"annotations": {SELECTED_NODE: node}});
    if let Some(version) = version {
        metadata["resourceVersion"] = json!(version);
    }
    let patch = Patch::Merge(json!({"metadata": metadata}));
    match api.patch(name, &PatchParams::default(), &patch).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        patched => patched.map(drop),
    }
}

/// True when the class allows volumes with these segments.
fn allows(class: &StorageClass, segments: &Words) -> bool {
    let Some(terms) = class.allowed_topologies.as_deref().filter(|terms| !terms.is_empty()) else {
        return true;
    };
    terms.iter().any(|term| {
        term.match_label_expressions
            .iter()
            .flatten()
            .all(|it| segments.get(&it.key).is_some_and(|value| it.values.contains(value)))
    })
}

/// A number from 0 to 1.
fn chance() -> f64 {
    f64::from(uuid::Uuid::new_v4().as_fields().0) / f64::from(u32::MAX)
}
