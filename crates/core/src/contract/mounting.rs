//! Staging, publishing and the way back: twice is once, and what is not ours is left alone.

use super::*;
use becket_sys::Errno;
use std::sync::atomic::{AtomicBool, Ordering};

pub(super) const CHECKS: &[Check] = &[
    (each_step_twice_is_once, "each step taken twice is taken once"),
    (data_survives_every_way_back, "data survives unstage and stage"),
    (two_targets_show_one_volume, "two targets show one volume and come and go alone"),
    (read_only_is_read_only_from_the_first_moment, "read-only is so from the first moment"),
    (a_foreign_mount_is_left_alone, "a foreign mount at a path is refused and left alone"),
    (publishing_needs_a_stage, "publishing needs a stage"),
    (links_at_targets_are_refused, "a link at or above a target is refused"),
    (the_group_gets_to_write, "the group gets to write"),
];

fn each_step_twice_is_once(ground: &Ground) {
    for content in ground.mountable() {
        let name = content.name();
        ground.create(name, content);
        for _ in 0..2 {
            ground.stage(name);
        }
        let at = ground.staging(name).path();
        assert_eq!(
            ground.mounts_below(&at),
            std::slice::from_ref(&at),
            "staging twice stacked mounts"
        );
        let target = format!("pods/{name}");
        for _ in 0..2 {
            ground.publish(name, &target, false);
        }
        let shown = ground.target(&target).path();
        assert_eq!(
            ground.mounts_below(&shown),
            std::slice::from_ref(&shown),
            "publishing twice stacked mounts"
        );
        let other = ground.try_publish(name, &target, true);
        refused(other, Kind::Conflict, "publishing read-only over writable");
        for _ in 0..2 {
            ground.unpublish(&target);
        }
        assert!(shown.is_dir(), "unpublishing removed the target");
        for _ in 0..2 {
            ground.unstage(name);
        }
        ground.expect_at_rest(name);
    }
    // What is not there is unmounted already.
    ground.unpublish("never/was");
    must(ground.engine().unmount(&ground.target("never/was")), "unmount what never was");
}

fn data_survives_every_way_back(ground: &Ground) {
    for content in ground.mountable() {
        let name = content.name();
        ground.create(name, content);
        let bytes = pattern(3_000_000, 7);
        ground.stage(name);
        // Not synced: unstaging writes it out.
        std::fs::write(ground.publish(name, "pod", false).join("data"), &bytes).unwrap();
        ground.unpublish("pod");
        ground.unstage(name);
        ground.expect_at_rest(name);
        expect_file(&ground.stage(name).join("data"), &bytes);
        ground.unstage(name);
    }
}

/// Incident I6: the old pod's way out must not break the new pod's mount.
fn two_targets_show_one_volume(ground: &Ground) {
    for content in ground.mountable() {
        let name = content.name();
        ground.create(name, content);
        ground.stage(name);
        let one = ground.publish(name, "one", false);
        let two = ground.publish(name, "two", true);
        write(&one.join("data"), b"shared");
        expect_file(&two.join("data"), b"shared");
        ground.unpublish("one");
        expect_file(&two.join("data"), b"shared");
        let gone = one.join("data").exists();
        assert!(!gone, "the unpublished target still shows data");
        ground.unpublish("two");
        ground.unstage(name);
        ground.expect_at_rest(name);
    }
}

fn read_only_is_read_only_from_the_first_moment(ground: &Ground) {
    for content in ground.mountable() {
        let name = content.name();
        ground.create(name, content);
        let staged = ground.stage(name);
        write(&staged.join("data"), b"there");
        let target = ground.target("reader").path();
        std::fs::create_dir_all(&target).unwrap();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            // Writes as fast as it can: what lands in the volume slipped through.
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let _ = std::fs::write(target.join("slipped"), b"through");
                }
            });
            for _ in 0..10 {
                ground.publish(name, "reader", true);
                ground.publish(name, "reader", true);
                let error = std::fs::write(target.join("new"), b"x").unwrap_err();
                let errno = Errno::from_io_error(&error);
                assert_eq!(errno, Some(Errno::ROFS), "a read-only target is writable: {error}");
                expect_file(&target.join("data"), b"there");
                while ground.engine().unpublish(&ground.target("reader")).is_err() {}
            }
            stop.store(true, Ordering::Relaxed);
        });
        let slipped = staged.join("slipped").exists();
        assert!(!slipped, "there was a moment at which the read-only target was writable");
        assert!(!staged.join("new").exists());
        ground.unstage(name);
        std::fs::remove_file(target.join("slipped")).ok();
    }
}

fn a_foreign_mount_is_left_alone(ground: &Ground) {
    ground.create("v", ground.mountable().next().unwrap());
    let (engine, name) = (ground.engine(), named("v"));
    let staging = ground.staging("v");
    mount_foreign(&staging.path());
    write(&staging.path().join("theirs"), b"theirs");
    let staged = engine.stage(&ground.pool, &name, &staging);
    refused(staged, Kind::WrongState, "staging over a foreign mount");
    let _ = engine.unstage(&ground.pool, &name, &staging);
    expect_file(&staging.path().join("theirs"), b"theirs");
    mount::unmount(&staging.path()).unwrap();

    ground.stage("v");
    let target = ground.target("pod").path();
    mount_foreign(&target);
    write(&target.join("theirs"), b"theirs");
    let published = ground.try_publish("v", "pod", false);
    refused(published, Kind::WrongState, "publishing over a foreign mount");
    expect_file(&target.join("theirs"), b"theirs");
    mount::unmount(&target).unwrap();
    ground.publish("v", "pod", false);
    ground.unpublish("pod");
    ground.unstage("v");
    ground.expect_at_rest("v");
}

fn publishing_needs_a_stage(ground: &Ground) {
    ground.create("v", ground.mountable().next().unwrap());
    refused(ground.try_publish("v", "pod", false), Kind::WrongState, "publishing unstaged");
    refused(
        ground.try_publish("absent", "pod", false),
        Kind::NotFound,
        "publishing what is absent",
    );
    assert!(ground.mounts_below(&ground.root).is_empty());
    assert!(!ground.target("pod").path().exists(), "a refused publication made the target");
}

fn links_at_targets_are_refused(ground: &Ground) {
    ground.create("v", ground.mountable().next().unwrap());
    ground.stage("v");
    let outside = ground.root.join("outside");
    std::fs::create_dir_all(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, ground.root.join("link")).unwrap();
    for at in ["link", "link/pod"] {
        refused(ground.try_publish("v", at, false), Kind::Invalid, "publishing through a link");
        let unpublished = ground.engine().unpublish(&ground.target(at));
        refused(unpublished, Kind::Invalid, "unpublishing through a link");
    }
    assert!(ground.mounts_below(&outside).is_empty() && !outside.join("pod").exists());
    ground.unstage("v");
}

fn the_group_gets_to_write(ground: &Ground) {
    use std::os::unix::fs::MetadataExt;
    ground.create("v", ground.mountable().next().unwrap());
    let staging = ground.stage("v");
    let publication = Publication { group: Some(4321), ..Publication::default() };
    let target = ground.target("pod");
    let published = ground.engine().publish(
        &ground.pool,
        &named("v"),
        &ground.staging("v"),
        &target,
        &publication,
    );
    must(published, "publish for a group");
    let top = std::fs::metadata(staging).unwrap();
    assert_eq!((top.gid(), top.mode() & 0o2070), (4321, 0o2070));
    ground.unpublish("pod");
    ground.unstage("v");
}
