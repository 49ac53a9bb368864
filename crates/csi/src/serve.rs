//! Serving: one process, one socket for each driver, until it is told to end.

mod web;

use crate::driver::Driver;
use crate::local::{Beside, Local};
use crate::metrics::Metrics;
use crate::plugin::{Mode, Plugin};
use crate::protocol::DESCRIPTORS;
use crate::protocol::csi::controller_server::ControllerServer;
use crate::protocol::csi::group_controller_server::GroupControllerServer;
use crate::protocol::csi::identity_server::IdentityServer;
use crate::protocol::csi::node_server::NodeServer;
use crate::protocol::csi::snapshot_metadata_server::SnapshotMetadataServer;
use crate::registration::{self, Registration};
use crate::services::controller::ControllerService;
use crate::services::groups::GroupService;
use crate::services::identity::IdentityService;
use crate::services::metadata::MetadataService;
use crate::services::node::NodeService;
use crate::sockets::{self, Incoming};
use crate::work::{ALL_THREADS, Work};
use becket_core::{Engine, Error, Kind, Result};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::Status;
use tonic::service::Routes;
use tonic::transport::Server;

/// How long work may go on after the process was told to end. Kubernetes kills after 30 seconds; what is
/// cut short then is found by the retry.
const GRACE: Duration = Duration::from_secs(25);

/// How long callers may take to read their last answers.
const PARTING: Duration = Duration::from_millis(300);

/// What is to be served, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node's id.
    pub node: String,
    /// The drivers, each with the path of its socket.
    pub drivers: Vec<(Driver, PathBuf)>,
    /// Which half of them.
    pub mode: Mode,
    /// The kubelet's directory of registration sockets, where they are to be registered.
    pub registration: Option<PathBuf>,
    /// Where health and metrics are answered by HTTP.
    pub metrics: Option<SocketAddr>,
    /// The drivers whose volumes are attached before they are staged.
    pub attach: Vec<Driver>,
    /// How many volumes the node takes; 0 for no limit.
    pub most_volumes: u32,
    /// Tell clients such as grpcurl what the messages are made of.
    pub reflection: bool,
}

/// Serves until a signal ends it. `engine` makes one for each driver, and `beside` says what else is done
/// for each of those that provision.
///
/// A socket that cannot be made is an error at once; a pool that is not in order is not.
pub fn run(
    settings: &Settings,
    engine: impl Fn() -> Engine,
    beside: Option<Beside<'_>>,
) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(ALL_THREADS * settings.drivers.len().max(1) + 2)
        .thread_keep_alive(Duration::from_secs(2))
        .build()
        .map_err(|error| Error::new(Kind::Internal, format!("cannot start: {error}")))?;
    let plugins = settings.drivers.iter().map(|(driver, _)| {
        Arc::new(Plugin {
            driver: *driver,
            node: settings.node.clone(),
            mode: settings.mode,
            attach: settings.attach.contains(driver),
            most_volumes: settings.most_volumes,
            engine: engine(),
        })
    });
    let plugins: Vec<Arc<Plugin>> = plugins.collect();
    let outcome = runtime.block_on(serve(settings, &plugins, beside));
    // What was to be waited for has been waited for.
    runtime.shutdown_timeout(PARTING);
    outcome
}

async fn serve(
    settings: &Settings,
    plugins: &[Arc<Plugin>],
    beside: Option<Beside<'_>>,
) -> Result<()> {
    let (mut terminate, mut interrupt) = signals()?;
    let (stop, stopping) = watch::channel(false);
    let metrics = Arc::new(Metrics::default());
    let mut tasks = JoinSet::new();
    let mut own = Vec::new();
    let mut registrations = Vec::new();
    let mut works = Vec::new();
    for (plugin, (driver, socket)) in plugins.iter().zip(&settings.drivers) {
        let listener = sockets::bind_private(socket)?;
        own.push((socket.clone(), sockets::identity(socket)?));
        // Only now: a process that cannot serve makes nothing.
        if let Err(error) = plugin.prepare().and_then(|()| plugin.in_order()) {
            log::warn!("driver `{}` is not in order: {error}", driver.name());
        }
        plugin.thaw();
        let work = Work::new(plugin.clone(), metrics.clone());
        works.push(work.clone());
        if let Some(beside) = beside.filter(|_| settings.mode.controller()) {
            tasks.spawn(beside(Local::new(&work), Box::pin(ended(stopping.clone()))));
        }
        let routes = routes(&work, settings.reflection)?;
        let server = Server::builder().add_routes(routes);
        let end = ended(stopping.clone());
        tasks.spawn(async move {
            let served = server.serve_with_incoming_shutdown(Incoming::new(listener), end).await;
            if let Err(error) = served {
                log::error!("serving ended: {error}");
            }
        });
        log::info!("driver `{}` listens at `{}`", driver.name(), socket.display());
        if let Some(directory) = settings.registration.clone().filter(|_| settings.mode.node()) {
            let (driver, endpoint) = (driver.name().to_owned(), socket.clone());
            let status = Arc::new(registration::Status::default());
            registrations.push(status.clone());
            let registration = Registration { driver, endpoint, directory };
            tasks.spawn(registration::keep(registration, stopping.clone(), status));
        }
    }
    if let Some(address) = settings.metrics {
        let answers = web::Answers::new(plugins.to_vec(), metrics, registrations);
        tasks.spawn(web::serve(web::bind(address)?, answers, stopping.clone()));
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    log::info!("ending; what is at work is finished first");
    let _ = stop.send(true);
    let finished = async {
        for work in &works {
            work.finish().await;
        }
    };
    if tokio::time::timeout(GRACE, finished).await.is_err() {
        log::warn!("some work is not finished; the next call for it goes on with it");
    }
    // Callers read their last answers; those that only stay connected are not waited for.
    let parted = async { while tasks.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(PARTING, parted).await;
    for (socket, identity) in own {
        if let Some(identity) = identity {
            sockets::remove_own(&socket, identity)?;
        }
    }
    Ok(())
}

/// The services of one driver, as its mode and its capabilities have them.
fn routes(work: &Work, reflection: bool) -> Result<Routes> {
    let plugin = work.plugin();
    let mut names = vec!["csi.v1.Identity"];
    let mut routes = Routes::new(IdentityServer::new(IdentityService(work.clone())));
    if plugin.mode.controller() {
        names.push("csi.v1.Controller");
        routes = routes.add_service(ControllerServer::new(ControllerService(work.clone())));
    }
    if plugin.mode.controller() && plugin.driver.has_groups() {
        names.push("csi.v1.GroupController");
        routes = routes.add_service(GroupControllerServer::new(GroupService(work.clone())));
    }
    if plugin.mode.controller() && plugin.driver.has_metadata() {
        names.push("csi.v1.SnapshotMetadata");
        routes = routes.add_service(SnapshotMetadataServer::new(MetadataService(work.clone())));
    }
    if plugin.mode.node() {
        names.push("csi.v1.Node");
        routes = routes.add_service(NodeServer::new(NodeService(work.clone())));
    }
    if reflection {
        let failed = |error| Error::new(Kind::Internal, format!("no reflection: {error}"));
        let build = || {
            let builder = tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS);
            names.iter().fold(builder, |builder, name| builder.with_service_name(*name))
        };
        routes = routes.add_service(build().build_v1().map_err(failed)?);
        routes = routes.add_service(build().build_v1alpha().map_err(failed)?);
    }
    let router = std::mem::take(routes.axum_router_mut());
    *routes.axum_router_mut() = router.fallback(not_served);
    Ok(routes)
}

/// The answer to calls of services that are not here: like every refusal it says why.
async fn not_served(call: http::Uri) -> http::Response<tonic::body::Body> {
    let path = call.path().trim_start_matches('/');
    Status::unimplemented(format!("`{path}` is not served at this socket")).into_http()
}

/// Resolves when the process is to end.
async fn ended(mut stopping: watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}

/// The signals that end the process. From here on they are waited for instead.
fn signals() -> Result<(Signal, Signal)> {
    let failed = |error| Error::new(Kind::Internal, format!("cannot wait for signals: {error}"));
    let terminate = signal(SignalKind::terminate()).map_err(failed)?;
    Ok((terminate, signal(SignalKind::interrupt()).map_err(failed)?))
}
