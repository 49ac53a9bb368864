//! The Debian packages of a node, and the image that its pods are made of.

use crate::debian;
use crate::image;
use crate::kept::{self, Kept};
use crate::run::{Outcome, failed, made};
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Changes when what is made below is laid out anew.
const LAYOUT: u32 = 1;

/// Programs of the node itself; it sees the host's files below them.
const PACKAGES: [&str; 5] =
    ["containerd", "containernetworking-plugins", "iproute2", "runc", "util-linux"];

/// What pods are made of: one static program.
const BUSYBOX: &str = "busybox-static";

/// A directory with the packages' files, `root`, a static `busybox`, and `busybox.tar`, an image of it
/// called `local/busybox:1`, which sleeps unless it is told otherwise.
pub fn ready() -> Outcome<Kept> {
    let cache = super::place::cache()?;
    kept::ready(&cache, "packages", key()?, |making, lock| {
        eprintln!("xtask: fetching the node's packages into `{}`", cache.display());
        debian::fetch(making, &PACKAGES, &[BUSYBOX], lock)?;
        let (alone, busybox) = (making.join("alone"), making.join("busybox"));
        fs::rename(alone.join("bin/busybox"), &busybox)
            .map_err(|error| failed("place", &busybox, &error))?;
        let files = making.join("files");
        made(&files)?;
        image::lay_busybox(&busybox, &files)?;
        let archive = making.join("busybox.tar");
        image::pack_docker(&files, &["local/busybox:1"], &[], &["sleep", "infinity"], &archive)?;
        [alone, files].iter().try_for_each(|directory| {
            fs::remove_dir_all(directory).map_err(|error| failed("remove", directory, &error))
        })
    })
}

/// Tells what is fetched apart: by what is asked for, and by what of it the host has.
fn key() -> Outcome<u64> {
    let mut hasher = DefaultHasher::new();
    (LAYOUT, PACKAGES, BUSYBOX).hash(&mut hasher);
    debian::hash_installed(&PACKAGES, &mut hasher)?;
    Ok(hasher.finish())
}
