//! One call: patient, cancelled on the way, or with a short deadline; and the judgement of its answer.

use crate::volume::Driver;
use crate::world::World;
use becket_csi::protocol::csi::controller_client::ControllerClient;
use becket_csi::protocol::csi::node_client::NodeClient;
use becket_tests::Random;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

/// Nothing may take longer, with all the others in the queue before it.
const LONGEST: Duration = Duration::from_secs(60);

/// For how long one thing is tried again.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is known after a call.
#[derive(Debug)]
pub(crate) enum Answer<T> {
    /// It is done.
    Done(T),
    /// It was refused, with a code that is allowed here.
    Refused(Code),
    /// It is to be asked again: nobody knows whether it is done, or something else was at work.
    Open,
}

impl<T> Answer<T> {
    /// True when it is done.
    pub(crate) fn done(&self) -> bool {
        matches!(self, Answer::Done(_))
    }
}

/// The clients of one driver.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) controller: ControllerClient<Channel>,
    pub(crate) node: NodeClient<Channel>,
}

/// So many callers share a connection, as the calls of a kubelet do.
const SHARING: usize = 16;

/// Connections to all drivers for so many callers, one after the other for each driver.
pub(crate) async fn connect(world: &World, callers: usize) -> Result<Vec<Vec<Clients>>, String> {
    let mut all = Vec::new();
    for _ in 0..callers.div_ceil(SHARING) {
        let mut clients = Vec::new();
        for driver in Driver::ALL {
            let channel = world.connect(driver).await?;
            let (controller, node) =
                (ControllerClient::new(channel.clone()), NodeClient::new(channel));
            clients.push(Clients { controller, node });
        }
        all.push(clients);
    }
    Ok(all)
}

/// One caller.
pub(crate) struct Caller {
    pub(crate) world: Rc<World>,
    pub(crate) number: usize,
    pub(crate) random: Random,
    /// It neither cancels nor sets deadlines.
    pub(crate) patient: bool,
    clients: Vec<Clients>,
}

/// How a call is made.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Patient,
    Cancelled(Duration),
    Deadline(Duration),
}

impl Caller {
    /// The caller `number`, over one of the connections.
    pub(crate) fn new(world: &Rc<World>, number: usize, connections: &[Vec<Clients>]) -> Caller {
        let clients = connections[number % connections.len()].clone();
        let random = world.random(number);
        Caller { world: world.clone(), number, random, patient: false, clients }
    }

    fn manner(&mut self) -> Manner {
        let short = Duration::from_micros(self.random.below(25_000));
        match self.random.below(16) {
            0 | 1 if !self.patient => Manner::Cancelled(short),
            2 if !self.patient => Manner::Deadline(short.max(Duration::from_millis(1))),
            _ => Manner::Patient,
        }
    }

    /// Makes the call `rpc` about `object`. Beside success, to be asked to try again, and what a server
    /// that is away explains, only the codes `allowed` are right.
    pub(crate) async fn ask<Q, A>(
        &mut self,
        (rpc, driver, object): (&'static str, Driver, &str),
        message: Q,
        allowed: &[Code],
        call: impl AsyncFnOnce(Clients, Request<Q>) -> Result<Response<A>, Status>,
    ) -> Answer<A> {
        let manner = self.manner();
        let mut request = Request::new(message);
        let limit = match manner {
            Manner::Patient => LONGEST,
            Manner::Cancelled(after) => after,
            Manner::Deadline(after) => {
                request.set_timeout(after);
                LONGEST
            }
        };
        let (world, epoch, started) = (self.world.clone(), self.world.epoch(), Instant::now());
        let clients = self.clients[driver as usize].clone();
        let answer = tokio::time::timeout(limit, call(clients, request)).await;
        let (answer, outcome) = match (answer, manner) {
            (Ok(Ok(response)), _) => (Answer::Done(response.into_inner()), "OK".to_owned()),
            (Ok(Err(status)), _) => {
                let judged = judge(&world, &status, manner, epoch, allowed);
                judged.unwrap_or_else(|code| {
                    world.violation(format!("{rpc} of `{object}` answered {code:?}: {status}"));
                    (Answer::Refused(code), format!("{code:?}, not allowed"))
                })
            }
            (Err(_), Manner::Cancelled(_)) => (Answer::Open, "cancelled".to_owned()),
            (Err(_), _) => {
                world.violation(format!("{rpc} of `{object}` had no answer in {LONGEST:?}"));
                (Answer::Open, "no answer".to_owned())
            }
        };
        world.count(rpc, outcome, started.elapsed());
        answer
    }

    /// Asks until there is a definite answer; the code, where that is a refusal.
    pub(crate) async fn settle<T>(
        &mut self,
        what: &str,
        mut ask: impl AsyncFnMut(&mut Caller) -> Answer<T>,
    ) -> Result<T, Code> {
        let started = Instant::now();
        loop {
            match ask(self).await {
                Answer::Done(done) => return Ok(done),
                Answer::Refused(code) => return Err(code),
                Answer::Open => {}
            }
            if self.world.enough() {
                return Err(Code::Unknown);
            }
            if started.elapsed() > PATIENCE {
                self.world.violation(format!("{what} came to no end in {PATIENCE:?}"));
                return Err(Code::Unknown);
            }
            let pause = 1 + self.random.below(30);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
}

/// What the status means; the code, where it is not allowed.
fn judge<T>(
    world: &World,
    status: &Status,
    manner: Manner,
    epoch: u64,
    allowed: &[Code],
) -> Result<(Answer<T>, String), Code> {
    let code = status.code();
    let away = world.was_away_since(epoch);
    // Only what this side made up of a lost connection has a cause.
    let lost = std::error::Error::source(status).is_some();
    let timed = matches!(manner, Manner::Deadline(_))
        && matches!(code, Code::Cancelled | Code::DeadlineExceeded);
    match code {
        _ if timed => Ok((Answer::Open, "deadline".to_owned())),
        _ if lost && away => Ok((Answer::Open, "connection lost".to_owned())),
        _ if lost => Err(code),
        // The last words of a server whose programs and guards were killed a moment before it.
        Code::Unavailable | Code::DeadlineExceeded | Code::Internal if away => {
            Ok((Answer::Open, "going down".to_owned()))
        }
        Code::Aborted => Ok((Answer::Open, "ABORTED".to_owned())),
        code if allowed.contains(&code) => Ok((Answer::Refused(code), format!("{code:?}"))),
        code => Err(code),
    }
}
