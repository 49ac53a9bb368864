//! A share of this machine's own NFS server, for the nfs driver.

use crate::node::Node;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Names a directory of this machine that its NFS server exports as its root, also to this machine.
const EXPORT: &str = "BECKET_NFS_EXPORT";

/// A directory of the export for a node's pool. When dropped it goes with all that is in it.
#[derive(Debug)]
pub struct Share {
    directory: PathBuf,
    path: String,
}

impl Share {
    /// An empty one of the node's own. `None` where this machine exports nothing, which is said.
    pub fn new(node: &Node) -> Option<Share> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = node.path("");
        let share =
            Share::named(&format!("{}-{number}", root.file_name().unwrap().to_string_lossy()));
        if share.is_none() {
            eprintln!("NOT TESTED: no NFS server here; `cargo xtask test-guest` has one");
        }
        share
    }

    /// An empty one of this name, which nothing in the export has. `None` where this machine exports nothing.
    pub fn named(name: &str) -> Option<Share> {
        let directory = PathBuf::from(std::env::var_os(EXPORT)?).join(name);
        std::fs::create_dir(&directory).unwrap();
        Some(Share { directory, path: format!("/{name}") })
    }

    /// What the server calls it in NFS 4, where the export is the root.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Where it lies on this machine, which is what the server calls it in NFS 3.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What `becket pool create` takes to make a pool in it.
    pub fn arguments(&self) -> [&str; 4] {
        ["--server", "127.0.0.1", "--share", &self.path]
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let removed = std::fs::remove_dir_all(&self.directory);
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}
