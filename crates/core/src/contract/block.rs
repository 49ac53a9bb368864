//! Raw block volumes: a device node bound over a file.

use super::copies::{copy_of, restore, snapshot};
use super::*;
use crate::backend::Place;
use crate::record::OriginKind;
use becket_sys::loop_device;
use rustix::fs::FallocateFlags;
use std::os::unix::fs::{FileExt, FileTypeExt};

pub(super) const CHECKS: &[Check] = &[
    (a_block_volume_is_a_device_at_its_target, "a block volume is a device at its target"),
    (a_block_volume_grows_while_attached, "a block volume grows while it is attached"),
    (a_block_volume_in_use_is_not_deleted, "a block volume in use is not deleted"),
    (a_read_only_device_takes_no_writes, "a device published read-only takes no writes"),
    (block_copies_have_the_same_bytes, "block copies have the same bytes"),
];

fn has_block(ground: &Ground) -> bool {
    ground.contents.contains(&Content::Block)
}

fn open(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

fn a_block_volume_is_a_device_at_its_target(ground: &Ground) {
    if !has_block(ground) {
        return;
    }
    let record = ground.create("v", Content::Block);
    for _ in 0..2 {
        ground.stage("v");
    }
    let pool = ground.pool();
    assert_eq!(
        ground.backend.devices(&pool, &record, Place::Ready).unwrap().len(),
        1,
        "attached twice"
    );
    let bytes = pattern(65_536, 5);
    for round in 0..2 {
        std::fs::create_dir_all(ground.root.join("pods")).unwrap();
        let mut nodes = Vec::new();
        for at in ["pods/one", "pods/two"] {
            for _ in 0..2 {
                ground.publish("v", at, false);
            }
            let path = ground.target(at).path();
            assert_eq!(
                ground.mounts_below(&path),
                std::slice::from_ref(&path),
                "publishing stacked mounts"
            );
            let node = std::fs::metadata(&path).unwrap();
            assert!(node.file_type().is_block_device(), "`{}` is no device", path.display());
            nodes.push(path);
        }
        let device = open(&nodes[0]);
        if round == 0 {
            device.write_all_at(&bytes, 1 << 20).unwrap();
            device.sync_all().unwrap();
        }
        let mut found = vec![0; bytes.len()];
        open(&nodes[1]).read_exact_at(&mut found, 1 << 20).unwrap();
        assert!(found == bytes, "the device has other bytes than were written");
        let mut byte = [0];
        assert_eq!(device.read_at(&mut byte, record.size).unwrap(), 0, "the device is too large");
        drop(device);
        for at in ["pods/one", "pods/two"] {
            for _ in 0..2 {
                ground.unpublish(at);
            }
            let attached = ground.backend.devices(&pool, &record, Place::Ready).unwrap();
            assert_eq!(attached.len(), 1, "unpublishing detached a staged volume");
        }
        for _ in 0..2 {
            ground.unstage("v");
        }
        ground.expect_at_rest("v");
        ground.stage("v");
    }
    ground.unstage("v");
    ground.expect_at_rest("v");
}

fn a_block_volume_grows_while_attached(ground: &Ground) {
    if !has_block(ground) {
        return;
    }
    let size = ground.create("v", Content::Block).size;
    ground.stage("v");
    let node = ground.publish("v", "pod", false);
    open(&node).write_all_at(b"kept", 0).unwrap();
    let larger = size + 8 * MIB;
    for _ in 0..2 {
        must(ground.engine().expand(&ground.pool, &named("v"), larger), "expand");
        open(&node).write_all_at(b"new", larger - 3).unwrap();
    }
    let mut found = [0; 4];
    open(&node).read_exact_at(&mut found, 0).unwrap();
    assert_eq!(&found, b"kept");
    ground.unpublish("pod");
    ground.unstage("v");
    ground.expect_at_rest("v");
}

/// Asserts that root cannot change a byte through the device at `path`, whatever way it tries.
fn expect_no_writes(path: &Path) {
    let trim = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    for options in [File::options().write(true), File::options().read(true).write(true)] {
        // The kernel may let it be opened: then each write is refused.
        let Ok(device) = options.open(path) else { continue };
        assert!(device.write_all_at(&[9; 4096], 0).is_err(), "`{}` was written", path.display());
        assert!(rustix::fs::fallocate(&device, trim, 0, 4096).is_err(), "it was trimmed");
    }
    let _ = std::process::Command::new("blockdev").arg("--setrw").arg(path).output();
    if let Ok(device) = File::options().write(true).open(path) {
        let written = device.write_all_at(&[9; 4096], 0);
        assert!(written.is_err(), "`{}` was told to take writes, and did", path.display());
    }
}

/// The flag of the device decides, not that of the mount: a device is written to through both.
fn a_read_only_device_takes_no_writes(ground: &Ground) {
    if !has_block(ground) {
        return;
    }
    let record = ground.create("v", Content::Block);
    ground.stage("v");
    let pool = ground.pool();
    let devices = || ground.backend.devices(&pool, &record, Place::Ready).unwrap();
    for at in ["reader", "reader", "second-reader"] {
        ground.publish("v", at, true);
    }
    let [reader, second] = ["reader", "second-reader"].map(|at| ground.target(at).path());
    assert_eq!(devices().len(), 2, "readers do not share one device");
    let writer = ground.publish("v", "writer", false);
    assert_eq!(devices().len(), 2, "the writer has a device of its own");
    for (at, readonly) in [("reader", false), ("writer", true)] {
        let other = ground.try_publish("v", at, readonly);
        refused(other, Kind::Conflict, "publishing with the other access at the same target");
    }
    let first = pattern(8192, 1);
    open(&writer).write_all_at(&first, 0).unwrap();
    open(&writer).sync_all().unwrap();
    let read = |path: &Path, place| {
        let mut found = vec![0; 8192];
        File::open(path).unwrap().read_exact_at(&mut found, place).unwrap();
        found
    };
    for path in [&reader, &second] {
        expect_no_writes(path);
        assert!(read(path, 0) == first, "a reader has other bytes than were written");
    }
    assert!(read(&writer, 0) == first, "a reader has changed the volume");

    let larger = record.size + 8 * MIB;
    must(ground.engine().expand(&ground.pool, &named("v"), larger), "expand");
    open(&writer).write_all_at(&first, larger - 8192).unwrap();
    open(&writer).sync_all().unwrap();
    assert!(read(&reader, larger - 8192) == first, "the readers' device did not grow");

    // Without a writable device at hand, the readers' one is still not taken for one.
    ground.unpublish("writer");
    let writable = devices().into_iter().find(|device| {
        let sys = Path::new("/sys/block").join(device.file_name().unwrap()).join("ro");
        std::fs::read_to_string(sys).unwrap().trim() == "0"
    });
    // Where it is a loop device of its own, and not what the readers' one stands on.
    if let Some(number) = writable.unwrap().to_str().unwrap().strip_prefix("/dev/loop") {
        let device = loop_device::LoopDevice::open(number.parse().unwrap()).unwrap();
        device.unwrap().detach().unwrap();
        // Whoever looks at all loop devices has it open for a moment, and it goes with the last.
        let deadline = Instant::now() + Duration::from_secs(10);
        while devices().len() > 1 {
            assert!(Instant::now() < deadline, "the writable device was not detached");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    let writer = ground.publish("v", "writer", false);
    open(&writer).write_all_at(&first, 8192).unwrap();
    expect_no_writes(&reader);

    let delete = ground.engine().delete(&ground.pool, &named("v"));
    refused(delete, Kind::InUse, "deleting a volume that has readers");
    for at in ["reader", "writer"] {
        ground.unpublish(at);
    }
    let staging = ground.staging("v");
    must(ground.engine().unstage(&ground.pool, &named("v"), &staging), "unstage under a reader");
    assert!(read(&second, 0) == first, "unstaging took a reader's device away");
    ground.unpublish("second-reader");
    ground.unstage("v");
    ground.expect_at_rest("v");
    must(ground.engine().delete(&ground.pool, &named("v")), "delete");
}

fn a_block_volume_in_use_is_not_deleted(ground: &Ground) {
    if !has_block(ground) {
        return;
    }
    ground.create("v", Content::Block);
    ground.stage("v");
    ground.publish("v", "pod", false);
    let delete = || ground.engine().delete(&ground.pool, &named("v"));
    refused(delete(), Kind::InUse, "deleting a published block volume");
    // A container has a node of its own: the open device alone is a use.
    let record = ground.record("v");
    let device = open(&ground.backend.devices(&ground.pool(), &record, Place::Ready).unwrap()[0]);
    ground.unpublish("pod");
    refused(delete(), Kind::InUse, "deleting a block volume that a process has open");
    device.write_all_at(b"still there", 0).unwrap();
    device.sync_all().unwrap();
    drop(device);
    ground.unstage("v");
    must(delete(), "delete an unused block volume");
}

fn block_copies_have_the_same_bytes(ground: &Ground) {
    if !has_block(ground) {
        return;
    }
    let bytes = pattern(3_000_000, 6);
    ground.create("v", Content::Block);
    ground.stage("v");
    let node = ground.publish("v", "pod", false);
    let device = open(&node);
    device.write_all_at(&bytes, 4096).unwrap();
    device.sync_all().unwrap();
    let shares = ground.backend.abilities(&ground.pool()).unwrap().shares_blocks;
    let engine = ground.engine();
    let taken = engine.create_snapshot(&ground.pool, &named("used"), &named("v"));
    match shares {
        true => drop(must(taken, "take a snapshot of a block volume in use")),
        false => drop(refused(taken, Kind::WrongState, "a snapshot of a block volume in use")),
    }
    drop(device);
    ground.unpublish("pod");
    ground.unstage("v");
    ground.expect_at_rest("v");
    snapshot(ground, "s", "v");
    restore(ground, OriginKind::Snapshot, "s", "restored");
    let mut larger = copy_of(ground, OriginKind::Volume, "v", "larger");
    larger.size = 32 * MIB;
    must(engine.create(&ground.pool, &larger), "make a larger copy");
    if shares {
        restore(ground, OriginKind::Snapshot, "used", "of-used");
    }
    for copy in engine.volumes(&ground.pool).unwrap() {
        let name = copy.name.as_str();
        ground.stage(name);
        let device = open(&ground.publish(name, "pod", false));
        let mut found = vec![0; bytes.len()];
        device.read_exact_at(&mut found, 4096).unwrap();
        assert!(found == bytes, "`{name}` has other bytes than its origin");
        drop(device);
        ground.unpublish("pod");
        ground.unstage(name);
        ground.expect_at_rest(name);
    }
}
