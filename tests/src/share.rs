//! A share of this machine's own NFS server, for the nfs driver.

use crate::node::Node;
use std::path::PathBuf;

/// Names a directory of this machine that its NFS server exports as its root, also to this machine.
const EXPORT: &str = "BECKET_NFS_EXPORT";

/// A directory of the export for a node's pool. When dropped it goes with all that is in it.
#[derive(Debug)]
pub struct Share {
    directory: PathBuf,
    path: String,
}

impl Share {
    /// An empty one. `None` where this machine exports nothing, which is said.
    pub fn new(node: &Node) -> Option<Share> {
        let Some(export) = std::env::var_os(EXPORT) else {
            eprintln!("NOT TESTED: no NFS server here; `cargo xtask test-guest` has one");
            return None;
        };
        let root = node.path("");
        let name = root.file_name().unwrap();
        let directory = PathBuf::from(export).join(name);
        std::fs::create_dir(&directory).unwrap();
        Some(Share { directory, path: format!("/{}", name.display()) })
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
