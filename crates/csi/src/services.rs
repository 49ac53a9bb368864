//! The services: each RPC is a function from its request to its answer, over the engine.

pub mod attach;
pub mod capacity;
pub mod controller;
pub mod create;
pub mod expand;
pub mod groups;
pub mod health;
pub mod identity;
pub mod metadata;
pub mod node;
pub mod publish;
pub mod share;
pub mod snapshots;
pub mod stage;
pub mod stats;
pub mod volumes;

/// Implements a generated service: each RPC is answered on a thread of its lane by a function.
macro_rules! service {
    ($(#[$about:meta])* $name:ident: $service:path {
        $($method:ident($request:ident) -> $answer:ident, $lane:ident, $respond:path;)*
    }) => {
        $(#[$about])*
        #[derive(Clone)]
        pub struct $name(pub $crate::work::Work);

        #[tonic::async_trait]
        impl $service for $name {
            $(async fn $method(
                &self,
                request: tonic::Request<$crate::protocol::csi::$request>,
            ) -> std::result::Result<tonic::Response<$crate::protocol::csi::$answer>, tonic::Status> {
                let rpc = stringify!($request).trim_end_matches("Request");
                self.0.answer(rpc, $crate::work::Lane::$lane, request, $respond).await
            })*
        }
    };
}
pub(crate) use service;
