//! Volumes grow and never shrink, and a growth that was cut short is finished.

use super::*;
use crate::engine::Outcome;

pub(super) const CHECKS: &[Check] = &[
    (an_unmounted_volume_grows, "an unmounted volume grows, its filesystem at the next stage"),
    (a_mounted_volume_grows, "a mounted volume grows under its workload"),
    (a_volume_never_shrinks, "a smaller size changes nothing"),
    (
        a_growth_cut_short_is_finished,
        "a growth cut short is finished by stage, by a retry, by reconcile",
    ),
    (what_cannot_be_promised_changes_nothing, "a growth that cannot be promised changes nothing"),
];

const MORE: u64 = 64 * MIB;

/// Asserts that the mounted volume has its data, and that its filesystem is as large as its record
/// says: at least nine tenths of it, the rest being what the filesystem keeps for itself.
fn expect_grown(ground: &Ground, name: &str, at: &Path, bytes: &[u8], before: u64) {
    expect_file(&at.join("data"), bytes);
    let record = ground.record(name);
    if record.content == Content::Directory {
        return;
    }
    assert_eq!(record.filesystem_size, record.size, "the record does not know of the growth");
    let now = total(at);
    let least = before + MORE * 9 / 10;
    assert!(now >= least, "{name}: the filesystem has {now} bytes and had {before}");
}

/// True when this process may grow the filesystem while it is mounted: for ext4 the kernel asks for
/// `CAP_SYS_RESOURCE`, number 24, which root in a container may lack.
fn may_grow_mounted(content: Content) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
    let may = content != Content::Ext4 || u64::from_str_radix(line, 16).unwrap() >> 24 & 1 == 1;
    if !may {
        eprintln!("    not checked: growing a mounted ext4, because CAP_SYS_RESOURCE is missing");
    }
    may
}

fn an_unmounted_volume_grows(ground: &Ground) {
    let bytes = pattern(500_000, 1);
    for content in ground.mountable() {
        let name = content.name();
        let size = ground.create(name, content).size;
        let at = ground.stage(name);
        write(&at.join("data"), &bytes);
        let before = total(&at);
        ground.unstage(name);
        ground.expect_at_rest(name);
        for _ in 0..2 {
            let grown = ground.engine().expand(&ground.pool, &named(name), size + MORE);
            assert_eq!(must(grown, "expand offline").size, size + MORE);
        }
        let at = ground.stage(name);
        expect_grown(ground, name, &at, &bytes, before);
        ground.unstage(name);
    }
}

fn a_mounted_volume_grows(ground: &Ground) {
    let bytes = pattern(500_000, 2);
    for content in ground.mountable() {
        let name = content.name();
        let size = ground.create(name, content).size;
        let at = ground.stage(name);
        ground.publish(name, "pod", false);
        write(&at.join("data"), &bytes);
        let before = total(&at);
        if !may_grow_mounted(content) {
            let denied = ground.engine().expand(&ground.pool, &named(name), size + MORE);
            let error = refused(denied, Kind::Denied, "growing a mounted ext4");
            assert!(error.advice().is_some(), "no hint says what to do: {error}");
            ground.unpublish("pod");
            ground.unstage(name);
            expect_grown(ground, name, &ground.stage(name), &bytes, before);
            ground.unstage(name);
            continue;
        }
        for _ in 0..2 {
            let grown = ground.engine().expand(&ground.pool, &named(name), size + MORE);
            assert_eq!(must(grown, "expand online").size, size + MORE);
            expect_grown(ground, name, &at, &bytes, before);
        }
        ground.unpublish("pod");
        ground.unstage(name);
        expect_file(&ground.stage(name).join("data"), &bytes);
        ground.unstage(name);
        ground.expect_at_rest(name);
    }
}

fn a_volume_never_shrinks(ground: &Ground) {
    let made = ground.create("v", ground.any());
    for size in [made.size, made.size - 1, MIB, 1] {
        let same = must(
            ground.engine().expand(&ground.pool, &made.name, size),
            "expand to a smaller size",
        );
        assert_eq!(same, made, "expanding to {size} changed the volume");
    }
    assert_eq!(ground.record("v"), made);
    let absent = ground.engine().expand(&ground.pool, &named("absent"), MIB);
    refused(absent, Kind::NotFound, "expanding what is absent");
}

/// What a process killed between the promise and its deed leaves.
fn promise(ground: &Ground, name: &str) -> u64 {
    let mut record = ground.record(name);
    record.size += MORE;
    ground.backend.catalog().save(&ground.pool(), &record).unwrap();
    record.size
}

fn a_growth_cut_short_is_finished(ground: &Ground) {
    let bytes = pattern(500_000, 3);
    for content in ground.mountable().filter(|content| *content != Content::Directory) {
        let name = content.name();
        ground.create(name, content);
        let at = ground.stage(name);
        write(&at.join("data"), &bytes);
        let mut before = total(&at);
        if may_grow_mounted(content) {
            // By the retry of the same expansion, while it is staged.
            let size = promise(ground, name);
            must(ground.engine().expand(&ground.pool, &named(name), size), "expand again");
            expect_grown(ground, name, &at, &bytes, before);
            before = total(&at);
            // By reconcile, and then the retry.
            let size = promise(ground, name);
            expect_told(ground, name);
            must(ground.engine().expand(&ground.pool, &named(name), size), "expand after that");
            expect_grown(ground, name, &at, &bytes, before);
            before = total(&at);
        }
        // A stage that is there is no place to fail for it.
        ground.stage(name);
        expect_file(&at.join("data"), &bytes);
        ground.unstage(name);
        ground.expect_at_rest(name);
        // Unmounted: by staging it.
        promise(ground, name);
        let at = ground.stage(name);
        expect_grown(ground, name, &at, &bytes, before);
        before = total(&at);
        ground.unstage(name);
        ground.expect_at_rest(name);
        promise(ground, name);
        expect_told(ground, name);
        let at = ground.stage(name);
        expect_grown(ground, name, &at, &bytes, before);
        ground.unstage(name);
        ground.expect_at_rest(name);
    }
}

fn expect_told(ground: &Ground, name: &str) {
    let findings = must(ground.engine().reconcile(&ground.pool), "reconcile");
    let told = findings
        .iter()
        .any(|finding| finding.what.contains(name) && finding.outcome == Outcome::Repaired);
    assert!(told, "reconcile did not finish the growth of `{name}`: {findings:?}");
    let stored = ground.backend.stored(&ground.pool(), &ground.record(name)).unwrap();
    assert!(stored >= ground.record(name).size, "the storage is still too small");
}

fn what_cannot_be_promised_changes_nothing(ground: &Ground) {
    if !ground.limits {
        return;
    }
    let made = ground.create("v", ground.any());
    let huge = ground.engine().expand(&ground.pool, &made.name, 1 << 60);
    refused(huge, Kind::OutOfRange, "expanding to 1 EiB");
    assert_eq!(ground.record("v"), made, "a refused expansion changed the record");
    assert_eq!(ground.backend.stored(&ground.pool(), &made).unwrap(), made.size);
}
