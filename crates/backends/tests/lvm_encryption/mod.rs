//! Encrypted volumes: their life, what is killed in it, and where their passphrase must not be.

mod copies;
mod faults;
mod growth;
mod kills;
mod life;
mod secrecy;

use super::group::{self, Group, must};
use super::lvm_layout::{named, staging};
use becket_core::encryption::{Passphrase, mapping_of};
use becket_core::engine::{NewVolume, Staging};
use becket_core::record::Content;
use becket_core::{Engine, Error, Kind, Result};
use becket_sys::{child, device_mapper, luks};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The passphrase, with what a text file would not have.
const KEY: &[u8] = b"correct horse\nbattery \xff staple";

/// True where volumes can be encrypted; else the reason is printed.
fn can_run() -> bool {
    if !group::can_run() {
        return false;
    }
    let _ = Command::new("modprobe").arg("dm-crypt").output();
    let found = child::find(luks::PROGRAM).is_some();
    if !found {
        eprintln!("not checked: this host has no `cryptsetup`");
    }
    found
}

/// An encrypted volume of this content.
fn encrypted(name: &str, size: u64, content: Content) -> NewVolume {
    let mut new = NewVolume::new(named(name), size);
    new.content = Some(content);
    new.parameters = [("encryption".to_owned(), "luks".to_owned())].into();
    new
}

fn passphrase(bytes: &[u8]) -> Passphrase {
    Passphrase::new(bytes.to_vec()).unwrap()
}

/// Stages the volume with these bytes as its passphrase, and gives where.
fn try_stage(group: &Group, engine: &Engine, name: &str, key: Option<&[u8]>) -> Result<PathBuf> {
    let target = staging(group, name);
    let how = Staging { passphrase: key.map(passphrase), ..Staging::default() };
    engine.stage_as(&named("pool"), &named(name), &target, &how)?;
    Ok(target.path())
}

fn stage(group: &Group, engine: &Engine, name: &str) -> PathBuf {
    try_stage(group, engine, name, Some(KEY)).unwrap()
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T>, kind: Kind) -> Error {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.advice().is_some(), "no hint says what to do: {error}");
    assert!(!error.to_string().contains("correct"), "the passphrase is shown: {error}");
    error
}

/// The path of the volume's logical volume.
fn logical(engine: &Engine, name: &str) -> PathBuf {
    engine.lasting_path(&named("pool"), &named(name)).unwrap().unwrap()
}

fn header(device: &Path) -> Option<luks::Header> {
    luks::header(&File::open(device).unwrap(), device).unwrap()
}

/// The open mapping of the volume, if there is one.
fn mapping(engine: &Engine, name: &str) -> Option<device_mapper::Mapped> {
    let record = engine.volume(&named("pool"), &named(name)).unwrap();
    device_mapper::find(&mapping_of(&record).uuid).unwrap()
}

/// The kernel lets go of a mapping a moment after its last user.
#[track_caller]
fn expect_closed(engine: &Engine, name: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while let Some(left) = mapping(engine, name) {
        assert!(Instant::now() < deadline, "`{name}` is still open: {left:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
    let nodes = std::fs::read_dir("/dev/mapper").unwrap().flatten();
    let left = nodes.filter(|node| node.file_name().to_string_lossy().contains("becket-luks"));
    assert_eq!(left.count(), 0, "a node is left in /dev/mapper");
}

/// Bytes of the logical volume, as LVM tells them.
fn size_of(group: &Group, device: &Path) -> u64 {
    let name = format!("{}/{}", group.name, device.file_name().unwrap().to_string_lossy());
    let columns = ["--noheadings", "--units", "b", "--nosuffix", "-o", "lv_size", &name];
    must("lvs", &columns).parse().unwrap()
}

/// True when the bytes are anywhere on the logical volume.
fn has(device: &Path, bytes: &[u8]) -> bool {
    activate(device);
    let all = std::fs::read(device).unwrap();
    all.windows(bytes.len()).any(|window| window == bytes)
}

/// Raw block is active only while it is used.
fn activate(device: &Path) {
    must("lvchange", &["-q", "-ay", "-K", device.strip_prefix("/dev").unwrap().to_str().unwrap()]);
}
