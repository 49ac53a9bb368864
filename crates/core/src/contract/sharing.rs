//! Many processes, one pool: locks, races, and the last one out.

use super::*;
use crate::lock;
use std::sync::Barrier;

pub(super) const CHECKS: &[Check] = &[
    (a_held_lock_is_busy, "another operation on the same volume is busy, and only there"),
    (many_mount_and_unmount_one_volume, "many mount and unmount one volume at once"),
    (many_create_one_volume, "many create one volume at once"),
    (the_last_unmount_unstages, "the last unmount unstages"),
    (a_failed_mount_leaves_nothing, "a mount that fails leaves nothing"),
];

fn a_held_lock_is_busy(ground: &Ground) {
    let content = ground.mountable().next().unwrap();
    ground.create("held", content);
    ground.create("free", content);
    let pool = ground.pool();
    let held =
        lock::acquire(&pool.locks, "volume-held", lock::Mode::Exclusive, Duration::ZERO).unwrap();
    let engine = (ground.engines)(Duration::from_millis(50));
    let (name, staging) = (named("held"), ground.staging("held"));
    refused(engine.delete(&ground.pool, &name), Kind::Busy, "delete");
    refused(engine.stage(&ground.pool, &name, &staging), Kind::Busy, "stage");
    refused(engine.unstage(&ground.pool, &name, &staging), Kind::Busy, "unstage");
    refused(engine.expand(&ground.pool, &name, 512 * MIB), Kind::Busy, "expand");
    refused(engine.create_snapshot(&ground.pool, &named("s"), &name), Kind::Busy, "snapshot");
    let request = ground.request("held", content);
    let busy = refused(engine.create(&ground.pool, &request), Kind::Busy, "create");
    assert!(busy.advice().is_some());
    must(engine.volume(&ground.pool, &name), "look at a locked volume");
    assert_eq!(engine.volumes(&ground.pool).unwrap().len(), 2, "list with a locked volume");
    must(engine.delete(&ground.pool, &named("free")), "delete another volume meanwhile");
    drop(held);
    must(engine.delete(&ground.pool, &name), "delete when the lock is free");
}

/// Incident catalogue 5 and 10: 60 loop devices of one image, and locks within one process only.
/// Each thread has an engine of its own, as each process has.
fn many_mount_and_unmount_one_volume(ground: &Ground) {
    const THREADS: usize = 8;
    for content in ground.mountable() {
        let new = ground.request(content.name(), content);
        let together = Barrier::new(THREADS);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (new, together) = (&new, &together);
                scope.spawn(move || {
                    let engine = ground.engine();
                    let target = ground.target(&format!("pods/{thread}/v"));
                    for round in 0..4 {
                        if round == 0 {
                            together.wait();
                        }
                        let publication = Publication::default();
                        let mounted =
                            engine.mount(&ground.pool, &new.name, Some(new), &target, &publication);
                        must(mounted, "mount");
                        let mine = target.path().join(format!("{thread}-{round}"));
                        std::fs::write(&mine, [thread as u8; 1000]).unwrap();
                        expect_file(&mine, &[thread as u8; 1000]);
                        must(engine.unmount(&target), "unmount");
                        must(engine.unmount(&target), "unmount again");
                        assert!(!mine.exists(), "the unmounted target still shows data");
                    }
                });
            }
        });
        ground.expect_at_rest(content.name());
        expect_no_stage(ground);
        let at = ground.stage(content.name());
        for thread in 0..THREADS {
            for round in 0..4 {
                expect_file(&at.join(format!("{thread}-{round}")), &[thread as u8; 1000]);
            }
        }
        ground.unstage(content.name());
    }
}

fn expect_no_stage(ground: &Ground) {
    let staged = ground.engine().state().staged();
    assert_eq!(ground.mounts_below(&staged), Vec::<PathBuf>::new(), "stages are left");
}

fn many_create_one_volume(ground: &Ground) {
    let new = ground.request("v", ground.any());
    let uuids: Vec<_> = std::thread::scope(|scope| {
        let makers: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| must(ground.engine().create(&ground.pool, &new), "create").uuid)
            })
            .collect();
        makers.into_iter().map(|maker| maker.join().unwrap()).collect()
    });
    assert!(uuids.iter().all(|uuid| *uuid == uuids[0]), "several volumes were made: {uuids:?}");
    assert_eq!(ground.engine().volumes(&ground.pool).unwrap().len(), 1);
}

fn the_last_unmount_unstages(ground: &Ground) {
    for content in ground.mountable() {
        let name = content.name();
        let (engine, new) = (ground.engine(), ground.request(name, content));
        let (one, two) = (ground.target("one"), ground.target("two"));
        let readonly = Publication { readonly: true, ..Publication::default() };
        for _ in 0..2 {
            let mounted =
                engine.mount(&ground.pool, &new.name, Some(&new), &one, &Publication::default());
            must(mounted, "mount, making the volume");
        }
        write(&one.path().join("data"), b"shared");
        must(engine.mount(&ground.pool, &new.name, None, &two, &readonly), "mount a second time");
        expect_file(&two.path().join("data"), b"shared");
        must(engine.unmount(&one), "unmount the first");
        expect_file(&two.path().join("data"), b"shared");
        must(engine.unmount(&two), "unmount the last");
        ground.expect_at_rest(name);
        expect_no_stage(ground);
        let anchor = ground.pool().staged.join(named(name));
        assert!(!anchor.exists(), "the staging place is left");
    }
}

fn a_failed_mount_leaves_nothing(ground: &Ground) {
    let content = ground.mountable().next().unwrap();
    let (engine, new) = (ground.engine(), ground.request("v", content));
    let absent = ground.target("pod");
    let mounted = engine.mount(&ground.pool, &new.name, None, &absent, &Publication::default());
    refused(mounted, Kind::NotFound, "mounting what does not exist");
    // The target is a file, so the stage succeeds and the publication fails.
    std::fs::write(ground.root.join("file"), b"").unwrap();
    let inside = ground.target("file/pod");
    let mounted =
        engine.mount(&ground.pool, &new.name, Some(&new), &inside, &Publication::default());
    assert!(mounted.is_err(), "mounted below a file");
    ground.expect_at_rest("v");
    expect_no_stage(ground);
    must(engine.delete(&ground.pool, &named("v")), "delete");
}
