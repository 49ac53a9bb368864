//! The contract that every backend keeps, on a file server: for its directories, and for its images.

use super::*;
use becket_core::contract::{self, Ground};
use becket_core::record::Content;

/// A fresh pool in a directory of its own on the server, for volumes with this `limit`.
fn ground(server: &Server, version: &str, limit: &'static str) -> Ground {
    let (path, share) = server.directory();
    let share = if version == "3" { path.to_string_lossy().into_owned() } else { share };
    let node = Node::new();
    let state = node.directory.path().join("state");
    let engines = Box::new(move |wait: Duration| {
        let backends: Vec<Box<dyn Backend>> = vec![Box::new(Nfs::apart())];
        Engine::new(State::new(&state), backends).waiting(wait)
    });
    let new = pool_at(&share, &[("version", version)]);
    engines(Duration::ZERO).create_pool(&new).unwrap();
    let root = node.root();
    std::fs::create_dir(&root).unwrap();
    let hard = limit == "hard";
    let contents = Nfs::here().contents().iter().copied();
    Ground {
        thick: false,
        engines,
        contents: contents.filter(|content| hard != (*content == Content::Directory)).collect(),
        backend: Box::new(Nfs::here()),
        pool: new.name,
        place: Some(path.clone()),
        root,
        limits: hard,
        limit: Some(limit),
        keep: Box::new((node, Emptied(path.clone()))),
    }
}

/// A directory of the server that goes with all that is in it: what images hold is more than the server has
/// room for.
struct Emptied(PathBuf);

impl Drop for Emptied {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn nfs_keeps_the_contract_on_version_4_2() {
    let Some(server) = Server::start() else { return };
    contract::run(&|| ground(&server, "4.2", "none"));
}

#[test]
fn nfs_keeps_the_contract_on_version_3() {
    let Some(server) = Server::start() else { return };
    contract::run(&|| ground(&server, "3", "none"));
}

#[test]
fn images_on_nfs_keep_the_contract_on_version_4_2() {
    let Some(server) = Server::start() else { return };
    contract::run(&|| ground(&server, "4.2", "hard"));
}
