//! The `nfs` backend on a real server and a real client, both this kernel's. Needs root and a kernel that
//! has NFS; elsewhere it says so and checks nothing.

// Tests: a panic with a clear message is how they tell.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod contract;
mod faults;
mod hanging;
mod images;
mod kills;
mod life;
mod places;
mod server;
mod shares;

use becket_backends::Nfs;
use becket_core::engine::{self, NewPool, NewVolume};
use becket_core::target::Target;
use becket_core::{Backend, Engine, Name, State};
use server::Server;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What an engine of these tests starts again: this program with this test's name, to do one operation.
#[test]
fn becket_operation_apart() {
    let arguments: Vec<_> = std::env::args_os().collect();
    if engine::apart_requested(&arguments) {
        let backends: Vec<Box<dyn Backend>> = vec![Box::new(Nfs::here())];
        let _ = engine::perform_apart(backends);
    }
}

/// A node with a state directory and a place for targets, which goes away when dropped.
pub(crate) struct Node {
    directory: tempfile::TempDir,
}

impl Node {
    pub(crate) fn new() -> Node {
        Node { directory: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn engine(&self) -> Engine {
        let backends: Vec<Box<dyn Backend>> = vec![Box::new(Nfs::apart())];
        Engine::new(State::new(self.directory.path().join("state")), backends)
            .waiting(Duration::from_secs(5))
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.directory.path().join("kubelet")
    }

    pub(crate) fn target(&self, relative: &str) -> Target {
        Target::beneath(&self.root(), &self.root().join(relative)).unwrap()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        unmount_below(self.directory.path());
    }
}

/// Unmounts everything below the path, the last mounted first.
fn unmount_below(path: &Path) {
    let table = becket_sys::mountinfo::read().unwrap();
    for entry in table.iter().rev().filter(|entry| entry.point.starts_with(path)) {
        let _ = becket_sys::mount::unmount_lazily(&entry.point);
    }
}

pub(crate) fn named(name: &str) -> Name {
    Name::new(name).unwrap()
}

/// A pool named `pool` at the share of the local server.
pub(crate) fn pool_at(share: &str, more: &[(&str, &str)]) -> NewPool {
    let mut new = NewPool::new(named("pool"), "nfs");
    let given = [("server", "127.0.0.1"), ("share", share)];
    for (key, value) in given.iter().chain(more) {
        new.parameters.insert((*key).to_owned(), (*value).to_owned());
    }
    new
}

/// A volume that is an image file of 64 MiB.
pub(crate) fn image(name: &str) -> NewVolume {
    let mut new = NewVolume::new(named(name), 64 << 20);
    new.parameters.insert("limit".to_owned(), "hard".to_owned());
    new
}

/// A volume without a limit.
pub(crate) fn volume(name: &str) -> NewVolume {
    NewVolume::new(named(name), 0)
}
