//! What happens when the ground gives way: groups that are gone, others' or full, devices that fail.

use super::group::{Group, can_run, must};
use super::lvm_layout::{create, named, stage, unstage};
use becket_backends::lvm::setup::{self, Ground};
use becket_core::contract::MIB;
use becket_core::engine::NewPool;
use becket_core::{Kind, Result};
use std::fmt::Debug;

#[track_caller]
fn refused<T: Debug>(result: Result<T>, kind: Kind) -> String {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.advice().is_some(), "no hint says what to do: {error}");
    error.to_string()
}

#[test]
fn absence_is_not_concluded_from_a_group_that_is_gone() {
    if !can_run() {
        return;
    }
    let group = Group::new(1 << 30);
    let engine = group.pool(false);
    create(&engine, "v", 64 * MIB).unwrap();
    let pool = named("pool");
    must("vgchange", &["-q", "-an", &group.name]);
    let away = format!("{}-away", group.name);
    must("vgrename", &["-q", &group.name, &away]);
    for name in ["v", "absent"] {
        refused(engine.delete(&pool, &named(name)), Kind::Unavailable);
        refused(engine.find_volume(&pool, &named(name)), Kind::Unavailable);
    }
    refused(create(&engine, "new", 64 * MIB), Kind::Unavailable);
    // Another group in its place is not taken for it.
    let other = Group::new(1 << 30);
    must("vgcreate", &["-q", &group.name, other.device.to_str().unwrap()]);
    refused(engine.delete(&pool, &named("absent")), Kind::WrongState);
    must("vgremove", &["-q", &group.name]);
    must("vgrename", &["-q", &away, &group.name]);
    assert_eq!(engine.volumes(&pool).unwrap().len(), 1);
}

#[test]
fn what_somebody_else_changes_in_a_group_is_seen_at_once() {
    if !can_run() {
        return;
    }
    let (group, second) = (Group::new(256 << 20), Group::new(256 << 20));
    let engine = group.pool(false);
    let pool = named("pool");
    let (first, second) = (group.device.to_str().unwrap(), second.device.to_str().unwrap());
    let remove_by_hand = |name: &str| {
        create(&engine, name, 64 * MIB).unwrap();
        for _ in 0..3 {
            assert_eq!(engine.volumes(&pool).unwrap().len(), 1);
        }
        must("lvremove", &["-q", "-y", &group.name]);
        assert_eq!(engine.volumes(&pool).unwrap().len(), 0, "`{name}` is still said to be there");
    };
    remove_by_hand("v");
    let total = || engine.capacity(&pool).unwrap().total;
    let one = total();
    must("vgextend", &["-q", "-y", &group.name, second]);
    let both = total();
    assert!(both > one);
    remove_by_hand("w");
    // The device that it was made of is no part of it any more, and stays as it is now.
    must("vgreduce", &["-q", &group.name, first]);
    assert!(total() < both);
    remove_by_hand("x");
    // Neither does another group in its place, on the same device, seem to be it.
    assert_eq!(engine.volumes(&pool).unwrap().len(), 0);
    must("vgremove", &["-q", &group.name]);
    must("vgcreate", &["-q", &group.name, second]);
    refused(engine.volumes(&pool), Kind::WrongState);
}

#[test]
fn a_full_group_refuses_in_time_and_keeps_what_it_has() {
    if !can_run() {
        return;
    }
    let group = Group::new(256 << 20);
    let engine = group.pool(false);
    let pool = named("pool");
    create(&engine, "v", 100 * MIB).unwrap();
    refused(create(&engine, "more", 200 * MIB), Kind::NoSpace);
    refused(engine.expand(&pool, &named("v"), 400 * MIB), Kind::OutOfRange);
    create(&engine, "w", 100 * MIB).unwrap();
    refused(engine.expand(&pool, &named("v"), 200 * MIB), Kind::NoSpace);
    engine.delete(&pool, &named("w")).unwrap();
    engine.empty_trash(&pool, true).unwrap();
    assert_eq!(engine.volume(&pool, &named("v")).unwrap().size, 100 * MIB);
    // Somebody else takes the room behind our back: LVM itself refuses, and nothing is left of it.
    must("lvcreate", &["-q", "-y", "-l", "90%FREE", "-n", "theirs", &group.name]);
    refused(create(&engine, "more", 60 * MIB), Kind::NoSpace);
    refused(engine.expand(&pool, &named("v"), 200 * MIB), Kind::NoSpace);
    assert_eq!(engine.volumes(&pool).unwrap().len(), 1);
    let left = must("lvs", &["--noheadings", "-o", "lv_name", &group.name]);
    assert_eq!(left.split_whitespace().count(), 2, "{left}");
}

#[test]
fn a_thin_pool_promises_no_more_than_it_has_unless_told_to() {
    if !can_run() {
        return;
    }
    let group = Group::new(512 << 20);
    let engine = group.pool(true);
    let pool = named("pool");
    let room = engine.capacity(&pool).unwrap().thin;
    create(&engine, "v", room / 4 * 3).unwrap();
    refused(create(&engine, "w", room / 2), Kind::NoSpace);
    let more = NewPool { overcommit: Some(4.0), ..group.known(true) };
    engine.create_pool(&more).unwrap();
    create(&engine, "w", room / 2).unwrap();
    // A write that the pool has no room for fails, and the volume says so; the other keeps its data.
    let at = stage(&group, &engine, "v");
    std::fs::write(at.join("data"), vec![7; 8 << 20]).unwrap();
    unstage(&group, &engine, "v");
    let before = engine.capacity(&pool).unwrap();
    assert!(before.free < before.total && before.held >= 8 << 20, "{before:?}");
}

#[test]
fn a_group_that_misses_a_device_loses_nothing() {
    if !can_run() {
        return;
    }
    let (group, second) = (Group::new(256 << 20), Group::new(256 << 20));
    let engine = group.pool(false);
    let pool = named("pool");
    must("vgextend", &["-q", "-y", &group.name, second.device.to_str().unwrap()]);
    create(&engine, "small", 100 * MIB).unwrap();
    create(&engine, "wide", 240 * MIB).unwrap();
    must("vgchange", &["-q", "-an", &group.name]);
    let file = second.detach();
    // The records are still read, and nothing is made, deleted for good, or taken for gone.
    assert_eq!(engine.volumes(&pool).unwrap().len(), 2);
    refused(create(&engine, "new", 64 * MIB), Kind::Unavailable);
    let target = super::lvm_layout::staging(&group, "wide");
    refused(engine.stage(&pool, &named("wide"), &target), Kind::Unavailable);
    refused(engine.delete(&pool, &named("wide")), Kind::Unavailable);
    second.attach(&file);
    assert_eq!(engine.volumes(&pool).unwrap().len(), 2);
    stage(&group, &engine, "wide");
    unstage(&group, &engine, "wide");
}

#[test]
fn a_device_that_fails_is_told_and_the_pod_can_end() {
    if !can_run() {
        return;
    }
    let group = Group::new(512 << 20);
    // Between the group and its device a mapping that can be made to fail.
    let sectors = must("blockdev", &["--getsz", group.device.to_str().unwrap()]);
    let name = format!("{}-mid", group.name);
    // Not from the device's first sector, where LVM would see its label twice.
    let sectors: u64 = sectors.parse::<u64>().unwrap() - 2048;
    let good = format!("0 {sectors} linear {} 2048", group.device.display());
    must("dmsetup", &["create", &name, "--table", &good]);
    let engine = group.pool_on(&format!("/dev/mapper/{name}"), false);
    create(&engine, "v", 100 * MIB).unwrap();
    let at = stage(&group, &engine, "v");
    std::fs::write(at.join("data"), b"kept").unwrap();
    must("sync", &[]);
    let bad = format!("0 {sectors} error");
    must("dmsetup", &["suspend", "--noflush", "--nolockfs", &name]);
    must("dmsetup", &["reload", &name, "--table", &bad]);
    must("dmsetup", &["resume", &name]);
    let written = std::fs::File::create(at.join("new")).and_then(|file| file.sync_all());
    assert!(written.is_err(), "the device does not fail");
    let asked = engine.find_volume(&named("pool"), &named("absent"));
    assert_ne!(asked.map_err(|error| error.kind()), Ok(None), "absence was concluded");
    engine.unmount(&super::lvm_layout::staging(&group, "v")).unwrap();
    must("dmsetup", &["suspend", "--noflush", "--nolockfs", &name]);
    must("dmsetup", &["reload", &name, "--table", &good]);
    must("dmsetup", &["resume", &name]);
    let at = stage(&group, &engine, "v");
    assert_eq!(std::fs::read(at.join("data")).unwrap(), b"kept");
    unstage(&group, &engine, "v");
    must("vgremove", &["-q", "--force", "--yes", &group.name]);
    must("dmsetup", &["remove", "--retry", &name]);
}

#[test]
fn a_device_that_holds_something_is_shown_before_it_is_taken() {
    if !can_run() {
        return;
    }
    let (group, used) = (Group::new(64 << 20), Group::new(64 << 20));
    let ask = |group: &Group| {
        setup::plan(&Ground {
            pool: named("pool"),
            group: Some(group.name.clone()),
            devices: vec![group.device.clone()],
            thin_pool: None,
        })
    };
    assert_eq!(ask(&group).unwrap().destroyed().count(), 0, "a blank device");
    must("mkfs.ext4", &["-q", group.device.to_str().unwrap()]);
    let plan = ask(&group).unwrap();
    assert_eq!(plan.destroyed().next().unwrap().1, "ext4");
    assert!(plan.to_string().contains("DESTROYS"), "{plan}");
    let at = used.state();
    std::fs::create_dir_all(&at).unwrap();
    must("mkfs.ext4", &["-q", used.device.to_str().unwrap()]);
    must("mount", &[used.device.to_str().unwrap(), at.to_str().unwrap()]);
    refused(ask(&used), Kind::InUse);
    must("umount", &[at.to_str().unwrap()]);
    let absent = Ground {
        pool: named("pool"),
        group: Some("no-such-group".into()),
        devices: Vec::new(),
        thin_pool: None,
    };
    refused(setup::plan(&absent), Kind::NotFound);
}
