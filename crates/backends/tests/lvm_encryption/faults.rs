//! What is refused: lost headers, storage that is not blank, programs that are missing or broken.

use super::super::group::Group;
use super::super::lvm_layout::{named, unstage};
use super::super::lvm_programs::{is_guest, with};
use super::*;
use becket_core::contract::MIB;
use becket_core::engine::Severity;
use becket_core::record::Birth;
use std::os::unix::fs::FileExt;

fn overwrite(device: &Path, start: u64, bytes: &[u8]) {
    let file = std::fs::OpenOptions::new().write(true).open(device).unwrap();
    file.write_all_at(bytes, start).unwrap();
    file.sync_all().unwrap();
}

fn say(group: &Group, device: &Path, before: &str, after: &str) {
    let place = format!("{}/{}", group.name, device.file_name().unwrap().to_string_lossy());
    let (before, after) = (format!("becket:r.birth={before}"), format!("becket:r.birth={after}"));
    must("lvchange", &["-q", "--deltag", &before, "--addtag", &after, &place]);
}

#[test]
fn a_volume_that_lost_its_header_is_told_so_and_never_made_anew() {
    if !can_run() {
        return;
    }
    let group = Group::new(512 << 20);
    let engine = group.pool(false);
    engine.create(&named("pool"), &encrypted("v", 64 * MIB, Content::Ext4)).unwrap();
    stage(&group, &engine, "v");
    unstage(&group, &engine, "v");
    expect_closed(&engine, "v");
    let device = logical(&engine, "v");
    let kept = std::fs::read(&device).unwrap()[..16 << 20].to_vec();
    overwrite(&device, 0, &vec![0; 16 << 20]);
    refused(try_stage(&group, &engine, "v", Some(KEY)), Kind::WrongState);
    assert_eq!(header(&device), None, "a header was made over data");
    let told = engine.volume_health(&named("pool"), &named("v")).unwrap();
    assert_eq!(told[0].severity, Severity::DataLoss, "{told:?}");
    overwrite(&device, 0, &kept);
    stage(&group, &engine, "v");
    unstage(&group, &engine, "v");
}

#[test]
fn what_an_older_record_calls_unmade_is_opened_and_not_made_again() {
    if !can_run() {
        return;
    }
    let group = Group::new(512 << 20);
    let engine = group.pool(false);
    engine.create(&named("pool"), &encrypted("v", 64 * MIB, Content::Ext4)).unwrap();
    let at = stage(&group, &engine, "v");
    std::fs::write(at.join("data"), b"kept").unwrap();
    unstage(&group, &engine, "v");
    let device = logical(&engine, "v");
    for word in ["formatting", "blank"] {
        say(&group, &device, "ready", word);
        refused(try_stage(&group, &engine, "v", Some(b"wrong")), Kind::Denied);
        let at = stage(&group, &engine, "v");
        assert_eq!(std::fs::read(at.join("data")).unwrap(), b"kept", "after `{word}`");
        let found = engine.volume(&named("pool"), &named("v")).unwrap();
        assert_eq!(found.birth, Birth::Ready);
        unstage(&group, &engine, "v");
    }
}

#[test]
fn storage_that_should_be_blank_and_is_not_is_left_alone() {
    if !can_run() {
        return;
    }
    let group = Group::new(512 << 20);
    let engine = group.pool(false);
    engine.create(&named("pool"), &encrypted("v", 64 * MIB, Content::Ext4)).unwrap();
    let device = logical(&engine, "v");
    overwrite(&device, 512 * 1024, b"something");
    refused(try_stage(&group, &engine, "v", Some(KEY)), Kind::WrongState);
    assert_eq!(header(&device), None, "it was written over");
    // Once a first stage has seen it blank, what is there is of that stage.
    say(&group, &device, "blank", "formatting");
    stage(&group, &engine, "v");
    unstage(&group, &engine, "v");
}

#[test]
fn a_cryptsetup_that_is_missing_or_broken_makes_nothing() {
    if !can_run() || !is_guest() {
        return;
    }
    let group = Group::new(512 << 20);
    let engine = group.pool(true);
    let new = |name| encrypted(name, 64 * MIB, Content::Ext4);
    engine.create(&named("pool"), &new("v")).unwrap();
    with(luks::PROGRAM, None, || {
        let missing = refused(engine.create(&named("pool"), &new("w")), Kind::WrongState);
        assert!(missing.advice().unwrap().contains("cryptsetup"), "{missing}");
        refused(try_stage(&group, &engine, "v", Some(KEY)), Kind::WrongState);
    });
    for broken in ["exit 4", "echo talk; exit 1", "kill -9 $$"] {
        with(luks::PROGRAM, Some(broken), || {
            refused(try_stage(&group, &engine, "v", Some(KEY)), Kind::WrongState);
        });
    }
    // One that says that it did it, and did not.
    with(luks::PROGRAM, Some("exit 0"), || {
        assert!(try_stage(&group, &engine, "v", Some(KEY)).is_err());
    });
    let at = stage(&group, &engine, "v");
    std::fs::write(at.join("data"), b"kept").unwrap();
    unstage(&group, &engine, "v");
    with(luks::PROGRAM, Some("exit 0"), || {
        assert!(try_stage(&group, &engine, "v", Some(KEY)).is_err());
    });
    let at = stage(&group, &engine, "v");
    assert_eq!(std::fs::read(at.join("data")).unwrap(), b"kept");
    unstage(&group, &engine, "v");
}
