//! The Container Storage Interface, version 1.13: the generated protocol, Becket's drivers behind it,
//! their registration with the kubelet, and a client for any driver.

#![forbid(unsafe_code)]

pub mod endpoint;
pub mod protocol;
