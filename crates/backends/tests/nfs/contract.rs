//! The contract that every backend keeps, on a file server.

use super::*;
use becket_core::contract::{self, Ground};

/// A fresh pool in a directory of its own on the server.
fn ground(server: &Server, version: &str) -> Ground {
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
    Ground {
        thick: false,
        engines,
        contents: Nfs::here().contents().to_vec(),
        backend: Box::new(Nfs::here()),
        pool: new.name,
        place: Some(path),
        root,
        limits: false,
        keep: Box::new(node),
    }
}

#[test]
fn nfs_keeps_the_contract_on_version_4_2() {
    let Some(server) = Server::start() else { return };
    contract::run(&|| ground(&server, "4.2"));
}

#[test]
fn nfs_keeps_the_contract_on_version_3() {
    let Some(server) = Server::start() else { return };
    contract::run(&|| ground(&server, "3"));
}
