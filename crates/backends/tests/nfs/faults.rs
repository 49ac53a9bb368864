//! Servers that are not there, not willing or not what they were: a clear error in bounded time each.

use super::server::must;
use super::*;
use becket_core::engine::{Expected, NewPool, Publication};
use becket_core::record::PoolRecord;
use becket_core::{Error, Kind};
use becket_sys::{Errno, mountinfo};
use std::time::Instant;

/// Longer than any of our deadlines for a server that does not answer, and shorter than the kernel's.
const BOUNDED: Duration = Duration::from_secs(40);

/// Asserts that `what` is an error of `kind`, told in bounded time and with `words` in it.
#[track_caller]
fn refused<T: std::fmt::Debug>(
    what: impl FnOnce() -> becket_core::Result<T>,
    kind: Kind,
    words: &str,
) -> Error {
    let begun = Instant::now();
    let error = what().unwrap_err();
    eprintln!("    {:?} after {} ms: {error}", error.kind(), begun.elapsed().as_millis());
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(words), "`{words}` is not in: {error}");
    assert!(begun.elapsed() < BOUNDED, "it took {:?}", begun.elapsed());
    error
}

fn mounts_below(path: &Path) -> usize {
    mountinfo::read().unwrap().iter().filter(|entry| entry.point.starts_with(path)).count()
}

/// A pool with a volume `v` that is staged at `staged` and published at `pod`.
fn published(server: &Server, node: &Node, more: &[(&str, &str)]) -> (PathBuf, PoolRecord) {
    let (directory, share) = server.directory();
    let engine = node.engine();
    let pool = engine.create_pool(&pool_at(&share, more)).unwrap();
    engine.create(&pool.name, &volume("v")).unwrap();
    let staging = node.target("staged");
    engine.stage(&pool.name, &named("v"), &staging).unwrap();
    publish(node, &pool, "pod").unwrap();
    (directory, pool)
}

fn publish(node: &Node, pool: &PoolRecord, at: &str) -> becket_core::Result<()> {
    let (staging, target) = (node.target("staged"), node.target(at));
    node.engine().publish(&pool.name, &named("v"), &staging, &target, &Publication::default())
}

#[test]
fn a_server_that_refuses_is_unreachable_or_slow_is_told_as_such() {
    let Some(server) = Server::start() else { return };
    let node = Node::new();
    let create = |server: &str| {
        let mut new = pool_at("/x", &[]);
        new.parameters.insert("server".into(), server.into());
        node.engine().create_pool(&new)
    };
    refused(|| create("127.7.7.7"), Kind::Unavailable, "no such path");
    refused(|| create("192.0.2.1"), Kind::Unavailable, "no way to");
    refused(|| create("no.such.host.invalid"), Kind::Unavailable, "name");
    let hung = server.hang();
    refused(|| create("127.0.0.1"), Kind::Unavailable, "did not answer");
    drop(hung);
    refused(|| create("127.0.0.1"), Kind::Unavailable, "refuses");
    server.resume();
}

#[test]
fn a_stopped_server_refuses_new_work_and_lets_pods_end() {
    let Some(server) = Server::start() else { return };
    let node = Node::new();
    let (_, pool) = published(&server, &node, &[("options", "timeo=20")]);
    std::fs::write(node.target("pod").path().join("file"), vec![7; 1 << 20]).unwrap();
    server.stop();
    let engine = node.engine();
    let name = named("v");
    refused(|| engine.create(&pool.name, &volume("w")), Kind::Unavailable, "refuses");
    refused(|| engine.find_volume(&pool.name, &name), Kind::Unavailable, "refuses");
    refused(|| publish(&node, &pool, "second"), Kind::Unavailable, "refuses");
    refused(|| engine.delete(&pool.name, &name), Kind::Unavailable, "refuses");
    let begun = Instant::now();
    engine.withdraw(&pool.name, &name, &node.target("pod")).unwrap();
    engine.unstage(&pool.name, &name, &node.target("staged")).unwrap();
    eprintln!("    unmounted after {} ms", begun.elapsed().as_millis());
    assert!(begun.elapsed() < BOUNDED);
    assert_eq!(mounts_below(&node.root()), 0);
    server.resume();
    assert!(engine.find_volume(&pool.name, &name).unwrap().is_some());
}

#[test]
fn what_a_dead_server_keeps_busy_is_unmounted_all_the_same() {
    let Some(server) = Server::start() else { return };
    let node = Node::new();
    let (_, pool) = published(&server, &node, &[]);
    let path = node.target("pod").path();
    // A workload with an open file, and data that is not yet on the server.
    let mut file = std::fs::File::create(path.join("file")).unwrap();
    std::io::Write::write_all(&mut file, &vec![7; 4 << 20]).unwrap();
    server.stop();
    let engine = node.engine();
    let begun = Instant::now();
    engine.unpublish(&node.target("pod")).unwrap();
    engine.unstage(&pool.name, &named("v"), &node.target("staged")).unwrap();
    eprintln!("    unmounted after {} ms", begun.elapsed().as_millis());
    assert!(begun.elapsed() < BOUNDED, "{:?}", begun.elapsed());
    assert_eq!(mounts_below(&node.root()), 0);
    server.resume();
    drop(file);
}

#[test]
fn a_busy_mount_of_a_server_that_is_there_is_not_taken_away() {
    let Some(server) = Server::start() else { return };
    let node = Node::new();
    let (_, _pool) = published(&server, &node, &[]);
    let file = std::fs::File::create(node.target("pod").path().join("file")).unwrap();
    refused(|| node.engine().unpublish(&node.target("pod")), Kind::InUse, "busy");
    assert_eq!(mounts_below(&node.target("pod").path()), 1);
    drop(file);
    node.engine().unpublish(&node.target("pod")).unwrap();
}

#[test]
fn exports_that_do_not_do_are_refused() {
    let Some(server) = Server::start() else { return };
    let node = Node::new();
    let create =
        |share: &str, more: &[(&str, &str)]| node.engine().create_pool(&pool_at(share, more));
    refused(|| create("/readonly", &[]), Kind::WrongState, "read-only");
    refused(|| create("/squashed", &[]), Kind::Denied, "no_root_squash");
    refused(|| create("/nowhere", &[]), Kind::Unavailable, "no such path");
    refused(|| create("/", &[]), Kind::Conflict, "not empty");
    refused(|| create("/squashed", &[("version", "2")]), Kind::Invalid, "version");
    refused(|| create("/x", &[("options", "addr=1.1.1.1")]), Kind::Invalid, "not allowed");
    refused(|| create("/x", &[("colour", "red")]), Kind::Invalid, "colour");
    assert_eq!(std::fs::read_dir(server.root().join("squashed")).unwrap().count(), 0);
    assert!(node.engine().pools().unwrap().is_empty(), "a pool that was refused is known");
}

#[test]
fn a_link_in_the_place_of_a_volume_is_not_followed() {
    let Some(server) = Server::start() else { return };
    let node = Node::new();
    let (directory, share) = server.directory();
    let engine = node.engine();
    let pool = engine.create_pool(&pool_at(&share, &[])).unwrap();
    engine.create(&pool.name, &volume("v")).unwrap();
    let data = directory.join("volumes/v/data");
    std::fs::remove_dir(&data).unwrap();
    std::os::unix::fs::symlink("/etc", &data).unwrap();
    let stage = || engine.stage(&pool.name, &named("v"), &node.target("staged"));
    refused(stage, Kind::Invalid, "data");
    std::fs::remove_file(&data).unwrap();
    refused(stage, Kind::WrongState, "missing");
    assert_eq!(mounts_below(&node.root()), 0);
}

#[test]
fn a_stale_mount_is_mended_by_the_next_publication() {
    let Some(server) = Server::start() else { return };
    let node = Node::new();
    let (directory, pool) = published(&server, &node, &[]);
    // Restored from a backup while the server was away: the same names, and other files.
    server.stop();
    let moved = directory.with_extension("old");
    std::fs::rename(&directory, &moved).unwrap();
    must(&format!(
        "cp -a {} {} && rm -r {}",
        moved.display(),
        directory.display(),
        moved.display()
    ));
    server.resume();
    // What was listed before is known without the server; space is not.
    let pod = node.target("pod").path();
    assert_eq!(rustix::fs::statvfs(&pod).err(), Some(Errno::STALE), "the mount is not stale");
    for at in ["pod", "second"] {
        publish(&node, &pool, at).unwrap();
        std::fs::write(node.target(at).path().join(at), b"again").unwrap();
        assert!(directory.join("volumes/v/data").join(at).is_file());
    }
    let engine = node.engine();
    for at in ["pod", "second"] {
        engine.unpublish(&node.target(at)).unwrap();
    }
    engine.unstage(&pool.name, &named("v"), &node.target("staged")).unwrap();
    assert_eq!(mounts_below(&node.root()), 0);
}

#[test]
fn an_empty_export_is_no_new_pool_where_one_is_expected() {
    let Some(server) = Server::start() else { return };
    let (directory, share) = server.directory();
    let (maker, other) = (Node::new(), Node::new());
    let expecting = |expected| NewPool { expected, ..pool_at(&share, &[]) };
    let existing = expecting(Expected::Existing);
    refused(|| other.engine().create_pool(&existing), Kind::Unavailable, "holds no pool");
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "something was made");
    let made = maker.engine().create_pool(&pool_at(&share, &[])).unwrap();
    let wrong = expecting(Expected::This(uuid::Uuid::nil()));
    refused(|| other.engine().create_pool(&wrong), Kind::Conflict, "another pool");
    assert!(other.engine().pools().unwrap().is_empty(), "a wrong pool is known from then on");
    let right = expecting(Expected::This(made.uuid));
    assert_eq!(other.engine().create_pool(&right).unwrap().uuid, made.uuid);
    assert_eq!(other.engine().create_pool(&existing).unwrap().uuid, made.uuid);
}

#[test]
fn an_export_that_shows_another_pool_proves_nothing() {
    let Some(server) = Server::start() else { return };
    let node = Node::new();
    let (directory, pool) = published(&server, &node, &[]);
    let engine = node.engine();
    engine.unpublish(&node.target("pod")).unwrap();
    engine.unstage(&pool.name, &named("v"), &node.target("staged")).unwrap();
    let record = std::fs::read_to_string(directory.join("pool.json")).unwrap();
    let other = record.replace(&pool.uuid.to_string(), "00000000-0000-4000-8000-000000000000");
    std::fs::write(directory.join("pool.json"), other).unwrap();
    refused(|| engine.delete(&pool.name, &named("v")), Kind::Unavailable, "another pool");
    std::fs::remove_file(directory.join("pool.json")).unwrap();
    refused(|| engine.delete(&pool.name, &named("v")), Kind::Unavailable, "no pool");
    assert!(directory.join("volumes/v/data").is_dir());
    // What was in the share is not taken for a new pool's either.
    let again = engine.create_pool(&pool_at(&format!("/{}", "x"), &[]));
    assert!(again.is_err());
    assert!(engine.forget_pool(&pool.name).unwrap());
    assert!(engine.pools().unwrap().is_empty());
}
