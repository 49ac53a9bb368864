//! Letting objects go.

use crate::failure::Failure;
use k8s_openapi::serde::de::DeserializeOwned;
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde_json::json;
use std::fmt::Debug;

/// Takes the finalizer from the object, which need not be there. The cluster writes to it at the same time, so
/// it may have to be read again.
pub(crate) async fn remove<K>(api: &Api<K>, name: &str, finalizer: &str) -> Result<(), Failure>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    const TRIES: usize = 10;
    for _ in 1..TRIES {
        match attempt(api, name, finalizer).await {
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            done => return Ok(done?),
        }
    }
    Ok(attempt(api, name, finalizer).await?)
}

async fn attempt<K>(api: &Api<K>, name: &str, finalizer: &str) -> kube::Result<()>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let has_it = |object: &K| object.finalizers().iter().any(|it| it == finalizer);
    let Some(object) = api.get_opt(name).await?.filter(has_it) else {
        return Ok(());
    };
    let others: Vec<&String> = object.finalizers().iter().filter(|it| *it != finalizer).collect();
    let version = object.resource_version();
    let patch = json!({"metadata": {"resourceVersion": version, "finalizers": others}});
    match api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        patched => patched.map(drop),
    }
}
