//! The contract of a backend (`becket_core::contract`), kept by `lvm` with thick and with thin volumes, and
//! what is LVM's own. Needs root and a kernel with a device mapper: `cargo xtask guest` has one.

// Tests: a panic with a clear message is how they tell.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod group;
mod scratch;

use becket_core::contract;
use becket_core::record::Content;
use group::Group;

/// Every check on a new volume group each. The contents are spread over the tests: all of them in both would
/// take a guest half an hour.
fn each_check(thin: bool, contents: &[Content]) {
    if group::can_run() {
        contract::run(&|| Group::new(3 << 30).ground(thin, contents));
    }
}

#[test]
fn thick_volumes_keep_the_contract() {
    each_check(false, &[Content::Ext4, Content::Block]);
}

#[test]
fn thin_volumes_keep_the_contract() {
    each_check(true, &[Content::Xfs, Content::Block]);
}

mod lvm_encryption;
mod lvm_faults;
mod lvm_layout;
mod lvm_programs;
