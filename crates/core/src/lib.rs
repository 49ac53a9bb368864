//! What a volume is and what may be done to it.
//!
//! This crate knows volumes, snapshots, pools, locks and mounts. It knows nothing of callouts,
//! gRPC or Kubernetes: those are frontends that turn their messages into calls of the [`Engine`]
//! and its [`Error`] into their own.
//!
//! Data goes one way through it: a request names a *wanted* state; `observe` reads the actual one
//! from the pool and the kernel; the pure function [`plan`](fn@plan::plan) says which steps lead
//! from one to the other; the engine takes them, under the volume's lock.

pub mod backend;
pub mod catalog;
#[cfg(feature = "contract")]
pub mod contract;
pub mod device_label;
pub mod encryption;
pub mod engine;
pub mod error;
pub mod lock;
pub mod memory;
pub mod mount_flags;
pub mod name;
pub mod plan;
pub mod pool;
pub mod preflight;
pub mod progress;
pub mod record;
pub mod remote_mount;
pub mod settings;
pub mod size;
pub mod target;

pub use backend::Backend;
pub use engine::Engine;
pub use error::{Error, Kind, Result};
pub use name::Name;
pub use pool::{Pool, State};
