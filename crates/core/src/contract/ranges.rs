//! Where snapshots have data and where they differ: exactly, on every filesystem.

use super::copies::snapshot;
use super::*;
use crate::engine::{BLOCK, Range, Ranges};
use rustix::fs::FallocateFlags;
use std::os::unix::fs::FileExt;
use std::process::Command;

pub(super) const CHECKS: &[Check] = &[
    (what_differs_is_told_exactly, "what differs between snapshots of a device is told exactly"),
    (compressed_data_is_compared, "data that the filesystem compresses is compared as well"),
    (files_of_a_mounted_volume_are_found, "what was written to files is told"),
    (what_is_shared_is_not_read, "what snapshots share is not read"),
    (a_reader_keeps_its_snapshots, "a reader of ranges keeps its snapshots"),
    (wrong_questions_are_refused, "wrong questions about ranges are refused"),
];

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn has_ranges(ground: &Ground) -> bool {
    ground.backend.abilities(&ground.pool()).unwrap().ranges
}

/// Every byte of a snapshot.
fn bytes(ground: &Ground, name: &str) -> Vec<u8> {
    let record = must(ground.engine().snapshot(&ground.pool, &named(name)), "look up a snapshot");
    let medium = ground.backend.snapshot_medium(&ground.pool(), &record).unwrap().unwrap();
    let mut bytes = vec![0; record.size as usize];
    let length = medium.size.min(record.size) as usize;
    medium.file.read_exact_at(&mut bytes[..length], 0).unwrap();
    bytes
}

/// All ranges in batches of `most`, with those that touch joined, after checking that they ascend.
fn told(ranges: Result<Ranges>, most: usize) -> Vec<Range> {
    let mut ranges = must(ranges, "ask for ranges");
    let (size, mut all) = (ranges.size(), Vec::<Range>::new());
    while let Some(batch) = must(ranges.next_batch(most), "take a batch") {
        assert!(batch.len() <= most, "a batch has {} ranges, {most} were asked for", batch.len());
        for range in batch {
            assert!(range.length > 0 && range.end() <= size, "{range:?} of {size}");
            assert!(range.offset % BLOCK == 0, "{range:?} begins within a block");
            match all.last_mut() {
                Some(last) if last.end() == range.offset => last.length += range.length,
                Some(last) if last.end() > range.offset => panic!("{range:?} after {last:?}"),
                _ => all.push(range),
            }
        }
    }
    assert_eq!(ranges.next_batch(most).unwrap(), None, "there is more behind the end");
    all
}

fn changed(ground: &Ground, base: &str, target: &str, from: u64, most: usize) -> Vec<Range> {
    let engine = ground.engine();
    told(engine.changed_ranges(&ground.pool, &named(base), &named(target), from), most)
}

fn allocated(ground: &Ground, name: &str, from: u64, most: usize) -> Vec<Range> {
    told(ground.engine().allocated_ranges(&ground.pool, &named(name), from), most)
}

/// The blocks that differ, found by looking at every byte. `base` counts as zeros behind its end.
fn differences(base: &[u8], target: &[u8], from: u64) -> Vec<Range> {
    let mut all: Vec<Range> = Vec::new();
    for (index, new) in target.chunks(BLOCK as usize).enumerate() {
        let offset = index as u64 * BLOCK;
        let mut old = [0; BLOCK as usize];
        let had = base.chunks(BLOCK as usize).nth(index).unwrap_or_default();
        old[..had.len()].copy_from_slice(had);
        if offset + BLOCK <= from || old[..new.len()] == *new {
            continue;
        }
        match all.last_mut() {
            Some(last) if last.end() == offset => last.length += new.len() as u64,
            _ => all.push(Range { offset, length: new.len() as u64 }),
        }
    }
    all
}

/// Writes to the volume's device.
fn write_device(ground: &Ground, how: impl FnOnce(&File)) {
    ground.stage("v");
    let path = ground.publish("v", "pod", false);
    let device = File::options().read(true).write(true).open(path).unwrap();
    how(&device);
    device.sync_all().unwrap();
    drop(device);
    ground.unpublish("pod");
    ground.unstage("v");
    ground.expect_at_rest("v");
}

/// Writes, clears and trims at random places of it.
fn disturb(ground: &Ground, dice: &mut Dice, rounds: u64) {
    let size = ground.record("v").size;
    write_device(ground, |device| {
        for round in 0..rounds {
            let most = [100, 5_000, 300_000][dice.below(3) as usize];
            let length = 1 + dice.below(most);
            let place = dice.below(size - length);
            match dice.below(4) {
                0 => device.write_all_at(&vec![0; length as usize], place).unwrap(),
                1 => {
                    let (place, length) = (place - place % BLOCK, length.next_multiple_of(BLOCK));
                    let trim = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                    let length = length.min(size - place);
                    rustix::fs::fallocate(device, trim, place, length).unwrap();
                }
                _ => device.write_all_at(&pattern(length as usize, round as u8), place).unwrap(),
            }
        }
    });
}

/// Compares what is told with every byte of the snapshots, for every pair, start and batch.
fn expect_exact(ground: &Ground, names: &[&str], dice: &mut Dice) {
    let contents: Vec<Vec<u8>> = names.iter().map(|name| bytes(ground, name)).collect();
    for (name, content) in names.iter().zip(&contents) {
        for from in [0, BLOCK, dice.below(content.len() as u64), content.len() as u64] {
            let ranges = allocated(ground, name, from, 3);
            assert!(ranges.iter().all(|range| range.end() > from), "a range ends before {from}");
            let outside = differences(&[], content, from).into_iter().find(|data| {
                let within = |range: &&Range| {
                    range.offset <= data.offset.max(from - from % BLOCK)
                        && data.end() <= range.end()
                };
                ranges.iter().find(within).is_none()
            });
            assert_eq!(outside, None, "data of `{name}` outside of {ranges:?}");
        }
    }
    for (base, old) in names.iter().zip(&contents) {
        for (target, new) in names.iter().zip(&contents) {
            for (from, most) in [(0, 1000), (0, 1), (dice.below(new.len() as u64), 7)] {
                let found = changed(ground, base, target, from, most);
                let wanted = differences(old, new, from);
                assert_eq!(found, wanted, "`{base}` to `{target}` from {from}, {most} at a time");
            }
        }
    }
}

fn what_differs_is_told_exactly(ground: &Ground) {
    if !has_ranges(ground) {
        return;
    }
    if !ground.contents.contains(&Content::Block) {
        return;
    }
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    ground.create("v", Content::Block);
    snapshot(ground, "empty", "v");
    assert_eq!(allocated(ground, "empty", 0, 10), [], "an empty snapshot has data");
    disturb(ground, &mut dice, 30);
    snapshot(ground, "first", "v");
    snapshot(ground, "same", "v");
    assert_eq!(changed(ground, "first", "same", 0, 10), []);
    disturb(ground, &mut dice, 8);
    snapshot(ground, "second", "v");
    let larger = ground.record("v").size + 3 * MIB;
    must(ground.engine().expand(&ground.pool, &named("v"), larger), "expand");
    disturb(ground, &mut dice, 30);
    snapshot(ground, "larger", "v");
    expect_exact(ground, &["empty", "first", "same", "second", "larger"], &mut dice);
}

/// The place of compressed data on the medium says nothing of its bytes. Only btrfs has it.
fn compressed_data_is_compared(ground: &Ground) {
    if !has_ranges(ground) {
        return;
    }
    let place = ground.place().join("volumes");
    let told = Command::new("chattr").arg("+c").arg(&place).output();
    let has_block = ground.contents.contains(&Content::Block);
    if !has_block || !told.is_ok_and(|told| told.status.success()) {
        return;
    }
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    ground.create("v", Content::Block);
    disturb(ground, &mut dice, 20);
    snapshot(ground, "first", "v");
    disturb(ground, &mut dice, 10);
    snapshot(ground, "second", "v");
    expect_exact(ground, &["first", "second"], &mut dice);
}

fn files_of_a_mounted_volume_are_found(ground: &Ground) {
    if !has_ranges(ground) {
        return;
    }
    let abilities = ground.backend.abilities(&ground.pool()).unwrap();
    let content = ground.any();
    if content == Content::Directory || !abilities.snapshots_in_use {
        return;
    }
    ground.create("v", content);
    let at = ground.stage("v");
    write(&at.join("one"), &pattern(500_000, 3));
    snapshot(ground, "first", "v");
    write(&at.join("two"), &pattern(300_000, 4));
    std::fs::remove_file(at.join("one")).unwrap();
    snapshot(ground, "second", "v");
    ground.unstage("v");
    expect_exact(ground, &["first", "second"], &mut Dice(88_172_645_463_325_252));
}

/// Bytes that this thread has read so far.
fn read_so_far() -> Option<u64> {
    let told = std::fs::read_to_string("/proc/thread-self/io").ok()?;
    told.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok())
}

fn what_is_shared_is_not_read(ground: &Ground) {
    if !has_ranges(ground) {
        return;
    }
    let shares = ground.backend.abilities(&ground.pool()).unwrap().shares_blocks;
    if !ground.contents.contains(&Content::Block) || !shares || read_so_far().is_none() {
        return;
    }
    let mut dice = Dice(0x1234_5678_9abc_def1);
    ground.create("v", Content::Block);
    let bytes = pattern(16 * MIB as usize, 1);
    write_device(ground, |device| device.write_all_at(&bytes, 0).unwrap());
    snapshot(ground, "first", "v");
    disturb(ground, &mut dice, 2);
    snapshot(ground, "second", "v");
    let before = read_so_far().unwrap();
    let ranges = changed(ground, "first", "second", 0, 100);
    let read = read_so_far().unwrap() - before;
    assert!(!ranges.is_empty());
    assert!(read < 4 * MIB, "{read} bytes were read of two snapshots that share nearly everything");
}

fn a_reader_keeps_its_snapshots(ground: &Ground) {
    if !has_ranges(ground) {
        return;
    }
    if ground.any() == Content::Directory {
        return;
    }
    let content = ground.any();
    ground.create("v", content);
    snapshot(ground, "a", "v");
    snapshot(ground, "b", "v");
    let (engine, hasty) = (ground.engine(), (ground.engines)(Duration::ZERO));
    for (base, target) in [("a", "b"), ("b", "a"), ("a", "a")] {
        let reader = engine.changed_ranges(&ground.pool, &named(base), &named(target), 0);
        let mut reader = must(reader, "ask for ranges");
        for name in [base, target] {
            let deleted = hasty.delete_snapshot(&ground.pool, &named(name));
            refused(deleted, Kind::Busy, "deleting a snapshot under its reader");
        }
        must(reader.next_batch(1), "read on");
    }
    for name in ["a", "b"] {
        must(hasty.delete_snapshot(&ground.pool, &named(name)), "delete a snapshot after it");
    }
}

fn wrong_questions_are_refused(ground: &Ground) {
    let content = ground.mountable().next().unwrap();
    let engine = ground.engine();
    for volume in ["v", "other"] {
        ground.create(volume, content);
        snapshot(ground, &format!("{volume}-s"), volume);
    }
    let (pool, s, absent) = (&ground.pool, named("v-s"), named("absent"));
    refused(engine.allocated_ranges(pool, &absent, 0), Kind::NotFound, "an absent snapshot");
    refused(engine.changed_ranges(pool, &absent, &s, 0), Kind::NotFound, "an absent base");
    refused(engine.changed_ranges(pool, &s, &absent, 0), Kind::NotFound, "an absent target");
    let other = engine.changed_ranges(pool, &s, &named("other-s"), 0);
    refused(other, Kind::Invalid, "comparing snapshots of two volumes");
    if !has_ranges(ground) {
        let asked = engine.allocated_ranges(pool, &s, 0);
        refused(asked, Kind::Unsupported, "asking for blocks that nobody tells of");
        return;
    }
    let size = engine.snapshot(pool, &s).unwrap().size;
    refused(
        engine.allocated_ranges(pool, &s, size + 1),
        Kind::OutOfRange,
        "a start behind the end",
    );
    assert_eq!(allocated(ground, "v-s", size, 5), []);
}
