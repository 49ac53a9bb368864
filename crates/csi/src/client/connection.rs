//! Calls over one connection.

use super::codec::Dynamic;
use super::status::{Outcome, Status};
use crate::endpoint::Endpoint;
use crate::shape::{DynamicMessage, Rpc, line_of};
use becket_core::Result;
use http::uri::PathAndQuery;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request};

/// An answer may be as large: more than gRPC's usual 4 MiB, because a driver may have many volumes.
const LARGEST_ANSWER: usize = 64 << 20;

/// One connection to a driver. Clones share it.
#[derive(Debug, Clone)]
pub struct Connection {
    channel: Channel,
}

impl Connection {
    /// Connects within `wait`. `Unavailable` when nobody listens.
    pub async fn open(endpoint: &Endpoint, wait: Duration) -> Result<Connection> {
        Ok(Connection { channel: endpoint.connect(wait).await? })
    }

    /// Calls the RPC, tells the driver the deadline and keeps it. Every message goes to `each` when it
    /// comes; `Break` ends the call as if it had ended by itself.
    pub async fn call(
        &self,
        rpc: &Rpc,
        message: DynamicMessage,
        deadline: Duration,
        each: &mut (dyn FnMut(DynamicMessage) -> ControlFlow<()> + Send),
    ) -> Outcome {
        log::info!("{} {}", rpc.name(), line_of(&message));
        let start = Instant::now();
        let mut request = Request::new(message);
        request.set_timeout(deadline);
        let done = tokio::time::timeout(deadline, self.exchange(rpc, request, each)).await;
        let elapsed = start.elapsed();
        let status = match done {
            Ok(Ok(())) => Status::ok(),
            // The transport counts the same time and says so by another code.
            Ok(Err(status)) if status.code() == Code::Cancelled && elapsed >= deadline => {
                Status::late(deadline)
            }
            Ok(Err(status)) => Status::of(&status),
            Err(_) => Status::late(deadline),
        };
        Outcome { status, elapsed }
    }

    async fn exchange(
        &self,
        rpc: &Rpc,
        request: Request<DynamicMessage>,
        each: &mut (dyn FnMut(DynamicMessage) -> ControlFlow<()> + Send),
    ) -> std::result::Result<(), tonic::Status> {
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(LARGEST_ANSWER);
        let path = PathAndQuery::try_from(rpc.path())
            .map_err(|error| tonic::Status::internal(error.to_string()))?;
        let codec = Dynamic::reading(rpc.answer());
        grpc.ready().await.map_err(|error| tonic::Status::from_error(Box::new(error)))?;
        if !rpc.streams() {
            let answer = grpc.unary(request, path, codec).await?;
            let _ = each(answer.into_inner());
            return Ok(());
        }
        let mut stream = grpc.server_streaming(request, path, codec).await?.into_inner();
        while let Some(message) = stream.message().await? {
            if each(message).is_break() {
                break;
            }
        }
        Ok(())
    }
}
