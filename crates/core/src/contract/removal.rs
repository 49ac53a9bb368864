//! Deleting: never while in use, never for good at once, never said of what cannot be seen.

use super::*;
use crate::record::TrashKind;

pub(super) const CHECKS: &[Check] = &[
    (what_is_in_use_is_not_deleted, "what is in use is not deleted"),
    (what_others_copied_is_waited_for, "mounts that others have copied are waited for, and kept"),
    (deleting_goes_through_the_trash, "deleting goes through the trash, and back"),
    (emptying_the_trash_is_for_good, "emptying the trash is for good"),
    (an_absent_volume_is_deleted_already, "an absent volume of a healthy pool is deleted already"),
    (
        absence_is_not_concluded_from_a_sick_pool,
        "absence is not concluded from a pool that is not whole",
    ),
    (purging_stays_on_its_own_mount, "purging stays on its own mount"),
    (a_pool_in_use_is_not_deleted, "a pool with anything in it is not deleted"),
    (what_is_still_shown_is_not_swept, "a pod's directory that is still mounted is not swept"),
];

fn what_is_in_use_is_not_deleted(ground: &Ground) {
    for content in ground.mountable() {
        let name = content.name();
        ground.create(name, content);
        let delete = || ground.engine().delete(&ground.pool, &named(name));
        write(&ground.stage(name).join("data"), b"kept");
        refused(delete(), Kind::InUse, "deleting a staged volume");
        let pod = ground.publish(name, "pod", true);
        refused(delete(), Kind::InUse, "deleting a published volume");
        expect_file(&pod.join("data"), b"kept");
        // Published and no longer staged: still in use.
        mount::unmount(&ground.staging(name).path()).unwrap();
        refused(delete(), Kind::InUse, "deleting a volume that a pod has");
        expect_file(&pod.join("data"), b"kept");
        ground.unpublish("pod");
        ground.unstage(name);
        must(delete(), "delete a volume at once after its last unmount");
        must(delete(), "delete it again");
        let looked = ground.engine().volume(&ground.pool, &named(name));
        refused(looked, Kind::NotFound, "the deleted volume");
    }
}

/// A copy of the mount that is in no table we can read, as a container has of all mounts while it is being
/// started.
fn copy_of_mount(path: &Path) -> mount::Detached {
    must(mount::view_of(File::open(path).unwrap().as_fd(), path).map_err(Error::from), "copy")
}

fn what_others_copied_is_waited_for(ground: &Ground) {
    for content in ground.mountable().filter(|content| *content != Content::Directory) {
        let name = content.name();
        ground.create(name, content);
        let staged = ground.stage(name);
        write(&staged.join("data"), b"kept");
        let lasting = copy_of_mount(&staged);
        ground.unstage(name);
        let deleted = ground.engine().delete(&ground.pool, &named(name));
        let refusal = refused(deleted, Kind::InUse, "deleting what a container has");
        assert!(refusal.advice().unwrap().contains("container"), "{refusal}");
        drop(lasting);
        expect_file(&ground.stage(name).join("data"), b"kept");
        let passing = copy_of_mount(&staged);
        ground.unstage(name);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(300));
                drop(passing);
            });
            must(ground.engine().delete(&ground.pool, &named(name)), "delete beside a container");
        });
    }
}

fn deleting_goes_through_the_trash(ground: &Ground) {
    let (engine, content) = (ground.engine(), ground.mountable().next().unwrap());
    let made = ground.create("v", content);
    write(&ground.stage("v").join("data"), b"second thoughts");
    ground.unstage("v");
    ground.expect_at_rest("v");
    super::copies::snapshot(ground, "s", "v");
    must(engine.delete(&ground.pool, &named("v")), "delete the volume");
    must(engine.delete_snapshot(&ground.pool, &named("s")), "delete the snapshot");
    let trash = engine.trash(&ground.pool).unwrap();
    let held: Vec<_> = trash.iter().map(|held| (held.kind, held.name.as_str())).collect();
    assert!(held.contains(&(TrashKind::Volume, "v")), "the trash has {held:?}");
    assert!(held.contains(&(TrashKind::Snapshot, "s")), "the trash has {held:?}");
    // A new volume of that name is not replaced by the old one.
    ground.create("v", content);
    let ticket = trash.iter().find(|held| held.kind == TrashKind::Volume).unwrap();
    let over = engine.restore_trash(&ground.pool, ticket.id);
    refused(over, Kind::Conflict, "restoring over a new volume");
    must(engine.delete(&ground.pool, &named("v")), "delete the new volume");
    for held in &trash {
        must(engine.restore_trash(&ground.pool, held.id), "restore from the trash");
    }
    assert_eq!(ground.record("v"), made, "what was restored is another volume");
    expect_file(&ground.stage("v").join("data"), b"second thoughts");
    ground.unstage("v");
    must(engine.snapshot(&ground.pool, &named("s")), "look up the restored snapshot");
    let again = engine.restore_trash(&ground.pool, ticket.id);
    refused(again, Kind::NotFound, "restoring what is no longer in the trash");
}

fn emptying_the_trash_is_for_good(ground: &Ground) {
    let engine = ground.engine();
    ground.create("v", ground.any());
    must(engine.delete(&ground.pool, &named("v")), "delete");
    let early = engine.empty_trash(&ground.pool, false).unwrap();
    assert!(early.is_empty(), "the retention time is not kept: {early:?}");
    let removed = engine.empty_trash(&ground.pool, true).unwrap();
    assert_eq!(removed.len(), 1);
    assert!(engine.trash(&ground.pool).unwrap().is_empty());
    assert!(engine.empty_trash(&ground.pool, true).unwrap().is_empty());
}

fn an_absent_volume_is_deleted_already(ground: &Ground) {
    for _ in 0..2 {
        must(ground.engine().delete(&ground.pool, &named("absent")), "delete what is absent");
        let deleted = ground.engine().delete_snapshot(&ground.pool, &named("absent"));
        must(deleted, "delete an absent snapshot");
    }
    let elsewhere = ground.engine().delete(&named("no-such-pool"), &named("v"));
    refused(elsewhere, Kind::NotFound, "deleting in a pool that never was");
}

/// Incident I8: a pool that is not there made every deletion succeed.
fn absence_is_not_concluded_from_a_sick_pool(ground: &Ground) {
    let engine = ground.engine();
    ground.create("v", ground.any());
    super::copies::snapshot(ground, "s", "v");
    let pool = ground.place().canonicalize().unwrap();
    let aside = pool.with_extension("aside");
    for part in ["pool.json", "volumes", "snapshots", "preparing", "trash"] {
        let there = pool.join(part);
        if !there.exists() {
            continue;
        }
        std::fs::rename(&there, &aside).unwrap();
        for name in ["v", "absent"] {
            let outcomes = [
                engine.delete(&ground.pool, &named(name)),
                engine.delete_snapshot(&ground.pool, &named(name)),
            ];
            for outcome in outcomes.into_iter().filter_map(Result::err) {
                assert_eq!(outcome.kind(), Kind::Unavailable, "without `{part}`: {outcome}");
            }
        }
        let (volume, snapshot) = (
            engine.delete(&ground.pool, &named("absent")),
            engine.delete_snapshot(&ground.pool, &named("absent")),
        );
        match part {
            "volumes" => drop(refused(volume, Kind::Unavailable, "a delete without volumes")),
            "snapshots" => drop(refused(snapshot, Kind::Unavailable, "a delete without snapshots")),
            "pool.json" => {
                refused(volume, Kind::Unavailable, "a delete without pool.json");
                refused(snapshot, Kind::Unavailable, "a snapshot's delete without pool.json");
            }
            _ => {}
        }
        std::fs::rename(&aside, &there).unwrap();
        for kept in engine.trash(&ground.pool).unwrap() {
            must(engine.restore_trash(&ground.pool, kept.id), "restore");
        }
        ground.record("v");
    }
    // The whole directory gone, as when its disk is not mounted.
    std::fs::rename(&pool, &aside).unwrap();
    for empty in [false, true] {
        if empty {
            std::fs::create_dir(&pool).unwrap();
        }
        let name = named("v");
        refused(engine.delete(&ground.pool, &name), Kind::Unavailable, "a delete without the pool");
        refused(engine.volume(&ground.pool, &name), Kind::Unavailable, "a look without the pool");
        refused(engine.volumes(&ground.pool), Kind::Unavailable, "a list without the pool");
        let made = engine.create(&ground.pool, &ground.request("v", ground.any()));
        refused(made, Kind::Unavailable, "a creation without the pool");
    }
    std::fs::remove_dir(&pool).unwrap();
    std::fs::rename(&aside, &pool).unwrap();
    ground.record("v");
}

/// Incidents I4 and I5: a recursive removal went through a mount.
fn purging_stays_on_its_own_mount(ground: &Ground) {
    let engine = ground.engine();
    ground.create("v", ground.any());
    must(engine.delete(&ground.pool, &named("v")), "delete");
    let ticket = engine.trash(&ground.pool).unwrap().remove(0);
    let place = ground.place().join("trash").join(ticket.id.to_string());
    if !place.is_dir() {
        return;
    }
    let outside = ground.root.join("outside");
    std::fs::create_dir(&outside).unwrap();
    write(&outside.join("precious"), b"kept");
    std::os::unix::fs::symlink(&outside, place.join("link")).unwrap();
    mount_foreign(&place.join("mounted"));
    write(&place.join("mounted/precious"), b"kept too");
    assert!(engine.empty_trash(&ground.pool, true).is_err(), "a mount in the trash went unnoticed");
    // Wherever what is being removed was moved to.
    let trash = place.parent().unwrap().canonicalize().unwrap();
    let mounted = ground.mounts_below(&trash).remove(0);
    expect_file(&mounted.join("precious"), b"kept too");
    // Lazily: a file server may still have it open for its clients.
    mount::unmount_lazily(&mounted).unwrap();
    must(engine.empty_trash(&ground.pool, true), "empty the trash again");
    let left: Vec<_> = std::fs::read_dir(&trash).unwrap().collect();
    assert!(left.is_empty(), "the trash still has {left:?}");
    expect_file(&outside.join("precious"), b"kept");
}

fn a_pool_in_use_is_not_deleted(ground: &Ground) {
    let engine = ground.engine();
    ground.create("v", ground.any());
    refused(engine.delete_pool(&ground.pool), Kind::InUse, "deleting a pool with a volume");
    must(engine.delete(&ground.pool, &named("v")), "delete");
    refused(engine.delete_pool(&ground.pool), Kind::InUse, "deleting a pool with trash");
    must(engine.empty_trash(&ground.pool, true), "empty the trash");
    must(engine.delete_pool(&ground.pool), "delete an empty pool");
    refused(engine.open(&ground.pool), Kind::NotFound, "opening the deleted pool");
    must(engine.delete_pool(&ground.pool), "delete it again");
}

/// As if becket were killed, or the mount were busy, between setting aside and unmounting.
fn what_is_still_shown_is_not_swept(ground: &Ground) {
    // Volumes of a file server have no directories of pods.
    if ground.any() != Content::Directory || ground.backend.is_remote() {
        return;
    }
    let new = ground.request("v", Content::Directory);
    let target = ground.target("pod");
    let publication = Publication { below: Some("web/a".to_owned()), ..Publication::default() };
    let engine = ground.engine();
    must(engine.mount(&ground.pool, &new.name, Some(&new), &target, &publication), "mount");
    write(&target.path().join("file"), b"shown");
    let (pool, record) = (ground.pool(), ground.record("v"));
    let aside = ground.backend.set_aside(&pool, &record, "web/a").unwrap();
    must(ground.backend.catalog().sweep(&pool), "sweep");
    expect_file(&target.path().join("file"), b"shown");
    must(ground.backend.bring_back(&pool, &record, "web/a", &aside), "bring back");
    must(engine.unmount(&target), "unmount");
    must(engine.mount(&ground.pool, &new.name, None, &target, &publication), "mount again");
    expect_file(&target.path().join("file"), b"shown");
    let aside = ground.backend.set_aside(&pool, &record, "web/a").unwrap();
    must(engine.unmount(&target), "unmount what was set aside");
    must(ground.backend.catalog().sweep(&pool), "sweep again");
    assert!(!pool.dir.path().join("trash").join(aside).exists(), "it is not removed at last");
    must(engine.reconcile(&ground.pool), "reconcile");
}
