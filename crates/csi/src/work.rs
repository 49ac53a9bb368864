//! Work behind the calls: on a few threads, one line of log each, never thrown away half done.
//!
//! The engine blocks, so calls are answered on threads of their own. Their number is bounded; calls
//! beyond it wait their turn without one. A caller that goes away before its call has begun takes it
//! along: it may have asked for the opposite by now. Once begun, with the volume's lock, the work runs to
//! its end, and the retry finds it done.

use crate::limits;
use crate::metrics::Metrics;
use crate::plugin::Plugin;
use crate::shape;
use crate::status;
use becket_core::{Error, Kind, Result};
use prost::{Message, Name};
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc};
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status};

/// The target of log lines that are made of fields.
pub const CALL: &str = "becket_csi::call";

/// Which threads a call may take. What a pod's start or end waits for is never behind a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Provisioning, which may copy for minutes.
    Controller,
    /// Everything on the way of a pod.
    Node,
    /// Questions that nothing is changed for.
    Question,
    /// Answers that are read from a disk for as long as somebody listens.
    Stream,
}

/// An answer in many messages.
pub type Stream<A> = ReceiverStream<std::result::Result<A, Status>>;

/// Threads of each lane.
const THREADS: usize = 8;

/// All lanes' threads.
pub const ALL_THREADS: usize = 4 * THREADS;

/// Where calls are answered. A clone shares the threads.
#[derive(Clone)]
pub struct Work {
    plugin: Arc<Plugin>,
    lanes: Arc<[Semaphore; 4]>,
    metrics: Arc<Metrics>,
}

thread_local! {
    static REQUEST: Cell<u64> = const { Cell::new(0) };
    static GONE: RefCell<Arc<AtomicBool>> = RefCell::default();
}

/// False once the caller that this thread works for has gone.
pub fn wanted() -> bool {
    !GONE.with_borrow(|gone| gone.load(Ordering::SeqCst))
}

/// Says, when it is dropped, that nobody waits for the answer any more.
#[derive(Default)]
struct Caller(Arc<AtomicBool>);

impl Drop for Caller {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The number of the request that this thread works on, for its lines of log; 0 for none.
pub fn request() -> u64 {
    REQUEST.get()
}

/// The number of the next request of this process.
fn next_request() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}

impl Work {
    /// Threads for the calls of one driver.
    pub fn new(plugin: Arc<Plugin>, metrics: Arc<Metrics>) -> Work {
        let lanes = Arc::new([const { Semaphore::const_new(THREADS) }; 4]);
        Work { plugin, lanes, metrics }
    }

    /// The driver.
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    /// Waits until nothing is at work, and takes nothing on any more.
    pub async fn finish(&self) {
        for lane in self.lanes.iter() {
            if let Ok(all) = lane.acquire_many(THREADS as u32).await {
                all.forget();
            }
            lane.close();
        }
    }

    /// Answers one call by `respond`, on a thread of its lane.
    pub async fn answer<Q, A>(
        &self,
        rpc: &'static str,
        lane: Lane,
        request: Request<Q>,
        respond: fn(&Plugin, Q) -> Result<A>,
    ) -> std::result::Result<Response<A>, Status>
    where
        Q: Message + Name + 'static,
        A: Message + Default + 'static,
    {
        let number = next_request();
        let message = request.into_inner();
        let permit = self.lanes[lane as usize].acquire().await;
        let permit = permit.map_err(|_| Status::unavailable("the driver is going down"))?;
        let (plugin, metrics, lanes) =
            (self.plugin.clone(), self.metrics.clone(), self.lanes.clone());
        // The permit goes back when the work is done, not when its caller has gone.
        permit.forget();
        let caller = Caller::default();
        let gone = caller.0.clone();
        let work = tokio::task::spawn_blocking(move || {
            REQUEST.set(number);
            GONE.set(gone);
            let started = Instant::now();
            let answer = judge(&plugin, rpc, message, respond);
            tell(&plugin, rpc, started, &answer, &metrics);
            REQUEST.set(0);
            GONE.set(Arc::default());
            lanes[lane as usize].add_permits(1);
            answer
        });
        match work.await {
            Ok(answer) => answer.map(Response::new).map_err(|error| status::of(&error)),
            Err(error) => Err(Status::internal(format!("{rpc} was cut short: {error}"))),
        }
    }
}

/// How long a reader of a stream may take for one message; what is told keeps its snapshots in place.
const READER: Duration = Duration::from_secs(60);

/// Makes the messages of a stream and hands each over; what is given back says whether anybody reads.
pub type Streaming<Q, A> = fn(&Plugin, Q, &mut dyn FnMut(A) -> bool) -> Result<()>;

/// Messages of a stream that wait for a slow reader.
const AHEAD: usize = 4;

impl Work {
    /// Answers one call by messages that `respond` hands over as it makes them. It ends early when
    /// nobody reads them any more.
    pub async fn stream<Q, A>(
        &self,
        rpc: &'static str,
        request: Request<Q>,
        respond: Streaming<Q, A>,
    ) -> std::result::Result<Response<Stream<A>>, Status>
    where
        Q: Message + Name + 'static,
        A: Send + 'static,
    {
        let (sender, receiver) = mpsc::channel(AHEAD);
        let (work, message) = (self.clone(), request.into_inner());
        let number = next_request();
        let handle = tokio::runtime::Handle::current();
        let permit = self.lanes[Lane::Stream as usize].acquire().await;
        permit.map_err(|_| Status::unavailable("the driver is going down"))?.forget();
        tokio::task::spawn_blocking(move || {
            REQUEST.set(number);
            let started = Instant::now();
            let mut send =
                |message| handle.block_on(sender.send_timeout(Ok(message), READER)).is_ok();
            let answer = judge(&work.plugin, rpc, message, |plugin, message| {
                respond(plugin, message, &mut send)
            });
            tell(&work.plugin, rpc, started, &answer, &work.metrics);
            if let Err(error) = answer {
                let _ = handle.block_on(sender.send_timeout(Err(status::of(&error)), READER));
            }
            REQUEST.set(0);
            work.lanes[Lane::Stream as usize].add_permits(1);
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Checks what holds for every message, and responds.
fn judge<Q: Message + Name, A>(
    plugin: &Plugin,
    rpc: &str,
    message: Q,
    respond: impl FnOnce(&Plugin, Q) -> Result<A>,
) -> Result<A> {
    if log::log_enabled!(log::Level::Debug) {
        let shown = shape::line(&message, &Q::full_name());
        log::debug!(target: CALL, "driver={} rpc={rpc} asked={shown}", plugin.driver.name());
    }
    limits::check(&message)?;
    respond(plugin, message)
}

/// One line for each call that changes or refuses something; questions that went well are not told.
fn tell<A>(
    plugin: &Plugin,
    rpc: &'static str,
    started: Instant,
    answer: &Result<A>,
    metrics: &Metrics,
) {
    let elapsed = started.elapsed();
    let (driver, ms) = (plugin.driver.name(), elapsed.as_secs_f64() * 1000.0);
    let code = match answer {
        Ok(_) => Code::Ok,
        Err(error) => status::code(error.kind()),
    };
    metrics.call(driver, rpc, code, elapsed);
    match answer {
        Ok(_) if is_question(rpc) => {
            log::debug!(target: CALL, "driver={driver} rpc={rpc} code=OK ms={ms:.1}")
        }
        Ok(_) => log::info!(target: CALL, "driver={driver} rpc={rpc} code=OK ms={ms:.1}"),
        Err(error) => {
            let level = match error.kind() {
                Kind::Internal => log::Level::Error,
                _ => log::Level::Warn,
            };
            let why = error.to_string();
            log::log!(target: CALL, level, "driver={driver} rpc={rpc} code={code:?} ms={ms:.1} error={why:?}");
        }
    }
}

/// True for calls that change nothing, some of which come every minute for each volume.
fn is_question(rpc: &str) -> bool {
    ["Get", "List", "Probe", "Validate"].iter().any(|word| rpc.contains(word))
}

/// The error for a call whose capability is not claimed.
pub fn unclaimed<A>(rpc: &str) -> Result<A> {
    Err(Error::new(Kind::Unsupported, format!("this driver does not claim what `{rpc}` is for")))
}
