//! What is LVM's own when all is well: sizes in extents, layouts, adoption, foreign volumes.

use super::group::{Group, can_run, must};
use becket_core::contract::MIB;
use becket_core::engine::{NewPool, NewVolume, Staging};
use becket_core::record::{Content, VolumeRecord};
use becket_core::target::Target;
use becket_core::{Engine, Kind, Name, Result};
use std::path::PathBuf;
use std::time::Duration;

pub(crate) fn named(name: &str) -> Name {
    Name::new(name).unwrap()
}

pub(crate) fn create(engine: &Engine, name: &str, size: u64) -> Result<VolumeRecord> {
    create_with(engine, name, size, &[])
}

pub(crate) fn create_with(
    engine: &Engine,
    name: &str,
    size: u64,
    parameters: &[(&str, &str)],
) -> Result<VolumeRecord> {
    let given = parameters.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    let mut new = NewVolume::new(named(name), size);
    new.parameters = given.collect();
    engine.create(&named("pool"), &new)
}

/// Stages the volume and gives where.
pub(crate) fn stage(group: &Group, engine: &Engine, name: &str) -> PathBuf {
    let target = staging(group, name);
    engine.stage_as(&named("pool"), &named(name), &target, &Staging::default()).unwrap();
    target.path()
}

pub(crate) fn staging(group: &Group, name: &str) -> Target {
    let root = group.state().parent().unwrap().join("kubelet");
    std::fs::create_dir_all(&root).unwrap();
    Target::beneath(&root, &root.join(name)).unwrap()
}

pub(crate) fn unstage(group: &Group, engine: &Engine, name: &str) {
    engine.unstage(&named("pool"), &named(name), &staging(group, name)).unwrap();
}

#[test]
fn sizes_are_whole_extents_and_told_so() {
    if !can_run() {
        return;
    }
    let group = Group::new(1 << 30);
    let engine = group.pool(false);
    let made = create(&engine, "v", 33 * MIB).unwrap();
    assert_eq!(made.size, 36 * MIB);
    let grown = engine.expand(&named("pool"), &named("v"), 37 * MIB).unwrap();
    assert_eq!(grown.size, 40 * MIB);
    assert_eq!(create(&engine, "v", 39 * MIB).unwrap().size, 40 * MIB);
    let room = engine.capacity(&named("pool")).unwrap();
    assert_eq!(room.promised, 40 * MIB);
    // The group's own description takes some of the device.
    assert!(room.total > 900 * MIB && room.thick < room.total - 36 * MIB, "{room:?}");
}

#[test]
fn a_pool_is_adopted_from_its_tags_with_all_its_volumes() {
    if !can_run() {
        return;
    }
    for thin in [false, true] {
        let group = Group::new(1 << 30);
        let engine = group.pool(thin);
        let made = create_with(&engine, &"x".repeat(128), 64 * MIB, &[("wipe", "zero")]).unwrap();
        let record = engine.open(&named("pool")).unwrap().record;
        std::fs::remove_dir_all(group.state()).unwrap();
        std::fs::remove_dir_all(group.place()).unwrap();
        let again = engine.create_pool(&NewPool { overcommit: None, ..group.known(thin) }).unwrap();
        assert_eq!(again, record);
        assert_eq!(engine.volumes(&named("pool")).unwrap(), [made]);
        let other = NewPool { name: named("other"), ..group.known(thin) };
        let other = NewPool { path: None, ..other };
        let refused = engine.create_pool(&other).unwrap_err();
        assert_eq!(refused.kind(), Kind::Conflict, "{refused}");
    }
}

#[test]
fn a_logical_volume_of_somebody_else_is_never_touched() {
    if !can_run() {
        return;
    }
    let group = Group::new(1 << 30);
    let engine = group.pool(false);
    must("lvcreate", &["-q", "-y", "-L", "16M", "-n", "precious", &group.name]);
    let refused = create(&engine, "precious", 64 * MIB).unwrap_err();
    assert_eq!(refused.kind(), Kind::Conflict, "{refused}");
    assert!(refused.advice().is_some());
    assert!(!engine.delete(&named("pool"), &named("precious")).unwrap(), "it was taken for ours");
    assert!(engine.volumes(&named("pool")).unwrap().is_empty());
    // The pool goes, and what is not its own stays.
    create(&engine, "v", 64 * MIB).unwrap();
    engine.delete(&named("pool"), &named("v")).unwrap();
    engine.empty_trash(&named("pool"), true).unwrap();
    engine.delete_pool(&named("pool")).unwrap();
    let left = must("lvs", &["--noheadings", "-o", "lv_name", &group.name]);
    assert_eq!(left, "precious");
    let tags = must("vgs", &["--noheadings", "-o", "vg_tags", &group.name]);
    assert_eq!(tags, "");
}

#[test]
fn layouts_are_made_as_they_are_asked_for() {
    if !can_run() {
        return;
    }
    let group = Group::new(1 << 30);
    let second = Group::new(1 << 30);
    let engine = group.pool(false);
    must("vgextend", &["-q", "-y", &group.name, second.device.to_str().unwrap()]);
    let raid = [("lvcreateOptions", "--type raid1 --mirrors 1 --nosync")];
    create_with(&engine, "mirrored", 64 * MIB, &raid).unwrap();
    let striped =
        create_with(&engine, "striped", 36 * MIB, &[("lvcreateOptions", "-i 2")]).unwrap();
    assert_eq!(striped.size, 40 * MIB, "the size is no multiple of two extents");
    let kinds = must("lvs", &["--noheadings", "-o", "segtype", "--sort", "-segtype", &group.name]);
    let kinds: Vec<&str> = kinds.split_whitespace().collect();
    assert_eq!(kinds, ["striped", "raid1"]);
    for name in ["mirrored", "striped"] {
        let at = stage(&group, &engine, name);
        std::fs::write(at.join("data"), name).unwrap();
        unstage(&group, &engine, name);
    }
    for (name, bad) in [("bad", "--type cache"), ("worse", "-n other")] {
        let refused = create_with(&engine, name, 64 * MIB, &[("lvcreateOptions", bad)]);
        assert_eq!(refused.unwrap_err().kind(), Kind::Invalid);
    }
    drop(group);
}

#[test]
fn volumes_come_back_after_a_reboot() {
    if !can_run() {
        return;
    }
    let group = Group::new(1 << 30);
    let engine = group.pool(true);
    create(&engine, "v", 64 * MIB).unwrap();
    let at = stage(&group, &engine, "v");
    std::fs::write(at.join("data"), b"kept").unwrap();
    unstage(&group, &engine, "v");
    // What a boot finds where nothing is activated by itself.
    must("vgchange", &["-q", "--activate", "n", &group.name]);
    let at = stage(&group, &engine, "v");
    assert_eq!(std::fs::read(at.join("data")).unwrap(), b"kept");
    unstage(&group, &engine, "v");
}

#[test]
fn a_deleted_volume_is_wiped_where_that_is_asked_for() {
    if !can_run() {
        return;
    }
    for (wipe, kept) in [("none", true), ("zero", false)] {
        let group = Group::new(1 << 30);
        let engine = group.pool(false);
        let mut new = NewVolume::new(named("v"), 16 * MIB);
        new.content = Some(Content::Block);
        new.parameters = [("wipe".to_owned(), wipe.to_owned())].into();
        engine.create(&named("pool"), &new).unwrap();
        let root = staging(&group, "v");
        engine.stage_as(&named("pool"), &named("v"), &root, &Staging::default()).unwrap();
        let device = engine.lasting_path(&named("pool"), &named("v")).unwrap().unwrap();
        std::fs::write(&device, b"SECRET-OF-A-TENANT").unwrap();
        unstage(&group, &engine, "v");
        engine.delete(&named("pool"), &named("v")).unwrap();
        engine.empty_trash(&named("pool"), true).unwrap();
        // The same extents again, by LVM alone.
        must("lvcreate", &["-q", "-y", "-Wn", "-Zn", "-L", "16M", "-n", "after", &group.name]);
        let after = std::fs::read(format!("/dev/{}/after", group.name)).unwrap();
        assert_eq!(after.starts_with(b"SECRET"), kept, "wipe: {wipe}");
        // And never to another tenant of ours, whatever was wiped.
        must("lvremove", &["-q", "-y", &format!("{}/after", group.name)]);
        let mut next = NewVolume::new(named("next"), 16 * MIB);
        next.content = Some(Content::Block);
        engine.create(&named("pool"), &next).unwrap();
        let root = staging(&group, "next");
        engine.stage_as(&named("pool"), &named("next"), &root, &Staging::default()).unwrap();
        let device = engine.lasting_path(&named("pool"), &named("next")).unwrap().unwrap();
        assert!(std::fs::read(device).unwrap().iter().all(|byte| *byte == 0), "old bytes are seen");
        unstage(&group, &engine, "next");
    }
}

#[test]
fn the_blocks_of_a_deleted_thin_volume_go_back_to_the_device() {
    if !can_run() {
        return;
    }
    let group = Group::new(1 << 30);
    let engine = group.pool(true);
    create(&engine, "v", 200 * MIB).unwrap();
    let before = group.taken();
    let at = stage(&group, &engine, "v");
    std::fs::write(at.join("data"), vec![7; 64 << 20]).unwrap();
    unstage(&group, &engine, "v");
    assert!(group.taken() > before + (60 << 20), "nothing was written");
    engine.delete(&named("pool"), &named("v")).unwrap();
    engine.empty_trash(&named("pool"), true).unwrap();
    assert!(group.taken() < before + (8 << 20), "the device still holds what was written");
}

#[test]
fn two_pools_share_a_group_and_see_their_own() {
    if !can_run() {
        return;
    }
    let group = Group::new(2 << 30);
    let engine = group.pool(true);
    let thick = NewPool { name: named("thick"), path: None, ..group.known(false) };
    engine.create_pool(&thick).unwrap();
    create(&engine, "v", 64 * MIB).unwrap();
    let mut new = NewVolume::new(named("v"), 64 * MIB);
    new.content = Some(Content::Block);
    engine.create(&named("thick"), &new).unwrap();
    assert_eq!(engine.volumes(&named("pool")).unwrap().len(), 1);
    assert_eq!(engine.volumes(&named("thick")).unwrap()[0].content, Content::Block);
    assert!(engine.delete(&named("thick"), &named("v")).unwrap());
    assert_eq!(engine.volumes(&named("pool")).unwrap().len(), 1);
    let waiting = Duration::from_secs(1);
    assert_eq!(group.engine(waiting).trash(&named("thick")).unwrap().len(), 1);
}
