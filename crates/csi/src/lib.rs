//! The Container Storage Interface, version 1.13: the generated protocol, Becket's drivers behind it,
//! their registration with the kubelet, and a client for any driver.
//!
//! A call goes one way: [`work`] takes it to a thread and checks what holds for every message; a
//! function in [`services`] reads the rest of it, asks the engine, and writes the answer.

#![forbid(unsafe_code)]

pub mod authority;
pub mod capability;
pub mod class;
pub mod client;
pub mod driver;
pub mod endpoint;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod identifier;
pub mod limits;
pub mod local;
pub mod metrics;
pub mod page;
pub mod place;
pub mod plugin;
pub mod protocol;
pub mod range;
pub mod registration;
pub mod serve;
pub mod services;
pub mod shape;
pub mod sockets;
pub mod status;
pub mod work;
