//! Reconcile says nothing of a healthy pool, puts right what a killed process left, and reports the
//! rest without touching it.

use super::*;
use crate::backend::{Hold, Place};
use crate::engine::{Finding, Outcome};
use crate::lock;
use crate::record::{FORMAT, SnapshotRecord};

pub(super) const CHECKS: &[Check] = &[
    (a_healthy_pool_has_no_findings, "a healthy pool has no findings"),
    (
        preparations_of_the_dead_are_removed,
        "preparations of the dead are removed, of the living not",
    ),
    (an_idle_stage_is_taken_down, "an idle stage is taken down, one in use is not"),
    (a_frozen_volume_of_the_dead_is_thawed, "a volume that the dead left frozen is thawed"),
    (strange_places_are_reported, "strange places are reported and left alone"),
    (a_lost_image_is_reported, "a lost image is reported, and so is its device"),
];

fn reconcile(ground: &Ground) -> Vec<Finding> {
    must(ground.engine().reconcile(&ground.pool), "reconcile")
}

#[track_caller]
fn expect_finding(findings: &[Finding], words: &str, outcome: Outcome) {
    let told =
        findings.iter().any(|finding| finding.what.contains(words) && finding.outcome == outcome);
    assert!(told, "nothing {outcome:?} tells of `{words}`: {findings:?}");
}

#[track_caller]
fn expect_healthy(ground: &Ground) {
    let findings = reconcile(ground);
    assert!(findings.is_empty(), "a healthy pool has findings: {findings:?}");
}

fn a_healthy_pool_has_no_findings(ground: &Ground) {
    expect_healthy(ground);
    let content = ground.mountable().next().unwrap();
    ground.create("v", content);
    super::copies::snapshot(ground, "s", "v");
    ground.create("deleted", content);
    must(ground.engine().delete(&ground.pool, &named("deleted")), "delete");
    expect_healthy(ground);
    ground.stage("v");
    let pod = ground.publish("v", "pod", false);
    write(&pod.join("data"), b"kept");
    expect_healthy(ground);
    expect_file(&pod.join("data"), b"kept");
    ground.unpublish("pod");
    ground.unstage("v");
    expect_healthy(ground);
}

fn preparations_of_the_dead_are_removed(ground: &Ground) {
    let pool = ground.pool();
    let mut record = ground.create("v", ground.any());
    record.name = named("half");
    must(ground.backend.catalog().begin(&pool, &record), "begin");
    let held =
        lock::acquire(&pool.locks, "volume-half", lock::Mode::Exclusive, Duration::ZERO).unwrap();
    expect_finding(&reconcile(ground), "`half`", Outcome::AtWork);
    assert_eq!(
        ground.backend.catalog().preparing(&pool).unwrap().records.len(),
        1,
        "work was taken away"
    );
    drop(held);
    expect_finding(&reconcile(ground), "`half`", Outcome::Repaired);
    let snapshot = SnapshotRecord {
        format: FORMAT,
        uuid: uuid::Uuid::new_v4(),
        name: named("half-snapshot"),
        volume: named("v"),
        volume_uuid: record.uuid,
        size: record.size,
        content: record.content,
        filesystem_size: record.filesystem_size,
        created: crate::record::now(),
        parameters: Default::default(),
        labels: Default::default(),
        group: None,
        blank: false,
    };
    let (volume, progress) = (ground.record("v"), crate::progress::Logged::default());
    must(ground.backend.catalog().begin_snapshot(&pool, &snapshot), "begin");
    must(ground.backend.copy_to_snapshot(&pool, &volume, &snapshot, &progress), "copy");
    expect_finding(&reconcile(ground), "`half-snapshot`", Outcome::Repaired);
    expect_healthy(ground);
    ground.record("v");
}

/// As if a snapshot's maker and its guard had been killed together.
fn a_frozen_volume_of_the_dead_is_thawed(ground: &Ground) {
    if ground.any() == Content::Directory {
        return;
    }
    let content = ground.mountable().next().unwrap();
    ground.create("v", content);
    ground.stage("v");
    let pod = ground.publish("v", "pod", false);
    let fsfreeze = |how| {
        let mut command = std::process::Command::new("fsfreeze");
        command.arg(how).arg(&pod).stderr(std::process::Stdio::null()).status()
    };
    if !fsfreeze("-f").is_ok_and(|status| status.success()) {
        eprintln!("    not checked: this host cannot freeze a filesystem with fsfreeze");
    } else {
        std::fs::write(ground.pool().locks.path().join("volume-v.frozen"), b"").unwrap();
        expect_finding(&reconcile(ground), "was left frozen", Outcome::Repaired);
        let thawed_again = fsfreeze("-u").unwrap();
        assert!(!thawed_again.success(), "it was still frozen");
        write(&pod.join("data"), b"written");
        expect_healthy(ground);
    }
    ground.unpublish("pod");
    ground.unstage("v");
}

fn an_idle_stage_is_taken_down(ground: &Ground) {
    for content in ground.mountable() {
        let name = content.name();
        let (engine, new) = (ground.engine(), ground.request(name, content));
        let target = ground.target("pod");
        let mounted =
            engine.mount(&ground.pool, &new.name, Some(&new), &target, &Publication::default());
        must(mounted, "mount");
        expect_healthy(ground);
        // A process killed between the two unmounts leaves the stage.
        ground.unpublish("pod");
        let held = lock::acquire(
            &ground.pool().locks,
            &format!("volume-{name}"),
            lock::Mode::Exclusive,
            Duration::ZERO,
        );
        expect_finding(&reconcile(ground), name, Outcome::AtWork);
        drop(held);
        expect_finding(&reconcile(ground), name, Outcome::Repaired);
        ground.expect_at_rest(name);
        expect_healthy(ground);
    }
    // Something at the staging place of no volume is somebody's.
    let anchor = ground.pool().staged.join(named("nobody"));
    mount_foreign(&anchor);
    write(&anchor.join("theirs"), b"theirs");
    expect_finding(&reconcile(ground), "nobody", Outcome::Reported);
    expect_file(&anchor.join("theirs"), b"theirs");
    mount::unmount(&anchor).unwrap();
    std::fs::remove_dir(&anchor).ok();
    expect_healthy(ground);
}

fn strange_places_are_reported(ground: &Ground) {
    let dir = ground.place();
    if !dir.join("volumes").is_dir() {
        return;
    }
    ground.create("v", ground.any());
    for place in ["volumes/empty", "snapshots/strange", "trash/something", "volumes/newer"] {
        std::fs::create_dir(dir.join(place)).unwrap();
        write(&dir.join(place).join("precious"), b"kept");
    }
    let record = std::fs::read_to_string(dir.join("volumes/v/volume.json")).unwrap();
    let newer = record.replace("\"format\": 1", "\"format\": 99");
    write(&dir.join("volumes/newer/volume.json"), newer.as_bytes());
    // A record under another's name must not be acted on.
    std::fs::create_dir(dir.join("volumes/other")).unwrap();
    write(&dir.join("volumes/other/volume.json"), record.as_bytes());
    let findings = reconcile(ground);
    for place in ["`empty`", "`strange`", "something", "`newer`", "`other`"] {
        expect_finding(&findings, place, Outcome::Reported);
    }
    assert_eq!(findings.len(), 5, "{findings:?}");
    for place in ["volumes/empty", "snapshots/strange", "trash/something", "volumes/newer"] {
        expect_file(&dir.join(place).join("precious"), b"kept");
    }
    for name in ["empty", "newer", "other"] {
        let engine = ground.engine();
        let deleted = engine.delete(&ground.pool, &named(name));
        refused(deleted, Kind::WrongState, "deleting what has no readable record");
        let made = engine.create(&ground.pool, &ground.request(name, ground.any()));
        refused(made, Kind::WrongState, "creating over what has no readable record");
    }
    let listed = ground.engine().volumes(&ground.pool).unwrap();
    assert_eq!(listed.len(), 1, "the healthy volume is not listed alone");
    must(ground.engine().empty_trash(&ground.pool, true), "empty the trash");
    expect_file(&dir.join("trash/something/precious"), b"kept");
}

fn a_lost_image_is_reported(ground: &Ground) {
    let content = ground.mountable().next().unwrap();
    let (pool, record) = (ground.pool(), ground.create("v", content));
    let Some(medium) = ground.backend.medium(&pool, &record, Place::Ready).unwrap() else {
        return;
    };
    if !medium.file.metadata().unwrap().is_file() {
        return;
    }
    let source = ground.backend.attach(&pool, &record, Place::Ready, Hold::WhileUsed).unwrap();
    let device = source.device().unwrap().display().to_string();
    std::fs::remove_file(&medium.path).unwrap();
    let findings = reconcile(ground);
    expect_finding(&findings, "`v`", Outcome::Reported);
    // Of a file that is on a server this kernel does not know that it is gone.
    if ground.place.is_none() {
        expect_finding(&findings, &device, Outcome::Reported);
    }
    let engine = ground.engine();
    let staged = engine.stage(&ground.pool, &record.name, &ground.staging("v"));
    refused(staged, Kind::WrongState, "staging a volume whose image is gone");
    let made = engine.create(&ground.pool, &ground.request("v", content));
    refused(made, Kind::WrongState, "creating over a volume whose image is gone");
    drop(source);
}
