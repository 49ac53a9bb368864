//! A client of any CSI driver: every RPC of every service, of which it knows nothing but the protocol's
//! descriptors.
//!
//! [`Client`] blocks, for programs that have no runtime of their own. What it stands on, a
//! [`Connection`], is asynchronous.

mod capabilities;
mod codec;
mod connection;
mod load;
mod status;

pub use capabilities::{Capabilities, Need, need};
#[cfg(any(test, feature = "fake"))]
pub(crate) use codec::Dynamic;
pub use connection::Connection;
pub use load::{Load, Plan};
pub use status::{Outcome, Refused, Status, code_name};
pub use tonic::Code;

use crate::endpoint::Endpoint;
use crate::shape::{DynamicMessage, Rpc, to_json};
use becket_core::{Error, Kind, Result};
use std::ops::ControlFlow;
use std::time::Duration;

/// What a call came to.
#[derive(Debug)]
pub struct Answer {
    /// What was answered: one message, or, of a stream, those that came, also before an error.
    pub messages: Vec<DynamicMessage>,
    /// How it ended and how long it took.
    pub outcome: Outcome,
}

impl Answer {
    /// The messages as JSON.
    pub fn values(&self) -> Vec<serde_json::Value> {
        self.messages.iter().map(to_json).collect()
    }
}

/// A connection to a driver, whose calls block.
#[derive(Debug)]
pub struct Client {
    runtime: tokio::runtime::Runtime,
    connection: Connection,
    deadline: Duration,
}

impl Client {
    /// Connects; each call may then take as long as `deadline`, and so may connecting. `Unavailable`
    /// when nobody listens.
    pub fn connect(endpoint: &Endpoint, deadline: Duration) -> Result<Client> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(
            |error| Error::new(Kind::Internal, format!("cannot start the client: {error}")),
        )?;
        let connection = runtime.block_on(Connection::open(endpoint, deadline))?;
        Ok(Client { runtime, connection, deadline })
    }

    /// Calls the RPC and collects what it answers.
    pub fn call(&self, rpc: &Rpc, request: &DynamicMessage) -> Answer {
        let mut messages = Vec::new();
        let outcome = self.call_each(rpc, request, &mut |message| {
            messages.push(message);
            ControlFlow::Continue(())
        });
        Answer { messages, outcome }
    }

    /// Calls the RPC and hands over each message when it comes. `Break` ends the call, as if it had
    /// ended by itself.
    pub fn call_each(
        &self,
        rpc: &Rpc,
        request: &DynamicMessage,
        each: &mut (dyn FnMut(DynamicMessage) -> ControlFlow<()> + Send),
    ) -> Outcome {
        self.runtime.block_on(self.connection.call(rpc, request.clone(), self.deadline, each))
    }

    /// Makes many calls and measures them. `{n}` in the request's texts becomes the number of the call,
    /// which counts from 1.
    pub fn load(&self, rpc: &Rpc, plan: Plan, request: &DynamicMessage) -> Load {
        self.runtime.block_on(load::run(&self.connection, rpc, plan, self.deadline, request))
    }
}

#[cfg(test)]
mod tests;
