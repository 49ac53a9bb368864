//! What is due for a claim: a volume, or more room in the one it has.

use crate::claim::is_of;
use crate::driver::Driver;
use crate::duties::Context;
use crate::queue::Next;
use crate::watch::Key;
use crate::{expand, provision};
use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use kube::ResourceExt;
use kube::api::Api;

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
    match found {
        Some(claim) if is_bound(&claim) => {
            // It has its volume, whoever heard of that.
            context.finished(key);
            expand::claim(context, &api, &claim).await
        }
        // Whose volume it waits for is written on it.
        Some(claim) if !is_of(claim.annotations(), context.driver.name()) => Next::Done,
        found => provision::claim(context, &api, key, found).await,
    }
}
