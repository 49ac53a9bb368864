//! The second process killed at any moment of its work: the retry finishes, and nothing is left.

use super::*;
use becket_core::engine::{APART, Publication};
use becket_sys::mountinfo;
use std::process::Command;

/// Milliseconds after which the process is killed, from its start to beyond its end: close together at
/// first for machines on which it takes 10 ms, and up to where slow ones are done.
const MOMENTS: [u64; 17] = [0, 1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 26, 34, 50, 80, 120];

/// Kills every second process of this one, and gives how many there were.
fn kill_second_processes() -> usize {
    let mut killed = 0;
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Ok(words) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let ours = words.split(|byte| *byte == 0).nth(1) == Some(APART.as_bytes());
        if ours && name.parse::<u32>().is_ok_and(|id| id != std::process::id()) {
            // Those that unmount are never killed by the engine either, but a node may lose power.
            let _ = Command::new("kill").args(["-9", &name]).output();
            killed += 1;
        }
    }
    killed
}

/// Runs `work`, kills its process after `moment` milliseconds, lets it finish, and gives how many were
/// killed.
fn killed_and_again<T>(
    what: &str,
    moment: u64,
    work: impl Fn() -> becket_core::Result<T> + Sync,
) -> usize {
    let killed = std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = work();
        });
        std::thread::sleep(Duration::from_millis(moment));
        kill_second_processes()
    });
    if let Err(error) = work() {
        panic!("{what}, killed after {moment} ms, does not finish: {error}");
    }
    killed
}

#[test]
fn what_is_killed_is_finished_by_the_retry() {
    let Some(server) = Server::start() else { return };
    let (directory, share) = server.directory();
    let node = Node::new();
    let engine = node.engine();
    let at_share = pool_at(&share, &[]);
    let (pool, name) = (&at_share.name, named("v"));
    let (staging, target) = (node.target("staged"), node.target("pod"));
    let how = Publication::default();
    let mut new = volume("v");
    for (key, value) in
        [("subdirectory", "{namespace}/{claim}"), ("namespace", "web"), ("claim", "logs")]
    {
        new.parameters.insert(key.to_owned(), value.to_owned());
    }

    let mut killed = 0;
    for (round, moment) in MOMENTS.into_iter().enumerate() {
        let again = |what, work: &(dyn Fn() -> becket_core::Result<()> + Sync)| {
            killed_and_again(what, moment, work)
        };
        killed += again("making the pool", &|| engine.create_pool(&at_share).map(drop));
        killed += again("making a volume", &|| engine.create(pool, &new).map(drop));
        killed += again("staging", &|| engine.stage(pool, &name, &staging));
        killed += again("publishing", &|| engine.publish(pool, &name, &staging, &target, &how));
        std::fs::write(target.path().join("file"), format!("round {round}")).unwrap();
        killed += again("withdrawing", &|| engine.withdraw(pool, &name, &target));
        killed += again("unstaging", &|| engine.unstage(pool, &name, &staging));
        let snapshot = named(&format!("s{round}"));
        killed += again("a snapshot", &|| engine.create_snapshot(pool, &snapshot, &name).map(drop));
        killed += again("deleting", &|| engine.delete(pool, &name).map(drop));
        let kept = directory.join(format!("snapshots/s{round}/data/file"));
        assert_eq!(std::fs::read_to_string(kept).unwrap(), format!("round {round}"));
        killed += again("emptying the trash", &|| engine.empty_trash(pool, true).map(drop));
        killed +=
            again("deleting the snapshot", &|| engine.delete_snapshot(pool, &snapshot).map(drop));
    }
    eprintln!("    {killed} killed");
    assert!(killed > 40, "hardly anything was killed");
    engine.empty_trash(pool, true).unwrap();
    engine.reconcile(pool).unwrap();
    let left = mountinfo::read().unwrap();
    let left = left.iter().filter(|entry| entry.is_nfs()).map(|entry| &entry.point);
    assert_eq!(left.count(), 0, "mounts are left");
    for area in ["preparing/volumes", "preparing/snapshots", "trash", "volumes"] {
        let left: Vec<_> = std::fs::read_dir(directory.join(area)).unwrap().collect();
        assert!(left.is_empty(), "{area} has {left:?}");
    }
    assert!(!directory.join("web").exists());
}
