//! What the sidecars of a CSI driver do, inside the driver's own process: everything that talks to the
//! API server.
//!
//! Data goes one way: a watch tells which object changed, by its name alone; a [`queue`] gives each name
//! to its duty, one at a time; the duty reads the object, decides ([`claim`], [`growth`], [`modification`],
//! [`content`], [`group_content`], [`reclaim`]: pure functions), asks the [`driver`], and writes what became of
//! it. Nothing is remembered between two of them but how often one has failed, and which volumes were begun of
//! which no object tells yet, so any instance can go on where another one stopped.
//!
//! Objects, annotations, finalizers and events are those of the official sidecars, so that a cluster can
//! change from the one to the other.

#![forbid(unsafe_code)]

mod capacity;
pub mod claim;
mod claims;
pub mod class;
mod conditions;
pub mod content;
mod contents;
pub mod driver;
pub mod duties;
mod events;
mod expand;
mod failure;
mod finalizer;
pub mod group_content;
mod group_snapshot;
pub mod growth;
mod health;
pub mod interface;
mod lease;
pub mod modification;
mod modify;
pub mod pools;
mod provision;
pub mod queue;
pub mod reclaim;
mod secrets;
mod snapshot;
mod source;
mod taint;
pub mod volume;
mod watch;
