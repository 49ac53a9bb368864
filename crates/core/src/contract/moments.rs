//! Copies of volumes in use: one moment of them, or a refusal.

use super::copies::{copy_of, expect_own_identity, restore, snapshot};
use super::*;
use crate::record::OriginKind;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub(super) const CHECKS: &[Check] = &[
    (a_volume_in_use_is_copied_at_one_moment, "a volume being written is copied at one moment"),
    (where_that_is_impossible_it_is_refused, "where that is impossible a copy is refused"),
];

/// Appends numbered records and syncs each, as a database writes its log, until told to stop.
/// `done` is the number of the last one that was synced.
fn keep_writing(file: &Path, stop: &AtomicBool, done: &AtomicU64) {
    let mut log = File::create(file).unwrap();
    for number in 1u64.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        log.write_all(&number.to_le_bytes().repeat(64)).unwrap();
        log.sync_data().unwrap();
        done.store(number, Ordering::Relaxed);
    }
}

/// Asserts that the log has every record up to at least `least`, each whole, and gives the last.
fn expect_log(file: &Path, least: u64) {
    let bytes = std::fs::read(file).unwrap();
    let numbers: Vec<u64> =
        bytes.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().unwrap())).collect();
    for (index, number) in numbers.iter().enumerate() {
        let wanted = index as u64 / 64 + 1;
        // What came after the last sync may be missing, as after a power cut.
        let lost = *number == 0 && wanted > least;
        assert!(*number == wanted || lost, "record {wanted} of the log is torn: {number}");
    }
    let whole = numbers.iter().filter(|number| **number != 0).count() as u64 / 64;
    assert!(whole >= least, "the copy has {whole} records, and {least} were synced before it");
}

fn a_volume_in_use_is_copied_at_one_moment(ground: &Ground) {
    if !ground.copies_in_use() {
        return;
    }
    for content in ground.mountable() {
        let name = content.name();
        ground.create(name, content);
        let at = ground.stage(name);
        let pod = ground.publish(name, "pod", false);
        write(&at.join("before"), &pattern(300_000, 9));
        let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
        let copies: Vec<(String, u64)> = std::thread::scope(|scope| {
            scope.spawn(|| keep_writing(&pod.join("log"), &stop, &done));
            let made = (0..3)
                .map(|round| {
                    // Let it come between two commits of the filesystem.
                    std::thread::sleep(Duration::from_millis(30));
                    let synced = done.load(Ordering::Relaxed);
                    let copy = format!("{name}-{round}");
                    if round == 2 {
                        restore(ground, OriginKind::Volume, name, &copy);
                    } else {
                        snapshot(ground, &copy, name);
                    }
                    (copy, synced)
                })
                .collect();
            stop.store(true, Ordering::Relaxed);
            made
        });
        write(&at.join("after"), b"too late");
        for (round, (copy, synced)) in copies.iter().enumerate() {
            let volume = if round == 2 { copy.clone() } else { format!("{copy}-restored") };
            if round != 2 {
                restore(ground, OriginKind::Snapshot, copy, &volume);
            }
            expect_own_identity(ground, name, &volume);
            // All at once, the original among them.
            let restored = ground.stage(&volume);
            expect_file(&restored.join("before"), &pattern(300_000, 9));
            expect_log(&restored.join("log"), *synced);
            assert!(!restored.join("after").exists(), "`{volume}` has what was written after it");
        }
        write(&pod.join("alive"), b"the original can still be written");
        for (round, (copy, _)) in copies.iter().enumerate() {
            ground.unstage(&if round == 2 { copy.clone() } else { format!("{copy}-restored") });
        }
        ground.unpublish("pod");
        ground.unstage(name);
        ground.expect_at_rest(name);
        expect_file(&ground.stage(name).join("alive"), b"the original can still be written");
        ground.unstage(name);
    }
}

fn where_that_is_impossible_it_is_refused(ground: &Ground) {
    if ground.copies_in_use() {
        return;
    }
    ground.create("v", ground.any());
    ground.stage("v");
    let engine = ground.engine();
    let taken = engine.create_snapshot(&ground.pool, &named("s"), &named("v"));
    let error = refused(taken, Kind::WrongState, "a snapshot of a volume in use");
    assert!(error.advice().is_some(), "no hint says what to do: {error}");
    let cloned = engine.create(&ground.pool, &copy_of(ground, OriginKind::Volume, "v", "clone"));
    refused(cloned, Kind::WrongState, "a clone of a volume in use");
    assert!(engine.snapshots(&ground.pool).unwrap().is_empty(), "the refused snapshot is there");
    assert_eq!(engine.volumes(&ground.pool).unwrap().len(), 1, "the refused clone is there");
    ground.unstage("v");
    snapshot(ground, "s", "v");
}
