//! The files of guests that are kept on the host.

use super::packages::{self, KERNEL, PACKAGES, SUITE};
use crate::debian;
use crate::kept::{self, Kept};
use crate::run::{Outcome, failed, made, root};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Changes when what is made below is laid out anew.
const LAYOUT: u32 = 2;

/// The directory of everything that guests keep on the host.
pub fn cache() -> Outcome<PathBuf> {
    let directory = crate::setup::cache()?.join("guest");
    made(&directory)?;
    Ok(directory)
}

/// A kernel (`linux.uml`, with its `libc` if it needs one), what is laid under it (`shim.so`), and unpacked
/// packages (`root`), for this host. `boots` tells whether a guest of such a directory boots.
pub fn ready(boots: impl Fn(&Path) -> Outcome) -> Outcome<Kept> {
    let cache = cache()?;
    kept::ready(&cache, "tree", key()?, |making, lock| {
        eprintln!("xtask: fetching the guest's packages into `{}`", cache.display());
        let mut compile = Command::new("cc");
        compile.args(["-O2", "-shared", "-fPIC", "-o"]).arg(making.join("shim.so")).arg(shim());
        kept::run(&mut compile, lock)?;
        packages::make(making, lock, boots)
    })
}

fn shim() -> PathBuf {
    root().join("xtask/guest/shim.c")
}

/// Tells trees apart: by what is asked for, and by what of it the host has.
fn key() -> Outcome<u64> {
    let mut hasher = DefaultHasher::new();
    (LAYOUT, KERNEL, SUITE, PACKAGES).hash(&mut hasher);
    let shim = shim();
    fs::read(&shim).map_err(|error| failed("read", &shim, &error))?.hash(&mut hasher);
    debian::hash_installed(&PACKAGES, &mut hasher)?;
    Ok(hasher.finish())
}
