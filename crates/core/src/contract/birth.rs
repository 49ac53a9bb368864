//! A volume comes into being once, whole, and formatted only where nothing was.

use super::*;
use crate::backend::Place;
use crate::catalog::Existence;
use crate::record::{Birth, FORMAT, Origin, OriginKind, Provisioning, now};
use std::os::unix::fs::FileExt;

pub(super) const CHECKS: &[Check] = &[
    (creating_twice_is_creating_once, "creating twice is creating once"),
    (another_volume_of_the_same_name_conflicts, "another volume of the same name conflicts"),
    (a_killed_preparation_is_replaced, "a killed preparation is invisible and replaced"),
    (nothing_half_made_is_left, "a creation that fails leaves nothing"),
    (only_blank_storage_is_formatted, "only blank storage is formatted, and only at birth"),
    (a_foreign_filesystem_is_neither_mounted_nor_formatted, "a damaged volume is not formatted"),
    (hostile_names_lead_nowhere, "hostile names lead nowhere"),
];

fn creating_twice_is_creating_once(ground: &Ground) {
    for content in ground.contents.iter().copied() {
        let name = content.name();
        let first = ground.create(name, content);
        assert_eq!(first.birth, Birth::Ready, "a created volume is ready");
        assert_eq!(ground.create(name, content), first, "the second creation gave another volume");
        assert_eq!(ground.record(name), first, "the lookup gave another record");
        if content != Content::Block {
            write(&ground.stage(name).join("data"), b"kept");
            ground.create(name, content);
            ground.unstage(name);
            expect_file(&ground.stage(name).join("data"), b"kept");
            ground.unstage(name);
        }
    }
    let listed = ground.engine().volumes(&ground.pool).unwrap();
    assert_eq!(listed.len(), ground.contents.len(), "the list has other volumes: {listed:?}");
}

fn another_volume_of_the_same_name_conflicts(ground: &Ground) {
    let made = ground.create("v", ground.any());
    let request = ground.request("v", ground.any());
    let mut larger = request.clone();
    larger.size += 16 * MIB;
    let mut provisioned = request.clone();
    provisioned.provisioning = Some(match made.provisioning {
        Provisioning::Thin => Provisioning::Thick,
        Provisioning::Thick => Provisioning::Thin,
    });
    let mut copied = request.clone();
    copied.origin = Some(Origin::named(OriginKind::Snapshot, named("no-such-snapshot")));
    let mut parameters = request;
    parameters.parameters.insert("onUnmount".into(), "remove".into());
    for (what, new) in [
        ("another size", larger),
        ("another provisioning", provisioned),
        ("another origin", copied),
        ("other parameters", parameters),
    ] {
        refused(ground.engine().create(&ground.pool, &new), Kind::Conflict, what);
    }
    if let Some(other) = ground.contents.get(1) {
        let new = ground.request("v", *other);
        refused(ground.engine().create(&ground.pool, &new), Kind::Conflict, "another content");
    }
    assert_eq!(ground.record("v"), made, "a refused creation changed the volume");
}

/// The record of a volume whose maker is still at work.
fn unborn(ground: &Ground, name: &str, content: Content) -> VolumeRecord {
    let new = ground.request(name, content);
    VolumeRecord {
        format: FORMAT,
        uuid: uuid::Uuid::new_v4(),
        name: new.name,
        size: new.size,
        content,
        provisioning: new.provisioning.unwrap_or_default(),
        birth: Birth::Preparing,
        filesystem_size: new.size,
        origin: None,
        created: now(),
        parameters: new.parameters,
        labels: Default::default(),
        settings: Default::default(),
        claims: Vec::new(),
    }
}

fn a_killed_preparation_is_replaced(ground: &Ground) {
    let pool = ground.pool();
    for content in ground.contents.iter().copied() {
        for built in [false, true] {
            let name = format!("{}-{built}", content.name());
            let record = unborn(ground, &name, content);
            must(ground.backend.catalog().begin(&pool, &record), "begin");
            if built {
                let progress = crate::progress::Logged::default();
                must(ground.backend.build(&pool, &record, None, &progress), "build");
            }
            let engine = ground.engine();
            refused(engine.volume(&ground.pool, &record.name), Kind::NotFound, "looking it up");
            assert!(
                engine.volumes(&ground.pool).unwrap().iter().all(|v| v.name != record.name),
                "a volume that is being made is listed"
            );
            refused(
                engine.stage(&ground.pool, &record.name, &ground.staging(&name)),
                Kind::NotFound,
                "staging a volume that is being made",
            );
            let made = ground.create(&name, content);
            assert_ne!(made.uuid, record.uuid, "the leftover was taken over");
            if content != Content::Block {
                ground.stage(&name);
                ground.unstage(&name);
            }
        }
    }
    let left = ground.backend.catalog().preparing(&pool).unwrap();
    assert!(
        left.records.is_empty() && left.unreadable.is_empty(),
        "preparations are left: {left:?}"
    );
}

fn nothing_half_made_is_left(ground: &Ground) {
    let (engine, pool) = (ground.engine(), ground.pool());
    let mut no_origin = ground.request("v", ground.any());
    no_origin.origin = Some(Origin::named(OriginKind::Snapshot, named("absent")));
    refused(engine.create(&ground.pool, &no_origin), Kind::NotFound, "an absent origin");
    let mut unknown = ground.request("v", ground.any());
    unknown.parameters.insert("no-such-parameter".into(), "x".into());
    refused(engine.create(&ground.pool, &unknown), Kind::Invalid, "an unknown parameter");
    if ground.limits {
        let mut huge = ground.request("v", ground.any());
        huge.size = 1 << 60;
        refused(engine.create(&ground.pool, &huge), Kind::NoSpace, "a volume of 1 EiB");
    }
    assert!(engine.volumes(&ground.pool).unwrap().is_empty());
    let left = ground.backend.catalog().preparing(&pool).unwrap();
    assert!(left.records.is_empty() && left.unreadable.is_empty(), "left behind: {left:?}");
    assert!(engine.trash(&ground.pool).unwrap().is_empty(), "the trash is not empty");
}

fn only_blank_storage_is_formatted(ground: &Ground) {
    let pool = ground.pool();
    let progress = crate::progress::Logged::default();
    for content in ground.contents.iter().copied().filter(|content| content.filesystem().is_some())
    {
        for place in [0, 4096, 700_000, u64::MAX] {
            let mut record = unborn(ground, "planted", content);
            must(ground.backend.catalog().begin(&pool, &record), "begin");
            must(ground.backend.build(&pool, &record, None, &progress), "build");
            let medium = ground.backend.medium(&pool, &record, Place::Preparing).unwrap().unwrap();
            let place = place.min(medium.size - 16);
            let file = File::options().write(true).open(&medium.path).unwrap();
            file.write_all_at(b"somebody's bytes", place).unwrap();
            let formatted = crate::engine::format(ground.backend.as_ref(), &pool, &mut record);
            refused(formatted, Kind::WrongState, "formatting what is not blank");
            let mut found = [0; 16];
            medium.file.read_exact_at(&mut found, place).unwrap();
            assert_eq!(&found, b"somebody's bytes", "bytes at {place} were lost");
            drop((file, medium));
            must(ground.backend.catalog().discard(&pool, &record.name), "discard");
        }
        let mut born = ground.create("born", content);
        let again = crate::engine::format(ground.backend.as_ref(), &pool, &mut born);
        refused(again, Kind::Internal, "formatting a volume that was born");
        let mut copy = born.clone();
        copy.birth = Birth::Preparing;
        copy.origin = Some(Origin::named(OriginKind::Volume, named("origin")));
        let copied = crate::engine::format(ground.backend.as_ref(), &pool, &mut copy);
        refused(copied, Kind::Internal, "formatting a copy");
        must(ground.engine().delete(&ground.pool, &born.name), "delete a volume");
    }
}

/// Incident I1: a probe that sees no filesystem in a volume must never lead to mkfs.
fn a_foreign_filesystem_is_neither_mounted_nor_formatted(ground: &Ground) {
    let pool = ground.pool();
    for content in ground.contents.iter().copied().filter(|content| content.filesystem().is_some())
    {
        let name = content.name();
        let record = ground.create(name, content);
        let medium = ground.backend.medium(&pool, &record, Place::Ready).unwrap().unwrap();
        let file = File::options().write(true).open(&medium.path).unwrap();
        file.write_all_at(&vec![0; 128 * 1024], 0).unwrap();
        let mut before = vec![0; 2 * MIB as usize];
        medium.file.read_exact_at(&mut before, 0).unwrap();
        let staged = ground.engine().stage(&ground.pool, &record.name, &ground.staging(name));
        let error = refused(staged, Kind::WrongState, "staging a volume without a filesystem");
        assert!(error.advice().is_some(), "no hint says what to do: {error}");
        let mut after = vec![0; 2 * MIB as usize];
        medium.file.read_exact_at(&mut after, 0).unwrap();
        assert!(before == after, "staging changed a volume that it refused");
        ground.expect_at_rest(name);
    }
}

fn hostile_names_lead_nowhere(ground: &Ground) {
    for bad in ["", ".", "..", "../x", "a/b", "/etc", "-f", ".hidden", "a\nb", "a\0", "ü", "a b"] {
        assert_eq!(Name::new(bad).unwrap_err().kind(), Kind::Invalid, "{bad:?} is a name");
    }
    assert!(Name::new("x".repeat(129)).is_err(), "an endless name is accepted");
    let longest = "x".repeat(128);
    ground.create(&longest, ground.any());
    must(ground.engine().delete(&ground.pool, &named(&longest)), "delete the longest name");
    // A link planted in place of a volume is not followed, and nothing behind it is touched.
    let volumes = ground.place().join("volumes");
    if volumes.is_dir() {
        let outside = ground.root.join("outside");
        std::fs::create_dir(&outside).unwrap();
        write(&outside.join("precious"), b"kept");
        std::os::unix::fs::symlink(&outside, volumes.join("link")).unwrap();
        let (engine, name) = (ground.engine(), named("link"));
        assert!(
            ground.backend.catalog().volume(&ground.pool(), &name).is_err(),
            "a link is followed"
        );
        assert!(engine.delete(&ground.pool, &name).is_err(), "a link is deleted as a volume");
        assert!(engine.create(&ground.pool, &ground.request("link", ground.any())).is_err());
        expect_file(&outside.join("precious"), b"kept");
    }
    let absent = ground.backend.catalog().volume(&ground.pool(), &named("absent")).unwrap();
    assert_eq!(absent, Existence::Absent);
}
