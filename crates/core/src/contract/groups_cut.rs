//! The cut of a group: one moment of all volumes that are written to, or a refusal that leaves nothing.

use super::copies::restore;
use super::*;
use crate::record::{GroupMembership, OriginKind, SnapshotRecord};
use becket_sys::freeze;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(super) const CHECKS: &[Check] = &[
    (a_group_is_one_moment_of_all, "a group is one moment of all volumes that are written to"),
    (one_in_use_is_enough_for_its_own_rules, "one volume in use beside others at rest is taken"),
    (what_cannot_be_held_still_is_refused, "volumes that cannot be held still are refused"),
    (a_freeze_that_ends_early_leaves_nothing, "a freeze that ends early leaves nothing"),
];

/// Two volumes that nobody uses, `a` and `b`.
pub(super) fn pair(ground: &Ground) {
    ground.create("a", ground.any());
    ground.create("b", ground.any());
}

/// Members named after their group and volume.
pub(super) fn members(group: &str, volumes: &[&str]) -> Vec<(Name, Name)> {
    let member = |volume: &&str| (named(&format!("{group}-{volume}")), named(volume));
    volumes.iter().map(member).collect()
}

pub(super) fn take(ground: &Ground, group: &str, volumes: &[&str]) -> Vec<SnapshotRecord> {
    let members = members(group, volumes);
    let taken = ground.engine().create_group_snapshot(&ground.pool, &named(group), &members);
    must(taken, "take a group snapshot")
}

pub(super) fn group(ground: &Ground, name: &str) -> Vec<SnapshotRecord> {
    must(ground.engine().group(&ground.pool, &named(name)), "look up a group")
}

/// Asserts that nobody is shown anything of the group of `a` and `b`, nor of its preparation.
#[track_caller]
pub(super) fn expect_nothing_left(ground: &Ground, group: &str) {
    let engine = ground.engine();
    refused(engine.group(&ground.pool, &named(group)), Kind::NotFound, "a group that is not whole");
    for (snapshot, _) in members(group, &["a", "b"]) {
        refused(engine.snapshot(&ground.pool, &snapshot), Kind::NotFound, "a member of it");
    }
    let listed = engine.snapshots(&ground.pool).unwrap();
    let of_it = |record: &&SnapshotRecord| {
        record.group.as_ref().is_some_and(|of| of.name.as_str() == group)
    };
    assert_eq!(listed.iter().find(of_it), None, "a member is listed");
}

/// What a kill between two commits leaves of a group of `a` and `b`: the first is visible, the second
/// hidden. Gives the identity of the first.
pub(super) fn cut_halfway(ground: &Ground, group: &str) -> uuid::Uuid {
    let (pool, engine) = (ground.pool(), ground.engine());
    let (catalog, progress) = (ground.backend.catalog(), crate::progress::Logged::default());
    let named_members = members(group, &["a", "b"]);
    let of = GroupMembership {
        name: named(group),
        uuid: uuid::Uuid::new_v4(),
        members: named_members.iter().map(|(snapshot, _)| snapshot.clone()).collect(),
    };
    let mut first = None;
    for (snapshot, volume) in &named_members {
        let volume = ground.record(volume.as_str());
        // The record of a real snapshot, with another identity.
        let model = named("model");
        let model = must(engine.create_snapshot(&ground.pool, &model, &volume.name), "snapshot");
        must(engine.delete_snapshot(&ground.pool, &model.name), "delete it");
        let (name, uuid) = (snapshot.clone(), uuid::Uuid::new_v4());
        let record = SnapshotRecord { name, uuid, group: Some(of.clone()), ..model };
        must(catalog.begin_snapshot(&pool, &record), "begin");
        must(ground.backend.copy_to_snapshot(&pool, &volume, &record, &progress), "copy");
        if first.is_none() {
            must(catalog.commit_snapshot(&pool, &record), "commit the first");
            first = Some(record.uuid);
        }
    }
    must(engine.empty_trash(&ground.pool, true), "empty the trash");
    first.unwrap()
}

/// Appends each number to the first file and then to the second, each time synced, until told to stop.
fn keep_writing(files: [&Path; 2], stop: &AtomicBool, done: &AtomicU64) {
    let mut logs = files.map(|file| File::create(file).unwrap());
    for number in 1u64.. {
        for log in &mut logs {
            log.write_all(&number.to_le_bytes()).unwrap();
            log.sync_data().unwrap();
        }
        done.store(number, Ordering::Relaxed);
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// The last number of a log, which has all before it.
fn last_number(file: &Path) -> u64 {
    let bytes = std::fs::read(file).unwrap();
    let numbers = bytes.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
    // What came after the last sync may read as zeros, as after a power cut.
    let numbers: Vec<u64> = numbers.take_while(|number| *number != 0).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "the log has a gap");
    numbers.len() as u64
}

fn a_group_is_one_moment_of_all(ground: &Ground) {
    let abilities = ground.backend.abilities(&ground.pool()).unwrap();
    if !(abilities.snapshots_in_use && abilities.snapshots_while_frozen) {
        return;
    }
    // Two kinds of filesystem, where this host has two, and a volume that nobody uses.
    let (first, last) = (ground.mountable().next().unwrap(), ground.mountable().nth(1));
    ground.create("a", first);
    ground.create("b", last.unwrap_or(first));
    ground.create("rest", ground.any());
    let pods = ["a", "b"].map(|name| {
        ground.stage(name);
        ground.publish(name, &format!("pod-{name}"), false)
    });
    let logs = pods.each_ref().map(|pod| pod.join("log"));
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    const ROUNDS: usize = 4;
    let least: Vec<u64> = std::thread::scope(|scope| {
        scope.spawn(|| keep_writing([&logs[0], &logs[1]], &stop, &done));
        let round = |round| {
            std::thread::sleep(Duration::from_millis(20));
            let least = done.load(Ordering::Relaxed);
            take(ground, &format!("g{round}"), &["b", "rest", "a"]);
            least
        };
        let least = (0..ROUNDS).map(round).collect();
        stop.store(true, Ordering::Relaxed);
        least
    });
    for (round, least) in least.into_iter().enumerate() {
        let [one, other] = ["a", "b"].map(|volume| {
            let copy = format!("{volume}{round}");
            restore(ground, OriginKind::Snapshot, &format!("g{round}-{volume}"), &copy);
            let last = last_number(&ground.stage(&copy).join("log"));
            ground.unstage(&copy);
            ground.discard(&copy);
            last
        });
        assert!(other >= least, "{other} of {least} that were synced before are there");
        assert!(one == other || one == other + 1, "one has {one} numbers and the other {other}");
    }
    for (name, pod) in ["a", "b"].into_iter().zip(pods) {
        write(&pod.join("alive"), b"it can still be written");
        ground.unpublish(&format!("pod-{name}"));
        ground.unstage(name);
    }
    ground.expect_at_rest("a");
}

fn one_in_use_is_enough_for_its_own_rules(ground: &Ground) {
    pair(ground);
    ground.stage("a");
    let (engine, members) = (ground.engine(), members("g", &["b", "a"]));
    let taken = engine.create_group_snapshot(&ground.pool, &named("g"), &members);
    match ground.copies_in_use() {
        true => drop(must(taken, "take a group of which one is in use")),
        false => {
            refused(taken, Kind::WrongState, "a group of a directory in use");
            expect_nothing_left(ground, "g");
        }
    }
    ground.unstage("a");
}

fn what_cannot_be_held_still_is_refused(ground: &Ground) {
    pair(ground);
    let mut used = vec!["a", "b"];
    for name in ["a", "b"] {
        ground.stage(name);
    }
    if ground.any() != Content::Directory {
        // A filesystem that is in sight, and one that something else is mounted over.
        mount_foreign(&ground.staging("b").path());
        if ground.contents.contains(&Content::Block) {
            ground.create("device", Content::Block);
            ground.stage("device");
            used.push("device");
        }
    }
    let engine = ground.engine();
    for other in &used[1..] {
        let both = members("g", &["a", other]);
        let taken = engine.create_group_snapshot(&ground.pool, &named("g"), &both);
        let error = refused(taken, Kind::WrongState, "a group that cannot be held still");
        assert!(
            error.message().contains(*other) || *other == "b",
            "which one is not told: {error}"
        );
        assert!(error.advice().is_some(), "no hint says what to do: {error}");
        expect_nothing_left(ground, "g");
        let catalog = ground.backend.catalog();
        assert!(catalog.preparing_snapshots(&ground.pool()).unwrap().is_empty(), "copies are left");
    }
    let _ = mount::unmount(&ground.staging("b").path());
    used.iter().for_each(|name| ground.unstage(name));
    used.iter().for_each(|name| ground.expect_at_rest(name));
    take(ground, "g", &used);
}

/// As if an operator, or the guard's deadline, had thawed one of them during the cut.
fn a_freeze_that_ends_early_leaves_nothing(ground: &Ground) {
    let abilities = ground.backend.abilities(&ground.pool()).unwrap();
    if !(abilities.snapshots_in_use && abilities.snapshots_while_frozen) {
        return;
    }
    pair(ground);
    let pods = ["a", "b"].map(|name| ground.stage(name));
    let root = File::open(&pods[1]).unwrap();
    let (engine, stop) = (ground.engine(), AtomicBool::new(false));
    let mut refusals = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = freeze::thaw(&root, Path::new("b"));
            }
        });
        // Who is quicker is chance, so it is tried until several freezes were broken.
        for _ in 0..20 {
            if refusals == 4 {
                break;
            }
            let both = members("g", &["a", "b"]);
            match engine.create_group_snapshot(&ground.pool, &named("g"), &both) {
                Err(error) => {
                    assert_eq!(error.kind(), Kind::Timeout, "{error}");
                    expect_nothing_left(ground, "g");
                    refusals += 1;
                }
                // It was quicker than the one who thaws.
                Ok(_) => {
                    must(engine.delete_group_snapshot(&ground.pool, &named("g")), "delete");
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(refusals > 0, "a freeze that was broken was never noticed");
    for pod in &pods {
        write(&pod.join("alive"), b"not frozen any more");
    }
    drop(root);
    let marks = ground.pool().locks.names().unwrap();
    assert!(!marks.iter().any(|name| name.ends_with(".frozen")), "marks are left: {marks:?}");
    take(ground, "g", &["a", "b"]);
    for name in ["a", "b"] {
        ground.unstage(name);
    }
}
