//! Making a driver known to the kubelet: plugin registration, version 1
//! (`pkg/kubelet/pluginmanager` of Kubernetes).
//!
//! The kubelet watches a directory for sockets. It asks each one for its plugin, registers that, says how
//! it went, and forgets the plugin when the socket goes. So registering is keeping a socket there.

use crate::protocol::registration::registration_server::{
    Registration as Service, RegistrationServer,
};
use crate::protocol::registration::{
    InfoRequest, PluginInfo, RegistrationStatus, RegistrationStatusResponse,
};
use crate::sockets::{self, Identity, Incoming};
use becket_core::error::shown;
use becket_core::{Error, Kind, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::UnixListener;
use tokio::sync::{oneshot, watch};
use tonic::transport::Server;
use tonic::{Request, Response, Status as Answer};

/// How often the socket is looked for, and a directory that is not there.
const INTERVAL: Duration = Duration::from_secs(2);

/// How long connections may take to end.
const DRAIN: Duration = Duration::from_secs(1);

/// What the kubelet is to know of one driver.
#[derive(Debug, Clone)]
pub struct Registration {
    /// The driver's name, as `GetPluginInfo` has it.
    pub driver: String,
    /// The driver's CSI socket, as the kubelet sees it.
    pub endpoint: PathBuf,
    /// The kubelet's directory of registration sockets, `plugins_registry` in its root.
    pub directory: PathBuf,
}

impl Registration {
    /// The socket that is kept for the kubelet.
    pub fn socket(&self) -> PathBuf {
        self.directory.join(format!("{}-reg.sock", self.driver))
    }
}

/// How far a registration is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Progress {
    /// There is no socket yet.
    #[default]
    Preparing,
    /// There is no socket, for this reason; it is tried again.
    Hindered(String),
    /// The socket is there, and the kubelet has not said anything.
    Offered,
    /// The kubelet has registered the driver.
    Registered,
    /// The kubelet has refused it, for this reason; it tries again by itself.
    Refused(String),
}

/// The state of one registration, for whoever wants to know it.
#[derive(Debug, Default)]
pub struct Status(Mutex<Progress>);

impl Status {
    /// How far it is now.
    pub fn progress(&self) -> Progress {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// True when the kubelet has registered the driver.
    pub fn registered(&self) -> bool {
        self.progress() == Progress::Registered
    }

    fn is_now(&self, progress: Progress) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = progress;
    }
}

/// Keeps the registration's socket until `shutdown` is true or its sender is dropped; then removes it, at
/// which the kubelet forgets the driver.
///
/// The driver's own socket has to be there first: the kubelet calls it at once. What hinders a socket is
/// logged and tried again, above all a directory that is not there yet. A socket that vanishes or is
/// replaced is made again. Nothing that somebody else serves is touched.
pub async fn keep(
    registration: Registration,
    mut shutdown: watch::Receiver<bool>,
    status: Arc<Status>,
) {
    let path = registration.socket();
    let mut stopping = *shutdown.borrow();
    while !stopping {
        match open(&registration.directory, &path) {
            Ok((listener, own)) => {
                log::info!("driver `{}` waits for the kubelet", registration.driver);
                status.is_now(Progress::Offered);
                stopping = serve(&registration, &path, listener, own, &mut shutdown, &status).await;
                status.is_now(Progress::Preparing);
            }
            Err(error) => {
                let now = Progress::Hindered(error.to_string());
                if status.progress() != now {
                    log::warn!("driver `{}` is not registered: {error}", registration.driver);
                    status.is_now(now);
                }
                stopping = stops_within(INTERVAL, &mut shutdown).await;
            }
        }
    }
}

fn open(directory: &Path, path: &Path) -> Result<(UnixListener, Identity)> {
    if !directory.is_dir() {
        let absent = format!("there is no directory `{}`", directory.display());
        return Err(Error::new(Kind::Unavailable, absent).hint("the kubelet makes it; waiting"));
    }
    let listener = sockets::bind(path)?;
    let own = sockets::identity(path)?;
    let vanished = || Error::new(Kind::Busy, format!("`{}` was removed at once", path.display()));
    Ok((listener, own.ok_or_else(vanished)?))
}

/// Serves until it is to stop, which it says by `true`, or until the socket is no longer ours.
async fn serve(
    registration: &Registration,
    path: &Path,
    listener: UnixListener,
    own: Identity,
    shutdown: &mut watch::Receiver<bool>,
    status: &Arc<Status>,
) -> bool {
    let (stop, stopped) = oneshot::channel::<()>();
    let replies = Replies { registration: registration.clone(), status: Arc::clone(status) };
    let server = Server::builder().add_service(RegistrationServer::new(replies));
    let mut server =
        tokio::spawn(server.serve_with_incoming_shutdown(Incoming::new(listener), async {
            let _ = stopped.await;
        }));
    let stopping = loop {
        if stops_within(INTERVAL, shutdown).await {
            break true;
        }
        // Only when it is known to be gone: an error to look is no proof of that.
        let gone = matches!(sockets::identity(path), Ok(found) if found != Some(own));
        if gone || server.is_finished() {
            log::warn!("`{}` is gone; making it again", path.display());
            break false;
        }
    };
    if stopping && let Err(error) = sockets::remove_own(path, own) {
        log::warn!("{error}");
    }
    drop(stop);
    if tokio::time::timeout(DRAIN, &mut server).await.is_err() {
        server.abort();
    }
    stopping
}

/// True as soon as there is to be an end, false when there was none in this time.
async fn stops_within(time: Duration, shutdown: &mut watch::Receiver<bool>) -> bool {
    tokio::time::timeout(time, shutdown.wait_for(|stop| *stop)).await.is_ok()
}

/// What the kubelet is answered.
struct Replies {
    registration: Registration,
    status: Arc<Status>,
}

#[tonic::async_trait]
impl Service for Replies {
    async fn get_info(
        &self,
        _: Request<InfoRequest>,
    ) -> std::result::Result<Response<PluginInfo>, Answer> {
        Ok(Response::new(PluginInfo {
            r#type: "CSIPlugin".to_owned(),
            name: self.registration.driver.clone(),
            endpoint: self.registration.endpoint.display().to_string(),
            supported_versions: vec!["1.0.0".to_owned()],
        }))
    }

    async fn notify_registration_status(
        &self,
        request: Request<RegistrationStatus>,
    ) -> std::result::Result<Response<RegistrationStatusResponse>, Answer> {
        let driver = &self.registration.driver;
        let outcome = request.into_inner();
        if outcome.plugin_registered {
            log::info!("the kubelet registered driver `{driver}`");
            self.status.is_now(Progress::Registered);
        } else {
            let reason = shown(&outcome.error);
            log::warn!("the kubelet did not register driver `{driver}`: {reason}");
            self.status.is_now(Progress::Refused(reason));
        }
        Ok(Response::new(RegistrationStatusResponse {}))
    }
}

#[cfg(test)]
mod tests;
