//! `/livez`, `/healthz` and `/metrics`, for probes and Prometheus.

use crate::metrics::Metrics;
use crate::plugin::Plugin;
use crate::registration;
use becket_core::{Error, Kind, Result};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

/// How long a caller may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);

/// Threads for their answers.
const THREADS: usize = 2;

/// Callers at once; there are two in a cluster.
const CALLERS: usize = 8;

/// What the answers are made from.
#[derive(Clone)]
pub(super) struct Answers {
    plugins: Vec<Arc<Plugin>>,
    metrics: Arc<Metrics>,
    registrations: Vec<Arc<registration::Status>>,
    /// Threads that ask the disks: a caller that goes away leaves its own at work.
    threads: Arc<Semaphore>,
}

impl Answers {
    pub(super) fn new(
        plugins: Vec<Arc<Plugin>>,
        metrics: Arc<Metrics>,
        registrations: Vec<Arc<registration::Status>>,
    ) -> Answers {
        let threads = Arc::new(Semaphore::new(THREADS));
        Answers { plugins, metrics, registrations, threads }
    }

    /// The answer for a path; it asks the disks, so it is made on a thread of its own.
    fn make(&self, method: &Method, path: &str) -> (StatusCode, String) {
        match (method, path) {
            (&Method::GET, "/healthz") => self.health(),
            (&Method::GET, "/metrics") => {
                self.metrics.pools(&self.plugins);
                (StatusCode::OK, self.metrics.text())
            }
            (_, "/livez" | "/healthz" | "/metrics") => {
                (StatusCode::METHOD_NOT_ALLOWED, "GET it\n".into())
            }
            _ => (StatusCode::NOT_FOUND, "there are /livez, /healthz and /metrics\n".into()),
        }
    }

    /// A line for each driver. A kubelet that has yet to register a driver is no fault of this process.
    fn health(&self) -> (StatusCode, String) {
        let (mut status, mut lines) = (StatusCode::OK, String::new());
        for (at, plugin) in self.plugins.iter().enumerate() {
            let registered = match self.registrations.get(at).map(|status| status.progress()) {
                Some(progress) => format!(", registration: {progress:?}"),
                None => String::new(),
            };
            let found = match plugin.in_order() {
                Ok(()) => "ok".to_owned(),
                Err(error) => {
                    status = StatusCode::SERVICE_UNAVAILABLE;
                    error.to_string()
                }
            };
            lines.push_str(&format!("{}: {found}{registered}\n", plugin.driver.name()));
        }
        (status, lines)
    }
}

/// Listens at the address.
pub(super) fn bind(address: SocketAddr) -> Result<TcpListener> {
    let listen = || {
        let listener = std::net::TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        TcpListener::from_std(listener)
    };
    listen().map_err(|error| {
        Error::new(Kind::Unavailable, format!("cannot listen at `{address}`: {error}"))
            .hint("give --metrics another port")
    })
}

/// Answers until the process is to end.
pub(super) async fn serve(
    listener: TcpListener,
    answers: Answers,
    mut stopping: watch::Receiver<bool>,
) {
    let room = Arc::new(Semaphore::new(CALLERS));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        let (Ok((connection, _)), Ok(seat)) = (accepted, room.clone().try_acquire_owned()) else {
            // Too many callers, or no descriptors: neither gets better by hurrying.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let answers = answers.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| answer(answers.clone(), request));
            let mut server = http1::Builder::new();
            server.keep_alive(false).timer(TokioTimer::new()).header_read_timeout(PATIENCE);
            if let Err(error) = server.serve_connection(TokioIo::new(connection), answer).await {
                log::debug!("a caller of the metrics port went away: {error}");
            }
            drop(seat);
        });
    }
}

async fn answer(
    answers: Answers,
    request: Request<Incoming>,
) -> std::result::Result<Response<String>, Infallible> {
    let (parts, _) = request.into_parts();
    let (status, text) = match (&parts.method, parts.uri.path()) {
        // Asked of no disk, because a process that waits for a disk is not one to be ended.
        (&Method::GET, "/livez") => (StatusCode::OK, "ok\n".to_owned()),
        _ => {
            let thread = answers.threads.clone().acquire_owned().await;
            let made = tokio::task::spawn_blocking(move || {
                let answer = answers.make(&parts.method, parts.uri.path());
                drop(thread);
                answer
            });
            made.await.unwrap_or((StatusCode::INTERNAL_SERVER_ERROR, "cut short\n".to_owned()))
        }
    };
    let mut response = Response::new(text);
    *response.status_mut() = status;
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(http::header::CONTENT_TYPE, kind);
    Ok(response)
}
