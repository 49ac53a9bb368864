//! Snapshots, restored volumes and clones: each on its own, with the content of the moment.

use super::*;
use crate::backend::Place;
use crate::record::{Origin, OriginKind};
use becket_sys::superblock;

pub(super) const CHECKS: &[Check] = &[
    (a_restored_volume_has_the_data_of_the_moment, "a restored volume has the data of the moment"),
    (a_clone_and_its_origin_are_mounted_together, "a clone and its origin are mounted together"),
    (a_copy_may_be_larger, "a copy may be larger, and not smaller"),
    (copies_outlive_their_source, "copies outlive their source"),
    (snapshots_are_taken_once, "a snapshot is taken once and of one volume"),
    (a_copy_of_a_copy_is_a_volume, "a copy of a copy is a volume like any other"),
];

pub(super) fn copy_of(ground: &Ground, kind: OriginKind, origin: &str, name: &str) -> NewVolume {
    let mut new = NewVolume::new(named(name), 0);
    new.origin = Some(Origin::named(kind, named(origin)));
    ground.ask_for_limit(&mut new);
    new
}

pub(super) fn snapshot(ground: &Ground, name: &str, volume: &str) {
    let taken = ground.engine().create_snapshot(&ground.pool, &named(name), &named(volume));
    must(taken, "take a snapshot");
}

pub(super) fn restore(ground: &Ground, kind: OriginKind, origin: &str, name: &str) -> VolumeRecord {
    let new = copy_of(ground, kind, origin, name);
    let made = must(ground.engine().create(&ground.pool, &new), "make a copy");
    let again = must(ground.engine().create(&ground.pool, &new), "make the copy again");
    assert_eq!(again, made, "the second try made another copy");
    made
}

/// The UUID of the filesystem in the volume.
fn filesystem_uuid(ground: &Ground, name: &str) -> Option<[u8; 16]> {
    let record = ground.record(name);
    let medium = ground.backend.medium(&ground.pool(), &record, Place::Ready).unwrap()?;
    match superblock::probe(&medium.file, medium.size, &medium.path).unwrap() {
        superblock::Content::Filesystem(found) => Some(found.uuid),
        other => panic!("volume `{name}` holds {other}"),
    }
}

pub(super) fn expect_own_identity(ground: &Ground, origin: &str, copy: &str) {
    if let Some(uuid) = filesystem_uuid(ground, copy) {
        assert_ne!(Some(uuid), filesystem_uuid(ground, origin), "`{copy}` has its origin's UUID");
        assert_eq!(&uuid, ground.record(copy).uuid.as_bytes(), "`{copy}` has another UUID");
    }
}

fn a_restored_volume_has_the_data_of_the_moment(ground: &Ground) {
    for content in ground.mountable() {
        let name = content.name();
        ground.create(name, content);
        write(&ground.stage(name).join("data"), b"then");
        ground.unstage(name);
        ground.expect_at_rest(name);
        let snap = format!("{name}-snap");
        snapshot(ground, &snap, name);
        write(&ground.stage(name).join("data"), b"later");
        let copy = format!("{name}-copy");
        restore(ground, OriginKind::Snapshot, &snap, &copy);
        expect_own_identity(ground, name, &copy);
        let restored = ground.stage(&copy);
        expect_file(&restored.join("data"), b"then");
        write(&restored.join("data"), b"copy");
        expect_file(&ground.staging(name).path().join("data"), b"later");
        let second = format!("{name}-second");
        restore(ground, OriginKind::Snapshot, &snap, &second);
        expect_file(&ground.stage(&second).join("data"), b"then");
        for volume in [name, &copy, &second] {
            ground.unstage(volume);
        }
        ground.expect_at_rest(name);
    }
}

fn a_clone_and_its_origin_are_mounted_together(ground: &Ground) {
    for content in ground.mountable() {
        let name = content.name();
        ground.create(name, content);
        write(&ground.stage(name).join("data"), b"one");
        ground.unstage(name);
        ground.expect_at_rest(name);
        let clone = format!("{name}-clone");
        restore(ground, OriginKind::Volume, name, &clone);
        expect_own_identity(ground, name, &clone);
        // In both orders, and through unmount and mount again.
        for order in [[name, &clone], [&clone, name]] {
            let places = order.map(|volume| ground.stage(volume));
            for place in &places {
                expect_file(&place.join("data"), b"one");
            }
            write(&places[0].join(order[0]), b"mine");
            assert!(!places[1].join(order[0]).exists(), "the volumes share what is written");
            for volume in order {
                ground.unstage(volume);
            }
            ground.expect_at_rest(name);
        }
    }
}

fn a_copy_may_be_larger(ground: &Ground) {
    for content in ground.mountable() {
        let name = content.name();
        let size = ground.create(name, content).size;
        let at = ground.stage(name);
        write(&at.join("data"), b"grows");
        let before = total(&at);
        ground.unstage(name);
        ground.expect_at_rest(name);
        let mut larger = copy_of(ground, OriginKind::Volume, name, &format!("{name}-larger"));
        larger.size = size + 64 * MIB;
        let made = must(ground.engine().create(&ground.pool, &larger), "make a larger copy");
        assert_eq!(made.size, larger.size);
        let at = ground.stage(made.name.as_str());
        expect_file(&at.join("data"), b"grows");
        if content != Content::Directory {
            let now = total(&at);
            assert!(now >= before + 57 * MIB, "{name}: the copy has {now} bytes, {before} before");
        }
        ground.unstage(made.name.as_str());
        let mut smaller = copy_of(ground, OriginKind::Volume, name, &format!("{name}-smaller"));
        smaller.size = size - ground.granule();
        let refusal = ground.engine().create(&ground.pool, &smaller);
        refused(refusal, Kind::OutOfRange, "a copy smaller than its origin");
        let mut itself = copy_of(ground, OriginKind::Volume, "self", "self");
        itself.content = Some(content);
        refused(ground.engine().create(&ground.pool, &itself), Kind::Invalid, "a clone of itself");
    }
}

/// Incident I9: deleting a volume must leave its snapshots and clones.
fn copies_outlive_their_source(ground: &Ground) {
    let content = ground.mountable().next().unwrap();
    ground.create("v", content);
    write(&ground.stage("v").join("data"), b"precious");
    ground.unstage("v");
    ground.expect_at_rest("v");
    snapshot(ground, "s", "v");
    restore(ground, OriginKind::Volume, "v", "clone");
    must(ground.engine().delete(&ground.pool, &named("v")), "delete the source");
    must(ground.engine().empty_trash(&ground.pool, true), "empty the trash");
    restore(ground, OriginKind::Snapshot, "s", "restored");
    must(ground.engine().delete_snapshot(&ground.pool, &named("s")), "delete the snapshot");
    must(ground.engine().empty_trash(&ground.pool, true), "empty the trash");
    for copy in ["clone", "restored"] {
        expect_file(&ground.stage(copy).join("data"), b"precious");
        ground.unstage(copy);
    }
    // A retry of a creation whose origin is gone by now gives the volume that is there.
    restore(ground, OriginKind::Snapshot, "s", "restored");
    // A new volume of the old name is another one, and free to be made.
    ground.create("v", content);
    assert!(!ground.stage("v").join("data").exists(), "the new volume has the old one's data");
    ground.unstage("v");
}

fn snapshots_are_taken_once(ground: &Ground) {
    let content = ground.mountable().next().unwrap();
    let engine = ground.engine();
    for volume in ["one", "other"] {
        ground.create(volume, content);
    }
    let first = engine.create_snapshot(&ground.pool, &named("s"), &named("one")).unwrap();
    let again = engine.create_snapshot(&ground.pool, &named("s"), &named("one")).unwrap();
    assert_eq!(first, again, "the second try took another snapshot");
    let other = engine.create_snapshot(&ground.pool, &named("s"), &named("other"));
    refused(other, Kind::Conflict, "a snapshot of that name of another volume");
    let absent = engine.create_snapshot(&ground.pool, &named("t"), &named("absent"));
    refused(absent, Kind::NotFound, "a snapshot of what is absent");
    assert_eq!(engine.snapshots(&ground.pool).unwrap(), [first]);
    for _ in 0..2 {
        must(engine.delete_snapshot(&ground.pool, &named("s")), "delete a snapshot");
    }
    refused(engine.snapshot(&ground.pool, &named("s")), Kind::NotFound, "the deleted snapshot");
    // One that was being taken when its taker was killed is invisible and replaced.
    let (pool, volume) = (ground.pool(), ground.record("one"));
    let mut hidden = again;
    hidden.name = named("killed");
    hidden.uuid = uuid::Uuid::new_v4();
    let progress = crate::progress::Logged::default();
    must(ground.backend.catalog().begin_snapshot(&pool, &hidden), "begin");
    must(ground.backend.copy_to_snapshot(&pool, &volume, &hidden, &progress), "copy");
    refused(engine.snapshot(&ground.pool, &hidden.name), Kind::NotFound, "a hidden snapshot");
    assert!(engine.snapshots(&ground.pool).unwrap().is_empty(), "a hidden snapshot is listed");
    snapshot(ground, "killed", "one");
}

fn a_copy_of_a_copy_is_a_volume(ground: &Ground) {
    for content in ground.mountable() {
        let first = format!("{}-0", content.name());
        ground.create(&first, content);
        write(&ground.stage(&first).join("data"), b"handed on");
        ground.unstage(&first);
        ground.expect_at_rest(&first);
        let mut last = first.clone();
        for generation in 1..3 {
            let next = format!("{}-{generation}", content.name());
            restore(ground, OriginKind::Volume, &last, &next);
            expect_own_identity(ground, &last, &next);
            last = next;
        }
        let all: Vec<String> =
            (0..3).map(|number| format!("{}-{number}", content.name())).collect();
        for volume in &all {
            expect_file(&ground.stage(volume).join("data"), b"handed on");
        }
        for volume in &all {
            ground.unstage(volume);
        }
    }
}
