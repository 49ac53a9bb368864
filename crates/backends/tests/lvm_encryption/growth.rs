//! Encrypted volumes that grow, in use and at rest.

use super::super::group::Group;
use super::super::lvm_layout::{named, staging, unstage};
use super::*;
use becket_core::contract::MIB;

#[test]
fn a_volume_in_use_grows_with_its_passphrase_and_not_without() {
    if !can_run() {
        return;
    }
    let cases = [(false, Content::Ext4, 64 * MIB), (true, Content::Xfs, 320 * MIB)];
    for (thin, content, size) in cases {
        let group = Group::new(2 << 30);
        let engine = group.pool(thin);
        let (pool, name, place) = (named("pool"), named("v"), staging(&group, "v"));
        engine.create(&pool, &encrypted("v", size, content)).unwrap();
        let at = stage(&group, &engine, "v");
        std::fs::write(at.join("data"), b"kept").unwrap();
        let total = || engine.usage(&pool, &name, &place).unwrap().total;
        let before = total();
        // What a controller does, which has no secret.
        let grown = engine.expand_storage(&pool, &name, 2 * size).unwrap();
        assert_eq!(grown.size, 2 * size);
        assert_eq!(size_of(&group, &logical(&engine, "v")), 2 * size + 16 * MIB);
        let error = refused(engine.expand(&pool, &name, 2 * size), Kind::Invalid);
        assert!(error.message().contains("encryptionPassphrase"), "{error}");
        let wrong = passphrase(b"wrong");
        let asked = engine.expand_unlocked(&pool, &name, 2 * size, Some(&wrong));
        refused(asked, Kind::Denied);
        assert_eq!(total(), before);
        let key = passphrase(KEY);
        engine.expand_unlocked(&pool, &name, 2 * size, Some(&key)).unwrap();
        assert!(total() > before + size / 2, "the filesystem did not grow");
        // A repeat finds nothing to do, and needs no secret.
        engine.expand(&pool, &name, 2 * size).unwrap();
        // Both at once, as FlexVolume does, tells too that it cannot be done.
        refused(engine.expand(&pool, &name, 2 * size + 64 * MIB), Kind::Invalid);
        unstage(&group, &engine, "v");
        expect_closed(&engine, "v");

        // At rest, it follows with its next stage.
        engine.expand(&pool, &name, 3 * size).unwrap();
        let at = stage(&group, &engine, "v");
        assert!(total() > 2 * size, "the filesystem did not follow");
        assert_eq!(std::fs::read(at.join("data")).unwrap(), b"kept");
        let found = engine.volume(&pool, &name).unwrap();
        assert_eq!((found.size, found.filesystem_size), (3 * size, 3 * size));
        unstage(&group, &engine, "v");
    }
}

#[test]
fn raw_block_and_what_was_never_staged_grow_too() {
    if !can_run() {
        return;
    }
    let group = Group::new(1 << 30);
    let engine = group.pool(false);
    let (pool, name) = (named("pool"), named("v"));
    engine.create(&pool, &encrypted("v", 32 * MIB, Content::Block)).unwrap();
    engine.expand(&pool, &name, 48 * MIB).unwrap();
    stage(&group, &engine, "v");
    let shown = || becket_sys::block_device::size(&mapping(&engine, "v").unwrap().path()).unwrap();
    assert_eq!(shown(), 48 * MIB);
    engine.expand_storage(&pool, &name, 64 * MIB).unwrap();
    assert_eq!(shown(), 48 * MIB);
    refused(engine.expand(&pool, &name, 64 * MIB), Kind::Invalid);
    let key = passphrase(KEY);
    engine.expand_unlocked(&pool, &name, 64 * MIB, Some(&key)).unwrap();
    assert_eq!(shown(), 64 * MIB);
    unstage(&group, &engine, "v");
    expect_closed(&engine, "v");

    engine.create(&pool, &encrypted("fresh", 64 * MIB, Content::Ext4)).unwrap();
    engine.expand(&pool, &named("fresh"), 96 * MIB).unwrap();
    stage(&group, &engine, "fresh");
    let found = engine.volume(&pool, &named("fresh")).unwrap();
    assert_eq!(found.filesystem_size, 96 * MIB);
    unstage(&group, &engine, "fresh");
}
