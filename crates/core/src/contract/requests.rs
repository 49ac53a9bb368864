//! What requests ask for beyond a mount: to be the same again, to be alone, flags, a group, a claim.

use super::*;
use crate::engine::Staging;
use crate::mount_flags::MountFlags;
use crate::record::Claim;
use crate::settings::Settings;

pub(super) const CHECKS: &[Check] = &[
    (the_words_of_a_request_make_it_the_same, "a repeat with other words is another request"),
    (a_mount_knows_what_it_was_asked_for_with, "a mount keeps the words of its request"),
    (an_exclusive_publication_is_alone, "an exclusive publication is the only one"),
    (withdrawing_removes_the_target, "withdrawing takes the target along, again and again"),
    (flags_and_groups_are_there, "mount flags and a group hold from the first moment"),
    (a_claim_keeps_others_out, "a claim keeps others out and the volume in place"),
    (settings_change_all_or_nothing, "settings change all or nothing, and count"),
    (usage_is_of_this_volume_alone, "usage is told where the volume is, and nowhere else"),
];

fn the_words_of_a_request_make_it_the_same(ground: &Ground) {
    let labels = [("class.pool".to_owned(), "a".to_owned())].into();
    let new = NewVolume { labels, ..ground.request("v", ground.any()) };
    let made = must(ground.engine().create(&ground.pool, &new), "create");
    let again = must(ground.engine().create(&ground.pool, &new), "create again");
    assert_eq!((made.uuid, &made.labels), (again.uuid, &new.labels));
    let other = NewVolume { labels: Default::default(), ..new };
    refused(ground.engine().create(&ground.pool, &other), Kind::Conflict, "another request");
}

fn a_mount_knows_what_it_was_asked_for_with(ground: &Ground) {
    ground.create("v", ground.mountable().next().unwrap());
    let staging = ground.staging("v");
    let stage = |asked: &str| {
        let how = Staging { asked: asked.to_owned(), ..Staging::default() };
        ground.engine().stage_as(&ground.pool, &named("v"), &staging, &how)
    };
    must(stage("one"), "stage");
    must(stage("one"), "stage again");
    refused(stage("other"), Kind::Conflict, "staging with other words");
    let publish = |asked: &str, at: &str| {
        let how = Publication { asked: asked.to_owned(), ..Publication::default() };
        let target = ground.target(at);
        ground.engine().publish(&ground.pool, &named("v"), &staging, &target, &how)
    };
    must(publish("one", "pod"), "publish");
    must(publish("one", "pod"), "publish again");
    refused(publish("other", "pod"), Kind::Conflict, "publishing with other words");
    must(publish("other", "other-pod"), "publish elsewhere");
    for at in ["pod", "other-pod"] {
        withdraw(ground, at);
    }
    ground.unstage("v");
    // What is gone is not held against a new request.
    must(stage("other"), "stage anew");
    ground.unstage("v");
}

fn withdraw(ground: &Ground, at: &str) {
    let target = ground.target(at);
    must(ground.engine().withdraw(&ground.pool, &named("v"), &target), "withdraw");
}

fn an_exclusive_publication_is_alone(ground: &Ground) {
    for content in ground.contents.iter().copied() {
        let name = content.name();
        ground.create(name, content);
        ground.stage(name);
        let publish = |at: &str, exclusive| {
            let how = Publication { exclusive, ..Publication::default() };
            let (staging, target) = (ground.staging(name), ground.target(at));
            ground.engine().publish(&ground.pool, &named(name), &staging, &target, &how)
        };
        let (one, other) = (format!("{name}/one"), format!("{name}/other"));
        std::fs::create_dir_all(ground.root.join(name)).unwrap();
        must(publish(&one, true), "publish alone");
        must(publish(&one, true), "publish alone again");
        refused(publish(&other, true), Kind::InUse, "a second publication");
        must(publish(&other, false), "publish beside");
        for at in [one, other] {
            ground.unpublish(&at);
        }
        ground.unstage(name);
    }
}

fn withdrawing_removes_the_target(ground: &Ground) {
    for content in ground.contents.iter().copied() {
        let name = content.name();
        ground.create(name, content);
        ground.stage(name);
        let at = format!("{name}-pod");
        let shown = ground.publish(name, &at, false);
        for _ in 0..2 {
            let target = ground.target(&at);
            let gone = ground.engine().withdraw(&ground.pool, &named(name), &target);
            must(gone, "withdraw");
            assert!(!shown.exists(), "the target is left");
        }
        ground.unstage(name);
        ground.expect_at_rest(name);
    }
    // What is not ours stays where it is.
    let foreign = ground.root.join("foreign");
    std::fs::create_dir(&foreign).unwrap();
    write(&foreign.join("file"), b"somebody's");
    let target = ground.target("foreign");
    let kept = ground.engine().withdraw(&ground.pool, &named("v"), &target);
    refused(kept, Kind::WrongState, "removing what is not ours");
    expect_file(&foreign.join("file"), b"somebody's");
}

fn flags_and_groups_are_there(ground: &Ground) {
    use std::os::unix::fs::MetadataExt;
    for content in ground.mountable() {
        let name = content.name();
        ground.create(name, content);
        let first = ground.stage(name);
        write(&first.join("old"), b"from before");
        ground.unstage(name);
        let flags = MountFlags::read(&["noexec,noatime"], content).unwrap();
        let how = Staging { flags: flags.clone(), group: Some(4321), ..Staging::default() };
        let staging = ground.staging(name);
        must(ground.engine().stage_as(&ground.pool, &named(name), &staging, &how), "stage");
        let publication = Publication { flags, ..Publication::default() };
        let target = ground.target(&format!("{name}-pod"));
        let (engine, pool) = (ground.engine(), &ground.pool);
        must(engine.publish(pool, &named(name), &staging, &target, &publication), "publish");
        let old = std::fs::metadata(target.path().join("old")).unwrap();
        assert_eq!((old.gid(), old.mode() & 0o060), (4321, 0o060), "the group of {name}");
        let options = options_of(&target.path());
        assert!(options.contains("noexec") && options.contains("noatime"), "{name}: {options}");
        ground.unpublish(&format!("{name}-pod"));
        ground.unstage(name);
    }
}

/// The options of the mount at `path`, as the kernel shows them.
fn options_of(path: &Path) -> String {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let shown = path.to_str().unwrap();
    let line = table.lines().find(|line| line.split(' ').nth(4) == Some(shown)).unwrap();
    line.split(' ').nth(5).unwrap().to_owned()
}

fn a_claim_keeps_others_out(ground: &Ground) {
    ground.create("v", ground.any());
    let claim = |node: &str, readonly, asked: &str| {
        let claim = Claim { node: node.to_owned(), readonly, asked: asked.to_owned() };
        ground.engine().claim(&ground.pool, &named("v"), &claim)
    };
    let release = |node| ground.engine().release_claim(&ground.pool, &named("v"), node);
    must(claim("a", false, "rw"), "claim");
    must(claim("a", false, "rw"), "claim again");
    refused(claim("a", true, "rw"), Kind::Conflict, "another claim of the same node");
    let held = refused(claim("b", false, "rw"), Kind::InUse, "a claim of another node");
    assert!(held.message().contains("`a`"), "{held} does not name the node");
    let deleted = ground.engine().delete(&ground.pool, &named("v"));
    refused(deleted, Kind::InUse, "deleting a claimed volume");
    must(release(Some("other")), "release what is not claimed");
    refused(claim("b", false, "rw"), Kind::InUse, "a claim that is still held");
    must(release(Some("a")), "release");
    must(claim("a", true, "ro"), "claim to read");
    must(claim("b", true, "ro"), "claim to read as well");
    must(release(None), "release all");
    must(ground.engine().delete(&ground.pool, &named("v")), "delete");
    must(release(None), "release what is gone");
}

fn settings_change_all_or_nothing(ground: &Ground) {
    ground.create("v", ground.any());
    let modify = |read: fn() -> Result<Settings>| {
        ground.engine().modify(&ground.pool, &named("v"), |_| read())
    };
    let kept = Settings { trash_retention_seconds: Some(0), ..Settings::default() };
    must(modify(|| Ok(Settings { trash_retention_seconds: Some(0), ..Default::default() })), "set");
    refused(modify(|| Err(Error::new(Kind::Invalid, "no"))), Kind::Invalid, "no setting");
    assert_eq!(ground.record("v").settings, kept);
    must(ground.engine().delete(&ground.pool, &named("v")), "delete");
    let trash = must(ground.engine().trash(&ground.pool), "look into the trash");
    assert!(trash.is_empty(), "it was to be gone at once: {trash:?}");
}

fn usage_is_of_this_volume_alone(ground: &Ground) {
    for content in ground.mountable() {
        let name = content.name();
        ground.create(name, content);
        let at = ground.stage(name);
        let (engine, pool) = (ground.engine(), &ground.pool);
        let usage = must(engine.usage(pool, &named(name), &ground.staging(name)), "usage");
        assert_eq!(usage.total, total(&at), "{name}");
        let (used, available) = (usage.used.unwrap(), usage.available.unwrap());
        assert!(used + available <= usage.total && available > 0, "{name}: {usage:?}");
        let elsewhere = ground.target("elsewhere");
        let absent = engine.usage(pool, &named(name), &elsewhere);
        refused(absent, Kind::NotFound, "the usage of a path that is not there");
        mount_foreign(&elsewhere.path());
        let foreign = engine.usage(pool, &named(name), &elsewhere);
        refused(foreign, Kind::NotFound, "the usage of another filesystem");
        ground.unpublish("elsewhere");
        ground.unstage(name);
    }
}
