//! Watching: the names of objects that changed, of those that may be ours.
//!
//! Only the objects' metadata comes, and nothing of it is kept: memory does not grow with the cluster.

use futures::{Stream, StreamExt};
use k8s_openapi::serde::de::DeserializeOwned;
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{PartialObjectMeta, Resource};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use std::fmt::Debug;
use std::time::Duration;

/// The namespace and the name of an object; no namespace where its kind has none.
pub(crate) type Key = (String, String);

/// Selects all objects by their labels.
pub(crate) const ALL: &str = "";

/// The keys of objects of this kind for which `ours` holds, each time one of them changes. The API server sends
/// only those that one of `selectors` selects by their labels.
pub(crate) fn keys<K, F>(
    client: &Client,
    selectors: &[String],
    ours: F,
) -> impl Stream<Item = Key> + Send + use<K, F>
where
    F: Fn(&PartialObjectMeta<K>) -> bool + Send + 'static,
    K: Resource<DynamicType = ()> + Clone + Debug + Send + 'static,
{
    let changed = selectors.iter().map(|selector| {
        let api: Api<PartialObjectMeta<K>> = Api::all(client.clone());
        let selected = watcher::Config::default().labels(selector);
        watcher(api, selected).default_backoff().applied_objects().boxed()
    });
    let changed = futures::stream::select_all(changed);
    changed.filter_map(move |event| {
        let key = match event {
            Ok(object) if ours(&object) => {
                let metadata = object.metadata;
                metadata.name.map(|name| (metadata.namespace.unwrap_or_default(), name))
            }
            Ok(_) => None,
            Err(error) => {
                log::warn!("watching {}: {error}", K::plural(&()));
                None
            }
        };
        std::future::ready(key)
    })
}

/// The names of objects of which the API server need not know the kind, for which `ours` holds, each time one
/// of them changes.
pub(crate) fn names(
    api: Api<DynamicObject>,
    ours: impl Fn(&DynamicObject) -> bool + Send + 'static,
) -> impl Stream<Item = String> + Send {
    let known = {
        let api = api.clone();
        async move {
            while is_unknown(&api).await {
                tokio::time::sleep(UNKNOWN).await;
            }
        }
    };
    let changed = move |()| {
        watcher(api.clone(), watcher::Config::default()).default_backoff().applied_objects()
    };
    futures::stream::once(known).map(changed).flatten().filter_map(move |event| {
        let name = match event {
            Ok(object) if ours(&object) => object.metadata.name,
            Ok(_) => None,
            Err(error) => {
                log::warn!("watching snapshots: {error}");
                None
            }
        };
        std::future::ready(name)
    })
}

/// How often it is looked whether the API server knows a kind by now.
const UNKNOWN: Duration = Duration::from_secs(60);

async fn is_unknown(api: &Api<DynamicObject>) -> bool {
    let listed = api.list_metadata(&ListParams::default().limit(1)).await;
    matches!(listed, Err(kube::Error::Api(status)) if status.code == 404)
}

/// Objects of this kind as they are now, for kinds of which there are few; and what keeps them so.
pub(crate) fn store<K>(client: &Client) -> (reflector::Store<K>, impl Stream<Item = ()> + Send)
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let api: Api<K> = Api::all(client.clone());
    let kept = watcher(api, watcher::Config::default()).default_backoff().reflect(writer);
    let kept = kept.map(|event| {
        if let Err(error) = event {
            log::warn!("watching {}: {error}", K::plural(&()));
        }
    });
    (store, kept)
}
