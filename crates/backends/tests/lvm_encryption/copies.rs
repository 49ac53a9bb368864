//! Snapshots and clones: they have their origin's key, and an identity of their own.

use super::super::group::Group;
use super::super::lvm_layout::{named, unstage};
use super::*;
use becket_core::contract::MIB;
use becket_core::record::{Birth, Origin, OriginKind};

fn copy(name: &str, size: u64, content: Content, kind: OriginKind, origin: &str) -> NewVolume {
    let mut new = encrypted(name, size, content);
    new.origin = Some(Origin::named(kind, named(origin)));
    new
}

#[test]
fn copies_are_used_beside_their_origin_with_its_passphrase() {
    if !can_run() {
        return;
    }
    for (thin, content, size) in [
        (true, Content::Xfs, 320 * MIB),
        (false, Content::Ext4, 64 * MIB),
        (true, Content::Btrfs, 256 * MIB),
    ] {
        let group = Group::new(2 << 30);
        let engine = group.pool(thin);
        let pool = named("pool");
        engine.create(&pool, &encrypted("v", size, content)).unwrap();
        let at = stage(&group, &engine, "v");
        std::fs::write(at.join("data"), b"first").unwrap();
        engine.create_snapshot(&pool, &named("s"), &named("v")).unwrap();
        std::fs::write(at.join("data"), b"second").unwrap();
        let clone = copy("clone", size + 64 * MIB, content, OriginKind::Volume, "v");
        engine.create(&pool, &clone).unwrap();
        let restored = copy("restored", 0, content, OriginKind::Snapshot, "s");
        let record = engine.create(&pool, &restored).unwrap();
        assert_eq!((record.birth, record.size), (Birth::Copied, size));

        refused(try_stage(&group, &engine, "clone", Some(b"wrong")), Kind::Denied);
        let mut identities = Vec::new();
        for (name, data) in [("clone", &b"second"[..]), ("restored", b"first")] {
            let at = stage(&group, &engine, name);
            assert_eq!(std::fs::read(at.join("data")).unwrap(), data);
            std::fs::write(at.join("own"), name).unwrap();
            let record = engine.volume(&pool, &named(name)).unwrap();
            assert_eq!((record.birth, record.filesystem_size), (Birth::Ready, record.size));
            identities.push(header(&logical(&engine, name)).unwrap().uuid);
        }
        identities.push(header(&logical(&engine, "v")).unwrap().uuid);
        identities.sort_unstable();
        identities.dedup();
        assert_eq!(identities.len(), 3, "two have one LUKS UUID");
        let large = engine.usage(&pool, &named("clone"), &super::staging(&group, "clone")).unwrap();
        let first = engine.usage(&pool, &named("v"), &super::staging(&group, "v")).unwrap();
        assert!(large.total > first.total, "the clone does not fill its storage: {large:?}");
        for name in ["v", "clone", "restored"] {
            unstage(&group, &engine, name);
            expect_closed(&engine, name);
        }
        let at = stage(&group, &engine, "v");
        assert_eq!(std::fs::read(at.join("data")).unwrap(), b"second");
        assert!(!at.join("own").exists());
        unstage(&group, &engine, "v");
    }
}

#[test]
fn a_copy_of_what_was_never_staged_is_blank_too_and_has_its_own_passphrase() {
    if !can_run() {
        return;
    }
    for thin in [false, true] {
        let group = Group::new(1 << 30);
        let engine = group.pool(thin);
        let pool = named("pool");
        engine.create(&pool, &encrypted("v", 64 * MIB, Content::Ext4)).unwrap();
        assert!(engine.create_snapshot(&pool, &named("s"), &named("v")).unwrap().blank);
        let clone = copy("clone", 96 * MIB, Content::Ext4, OriginKind::Volume, "v");
        let restored = copy("restored", 0, Content::Ext4, OriginKind::Snapshot, "s");
        for new in [clone, restored] {
            assert_eq!(engine.create(&pool, &new).unwrap().birth, Birth::Blank);
        }
        stage(&group, &engine, "v");
        for name in ["clone", "restored"] {
            let at = try_stage(&group, &engine, name, Some(b"another")).unwrap();
            std::fs::write(at.join("data"), name).unwrap();
            unstage(&group, &engine, name);
            refused(try_stage(&group, &engine, name, Some(KEY)), Kind::Denied);
        }
        // One whose origin had something in it is opened and never made, though it was never staged either.
        let full = copy("full", 0, Content::Ext4, OriginKind::Volume, "v");
        assert_eq!(engine.create(&pool, &full).unwrap().birth, Birth::Copied);
        refused(try_stage(&group, &engine, "full", Some(b"another")), Kind::Denied);
        unstage(&group, &engine, "v");
    }
}

#[test]
fn a_copy_is_encrypted_where_its_origin_is_and_nowhere_else() {
    if !can_run() {
        return;
    }
    let group = Group::new(1 << 30);
    let engine = group.pool(true);
    let pool = named("pool");
    engine.create(&pool, &encrypted("v", 64 * MIB, Content::Ext4)).unwrap();
    stage(&group, &engine, "v");
    unstage(&group, &engine, "v");
    super::super::lvm_layout::create(&engine, "plain", 64 * MIB).unwrap();
    let mut open = copy("open", 0, Content::Ext4, OriginKind::Volume, "v");
    open.parameters.clear();
    let shut = copy("shut", 0, Content::Ext4, OriginKind::Volume, "plain");
    for wrong in [open, shut] {
        refused(engine.create(&pool, &wrong), Kind::Invalid);
    }
    assert_eq!(engine.volumes(&pool).unwrap().len(), 2);
    assert!(engine.reconcile(&pool).unwrap().is_empty(), "something is left");
}
