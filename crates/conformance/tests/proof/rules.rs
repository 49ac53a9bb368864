//! How a driver can be wrong: the makers of rules.

use crate::proxy::{Answer, Effect, Message, Rule};
use std::any::Any;
use std::future::Future;
use std::sync::Mutex;
use tonic::transport::Channel;
use tonic::{Code, Status};

fn answer(
    rpc: &'static str,
    change: impl Fn(&dyn Any, &mut Answer) + Send + Sync + 'static,
) -> Rule {
    Rule { rpc, effect: Effect::Answer(Box::new(change)) }
}

/// Something else is done in place of the call, with a channel to the real driver.
pub fn instead<Q: Any, A: Any + Send, F>(
    rpc: &'static str,
    call: impl Fn(Channel, Q) -> F + Send + Sync + 'static,
) -> Rule
where
    F: Future<Output = Result<A, Status>> + Send + 'static,
{
    let effect = Effect::Call(Box::new(move |channel, request| {
        let call = call(channel, *request.downcast::<Q>().unwrap());
        Box::pin(async move { call.await.map(|answer| Box::new(answer) as Message) })
    }));
    Rule { rpc, effect }
}

/// Errors are changed, or made OK; `None` leaves them.
pub fn pardons<Q: Any, A: Any + Send>(
    rpc: &'static str,
    change: impl Fn(&Q, &Status) -> Option<Result<A, Status>> + Send + Sync + 'static,
) -> Rule {
    answer(rpc, move |request, answer| {
        if let Err(status) = answer
            && let Some(other) = change(request.downcast_ref::<Q>().unwrap(), status)
        {
            *answer = other.map(|message| Box::new(message) as Message);
        }
    })
}

/// Every error becomes OK, with an empty answer.
pub fn forgives<A: Any + Send + Default>(rpc: &'static str) -> Rule {
    answer(rpc, |_, answer| {
        if answer.is_err() {
            *answer = Ok(Box::new(A::default()));
        }
    })
}

/// Every error of this code gets another.
pub fn recodes(rpc: &'static str, from: Code, to: Code) -> Rule {
    answer(rpc, move |_, answer| {
        if let Err(status) = answer
            && status.code() == from
        {
            *answer = Err(Status::new(to, status.message()));
        }
    })
}

/// Every call fails with this code, after it was made.
pub fn fails(rpc: &'static str, code: Code) -> Rule {
    answer(rpc, move |_, answer| *answer = Err(Status::new(code, "wrong on purpose")))
}

/// Calls that `which` picks fail, without being made.
pub fn refuses_when<Q: Any>(
    rpc: &'static str,
    code: Code,
    which: impl Fn(&Q) -> bool + Send + Sync + 'static,
) -> Rule {
    let effect = Effect::Instead(Box::new(move |request| {
        let picked = request.downcast_ref::<Q>().is_some_and(&which);
        picked.then(|| Err(Status::new(code, "wrong on purpose")))
    }));
    Rule { rpc, effect }
}

/// The same request fails when it comes again after it succeeded.
pub fn fails_again<Q: Any + Clone + PartialEq + Send>(rpc: &'static str) -> Rule {
    let done: Mutex<Vec<Q>> = Mutex::default();
    answer(rpc, move |request, answer| {
        let request = request.downcast_ref::<Q>().unwrap();
        let mut done = done.lock().unwrap();
        if answer.is_ok() && done.contains(request) {
            *answer = Err(Status::internal("that was done already"));
        }
        done.push(request.clone());
    })
}

/// OK without doing anything.
pub fn does_nothing<A: Any + Send + Default>(rpc: &'static str) -> Rule {
    Rule { rpc, effect: Effect::Instead(Box::new(|_| Some(Ok(Box::new(A::default()))))) }
}

/// OK without doing anything, for requests that `which` picks.
pub fn does_nothing_when<Q: Any, A: Any + Send + Default>(
    rpc: &'static str,
    which: impl Fn(&Q) -> bool + Send + Sync + 'static,
) -> Rule {
    let effect = Effect::Instead(Box::new(move |request| {
        let picked = request.downcast_ref::<Q>().is_some_and(&which);
        picked.then(|| Ok(Box::new(A::default()) as Message))
    }));
    Rule { rpc, effect }
}

/// The driver is asked something else.
pub fn asks<Q: Any>(rpc: &'static str, change: impl Fn(&mut Q) + Send + Sync + 'static) -> Rule {
    let effect = Effect::Request(Box::new(move |request| {
        change(request.downcast_mut::<Q>().unwrap());
    }));
    Rule { rpc, effect }
}

/// Answers are changed.
pub fn tells<A: Any>(rpc: &'static str, change: impl Fn(&mut A) + Send + Sync + 'static) -> Rule {
    answer(rpc, move |_, answer| {
        if let Ok(message) = answer {
            change(message.downcast_mut::<A>().unwrap());
        }
    })
}

/// Answers are changed, by what was asked.
pub fn tells_to<Q: Any, A: Any>(
    rpc: &'static str,
    change: impl Fn(&Q, &mut A) + Send + Sync + 'static,
) -> Rule {
    answer(rpc, move |request, answer| {
        if let Ok(message) = answer {
            change(request.downcast_ref::<Q>().unwrap(), message.downcast_mut::<A>().unwrap());
        }
    })
}

/// Something happens on the node after a call that succeeded.
pub fn then<Q: Any>(rpc: &'static str, act: impl Fn(&Q) + Send + Sync + 'static) -> Rule {
    answer(rpc, move |request, answer| {
        if answer.is_ok() {
            act(request.downcast_ref::<Q>().unwrap());
        }
    })
}

/// Errors without their message, or with details.
pub fn errors(change: fn(&Status) -> Status) -> Rule {
    answer("*", move |_, answer| {
        if let Err(status) = answer {
            *answer = Err(change(status));
        }
    })
}
