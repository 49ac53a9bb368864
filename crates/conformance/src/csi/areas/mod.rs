//! The checks, by area, in the order in which they run.

mod allocated;
mod answers;
mod attach;
mod block;
mod capacity;
mod claims;
mod clone;
mod concurrency;
mod crash;
mod create;
mod delete;
mod delta;
mod ephemeral;
mod expand;
mod expand_node;
mod expand_refused;
mod groups;
mod health;
mod identity;
mod list;
mod malformed;
mod missing;
mod missing_node;
mod modify;
mod mount;
mod names;
mod pages;
mod publish;
mod publish_table;
mod range;
mod restore;
mod same_name;
mod snapshots;
mod stage;
mod stats;
mod topology;
mod unknown;
mod unpublish;
mod validate;
mod write_order;

use super::check::{Area, Check};

const AREAS: &[(Area, &[&[Check]])] = &[
    (Area::Identity, &[identity::CHECKS, claims::CHECKS]),
    (
        Area::Requests,
        &[missing::CHECKS, missing_node::CHECKS, malformed::CHECKS, names::CHECKS, unknown::CHECKS],
    ),
    (
        Area::Controller,
        &[
            create::CHECKS,
            range::CHECKS,
            same_name::CHECKS,
            topology::CHECKS,
            validate::CHECKS,
            list::CHECKS,
            capacity::CHECKS,
            attach::CHECKS,
            modify::CHECKS,
            delete::CHECKS,
        ],
    ),
    (Area::Snapshots, &[snapshots::CHECKS, restore::CHECKS, clone::CHECKS]),
    (Area::Groups, &[groups::CHECKS, write_order::CHECKS]),
    (
        Area::Node,
        &[
            stage::CHECKS,
            publish::CHECKS,
            mount::CHECKS,
            block::CHECKS,
            unpublish::CHECKS,
            stats::CHECKS,
            ephemeral::CHECKS,
        ],
    ),
    (Area::Publish, &[publish_table::CHECKS]),
    (Area::Metadata, &[allocated::CHECKS, delta::CHECKS]),
    (Area::Health, &[health::CHECKS]),
    (Area::Expansion, &[expand::CHECKS, expand_node::CHECKS, expand_refused::CHECKS]),
    (Area::Pagination, &[pages::CHECKS]),
    (Area::Concurrency, &[concurrency::CHECKS]),
    (Area::Crash, &[crash::CHECKS]),
    (Area::Answers, &[answers::CHECKS]),
];

/// All checks with their areas.
pub(super) fn all() -> impl Iterator<Item = (Area, &'static Check)> {
    AREAS.iter().flat_map(|(area, tables)| {
        tables.iter().flat_map(|table| table.iter()).map(|check| (*area, check))
    })
}
