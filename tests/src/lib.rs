//! What the end-to-end tests share: a node to run the built `becket` on, callouts as the kubelet
//! makes them, CSI drivers as processes with sockets, and a fingerprint of everything that could have
//! changed.
//!
//! A node is a temporary directory. At its end, mounts and loop devices left there fail the test;
//! they are taken down before anything is deleted.

// What serves several tests: what it cannot do ends the test, with the place it happened at; what it does not
// test it says.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

pub mod csi_driver;
mod fingerprint;
mod kernel;
mod node;
mod options;
pub mod pattern;
pub mod process;
mod random;
pub mod requests;
mod run;
mod served;
mod share;
mod volume_group;

pub use csi_driver::CsiDriver;
pub use fingerprint::Fingerprint;
pub use kernel::{loop_files, mount, mounts, unmount, until};
pub use node::{Flex, Node};
pub use options::{Options, volume};
pub use random::Random;
pub use run::{Ran, Reply, start, start_within, status_of, talk};
pub use served::Served;
pub use share::Share;
pub use volume_group::VolumeGroup;

use std::path::{Path, PathBuf};

/// One MiB.
pub const MIB: u64 = 1 << 20;

/// The built program: the environment's `BECKET`, or else where cargo puts the release build.
pub fn binary() -> PathBuf {
    let built = format!("../target/{}-unknown-linux-musl/release/becket", std::env::consts::ARCH);
    let path = std::env::var_os("BECKET")
        .filter(|path| !path.is_empty())
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(built), PathBuf::from);
    path.canonicalize().unwrap_or_else(|error| {
        panic!("no becket at `{}` ({error}); run `cargo xtask test`", path.display())
    })
}

/// Ends the test where it could not judge anything.
pub fn need_root() {
    assert!(
        rustix::process::geteuid().is_root(),
        "these tests mount filesystems, which needs root; run `cargo xtask test` as root"
    );
}
