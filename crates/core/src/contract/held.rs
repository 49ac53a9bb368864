//! The devices of raw block volumes go with their last use, whatever is undone first, and also when the
//! volume cannot be read any more. Devices of others stay.

use super::*;
use crate::device_label::DeviceLabel;
use becket_sys::loop_device::{self, LoopDevice, Options};

pub(super) const CHECKS: &[Check] = &[
    (a_device_goes_with_its_last_use, "a device goes with its last use, in whatever order"),
    (a_device_goes_without_its_record, "a device goes although its volume's record is damaged"),
    (a_device_goes_without_its_pool, "a device goes although its pool is gone"),
    (a_volume_is_staged_again, "a volume that is staged again keeps its device"),
    (devices_of_others_stay, "devices of others are left alone"),
];

/// Each order in which a stage and two publications can be undone.
const ORDERS: &[[&str; 3]] = &[
    ["stage", "pod", "reader"],
    ["stage", "reader", "pod"],
    ["pod", "stage", "reader"],
    ["reader", "stage", "pod"],
    ["pod", "reader", "stage"],
];

fn has_block_files(ground: &Ground) -> bool {
    ground.contents.contains(&Content::Block) && ground.pool().dir.path().join("volumes").is_dir()
}

/// The devices of the files below `place`, as the kernel tells them.
fn devices_below(place: &Path) -> Vec<u32> {
    let attached = loop_device::attached().unwrap().into_iter();
    attached.filter(|(_, file)| file.starts_with(place)).map(|(number, _)| number).collect()
}

fn place_of(ground: &Ground) -> PathBuf {
    ground.pool().dir.path().canonicalize().unwrap()
}

fn use_all(ground: &Ground) {
    ground.stage("v");
    ground.publish("v", "pod", false);
    ground.publish("v", "reader", true);
}

/// Undoes one use as the CSI driver does, twice.
fn undo(ground: &Ground, which: &str, readable: bool) {
    let (engine, name) = (ground.engine(), named("v"));
    for _ in 0..2 {
        let undone = match (which, readable) {
            ("stage", true) => engine.unstage(&ground.pool, &name, &ground.staging("v")),
            ("stage", false) => engine.unstage_unread(&ground.pool, &name, &ground.staging("v")),
            (at, _) => engine.withdraw(&ground.pool, &name, &ground.target(at)),
        };
        must(undone, which);
    }
}

/// Asserts that no device of a file below `place` is left, but for a moment while somebody looks at it.
#[track_caller]
fn expect_none(place: &Path, when: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !devices_below(place).is_empty() {
        assert!(Instant::now() < deadline, "a device is left {when}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Undoes everything in this order; the devices below `place` stay until the last of it.
fn undo_all(ground: &Ground, order: &[&str; 3], readable: bool, place: &Path) {
    for (index, which) in order.iter().enumerate() {
        let gone = devices_below(place).is_empty();
        assert!(!gone, "a device was gone before use {index} of {order:?} was undone");
        undo(ground, which, readable);
    }
    expect_none(place, &format!("after {order:?}"));
    assert_eq!(ground.mounts_below(&ground.root), Vec::<PathBuf>::new());
}

fn a_device_goes_with_its_last_use(ground: &Ground) {
    if !has_block_files(ground) {
        return;
    }
    ground.create("v", Content::Block);
    let place = place_of(ground);
    for order in ORDERS {
        use_all(ground);
        undo_all(ground, order, true, &place);
    }
}

fn a_device_goes_without_its_record(ground: &Ground) {
    if !has_block_files(ground) {
        return;
    }
    ground.create("v", Content::Block);
    let place = place_of(ground);
    let file = place.join("volumes/v/volume.json");
    let record = std::fs::read(&file).unwrap();
    for order in ORDERS {
        use_all(ground);
        write(&file, b"{");
        undo_all(ground, order, false, &place);
        write(&file, &record);
    }
    // Damaged after it was unstaged.
    use_all(ground);
    undo(ground, "stage", true);
    write(&file, b"{");
    undo(ground, "reader", true);
    undo(ground, "pod", true);
    expect_none(&place, "that was unstaged before");
    write(&file, &record);
}

fn a_device_goes_without_its_pool(ground: &Ground) {
    if !has_block_files(ground) {
        return;
    }
    ground.create("v", Content::Block);
    let place = place_of(ground);
    let aside = place.with_extension("aside");
    for order in ORDERS {
        use_all(ground);
        std::fs::rename(&place, &aside).unwrap();
        undo_all(ground, order, false, &aside);
        std::fs::rename(&aside, &place).unwrap();
    }
}

fn a_volume_is_staged_again(ground: &Ground) {
    if !has_block_files(ground) {
        return;
    }
    ground.create("v", Content::Block);
    let place = place_of(ground);
    use_all(ground);
    undo(ground, "stage", true);
    let other = ground.try_publish("v", "other", false);
    refused(other, Kind::WrongState, "publishing a volume that is not staged any more");
    // What is published already is published, also when that is asked for again.
    ground.publish("v", "pod", false);
    ground.stage("v");
    undo(ground, "pod", true);
    undo(ground, "reader", true);
    assert!(!devices_below(&place).is_empty(), "unpublishing detached a staged volume");
    ground.publish("v", "pod", false);
    undo(ground, "pod", true);
    undo(ground, "stage", true);
    expect_none(&place, "of a volume that was staged again");

    // One that was detached while a process had it open is going, and is held again.
    ground.stage("v");
    let device = LoopDevice::open(devices_below(&place)[0]).unwrap().unwrap();
    undo(ground, "stage", true);
    ground.stage("v");
    drop(device);
    assert_eq!(devices_below(&place).len(), 1, "a staged volume has lost its device");
    undo(ground, "stage", true);
    expect_none(&place, "of a volume that was staged again");
}

/// Their files have the very names of the volume's, and they have labels like its own.
fn devices_of_others_stay(ground: &Ground) {
    if !has_block_files(ground) {
        return;
    }
    ground.create("v", Content::Block);
    let ((state, inode), pool) = (ground.pool().state, ground.pool().name().clone());
    let labels = [
        String::new(),
        DeviceLabel::new((state, inode + 1), &pool, &named("v")).unstaged(),
        DeviceLabel::new((state, inode), &named("other"), &named("v")).unstaged(),
        DeviceLabel::new((state, inode), &pool, &named("w")).staged(),
    ];
    let theirs = |(number, label): (usize, &String)| {
        let dir = ground.root.join(format!("theirs-{number}/volumes/v"));
        std::fs::create_dir_all(&dir).unwrap();
        let path = dir.join("data");
        write(&path, &pattern(1 << 20, 1));
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let options = Options { readonly: false, autoclear: false, label };
        loop_device::attach(&file, &path, options).unwrap()
    };
    let theirs: Vec<LoopDevice> = labels.iter().enumerate().map(theirs).collect();
    let (place, others) = (place_of(ground), ground.root.canonicalize().unwrap());
    let file = place.join("volumes/v/volume.json");
    let record = std::fs::read(&file).unwrap();
    for readable in [true, false] {
        use_all(ground);
        if !readable {
            write(&file, b"{");
        }
        undo_all(ground, &ORDERS[0], readable, &place);
        write(&file, &record);
        assert_eq!(devices_below(&others).len(), labels.len(), "a device of others was detached");
        for (device, label) in theirs.iter().zip(&labels) {
            assert_eq!(&device.status().unwrap().unwrap().label, label, "another's was changed");
        }
    }
    theirs.iter().for_each(|device| device.detach().unwrap());
}
