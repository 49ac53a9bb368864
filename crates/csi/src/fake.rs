//! A driver for tests of clients: it serves every RPC over a real socket, keeps its volumes as
//! directories and files, and "mounts" by symbolic links, so it needs no root.
//!
//! It answers JSON, which the descriptors turn into messages, and does on request what real drivers do
//! badly: refuse, dawdle, and tell secrets.

mod driver;
mod volumes;

pub use driver::{Asked, Driver};

use crate::client::Dynamic;
use crate::shape::{DynamicMessage, Rpc, merge_json};
use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::thread::JoinHandle;
use tokio::net::UnixListener;
use tokio::sync::oneshot;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::tokio_stream::{self, wrappers::UnixListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// A fake driver at its socket; it ends when this is dropped.
pub struct Serving {
    socket: PathBuf,
    driver: Arc<Driver>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    /// Serves the driver at `socket`, on a thread of its own. One driver may be served at more than one.
    /// Panics when it cannot.
    pub fn start(driver: impl Into<Arc<Driver>>, socket: &Path) -> Serving {
        let driver = driver.into();
        let listener = std::os::unix::net::UnixListener::bind(socket).expect("bind the socket");
        listener.set_nonblocking(true).expect("a socket that does not block");
        let (stop, stopped) = oneshot::channel();
        let service = Calls { driver: Arc::clone(&driver) };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = UnixListener::from_std(listener).expect("a listener");
                let connections = UnixListenerStream::new(listener);
                // Calls that still run end with the runtime: nobody waits for a driver that dawdles.
                tokio::select! {
                    served = Server::builder().serve_with_incoming(service, connections) => {
                        served.expect("serve");
                    }
                    _ = stopped => {}
                }
            });
        });
        Serving { socket: socket.to_owned(), driver, stop: Some(stop), thread: Some(thread) }
    }

    /// Its endpoint, as `CSI_ENDPOINT` has it.
    pub fn endpoint(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// The driver itself.
    pub fn driver(&self) -> &Driver {
        &self.driver
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// Every call of every service.
#[derive(Clone)]
struct Calls {
    driver: Arc<Driver>,
}

impl Service<http::Request<Body>> for Calls {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let driver = Arc::clone(&self.driver);
        Box::pin(async move {
            let Ok(rpc) = Rpc::named(request.uri().path()) else {
                return Ok(Status::unimplemented("no such RPC").into_http());
            };
            driver.begins();
            tokio::time::sleep(driver.delay(rpc.name())).await;
            driver.ends();
            let mut grpc = tonic::server::Grpc::new(Dynamic::reading(rpc.request()));
            let call = Call { driver, rpc: rpc.clone() };
            match rpc.streams() {
                true => Ok(grpc.server_streaming(Streaming(call), request).await),
                false => Ok(grpc.unary(call, request).await),
            }
        })
    }
}

/// One call of a unary RPC.
struct Call {
    driver: Arc<Driver>,
    rpc: Rpc,
}

impl Call {
    /// The messages of the answer, each with the status it may end with instead.
    fn answer(&self, request: &DynamicMessage) -> Vec<Result<DynamicMessage, Status>> {
        let (answers, end) = self.driver.answer(self.rpc.name(), request);
        let message = |json| {
            let mut message = DynamicMessage::new(self.rpc.answer());
            merge_json(&mut message, &json).map_err(|error| Status::internal(error.to_string()))?;
            Ok(message)
        };
        let refused = end.map(|(code, text)| Err(Status::new(code, text)));
        answers.into_iter().map(message).chain(refused).collect()
    }
}

impl tonic::server::UnaryService<DynamicMessage> for Call {
    type Response = DynamicMessage;
    type Future = Ready<Result<Response<DynamicMessage>, Status>>;

    fn call(&mut self, request: Request<DynamicMessage>) -> Self::Future {
        let first = self.answer(request.get_ref()).into_iter().next();
        ready(first.unwrap_or_else(|| Err(Status::internal("no answer"))).map(Response::new))
    }
}

/// One call of an RPC that streams.
struct Streaming(Call);

impl tonic::server::ServerStreamingService<DynamicMessage> for Streaming {
    type Response = DynamicMessage;
    type ResponseStream = tokio_stream::Iter<std::vec::IntoIter<Result<DynamicMessage, Status>>>;
    type Future = Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<DynamicMessage>) -> Self::Future {
        ready(Ok(Response::new(tokio_stream::iter(self.0.answer(request.get_ref())))))
    }
}
