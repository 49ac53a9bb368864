//! What happens when `lvm` itself is not there, does not end, or talks: with another program in its place,
//! which is done only where the machine is made for a test.

use super::group::{Group, can_run, must};
use super::lvm_layout::{create, named};
use becket_core::Kind;
use becket_core::contract::MIB;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// True in a guest, whose files are its own; else the reason is printed.
pub(crate) fn is_guest() -> bool {
    let guest = std::fs::read_to_string("/proc/cpuinfo").unwrap().contains("User Mode Linux");
    if !guest {
        eprintln!("not checked: programs are replaced only in a guest");
    }
    guest
}

/// Puts a script in the place of `program` while `check` runs; `$REAL` in it is the real one.
pub(crate) fn with(program: &str, script: Option<&str>, check: impl FnOnce()) {
    let (place, kept) = (Path::new("/usr/sbin").join(program), Path::new("/usr/lib/kept"));
    std::fs::create_dir_all(kept).unwrap();
    let kept = kept.join(program);
    // A link may be relative.
    let link = std::fs::read_link(&place);
    match link.is_ok() {
        true => {
            std::os::unix::fs::symlink(place.canonicalize().unwrap(), &kept).unwrap();
            std::fs::remove_file(&place).unwrap();
        }
        false => std::fs::rename(&place, &kept).unwrap(),
    }
    if let Some(script) = script {
        let script = format!("#!/bin/sh\nREAL=\"{}\"\n{script}\n", kept.display());
        std::fs::write(&place, script).unwrap();
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    check();
    let _ = std::fs::remove_file(&place);
    match link {
        Ok(link) => {
            std::fs::remove_file(&kept).unwrap();
            std::os::unix::fs::symlink(link, place).unwrap();
        }
        Err(_) => std::fs::rename(kept, place).unwrap(),
    }
}

#[test]
fn lvm_is_not_run_for_what_is_known_already() {
    if !can_run() || !is_guest() {
        return;
    }
    let group = Group::new(512 << 20);
    let engine = group.pool(false);
    let pool = named("pool");
    create(&engine, "v", 64 * MIB).unwrap();
    let volumes = || engine.volumes(&pool).map(|volumes| volumes.len());
    // Once after the change, and once more to know that nothing came between.
    assert!((0..2).all(|_| volumes().unwrap() == 1));
    must("vgchange", &["-q", "-an", &group.name]);
    with("lvm", None, || {
        assert_eq!(volumes().unwrap(), 1);
        assert!(create(&engine, "w", 64 * MIB).is_err());
        let file = group.detach();
        assert!(volumes().is_err(), "a device that is gone is not known");
        group.attach(&file);
    });
    assert_eq!(volumes().unwrap(), 1);
}

#[test]
fn lvm_that_is_missing_or_talks_is_dealt_with() {
    if !can_run() || !is_guest() {
        return;
    }
    let group = Group::new(512 << 20);
    let engine = group.pool(false);
    let pool = named("pool");
    create(&engine, "v", 64 * MIB).unwrap();
    with("lvm", None, || {
        let error = engine.delete(&pool, &named("absent")).unwrap_err();
        assert_eq!(error.kind(), Kind::WrongState, "{error}");
        assert!(error.advice().unwrap().contains("lvm2"), "{error}");
    });
    let talks =
        "echo '  WARNING: something odd'; echo '  WARNING: and more' >&2; exec \"$REAL\" \"$@\"";
    with("lvm", Some(talks), || {
        assert_eq!(engine.volumes(&pool).unwrap().len(), 1);
        create(&engine, "w", 64 * MIB).unwrap();
    });
    for broken in ["exit 5", "echo '{'", "exit 0", "kill -9 $$"] {
        with("lvm", Some(broken), || {
            let asked = engine.find_volume(&pool, &named("absent"));
            assert!(asked.is_err(), "absence was concluded from `{broken}`");
            assert!(engine.delete(&pool, &named("v")).is_err());
        });
    }
    assert_eq!(engine.volumes(&pool).unwrap().len(), 2);
}
