//! A volume's life on a file server, through the engine that frontends have.

use super::*;
use becket_core::Kind;
use becket_core::engine::Publication;
use becket_sys::mountinfo;

fn mounts_at(path: &Path) -> Vec<mountinfo::Entry> {
    mountinfo::read().unwrap().into_iter().filter(|entry| entry.point == path).collect()
}

fn a_life_with(version: &str) {
    let Some(server) = Server::start() else { return };
    let (directory, share) = server.directory();
    let share = match version {
        "3" => directory.to_string_lossy().into_owned(),
        _ => share,
    };
    let (node, name) = (Node::new(), named("v"));
    let engine = node.engine();
    let made = engine.create_pool(&pool_at(&share, &[("version", version)])).unwrap();
    assert_eq!(engine.create_pool(&pool_at(&share, &[("version", version)])).unwrap(), made);
    let record = engine.create(&made.name, &volume("v")).unwrap();
    assert_eq!(engine.volume(&made.name, &name).unwrap(), record);
    assert!(directory.join("volumes/v/data").is_dir());

    let (staging, target) = (node.target("staged"), node.target("pod/volume"));
    for _ in 0..2 {
        engine.stage(&made.name, &name, &staging).unwrap();
        engine.publish(&made.name, &name, &staging, &target, &Publication::default()).unwrap();
    }
    let mounted = mounts_at(&staging.path());
    assert_eq!(mounted.len(), 1);
    assert_eq!(mounted[0].source, Path::new(&format!("127.0.0.1:{share}/volumes/v/data")));
    assert_eq!(mounts_at(&target.path()).len(), 1);
    std::fs::write(target.path().join("file"), b"written by a pod").unwrap();
    assert_eq!(std::fs::read(directory.join("volumes/v/data/file")).unwrap(), b"written by a pod");
    assert_eq!(engine.delete(&made.name, &name).unwrap_err().kind(), Kind::InUse);
    assert!(engine.usage(&made.name, &name, &target).unwrap().total > 0);

    for _ in 0..2 {
        engine.unpublish(&target).unwrap();
        engine.unstage(&made.name, &name, &staging).unwrap();
    }
    assert!(mounts_at(&staging.path()).is_empty() && mounts_at(&target.path()).is_empty());
    assert!(engine.delete(&made.name, &name).unwrap());
    assert!(!engine.delete(&made.name, &name).unwrap());
    assert_eq!(engine.empty_trash(&made.name, true).unwrap().len(), 1);
    assert!(engine.delete_pool(&made.name).unwrap());
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0);
}

#[test]
fn a_volume_lives_and_goes_on_version_4_2() {
    a_life_with("4.2");
}

#[test]
fn a_volume_lives_and_goes_on_version_4_1() {
    a_life_with("4.1");
}

#[test]
fn a_volume_lives_and_goes_on_version_3() {
    a_life_with("3");
}
