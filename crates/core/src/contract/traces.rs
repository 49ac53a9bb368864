//! What is not there leaves nothing beside the pool: no locks, notes, marks or staging places.

use super::*;
use crate::record::Claim;

pub(super) const CHECKS: &[Check] = &[
    (asking_for_what_never_was_leaves_nothing, "asking for what never was leaves nothing"),
    (a_deleted_volume_leaves_nothing, "a deleted volume leaves nothing, killed or not"),
    (reconcile_removes_traces_of_the_dead, "reconcile removes what the dead left beside the locks"),
    (a_deleted_pool_leaves_no_places, "a deleted pool leaves no staging places"),
];

#[track_caller]
fn expect_nothing(ground: &Ground) {
    let pool = ground.pool();
    assert_eq!(pool.locks.names().unwrap(), Vec::<String>::new(), "it is beside the locks");
    let places = std::fs::read_dir(&pool.staged).map_or(0, Iterator::count);
    assert_eq!(places, 0, "staging places are left");
}

/// What a process leaves that is killed at the worst moment.
fn plant(ground: &Ground, name: &str) {
    let pool = ground.pool();
    for ending in ["lock", "asked", "frozen"] {
        std::fs::write(pool.locks.path().join(format!("volume-{name}.{ending}")), b"{}").unwrap();
    }
    std::fs::create_dir_all(pool.staged.join(name)).unwrap();
}

fn asking_for_what_never_was_leaves_nothing(ground: &Ground) {
    let (engine, pool) = (ground.engine(), &ground.pool);
    let claim = Claim { node: "n".to_owned(), readonly: false, asked: String::new() };
    for number in 0..3 {
        let name = &named(&format!("never-{number}"));
        let (staging, target) = (ground.staging(name.as_str()), ground.target("pod"));
        let publication = Publication::default();
        refused(engine.stage(pool, name, &staging), Kind::NotFound, "a stage");
        let published = engine.publish(pool, name, &staging, &target, &publication);
        refused(published, Kind::NotFound, "a publication");
        refused(engine.mount(pool, name, None, &target, &publication), Kind::NotFound, "a mount");
        refused(engine.claim(pool, name, &claim), Kind::NotFound, "a claim");
        refused(engine.expand(pool, name, 64 * MIB), Kind::NotFound, "an expansion");
        refused(engine.create_snapshot(pool, name, name), Kind::NotFound, "a snapshot");
        let copy = super::copies::copy_of(ground, crate::record::OriginKind::Snapshot, "no", "c");
        refused(engine.create(pool, &copy), Kind::NotFound, "a copy");
        must(engine.release_claim(pool, name, None), "release");
        must(engine.withdraw(pool, name, &target), "withdraw");
        must(engine.unstage(pool, name, &staging), "unstage");
        must(engine.end_inline(pool, name, Some(&target)), "end");
        must(engine.delete(pool, name), "delete");
        must(engine.delete_snapshot(pool, name), "delete a snapshot");
        must(engine.delete_group_snapshot(pool, name), "delete a group");
    }
    expect_nothing(ground);
}

fn a_deleted_volume_leaves_nothing(ground: &Ground) {
    let engine = ground.engine();
    for killed in [false, true] {
        ground.create("v", ground.mountable().next().unwrap());
        plant(ground, "v");
        if killed {
            // Between the volume's move to the trash and the end.
            must(engine.delete(&ground.pool, &named("v")), "delete");
            plant(ground, "v");
        }
        must(engine.delete(&ground.pool, &named("v")), "delete");
        expect_nothing(ground);
    }
    // What somebody has put there is theirs, and keeps nothing from being deleted.
    ground.create("v", ground.any());
    plant(ground, "v");
    let theirs = ground.pool().staged.join("v/theirs");
    write(&theirs, b"theirs");
    must(engine.delete(&ground.pool, &named("v")), "delete");
    expect_file(&theirs, b"theirs");
}

fn reconcile_removes_traces_of_the_dead(ground: &Ground) {
    ground.create("v", ground.any());
    plant(ground, "gone");
    plant(ground, "v");
    let place = ground.pool().locks.path().to_owned();
    std::fs::write(place.join("snapshot-s.lock"), b"").unwrap();
    std::fs::remove_file(place.join("volume-v.frozen")).unwrap();
    let findings = must(ground.engine().reconcile(&ground.pool), "reconcile");
    assert!(findings.is_empty(), "empty directories are told of as if something was: {findings:?}");
    // The notes of a volume that is there are its own.
    assert_eq!(ground.pool().locks.names().unwrap(), ["volume-v.asked"]);
    must(ground.engine().delete(&ground.pool, &named("v")), "delete");
    expect_nothing(ground);
}

fn a_deleted_pool_leaves_no_places(ground: &Ground) {
    let staged = ground.pool().staged.clone();
    plant(ground, "one");
    plant(ground, "two");
    must(ground.engine().delete_pool(&ground.pool), "delete the pool");
    assert!(!staged.exists(), "`{}` is left", staged.display());
}
