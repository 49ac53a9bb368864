//! A server that hangs under twenty mounts: the node goes on without it.

use super::*;
use becket_backends::Directory;
use becket_core::Kind;
use becket_core::engine::Publication;
use becket_core::record::PoolRecord;
use becket_sys::mountinfo;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const MOUNTS: usize = 20;

/// Longer than one operation may take that finds its server hanging.
const BOUNDED: Duration = Duration::from_secs(40);

fn volume_name(number: usize) -> Name {
    named(&format!("v{number}"))
}

/// Publishes and unpublishes a volume of this node until told to stop, and gives the slowest time.
fn local_life(node: &Node, stop: &AtomicBool) -> Duration {
    let backends: Vec<Box<dyn Backend>> = vec![Box::new(Directory), Box::new(Nfs::apart())];
    let engine = Engine::new(State::new(node.directory.path().join("state")), backends);
    let pool = engine.create_pool(&NewPool::new(named("local"), "directory")).unwrap();
    engine.create(&pool.name, &volume("l")).unwrap();
    let (staging, target) = (node.target("local/staged"), node.target("local/pod"));
    engine.stage(&pool.name, &named("l"), &staging).unwrap();
    let mut slowest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let begun = Instant::now();
        let how = Publication::default();
        engine.publish(&pool.name, &named("l"), &staging, &target, &how).unwrap();
        engine.withdraw(&pool.name, &named("l"), &target).unwrap();
        slowest = slowest.max(begun.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    engine.unstage(&pool.name, &named("l"), &staging).unwrap();
    slowest
}

/// A workload that writes and waits for the server.
fn writer(at: &Path) -> Child {
    let script = format!("echo lost > {0}/file; sync {0}/file", at.display());
    Command::new("sh").args(["-c", &script]).spawn().unwrap()
}

fn end_pods(node: &Node, pool: &PoolRecord) {
    let engine = node.engine();
    for number in 0..MOUNTS {
        let (target, staging) =
            (node.target(&format!("pod/{number}")), node.target(&format!("staged/{number}")));
        let begun = Instant::now();
        engine.withdraw(&pool.name, &volume_name(number), &target).unwrap();
        engine.unstage(&pool.name, &volume_name(number), &staging).unwrap();
        assert!(begun.elapsed() < BOUNDED, "pod {number} took {:?}", begun.elapsed());
    }
}

#[test]
fn local_volumes_go_on_and_pods_end_while_a_server_hangs_under_twenty_mounts() {
    let Some(server) = Server::start() else { return };
    let (directory, share) = server.directory();
    let node = Node::new();
    let engine = node.engine();
    let pool = engine.create_pool(&pool_at(&share, &[])).unwrap();
    for number in 0..MOUNTS {
        let (name, new) = (volume_name(number), volume(&format!("v{number}")));
        let (staging, target) =
            (node.target(&format!("staged/{number}")), node.target(&format!("pod/{number}")));
        engine.create(&pool.name, &new).unwrap();
        engine.stage(&pool.name, &name, &staging).unwrap();
        engine.publish(&pool.name, &name, &staging, &target, &Publication::default()).unwrap();
    }
    let hung = server.hang();
    let mut writers: Vec<Child> =
        (0..3).map(|number| writer(&node.target(&format!("pod/{number}")).path())).collect();
    std::thread::sleep(Duration::from_millis(500));

    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let local = scope.spawn(|| local_life(&node, &stop));
        let begun = Instant::now();
        let looked = engine.find_volume(&pool.name, &volume_name(0)).unwrap_err();
        assert_eq!(looked.kind(), Kind::Unavailable, "{looked}");
        let usage = engine.usage(&pool.name, &volume_name(0), &node.target("pod/0")).unwrap_err();
        assert_eq!(usage.kind(), Kind::Unavailable, "{usage}");
        eprintln!("    told after {} ms: {looked}", begun.elapsed().as_millis());
        let begun = Instant::now();
        end_pods(&node, &pool);
        eprintln!("    {MOUNTS} pods ended after {} ms", begun.elapsed().as_millis());
        stop.store(true, Ordering::Relaxed);
        let slowest = local.join().unwrap();
        eprintln!("    the slowest local publication took {} ms", slowest.as_millis());
        assert!(slowest < Duration::from_secs(2), "local volumes waited for the server");
    });
    let left = mountinfo::read().unwrap();
    let left: Vec<_> = left.iter().filter(|entry| entry.point.starts_with(node.root())).collect();
    assert!(left.is_empty(), "{left:?}");
    drop(hung);
    server.resume();
    for writer in &mut writers {
        let _ = writer.kill();
        let _ = writer.wait();
    }
    assert_eq!(engine.volumes(&pool.name).unwrap().len(), MOUNTS);
    assert!(directory.join("volumes/v0/data").is_dir());
}
