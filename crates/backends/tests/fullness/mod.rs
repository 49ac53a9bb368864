//! The health of a pool that runs out of room, on filesystems that are filled to the last byte.

use super::ground;
use super::medium::Medium;
use becket_backends::Image;
use becket_core::Name;
use becket_core::contract::{Ground, MIB};
use becket_core::engine::{NewVolume, Severity};
use becket_core::record::{Content, Provisioning};
use rustix::fs::FallocateFlags;
use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

fn create(ground: &Ground, name: &str, size: u64, provisioning: Provisioning) {
    let mut new = NewVolume::new(Name::new(name).unwrap(), size);
    new.content = Some(Content::Block);
    new.provisioning = Some(provisioning);
    ground.engine().create(&ground.pool, &new).unwrap();
}

fn free(place: &Path) -> (u64, u64) {
    let found = becket_sys::space::of(File::open(place).unwrap().as_fd(), place).unwrap();
    (found.free, found.total)
}

/// Fills the filesystem that `place` is on until at most `left` bytes are free.
fn fill(place: &Path, left: u64) -> File {
    let file = tempfile::tempfile_in(place).unwrap();
    let mut length = 0;
    while free(place).0 > left {
        let more = (free(place).0 - left).clamp(64 * 1024, 64 * MIB);
        if rustix::fs::fallocate(&file, FallocateFlags::empty(), length, more).is_err() {
            break;
        }
        length += more;
        // btrfs counts what is taken when its transaction is over.
        rustix::fs::syncfs(&file).unwrap();
    }
    file
}

/// Writes until there is no room for anything.
fn fill_up(place: &Path) -> File {
    let mut file = tempfile::tempfile_in(place).unwrap();
    for size in [1 << 20, 4096] {
        let bytes = vec![1; size];
        while free(place).0 > 0 && file.write_all(&bytes).and_then(|()| file.sync_data()).is_ok() {}
    }
    eprintln!("{}: {} bytes are still said to be free", place.display(), free(place).0);
    file
}

/// Waits until what was removed is free again, which xfs and btrfs do a moment later.
fn wait_for_room(place: &Path, total: u64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while free(place).0 < total / 5 * 4 {
        assert!(Instant::now() < deadline, "{} of {total} bytes are free", free(place).0);
        rustix::fs::syncfs(File::open(place).unwrap()).unwrap();
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[track_caller]
fn expect(ground: &Ground, reasons: &[&str]) {
    let found = ground.engine().pool_health(&ground.pool);
    let told: Vec<_> = found.iter().map(|it| it.reason).collect();
    assert_eq!(told, reasons, "{found:?}");
    assert!(found.iter().all(|it| it.severity == Severity::Degraded && !it.message.is_empty()));
    assert_eq!(ground.engine().unhealthy_volumes(&ground.pool).unwrap(), []);
}

fn a_pool_tells_how_full_it_is(kind: &str) {
    let Some(medium) = Medium::of(kind, &[], "") else { return };
    let ground = ground(&medium, Image);
    let place = ground.engine().open(&ground.pool).unwrap().dir.path().canonicalize().unwrap();
    expect(&ground, &[]);
    create(&ground, "thick", 64 * MIB, Provisioning::Thick);
    create(&ground, "thin", 64 * MIB, Provisioning::Thin);
    let (_, total) = free(&place);
    let filler = fill(&place, total / 25);
    expect(&ground, &["PoolNearlyFull"]);
    // Nothing else in it can grow.
    ground.engine().delete(&ground.pool, &Name::new("thin").unwrap()).unwrap();
    expect(&ground, &[]);
    let (rest, last) = (fill(&place, 0), fill_up(&place));
    expect(&ground, &["PoolFull"]);
    drop((filler, rest, last));
    wait_for_room(&place, total);
    expect(&ground, &[]);

    create(&ground, "large", total / 2, Provisioning::Thin);
    expect(&ground, &[]);
    let filler = fill(&place, total / 4);
    expect(&ground, &["OvercommitExhausted"]);
    drop(filler);
    wait_for_room(&place, total);
    expect(&ground, &[]);

    let remount = |how: &str| {
        let top = place.parent().unwrap();
        std::process::Command::new("mount").args(["-o", how]).arg(top).status().unwrap()
    };
    assert!(remount("remount,ro").success());
    expect(&ground, &["PoolReadOnly"]);
    assert!(remount("remount,rw").success());
    expect(&ground, &[]);
}

#[test]
fn a_pool_on_ext4_tells_how_full_it_is() {
    a_pool_tells_how_full_it_is("ext4");
}

#[test]
fn a_pool_on_xfs_tells_how_full_it_is() {
    a_pool_tells_how_full_it_is("xfs");
}

#[test]
fn a_pool_on_btrfs_tells_how_full_it_is() {
    a_pool_tells_how_full_it_is("btrfs");
}
