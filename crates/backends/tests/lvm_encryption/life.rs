//! An encrypted volume from its making to its end.

use super::super::group::{Group, must};
use super::super::lvm_layout::{named, staging, unstage};
use super::*;
use becket_core::contract::MIB;
use becket_core::engine::{Outcome, Publication};
use becket_core::record::Birth;
use becket_core::target::Target;

const MARK: &[u8] = b"A-TEXT-THAT-NOBODY-READS-FROM-THE-DISK";

#[test]
fn a_filesystem_lives_encrypted_from_its_first_stage_on() {
    if !can_run() {
        return;
    }
    let cases = [
        (false, Content::Ext4, 64 * MIB),
        (true, Content::Xfs, 320 * MIB),
        (true, Content::Btrfs, 256 * MIB),
    ];
    for (thin, content, size) in cases {
        let group = Group::new(1 << 30);
        let engine = group.pool(thin);
        let made = engine.create(&named("pool"), &encrypted("v", size, content)).unwrap();
        assert_eq!((made.size, made.birth), (size, Birth::Blank));
        let device = logical(&engine, "v");
        assert_eq!(size_of(&group, &device), size + 16 * MIB, "the header is taken from the user");
        assert_eq!(header(&device), None, "something was made without a passphrase");
        let absent = refused(try_stage(&group, &engine, "v", None), Kind::Invalid);
        assert!(absent.message().contains("encryptionPassphrase"), "{absent}");
        assert_eq!(header(&device), None, "something was made without a passphrase");

        let at = stage(&group, &engine, "v");
        let found = engine.volume(&named("pool"), &named("v")).unwrap();
        assert_eq!((found.birth, found.filesystem_size), (Birth::Ready, size));
        std::fs::write(at.join("data"), MARK).unwrap();
        must("sync", &[]);
        // A repeat needs no secret, and nothing is opened twice.
        try_stage(&group, &engine, "v", None).unwrap();
        unstage(&group, &engine, "v");
        expect_closed(&engine, "v");
        assert!(!has(&device, MARK), "the text is on the disk as it is");
        let made = header(&device).unwrap();
        assert_eq!((made.uuid, made.label), (mapping_of(&found).header, String::new()));

        refused(try_stage(&group, &engine, "v", Some(b"wrong")), Kind::Denied);
        expect_closed(&engine, "v");
        assert_eq!(engine.volume_health(&named("pool"), &named("v")).unwrap(), []);
        let at = stage(&group, &engine, "v");
        assert_eq!(std::fs::read(at.join("data")).unwrap(), MARK);
        assert_eq!(engine.volume_health(&named("pool"), &named("v")).unwrap(), []);
        let usage = engine.usage(&named("pool"), &named("v"), &staging(&group, "v")).unwrap();
        assert!(usage.total <= size && usage.total > size / 2, "{usage:?}");
        refused(engine.delete(&named("pool"), &named("v")), Kind::InUse);
        unstage(&group, &engine, "v");
        assert!(engine.delete(&named("pool"), &named("v")).unwrap());
        assert_eq!(engine.empty_trash(&named("pool"), true).unwrap().len(), 1);
    }
}

#[test]
fn raw_block_lives_encrypted_and_is_published_readonly() {
    if !can_run() {
        return;
    }
    for thin in [false, true] {
        let group = Group::new(512 << 20);
        let engine = group.pool(thin);
        let (pool, name) = (named("pool"), named("v"));
        engine.create(&pool, &encrypted("v", 32 * MIB, Content::Block)).unwrap();
        stage(&group, &engine, "v");
        let root = group.state().parent().unwrap().join("kubelet");
        let target = |at: &str| Target::beneath(&root, &root.join(at)).unwrap();
        let place = staging(&group, "v");
        let publish = |at: &str, readonly| {
            let how = Publication { readonly, ..Publication::default() };
            engine.publish(&pool, &name, &place, &target(at), &how)
        };
        publish("pod", false).unwrap();
        let device = target("pod").path();
        assert_eq!(becket_sys::block_device::size(&device).unwrap_or(0), 32 * MIB);
        let head = std::fs::read(&device).unwrap();
        assert!(head[..1 << 20].iter().all(|byte| *byte == 0), "a signature may be seen in noise");
        let write = |device: &Path| {
            let mut device = std::fs::OpenOptions::new().write(true).open(device)?;
            std::io::Write::write_all(&mut device, MARK).and_then(|()| device.sync_all())
        };
        write(&device).unwrap();
        must("sync", &[]);
        publish("reader", true).unwrap();
        let reader = target("reader").path();
        assert!(std::fs::read(&reader).unwrap().starts_with(MARK));
        assert!(write(&reader).is_err(), "the read-only device takes writes");
        for at in ["reader", "pod"] {
            engine.withdraw(&pool, &name, &target(at)).unwrap();
        }
        unstage(&group, &engine, "v");
        expect_closed(&engine, "v");
        assert!(!has(&logical(&engine, "v"), MARK), "the text is on the disk as it is");
        stage(&group, &engine, "v");
        publish("pod", false).unwrap();
        assert!(std::fs::read(&device).unwrap().starts_with(MARK));
        engine.withdraw(&pool, &name, &target("pod")).unwrap();
        unstage(&group, &engine, "v");
        engine.delete(&pool, &name).unwrap();
        assert_eq!(engine.empty_trash(&pool, true).unwrap().len(), 1);
    }
}

#[test]
fn what_a_killed_stage_left_open_is_closed() {
    if !can_run() {
        return;
    }
    let group = Group::new(512 << 20);
    let engine = group.pool(false);
    engine.create(&named("pool"), &encrypted("v", 64 * MIB, Content::Ext4)).unwrap();
    stage(&group, &engine, "v");
    unstage(&group, &engine, "v");
    expect_closed(&engine, "v");
    // The moment between its opening and its being told to go with its last user.
    let record = engine.volume(&named("pool"), &named("v")).unwrap();
    let name = mapping_of(&record).name;
    let left = || {
        luks::open(&logical(&engine, "v"), &name, KEY, false).unwrap();
        assert!(mapping(&engine, "v").is_some());
    };
    left();
    let findings = engine.reconcile(&named("pool")).unwrap();
    assert!(findings.iter().any(|found| found.outcome == Outcome::Repaired), "{findings:?}");
    expect_closed(&engine, "v");
    left();
    refused(try_stage(&group, &engine, "v", Some(b"wrong")), Kind::Denied);
    stage(&group, &engine, "v");
    assert!(engine.reconcile(&named("pool")).unwrap().is_empty(), "what is used was closed");
    unstage(&group, &engine, "v");
    expect_closed(&engine, "v");
    left();
    engine.delete(&named("pool"), &named("v")).unwrap();
    assert_eq!(engine.empty_trash(&named("pool"), true).unwrap().len(), 1);
}

#[test]
fn the_keys_of_a_deleted_volume_are_erased_after_the_trash_and_its_bytes_stay() {
    if !can_run() {
        return;
    }
    let group = Group::new(512 << 20);
    let engine = group.pool(false);
    let pool = named("pool");
    let mut new = encrypted("v", 32 * MIB, Content::Block);
    new.parameters.insert("wipe".into(), "crypto-erase".into());
    engine.create(&pool, &new).unwrap();
    stage(&group, &engine, "v");
    unstage(&group, &engine, "v");
    let device = logical(&engine, "v");
    activate(&device);
    let end = 40 * MIB as usize;
    let before = std::fs::read(&device).unwrap();
    assert!(before[end..end + 4096].iter().all(|byte| *byte == 0), "blank storage is not blank");
    let mut marked = std::fs::OpenOptions::new().write(true).open(&device).unwrap();
    std::io::Seek::seek(&mut marked, std::io::SeekFrom::Start(end as u64)).unwrap();
    std::io::Write::write_all(&mut marked, b"CIPHERTEXT").unwrap();
    marked.sync_all().unwrap();
    drop(marked);

    engine.delete(&pool, &named("v")).unwrap();
    assert!(header(&device).is_some(), "it was erased while it can still be restored");
    engine.empty_trash(&pool, true).unwrap();
    must("lvcreate", &["-q", "-y", "-Wn", "-Zn", "-L", "48M", "-n", "after", &group.name]);
    let after = std::fs::read(format!("/dev/{}/after", group.name)).unwrap();
    assert!(after[..16 << 20].iter().all(|byte| *byte == 0), "keys are left");
    assert!(
        after[end..].starts_with(b"CIPHERTEXT"),
        "these are other extents, so nothing is shown"
    );
    must("lvremove", &["-q", "-y", &format!("{}/after", group.name)]);

    let mut plain = becket_core::engine::NewVolume::new(named("plain"), 64 * MIB);
    plain.parameters.insert("wipe".into(), "crypto-erase".into());
    refused(engine.create(&pool, &plain), Kind::Invalid);
}
