//! The duties of a driver, from when they begin until they end.

use crate::capacity::{self, Own};
use crate::claim::{self, Us};
use crate::content::{self, Place};
use crate::driver::Driver;
use crate::events::Events;
use crate::interface::Interface;
use crate::queue::{self, Next, Pace};
use crate::volume::{self, PROVISIONED_BY, may_be_here};
use crate::watch::{self, Key};
use crate::{claims, group_snapshot, health, lease, reclaim, snapshot, taint};
use futures::{Stream, StreamExt};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;
use kube::api::{Api, DynamicObject};
use kube::core::ApiResource;
use kube::runtime::reflector;
use kube::{Client, ResourceExt};
use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How failed work is paced: as the official provisioner does it.
const PACE: Pace =
    Pace { most: 16, first: Duration::from_secs(1), longest: Duration::from_secs(300) };

/// A claim whose volume was begun to be made, and the class by which it was.
pub(crate) type Begun = (PersistentVolumeClaim, StorageClass);

/// What all duties of a driver share.
pub(crate) struct Context<D> {
    pub(crate) driver: Arc<D>,
    pub(crate) client: Client,
    /// This node, as the API server names it; `None` where volumes are for all nodes.
    pub(crate) node: Option<String>,
    pub(crate) events: Events,
    /// Something was made or deleted.
    pub(crate) room_changed: Notify,
    classes: reflector::Store<StorageClass>,
    /// Claims whose volumes the driver may still be making, with their classes.
    unfinished: Mutex<HashMap<Key, Begun>>,
}

/// How long to wait before the API server is looked for again.
const PAUSE: Duration = Duration::from_secs(5);

/// Does the duties of the driver until `end`, with the API server of the cluster that this process runs in,
/// or of `KUBECONFIG`. `node` is this node's name, for a driver whose volumes are its own; without it they are
/// for all nodes, and of all processes that do the driver's duties only the one with its lease does them.
pub async fn keep<D: Driver>(
    driver: Arc<D>,
    node: Option<String>,
    end: impl Future<Output = ()> + Send,
) {
    let mut end = std::pin::pin!(end);
    loop {
        match Client::try_default().await {
            Ok(client) => match node {
                Some(node) => {
                    let duties = run(driver, client, Some(node));
                    return tokio::select! { () = end => {}, () = duties => {} };
                }
                None => {
                    let lease = lease::Wanted::of_driver(&client, driver.name());
                    let duties = || run(driver.clone(), client.clone(), None);
                    return lease::under(&lease, duties, end).await;
                }
            },
            Err(error) => log::error!("no way to the API server: {error}"),
        }
        tokio::select! {
            () = &mut end => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Does them until the process ends.
async fn run<D: Driver>(driver: Arc<D>, client: Client, node: Option<String>) {
    let (classes, keeping) = watch::store::<StorageClass>(&client);
    let context = Arc::new(Context {
        events: Events::new(client.clone(), driver.name(), node.as_deref()),
        client: client.clone(),
        classes,
        room_changed: Notify::new(),
        unfinished: Mutex::default(),
        driver: driver.clone(),
        node: node.clone(),
    });
    let (name, here) = (driver.name().to_owned(), node.clone());
    let is_csi = *driver.interface() == Interface::Csi;
    let claims =
        watch::keys::<PersistentVolumeClaim, _>(&client, &[watch::ALL.to_owned()], move |found| {
            let annotations = found.annotations();
            // Volumes made by hand grow through CSI alone.
            let ours = match is_csi {
                true => claim::may_be_of(annotations, &name),
                false => claim::is_of(annotations, &name),
            };
            ours && claim::may_be_for(annotations, here.as_deref())
        });
    let (name, segments) = (driver.name().to_owned(), driver.segments());
    let here = volume::selectors(&segments);
    let volumes = watch::keys::<PersistentVolume, _>(&client, &here, move |found| {
        found.annotations().get(PROVISIONED_BY).is_some_and(|by| *by == name)
            && may_be_here(found.labels(), &segments)
    });
    let provisioning = {
        let context = context.clone();
        queue::run(claims, PACE, move |key: Key| {
            let context = context.clone();
            async move { claims::serve(&context, &key).await }
        })
    };
    let snapshotting = snapshot(context.clone());
    let telling = tell_room(context.clone());
    let watching = {
        let context = context.clone();
        async move { health::keep(&context).await }
    };
    let untainting = keep_taint_off(context.clone());
    let changed = context.clone();
    let keeping = keeping.for_each(move |()| {
        changed.room_changed.notify_one();
        std::future::ready(())
    });
    let reclaiming = queue::run(volumes, PACE, move |key: Key| {
        let context = context.clone();
        async move { reclaim::volume(&context, &key.1).await }
    });
    log::info!("`{}` provisions for Kubernetes{}", driver.name(), driver.interface());
    tokio::select! {
        () = provisioning => {}
        () = reclaiming => {}
        () = snapshotting => {}
        () = keeping => {}
        () = telling => {}
        () = watching => {}
        () = untainting => {}
    }
}

/// Cuts and deletes snapshots, and groups of them, which only CSI has.
async fn snapshot<D: Driver>(context: Arc<Context<D>>) {
    if *context.driver.interface() != Interface::Csi {
        return std::future::pending().await;
    }
    let single = {
        let context = context.clone();
        queue::run(contents(&context, &snapshot::kind()), PACE, move |name: String| {
            let context = context.clone();
            async move { snapshot::serve(&context, &name).await }
        })
    };
    let groups = queue::run(contents(&context, &group_snapshot::kind()), PACE, {
        move |name: String| {
            let context = context.clone();
            async move { group_snapshot::serve(&context, &name).await }
        }
    });
    futures::future::join(single, groups).await;
}

/// The names of the driver's contents of this kind that may be this node's, each time one of them changes.
fn contents<D: Driver>(
    context: &Context<D>,
    kind: &ApiResource,
) -> impl Stream<Item = String> + Send + use<D> {
    let (name, here) = (context.driver.name().to_owned(), context.node.clone());
    let api: Api<DynamicObject> = Api::all_with(context.client.clone(), kind);
    watch::names(api, move |found| {
        found.data["spec"]["driver"] == *name
            && content::place(found.labels(), here.as_deref()) != Place::Elsewhere
    })
}

/// Tells the room on this node, where that is a pod's and the driver's volumes are the node's. The scheduler
/// asks for that of CSI drivers alone.
async fn tell_room<D: Driver>(context: Arc<Context<D>>) {
    if *context.driver.interface() != Interface::Csi {
        return std::future::pending().await;
    }
    match (Own::of_environment(), &context.node) {
        (Some(own), Some(node)) => capacity::keep(&context, &own, node).await,
        (None, Some(_)) => {
            log::info!("POD_NAME and POD_NAMESPACE are not set: the scheduler is not told of room");
            std::future::pending().await
        }
        (_, None) => std::future::pending().await,
    }
}

async fn keep_taint_off<D: Driver>(context: Arc<Context<D>>) {
    match &context.node {
        Some(node) if context.driver.has_taint() => taint::keep_off(&context, node).await,
        _ => std::future::pending().await,
    }
}

impl<D: Driver> Context<D> {
    /// Who does these duties.
    pub(crate) fn us(&self) -> Us<'_> {
        Us {
            driver: self.driver.name(),
            interface: self.driver.interface(),
            node: self.node.as_deref(),
        }
    }

    /// The driver's classes.
    pub(crate) fn classes(&self) -> Vec<Arc<StorageClass>> {
        let ours = |class: &StorageClass| class.provisioner == self.driver.name();
        self.classes.state().into_iter().filter(|class| ours(class)).collect()
    }

    /// The class of this name; `None` where there is none.
    pub(crate) async fn class(&self, name: &str) -> kube::Result<Option<StorageClass>> {
        match self.classes.get(&reflector::ObjectRef::new(name)) {
            Some(known) => Ok(Some(known.as_ref().clone())),
            // It may have been made a moment ago.
            None => Api::all(self.client.clone()).get_opt(name).await,
        }
    }

    /// The API server did not do what it was asked.
    pub(crate) fn failed(&self, what: &str, error: &kube::Error) -> Next {
        log::warn!("cannot {what}: {error}");
        Next::Retry
    }

    /// The claim whose volume may still be being made.
    pub(crate) fn unfinished(&self, key: &Key) -> Option<Begun> {
        self.held().get(key).cloned()
    }

    /// Its volume may still be being made.
    pub(crate) fn begun(&self, key: &Key, claim: &PersistentVolumeClaim, class: &StorageClass) {
        self.held().insert(key.clone(), (claim.clone(), class.clone()));
    }

    /// It is not any more.
    pub(crate) fn finished(&self, key: &Key) {
        self.held().remove(key);
    }

    fn held(&self) -> std::sync::MutexGuard<'_, HashMap<Key, Begun>> {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
