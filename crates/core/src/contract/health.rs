//! Health: silence about what is well, and the right word for each real fault.

use super::copies::snapshot;
use super::*;
use crate::backend::IMAGE_ON_SERVER;
use crate::engine::Complaint;
use crate::engine::Severity::{self, DataLoss, Degraded, Inaccessible};
use std::process::Command;

pub(super) const CHECKS: &[Check] = &[
    (a_healthy_volume_has_no_complaints, "there are no complaints about what is well"),
    (a_damaged_record_is_told, "a record that cannot be read is told"),
    (missing_storage_is_told, "missing storage is told, and so is what is in its place"),
    (a_device_without_its_image_is_told, "a device whose image was removed is told"),
    (a_lost_end_is_told, "an image that lost its end is told"),
    (a_lost_filesystem_is_told, "an image that lost its filesystem is told"),
    (filesystem_errors_are_told, "an error that the kernel found in a filesystem is told"),
    (a_read_only_remount_is_told, "a filesystem that the kernel made read-only is told"),
    (a_shut_down_filesystem_is_told, "a filesystem that the kernel gave up is told"),
    (an_unreachable_pool_is_told, "a pool that cannot be reached is told"),
];

fn health(ground: &Ground, name: &str) -> Vec<Complaint> {
    must(ground.engine().volume_health(&ground.pool, &named(name)), "ask for a volume's health")
}

/// Asserts that exactly these complaints are there about `v`, alone and in the list of the pool.
#[track_caller]
fn expect(ground: &Ground, wanted: &[(Severity, &str)]) {
    let found = health(ground, "v");
    let told: Vec<_> = found.iter().map(|it| (it.severity, it.reason)).collect();
    assert_eq!(told, wanted, "{found:?}");
    assert!(found.iter().all(|it| !it.message.is_empty() && !it.message.ends_with('.')));
    let all = must(ground.engine().unhealthy_volumes(&ground.pool), "list what is unhealthy");
    match wanted {
        [] => assert_eq!(all, []),
        _ => assert_eq!(all, [(named("v"), found)]),
    }
    let mut pool = ground.engine().pool_health(&ground.pool);
    // How full it is depends on the disk of this machine.
    pool.retain(|it| it.reason != "PoolNearlyFull");
    assert_eq!(pool, [], "a volume's fault was told of its pool");
}

/// Two volumes, so that one's fault can be told of the wrong one.
fn two(ground: &Ground, content: Content) {
    ground.create("v", content);
    ground.create("well", content);
    expect(ground, &[]);
}

/// The path of the volume's own bytes, or of its directory.
fn data(ground: &Ground, name: &str) -> PathBuf {
    let place = ground.place().join("volumes").join(name);
    let on_server = place.join(IMAGE_ON_SERVER);
    if on_server.exists() { on_server } else { place.join("data") }
}

fn has_files(ground: &Ground) -> bool {
    ground.place().join("volumes").is_dir()
}

fn a_healthy_volume_has_no_complaints(ground: &Ground) {
    let engine = ground.engine();
    let absent = engine.volume_health(&ground.pool, &named("v"));
    refused(absent, Kind::NotFound, "the health of an absent volume");
    let nowhere = engine.volume_health(&named("nowhere"), &named("v"));
    refused(nowhere, Kind::NotFound, "the health of a volume of an unknown pool");
    for content in ground.contents.iter().copied() {
        ground.create("v", content);
        expect(ground, &[]);
        for readonly in [false, true] {
            ground.stage("v");
            let at = format!("pod-{}", content.name());
            let pod = ground.publish("v", &at, readonly);
            expect(ground, &[]);
            if content != Content::Block && !readonly {
                write(&pod.join("data"), &pattern(1_000_000, 1));
                expect(ground, &[]);
            }
            ground.unpublish(&at);
            ground.unstage("v");
            ground.expect_at_rest("v");
        }
        snapshot(ground, "s", "v");
        if ground.record("v").size > 0 {
            let larger = ground.record("v").size + 16 * MIB;
            must(engine.expand(&ground.pool, &named("v"), larger), "expand");
        }
        expect(ground, &[]);
        must(engine.delete(&ground.pool, &named("v")), "delete");
        must(engine.delete_snapshot(&ground.pool, &named("s")), "delete the snapshot");
        refused(
            engine.volume_health(&ground.pool, &named("v")),
            Kind::NotFound,
            "the health of a deleted volume",
        );
    }
}

fn a_damaged_record_is_told(ground: &Ground) {
    if !has_files(ground) {
        return;
    }
    two(ground, ground.any());
    let place = ground.place().join("volumes/v/volume.json");
    let record = std::fs::read_to_string(&place).unwrap();
    let newer = record.replace("\"format\": 1", "\"format\": 99");
    for damaged in ["", "{", &record[..record.len() / 2], &newer] {
        write(&place, damaged.as_bytes());
        expect(ground, &[(Inaccessible, "RecordDamaged")]);
    }
    std::fs::remove_file(&place).unwrap();
    expect(ground, &[(Inaccessible, "RecordDamaged")]);
    write(&place, record.as_bytes());
    expect(ground, &[]);
}

fn missing_storage_is_told(ground: &Ground) {
    if !has_files(ground) {
        return;
    }
    two(ground, ground.any());
    let (place, kept) = (data(ground, "v"), ground.place().join("kept"));
    let directory = ground.any() == Content::Directory;
    let reason = if directory { "DirectoryMissing" } else { "ImageMissing" };
    std::fs::rename(&place, &kept).unwrap();
    expect(ground, &[(DataLoss, reason)]);
    if !directory {
        // A pipe in its place must not be opened: nobody would ever answer.
        let made = Command::new("mkfifo").arg(&place).status().unwrap();
        assert!(made.success());
        expect(ground, &[(DataLoss, reason)]);
        std::fs::remove_file(&place).unwrap();
        std::fs::create_dir(&place).unwrap();
        expect(ground, &[(DataLoss, reason)]);
        std::fs::remove_dir(&place).unwrap();
    }
    std::fs::rename(&kept, &place).unwrap();
    expect(ground, &[]);
}

fn a_device_without_its_image_is_told(ground: &Ground) {
    // Of a file that is on a server this kernel does not know that it is gone.
    if ground.any() == Content::Directory || !has_files(ground) || ground.place.is_some() {
        return;
    }
    two(ground, ground.any());
    ground.stage("v");
    let (place, copy) = (data(ground, "v"), ground.place().join("copy"));
    std::fs::copy(&place, &copy).unwrap();
    std::fs::remove_file(&place).unwrap();
    expect(ground, &[(DataLoss, "ImageMissing"), (DataLoss, "DeviceGone")]);
    // With another file in its place all looks well, and what is written is lost.
    std::fs::rename(&copy, &place).unwrap();
    expect(ground, &[(DataLoss, "DeviceGone")]);
    mount::unmount(&ground.staging("v").path()).unwrap();
    ground.expect_at_rest("v");
    expect(ground, &[]);
}

fn a_lost_end_is_told(ground: &Ground) {
    if ground.any() == Content::Directory || !has_files(ground) {
        return;
    }
    for content in ground.contents.iter().copied() {
        two(ground, content);
        let image = File::options().write(true).open(data(ground, "v")).unwrap();
        let size = ground.record("v").size;
        image.set_len(size - MIB).unwrap();
        expect(ground, &[(DataLoss, "ImageCutShort")]);
        image.set_len(size).unwrap();
        expect(ground, &[]);
        ["v", "well"].iter().for_each(|name| ground.discard(name));
    }
}

fn a_lost_filesystem_is_told(ground: &Ground) {
    if !has_files(ground) {
        return;
    }
    for content in ground.mountable().filter(|content| *content != Content::Directory) {
        two(ground, content);
        let image = File::options().write(true).open(data(ground, "v")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&image, &[0; 128 * 1024], 0).unwrap();
        expect(ground, &[(DataLoss, "FilesystemLost")]);
        ["v", "well"].iter().for_each(|name| ground.discard(name));
    }
}

/// Makes the kernel find an error in the mounted ext4 of `v`. False where it has no such switch.
fn find_error(ground: &Ground) -> bool {
    let record = ground.record("v");
    let devices = ground.backend.devices(&ground.pool(), &record, Place::Ready).unwrap();
    let name = devices[0].file_name().unwrap();
    let switch = Path::new("/sys/fs/ext4").join(name).join("trigger_fs_error");
    let pulled = std::fs::write(&switch, "1").is_ok();
    if !pulled {
        eprintln!("    not checked: this kernel has no `{}`", switch.display());
    }
    pulled
}

/// Asks again for a moment: the kernel writes an error down a little later.
fn soon(ground: &Ground, reason: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !health(ground, "v").iter().any(|it| it.reason == reason) {
        assert!(Instant::now() < deadline, "nothing is told of {reason}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn filesystem_errors_are_told(ground: &Ground) {
    if !ground.contents.contains(&Content::Ext4) {
        return;
    }
    two(ground, Content::Ext4);
    let staged = ground.stage("v");
    let found = find_error(ground);
    if found {
        soon(ground, "FilesystemErrors");
        expect(ground, &[(Degraded, "FilesystemErrors")]);
        write(&staged.join("data"), b"it can still be written");
    }
    ground.unstage("v");
    ground.expect_at_rest("v");
    if found {
        expect(ground, &[(Degraded, "FilesystemErrors")]);
    }
    // The next stage checks it, and then it is well.
    ground.stage("v");
    expect(ground, &[]);
    ground.unstage("v");
}

fn a_read_only_remount_is_told(ground: &Ground) {
    let tune =
        |image: &Path| Command::new("tune2fs").args(["-e", "remount-ro"]).arg(image).output();
    if !ground.contents.contains(&Content::Ext4) || !has_files(ground) {
        return;
    }
    two(ground, Content::Ext4);
    if !tune(&data(ground, "v")).is_ok_and(|tuned| tuned.status.success()) {
        return;
    }
    let staged = ground.stage("v");
    ground.publish("v", "reader", true);
    expect(ground, &[]);
    if find_error(ground) {
        let written = std::fs::write(staged.join("new"), b"x");
        assert!(written.is_err(), "the kernel has not made it read-only");
        soon(ground, "FilesystemErrors");
        let table = mountinfo::read().unwrap();
        let staged = table.iter().find(|entry| entry.point == staged).unwrap();
        if staged.has("ro") || staged.has("emergency_ro") {
            expect(ground, &[(Degraded, "FilesystemErrors"), (Degraded, "MountedReadOnly")]);
        } else {
            eprintln!("    not told: this kernel does not say that it made an ext4 read-only");
        }
    }
    ground.unpublish("reader");
    ground.unstage("v");
    ground.expect_at_rest("v");
    ground.stage("v");
    expect(ground, &[]);
    ground.unstage("v");
}

fn a_shut_down_filesystem_is_told(ground: &Ground) {
    for content in [Content::Xfs, Content::Ext4] {
        if !ground.contents.contains(&content) {
            continue;
        }
        two(ground, content);
        let staged = ground.stage("v");
        ground.publish("v", "pod", false);
        let told = Command::new("xfs_io").args(["-x", "-c", "shutdown"]).arg(&staged).output();
        let written = std::fs::write(staged.join("new"), b"x")
            .and_then(|()| File::open(staged.join("new")).and_then(|file| file.sync_all()));
        let silent = content == Content::Ext4 && becket_sys::kernel::version() < Some((6, 15));
        if written.is_ok() {
            eprintln!("    not checked: {content:?} could not be shut down: {told:?}");
        } else if silent {
            eprintln!("    not checked: this kernel does not tell that it shut {content:?} down");
        } else {
            expect(ground, &[(Inaccessible, "FilesystemShutDown")]);
        }
        // It keeps no pod from ending, and is well when it is mounted anew.
        ground.unpublish("pod");
        ground.unstage("v");
        ground.expect_at_rest("v");
        ground.stage("v");
        expect(ground, &[]);
        ground.unstage("v");
        ["v", "well"].iter().for_each(|name| ground.discard(name));
    }
}

fn an_unreachable_pool_is_told(ground: &Ground) {
    two(ground, ground.any());
    let engine = ground.engine();
    let place = ground.place().canonicalize().unwrap();
    let unreachable = |what: &str| {
        let pool = engine.pool_health(&ground.pool);
        let volume = health(ground, "v");
        for told in [&pool, &volume] {
            let found: Vec<_> = told.iter().map(|it| (it.severity, it.reason)).collect();
            assert_eq!(found, [(Inaccessible, "PoolUnreachable")], "{what}: {told:?}");
        }
        assert!(engine.unhealthy_volumes(&ground.pool).is_err(), "{what}: a list was made");
    };
    let away = place.with_extension("away");
    std::fs::rename(&place, &away).unwrap();
    unreachable("without its directory");
    std::fs::create_dir(&place).unwrap();
    unreachable("with an empty directory, as where a disk is not mounted");
    std::fs::remove_dir(&place).unwrap();
    std::fs::rename(&away, &place).unwrap();
    if has_files(ground) {
        std::fs::rename(place.join("volumes"), place.join("kept")).unwrap();
        unreachable("without the area of its volumes");
        std::fs::rename(place.join("kept"), place.join("volumes")).unwrap();
    }
    expect(ground, &[]);
    let unknown = engine.pool_health(&named("nowhere"));
    assert_eq!(unknown.len(), 1, "{unknown:?}");
    let unused = engine.pool_health(&named(crate::pool::DEFAULT_POOL));
    assert_eq!(unused, [], "the pool that is made when it is first used is missed");
}
