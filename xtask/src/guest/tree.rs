//! The files of guests that are kept on the host: a cache outside of the tree, which may be removed at
//! any time when no guest runs.

use super::packages::{self, KERNEL, PACKAGES, failed, made};
use crate::run::{Outcome, root};
use std::fs::{self, File, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Changes when what is made below is laid out anew.
const LAYOUT: u32 = 1;

/// The directory of everything that guests keep on the host.
pub fn cache() -> Outcome<PathBuf> {
    let directory = crate::setup::cache()?.join("guest");
    made(&directory)?;
    Ok(directory)
}

/// A kernel (`linux.uml`), what is laid under it (`shim.so`), and unpacked packages (`root`).
pub struct Tree {
    pub path: PathBuf,
    /// Locked, shared with other guests: as long as this is kept, nobody removes the tree.
    _lock: File,
}

/// The tree for this host, made if it is not there. It appears by one rename, so it is whole.
pub fn ready() -> Outcome<Tree> {
    let cache = cache()?;
    let path = cache.join(format!("tree-{:016x}", key()?));
    if let Some(tree) = take(&path) {
        return Ok(tree);
    }
    // One at a time; who had to wait finds what the other one made.
    let lock = cache.join("lock");
    let lock = File::create(&lock).map_err(|error| failed("make", &lock, &error))?;
    lock.lock().map_err(|error| failed("lock", &cache, &error))?;
    if let Some(tree) = take(&path) {
        return Ok(tree);
    }
    remove_unused(&cache)?;
    eprintln!("xtask: fetching the guest's packages into `{}`", cache.display());
    let making = cache.join("making");
    made(&making)?;
    packages::make(&making, &lock)?;
    let mut compile = Command::new("cc");
    compile.args(["-O2", "-shared", "-fPIC", "-o"]).arg(making.join("shim.so")).arg(shim());
    packages::run(&mut compile, &lock)?;
    fs::rename(&making, &path).map_err(|error| failed("finish", &path, &error))?;
    take(&path).ok_or_else(|| failed("use", &path, &std::io::ErrorKind::NotFound.into()))
}

fn take(path: &Path) -> Option<Tree> {
    let lock = File::open(path).ok()?;
    lock.lock_shared().ok()?;
    // It may have been removed between the two, by who locked it first.
    path.is_dir().then(|| Tree { path: path.to_owned(), _lock: lock })
}

fn shim() -> PathBuf {
    root().join("xtask/guest/shim.c")
}

/// Tells trees apart: by what is asked for, and by what of it the host has.
fn key() -> Outcome<u64> {
    let mut hasher = DefaultHasher::new();
    (LAYOUT, KERNEL, PACKAGES).hash(&mut hasher);
    let shim = shim();
    fs::read(&shim).map_err(|error| failed("read", &shim, &error))?.hash(&mut hasher);
    let installed = Command::new("dpkg-query")
        .args(["-W", "-f=${Package} ${Version} ${db:Status-Abbrev}\n"])
        .args(PACKAGES)
        .output()
        .map_err(|error| failed("run", Path::new("dpkg-query"), &error))?;
    // Its exit status only says that some of them are not installed.
    installed.stdout.hash(&mut hasher);
    Ok(hasher.finish())
}

/// Removes what a killed set-up left, and trees that no longer fit this host, if no guest has them.
fn remove_unused(cache: &Path) -> Outcome {
    let entries = fs::read_dir(cache).map_err(|error| failed("list", cache, &error))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name != "making" && !name.starts_with("tree-") {
            continue;
        }
        let lock = File::open(&path).map_err(|error| failed("open", &path, &error))?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path, &error)),
            Ok(()) => {}
        }
        fs::remove_dir_all(&path).map_err(|error| failed("remove", &path, &error))?;
    }
    Ok(())
}
