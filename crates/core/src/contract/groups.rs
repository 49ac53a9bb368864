//! Group snapshots: one moment of several volumes, whole or not there.

use super::copies::restore;
use super::groups_cut::{cut_halfway, expect_nothing_left, group, members, pair, take};
use super::*;
use crate::engine::Outcome;
use crate::lock;
use crate::record::{OriginKind, SnapshotRecord};

pub(super) const CHECKS: &[Check] = &[
    (a_group_is_taken_once, "a group is taken once and of the same volumes"),
    (a_group_is_deleted_as_a_whole, "a group is deleted as a whole and brought back as a whole"),
    (members_are_snapshots_like_any_other, "members are snapshots like any other"),
    (what_is_wrong_is_refused, "a wrong group is refused and leaves nothing"),
    (half_a_cut_is_invisible, "half a cut is invisible, and a retry never mixes two cuts"),
    (half_a_deletion_is_finished, "half a deletion is invisible, and finished by a retry"),
    (reconcile_removes_half_a_group, "reconcile removes half a group and keeps a whole one"),
];

fn names(records: &[SnapshotRecord]) -> Vec<&str> {
    records.iter().map(|record| record.name.as_str()).collect()
}

fn a_group_is_taken_once(ground: &Ground) {
    pair(ground);
    ground.create("c", ground.any());
    let engine = ground.engine();
    refused(engine.group(&ground.pool, &named("g")), Kind::NotFound, "an absent group");
    let first = take(ground, "g", &["a", "b"]);
    assert_eq!(names(&first), ["g-a", "g-b"]);
    assert_eq!(first[0].created, first[1].created);
    assert_eq!(take(ground, "g", &["a", "b"]), first, "the second try took another group");
    assert_eq!(take(ground, "g", &["b", "a"]), first, "another order made another group");
    assert_eq!(group(ground, "g"), first);
    for others in [&["a"][..], &["a", "c"], &["a", "b", "c"]] {
        let other = engine.create_group_snapshot(&ground.pool, &named("g"), &members("g", others));
        refused(other, Kind::Conflict, "a group of that name of other volumes");
    }
    let alone = engine.create_snapshot(&ground.pool, &named("g-a"), &named("a"));
    refused(alone, Kind::Conflict, "a snapshot of a member's name");
    assert_eq!(group(ground, "g"), first);
    take(ground, "other", &["b", "c"]);
    // Once the volumes are gone, their names are all there is to compare.
    must(engine.delete(&ground.pool, &named("a")), "delete a volume");
    assert_eq!(take(ground, "g", &["a", "b"]), first);
    ground.create("a", ground.any());
    let new = engine.create_group_snapshot(&ground.pool, &named("g"), &members("g", &["a", "b"]));
    refused(new, Kind::Conflict, "a group of a new volume of the old name");
}

fn a_group_is_deleted_as_a_whole(ground: &Ground) {
    pair(ground);
    let engine = ground.engine();
    let taken = take(ground, "g", &["a", "b"]);
    let one = engine.delete_snapshot(&ground.pool, &named("g-a"));
    let error = refused(one, Kind::Invalid, "deleting a member");
    assert!(error.advice().is_some(), "no hint says what to do: {error}");
    let delete = || must(engine.delete_group_snapshot(&ground.pool, &named("g")), "delete");
    assert_eq!([delete(), delete()], [true, false]);
    expect_nothing_left(ground, "g");
    let trash = engine.trash(&ground.pool).unwrap();
    assert_eq!(trash.len(), 2, "{trash:?}");
    must(engine.restore_trash(&ground.pool, trash[1].id), "bring a group back");
    assert_eq!(group(ground, "g"), taken, "it came back otherwise");
    assert!(engine.trash(&ground.pool).unwrap().is_empty(), "some of it is still in the trash");
    // Not over one that was made since, and not in part.
    delete();
    take(ground, "g", &["a", "b"]);
    let trash = engine.trash(&ground.pool).unwrap();
    let over = engine.restore_trash(&ground.pool, trash[0].id);
    refused(over, Kind::Conflict, "bringing a group back over a new one");
    must(ground.backend.catalog().purge(&ground.pool(), &trash[0]), "purge one of two");
    delete();
    must(engine.empty_trash(&ground.pool, false), "empty the trash of what expired");
    let part = engine.restore_trash(&ground.pool, trash[1].id);
    refused(part, Kind::WrongState, "bringing half a group back");
    expect_nothing_left(ground, "g");
}

fn members_are_snapshots_like_any_other(ground: &Ground) {
    let content = ground.mountable().next().unwrap();
    ground.create("a", content);
    write(&ground.stage("a").join("data"), b"then");
    ground.unstage("a");
    ground.expect_at_rest("a");
    ground.create("b", content);
    let taken = take(ground, "g", &["a", "b"]);
    let engine = ground.engine();
    let listed = engine.snapshots(&ground.pool).unwrap();
    assert!(taken.iter().all(|record| listed.contains(record)), "{listed:?}");
    assert_eq!(engine.snapshot(&ground.pool, &named("g-a")).unwrap(), taken[0]);
    restore(ground, OriginKind::Snapshot, "g-a", "copy");
    expect_file(&ground.stage("copy").join("data"), b"then");
    ground.unstage("copy");
}

fn what_is_wrong_is_refused(ground: &Ground) {
    pair(ground);
    let engine = ground.engine();
    let create =
        |members: &[(Name, Name)]| engine.create_group_snapshot(&ground.pool, &named("g"), members);
    let of = |snapshot: &str, volume: &str| (named(snapshot), named(volume));
    refused(create(&[]), Kind::Invalid, "a group of nothing");
    refused(create(&[of("x", "a"), of("x", "b")]), Kind::Invalid, "one name twice");
    refused(create(&[of("x", "a"), of("y", "a")]), Kind::Invalid, "one volume twice");
    refused(create(&[of("x", "a"), of("y", "absent")]), Kind::NotFound, "an absent volume");
    let many: Vec<_> = (0..200).map(|n| of(&format!("s{n}"), &format!("v{n}"))).collect();
    refused(create(&many), Kind::Invalid, "a group of very many");
    let alone = must(engine.create_snapshot(&ground.pool, &named("y"), &named("a")), "snapshot");
    refused(create(&[of("x", "a"), of("y", "b")]), Kind::Conflict, "a name that is taken");
    assert_eq!(engine.snapshots(&ground.pool).unwrap(), [alone]);
    assert!(ground.backend.catalog().preparing_snapshots(&ground.pool()).unwrap().is_empty());
    let held =
        lock::acquire(&ground.pool().locks, "volume-b", lock::Mode::Exclusive, Duration::ZERO);
    let hasty = (ground.engines)(Duration::from_millis(20));
    let busy = hasty.create_group_snapshot(&ground.pool, &named("g"), &members("g", &["a", "b"]));
    refused(busy, Kind::Busy, "a group of a volume at work");
    drop(held);
    take(ground, "g", &["a", "b"]);
}

/// As if the taker had been killed between two commits.
fn half_a_cut_is_invisible(ground: &Ground) {
    pair(ground);
    let engine = ground.engine();
    let left = cut_halfway(ground, "g");
    expect_nothing_left(ground, "g");
    let copy = super::copies::copy_of(ground, OriginKind::Snapshot, "g-a", "copy");
    refused(engine.create(&ground.pool, &copy), Kind::NotFound, "a copy of half a group");
    let taken = take(ground, "g", &["a", "b"]);
    assert!(taken.iter().all(|record| record.uuid != left), "a snapshot of the old cut is in it");
    assert_eq!(taken[0].group, taken[1].group, "the members are of two cuts");
    assert_eq!(engine.trash(&ground.pool).unwrap().len(), 0, "what nobody ever had is kept");
    must(engine.delete_group_snapshot(&ground.pool, &named("g")), "delete the group");
    must(engine.empty_trash(&ground.pool, true), "empty the trash");

    cut_halfway(ground, "g");
    take(ground, "other", &["b"]);
    let mut others = members("g", &["a"]);
    others[0].1 = named("b");
    must(
        engine.create_group_snapshot(&ground.pool, &named("another"), &others),
        "take a group under the name of a snapshot that half a group left",
    );
    cut_halfway(ground, "half");
    let alone = engine.create_snapshot(&ground.pool, &named("half-a"), &named("b"));
    assert_eq!(must(alone, "take a snapshot under such a name").group, None);
    cut_halfway(ground, "deleted");
    must(engine.delete_snapshot(&ground.pool, &named("deleted-a")), "delete half a group");
    let again = engine.delete_group_snapshot(&ground.pool, &named("deleted"));
    assert!(!must(again, "delete what is gone"), "something of it was left");
}

fn half_a_deletion_is_finished(ground: &Ground) {
    pair(ground);
    let engine = ground.engine();
    let halve = |group: &str| {
        let taken = take(ground, group, &["a", "b"]);
        must(engine.delete_group_snapshot(&ground.pool, &named(group)), "delete");
        let trash = engine.trash(&ground.pool).unwrap();
        let last = trash.iter().rfind(|trash| trash.name == taken[1].name).unwrap();
        must(ground.backend.catalog().revive(&ground.pool(), last), "undo half of it");
        expect_nothing_left(ground, group);
        taken
    };
    halve("g");
    let delete = || must(engine.delete_group_snapshot(&ground.pool, &named("g")), "delete");
    assert_eq!([delete(), delete()], [true, false]);
    assert_eq!(engine.trash(&ground.pool).unwrap().len(), 2, "half of it is gone for good");
    must(engine.empty_trash(&ground.pool, true), "empty the trash");
    let old = halve("g");
    let new = take(ground, "g", &["a", "b"]);
    assert_ne!(old[0].group, new[0].group);
    must(engine.delete_group_snapshot(&ground.pool, &named("g")), "delete");
    must(engine.empty_trash(&ground.pool, true), "empty the trash");
    let taken = halve("g");
    // Half brought back is the same: whoever goes on brings all of it back.
    let trash = engine.trash(&ground.pool).unwrap();
    must(engine.restore_trash(&ground.pool, trash[0].id), "go on bringing it back");
    assert_eq!(group(ground, "g"), taken);
}

fn reconcile_removes_half_a_group(ground: &Ground) {
    pair(ground);
    let whole = take(ground, "whole", &["a", "b"]);
    cut_halfway(ground, "half");
    let held =
        lock::acquire(&ground.pool().locks, "group-half", lock::Mode::Exclusive, Duration::ZERO);
    let engine = ground.engine();
    let findings = || must(engine.reconcile(&ground.pool), "reconcile");
    let about = |findings: &[crate::engine::Finding], outcome| {
        let told = |it: &&crate::engine::Finding| it.what.contains("group snapshot `half`");
        findings.iter().find(told).is_some_and(|it| it.outcome == outcome)
    };
    assert!(about(&findings(), Outcome::AtWork), "work was not told");
    drop(held);
    assert!(about(&findings(), Outcome::Repaired), "half a group was not removed");
    assert!(findings().is_empty(), "there is more to find: {:?}", findings());
    let left = ground.backend.catalog().snapshots(&ground.pool()).unwrap().records;
    assert_eq!(left.len(), 2, "{left:?}");
    // A member that cannot be read is no proof that it is gone.
    let dir = ground.place().join("snapshots/whole-a");
    if dir.is_dir() {
        let record = std::fs::read(dir.join("snapshot.json")).unwrap();
        write(&dir.join("snapshot.json"), b"damaged");
        findings();
        assert_eq!(engine.snapshot(&ground.pool, &named("whole-b")).unwrap(), whole[1]);
        assert_eq!(engine.snapshots(&ground.pool).unwrap(), [whole[1].clone()]);
        let again = members("whole", &["a", "b"]);
        let taken = engine.create_group_snapshot(&ground.pool, &named("whole"), &again);
        refused(taken, Kind::WrongState, "taking a group anew that cannot be read");
        let deleted = engine.delete_group_snapshot(&ground.pool, &named("whole"));
        refused(deleted, Kind::WrongState, "deleting a group that cannot be read");
        write(&dir.join("snapshot.json"), &record);
    }
    assert_eq!(group(ground, "whole"), whole);
}
