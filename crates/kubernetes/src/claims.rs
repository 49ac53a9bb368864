//! What is due for a claim: a volume, or more room or other attributes for the one it has.

use crate::claim::{self, is_of};
use crate::driver::Driver;
use crate::duties::Context;
use crate::modification::{self, Change};
use crate::queue::Next;
use crate::volume::is_reachable;
use crate::watch::Key;
use crate::{expand, modify, provision};
use k8s_openapi::api::core::v1::{
    CSIPersistentVolumeSource, PersistentVolume, PersistentVolumeClaim,
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::Api;
use std::time::Duration;

/// Does what is due for the claim of this key.
pub(crate) async fn serve<D: Driver>(context: &Context<D>, key: &Key) -> Next {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), &key.0);
    let found = match api.get_opt(&key.1).await {
        Ok(found) => found,
        Err(error) => {
            return context.failed(&format!("read claim `{}/{}`", key.0, key.1), &error);
        }
    };
    let is_bound = |claim: &PersistentVolumeClaim| {
        claim.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Bound"))
    };
    if let Some((claim, class)) = context.unfinished(key)
        && claim::is_gone(&claim, found.as_ref())
    {
        // Then it is another claim's turn, or nobody's.
        return match provision::finish(context, &api, key, &claim, &class).await {
            Next::Done => Next::After(Duration::ZERO),
            next => next,
        };
    }
    match found {
        Some(claim) if is_bound(&claim) => {
            // It has its volume, whoever heard of that.
            context.finished(key);
            bound(context, &api, &claim).await
        }
        // Whose volume it waits for is written on it.
        Some(claim) if is_of(claim.annotations(), context.driver.name()) => {
            provision::claim(context, &api, key, &claim).await
        }
        _ => Next::Done,
    }
}

/// Does what is due for the volume of a claim that has one.
async fn bound<D: Driver>(
    context: &Context<D>,
    api: &Api<PersistentVolumeClaim>,
    claim: &PersistentVolumeClaim,
) -> Next {
    let changes = modification::due(claim, Timestamp::now()) != Change::Nothing;
    if !changes && !expand::may_ask_for_more(claim) {
        return Next::Done;
    }
    let volumes: Api<PersistentVolume> = Api::all(context.client.clone());
    let name = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
    let volume = match volumes.get_opt(name).await {
        Ok(Some(volume)) => volume,
        // The cluster says that it is lost.
        Ok(None) => return Next::Done,
        Err(error) => return context.failed(&format!("read volume `{name}`"), &error),
    };
    let Some(source) = ours(context, &volume) else {
        return Next::Done;
    };
    let grown = expand::claim(context, api, claim, &volume, source).await;
    // What growing has written of the claim comes back as a change.
    grown.sooner(modify::claim(context, api, claim, &volume, source).await)
}

/// The source of a volume that is the driver's, on this node.
fn ours<'a, D: Driver>(
    context: &Context<D>,
    volume: &'a PersistentVolume,
) -> Option<&'a CSIPersistentVolumeSource> {
    let source = volume.spec.as_ref()?.csi.as_ref()?;
    let here =
        source.driver == context.driver.name() && is_reachable(volume, &context.driver.segments());
    here.then_some(source)
}
