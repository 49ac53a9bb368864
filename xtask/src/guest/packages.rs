//! What a guest is made of: Debian packages.

use crate::debian;
use crate::run::{Outcome, failed};
use std::fs::{self, File};
use std::path::Path;

/// The kernel, which is fetched even where the host has it.
pub const KERNEL: &str = "user-mode-linux";

/// All programs that tests call in a guest.
pub const PACKAGES: [&str; 17] = [
    "btrfs-progs",
    "cryptsetup-bin",
    "dmsetup",
    "e2fsprogs",
    "iproute2",
    "keyutils",
    "kmod",
    "lvm2",
    "mount",
    "nfs-common",
    "nfs-kernel-server",
    "procps",
    "rpcbind",
    "thin-provisioning-tools",
    "udev",
    "util-linux",
    "xfsprogs",
];

/// Fetches and unpacks them into the empty directory `making`: the kernel as `linux.uml`, the packages
/// as `root`. For `lock` see [`crate::kept::ready`].
pub fn make(making: &Path, lock: &File) -> Outcome {
    debian::fetch(making, &PACKAGES, &[KERNEL], lock)?;
    let alone = making.join("alone");
    place(&alone, &making.join("root"), making)?;
    fs::remove_dir_all(&alone).map_err(|error| failed("remove", &alone, &error))
}

/// Puts the kernel beside the packages and its modules among them.
fn place(kernel: &Path, files: &Path, making: &Path) -> Outcome {
    let modules = files.join("usr/lib/modules");
    let from = [kernel.join("usr/lib/uml/modules"), kernel.join("usr/bin/linux.uml")];
    for (from, to) in from.iter().zip([modules, making.join("linux.uml")]) {
        fs::rename(from, &to).map_err(|error| failed("place", from, &error))?;
    }
    Ok(())
}
