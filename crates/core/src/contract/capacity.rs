//! A pool promises what it has, and a thick volume has it.

use super::*;
use crate::backend::Place;
use crate::record::Content;
use crate::record::Provisioning;
use std::os::unix::fs::MetadataExt;

pub(super) const CHECKS: &[Check] = &[
    (promises_add_up, "promises add up, and deleting takes them back"),
    (no_more_is_promised_than_there_is, "no more is promised than there is"),
    (shared_blocks_are_not_held, "blocks shared with a snapshot are not counted as held"),
    (a_thick_volume_has_its_space, "a thick volume has its space, and keeps it when it grows"),
];

fn promises_add_up(ground: &Ground) {
    if !ground.limits {
        return;
    }
    let engine = ground.engine();
    let empty = engine.capacity(&ground.pool).unwrap();
    assert_eq!((empty.promised, empty.held), (0, 0), "an empty pool has promises: {empty:?}");
    assert!(empty.thin > 0 && empty.thin <= empty.total, "{empty:?}");
    let made = ground.create("v", ground.any());
    let used = engine.capacity(&ground.pool).unwrap();
    assert_eq!(used.promised, made.size);
    assert!(used.held <= made.size, "{used:?}");
    // Other tests use the same disk meanwhile; the promise is what moves it much.
    must(engine.delete(&ground.pool, &made.name), "delete");
    assert_eq!(engine.capacity(&ground.pool).unwrap().promised, 0, "a deleted volume is promised");
    // What is being made is promised already.
    let mut hidden = made;
    hidden.name = named("hidden");
    must(ground.backend.catalog().begin(&ground.pool(), &hidden), "begin");
    assert_eq!(engine.capacity(&ground.pool).unwrap().promised, hidden.size);
}

fn no_more_is_promised_than_there_is(ground: &Ground) {
    if !ground.limits {
        return;
    }
    let engine = ground.engine();
    let mut new = ground.request("v", ground.any());
    let capacity = engine.capacity(&ground.pool).unwrap();
    new.size = capacity.total + MIB;
    let error = refused(engine.create(&ground.pool, &new), Kind::NoSpace, "more than there is");
    assert!(error.advice().is_some(), "no hint says what to do: {error}");
    // Two that fit alone and not together.
    new.size = capacity.thin / 3 * 2;
    must(engine.create(&ground.pool, &new), "create the first");
    let mut second = new.clone();
    second.name = named("second");
    refused(engine.create(&ground.pool, &second), Kind::NoSpace, "the second of two thirds");
    must(engine.create(&ground.pool, &new), "create the first again in a full pool");
    let third = NewVolume { name: named("third"), size: capacity.thin / 6, ..new.clone() };
    must(engine.create(&ground.pool, &third), "create the third");
    let grown = engine.expand(&ground.pool, &new.name, capacity.thin);
    refused(grown, Kind::NoSpace, "expanding to what there would be without the others");
    ground.discard("v");
    must(engine.create(&ground.pool, &second), "create the second after that");
}

fn shared_blocks_are_not_held(ground: &Ground) {
    let pool = ground.pool();
    // A quota counts blocks for everybody who shares them.
    let directory = ground.any() == Content::Directory;
    if directory || !ground.backend.abilities(&pool).unwrap().shares_blocks {
        return;
    }
    let record = ground.create("v", ground.mountable().next().unwrap());
    write(&ground.stage("v").join("data"), &pattern(8 * MIB as usize, 4));
    ground.unstage("v");
    ground.expect_at_rest("v");
    let alone = ground.backend.allocated(&pool, &record).unwrap();
    assert!(alone >= 8 * MIB, "8 MiB were written, and {alone} bytes are counted");
    super::copies::snapshot(ground, "s", "v");
    let shared = ground.backend.allocated(&pool, &record).unwrap();
    // What was allocated and never written is not shared but a hole in the copy.
    let fewer = alone.saturating_sub(shared);
    assert!(fewer >= 7 * MIB, "of {alone} bytes {shared} are still counted as the volume's own");
    write(&ground.stage("v").join("data"), &pattern(8 * MIB as usize, 5));
    ground.unstage("v");
    ground.expect_at_rest("v");
    if ["lvm", "nfs"].contains(&ground.backend.name()) {
        // A volume with relatives is taken to share everything: safe, and quickly told.
        return;
    }
    let again = ground.backend.allocated(&pool, &record).unwrap();
    assert!(again >= shared + 7 * MIB, "8 MiB were written anew, and {again} bytes are counted");
}

fn a_thick_volume_has_its_space(ground: &Ground) {
    let mut probe = ground.request("probe", ground.any());
    probe.provisioning = Some(Provisioning::Thick);
    if !ground.thick {
        refused(ground.engine().create(&ground.pool, &probe), Kind::Invalid, "a thick volume");
        return;
    }
    for content in ground.contents.iter().copied() {
        let mut new = ground.request(content.name(), content);
        new.provisioning = Some(Provisioning::Thick);
        let made = must(ground.engine().create(&ground.pool, &new), "create a thick volume");
        expect_allocated(ground, &made);
        let size = made.size + 32 * MIB;
        let grown = must(ground.engine().expand(&ground.pool, &made.name, size), "expand it");
        expect_allocated(ground, &grown);
        let capacity = ground.engine().capacity(&ground.pool).unwrap();
        assert!(capacity.held >= size * 99 / 100, "it is not counted as held: {capacity:?}");
        must(ground.engine().delete(&ground.pool, &made.name), "delete it");
        must(ground.engine().empty_trash(&ground.pool, true), "empty the trash");
    }
}

fn expect_allocated(ground: &Ground, record: &VolumeRecord) {
    let pool = ground.pool();
    let medium = ground.backend.medium(&pool, record, Place::Ready).unwrap().unwrap();
    let metadata = medium.file.metadata().unwrap();
    if metadata.is_file() {
        let allocated = metadata.blocks() * 512;
        let (name, size) = (&record.name, record.size);
        assert!(allocated >= size, "`{name}` of {size} bytes has {allocated} allocated");
    }
    let counted = ground.backend.allocated(&pool, record).unwrap();
    assert!(counted >= record.size, "only {counted} bytes are counted as allocated");
}
