//! The table: every fault with the checks that must find it.

mod controller;
mod crash;
mod create;
mod expansion;
mod forgiving;
mod forgiving_node;
mod groups;
mod health;
mod identity;
mod lists;
mod names;
mod node;
mod publish;
mod snapshots;
mod staged;
mod together;
mod unpublish;

use crate::fault::Fault;

/// All faults of one part of the table.
pub type Part = fn() -> Vec<Fault>;

pub const IDENTITY: Part = identity::faults;
pub const REQUESTS: &[Part] = &[forgiving::faults, forgiving_node::faults, names::faults];
pub const CONTROLLER: &[Part] = &[create::faults, controller::faults, lists::faults];
pub const SNAPSHOTS: &[Part] = &[snapshots::faults, groups::faults, health::faults];
pub const NODE: &[Part] = &[staged::faults, node::faults, unpublish::faults, publish::faults];
pub const REST: &[Part] = &[expansion::faults, together::faults];
pub const CRASH: Part = crash::faults;

/// Every fault there is.
pub fn all() -> Vec<Fault> {
    let parts = [REQUESTS, CONTROLLER, SNAPSHOTS, NODE, REST, &[IDENTITY, CRASH]];
    parts.into_iter().flatten().flat_map(|part| part()).collect()
}
