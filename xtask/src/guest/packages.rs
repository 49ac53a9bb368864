//! What a guest is made of: Debian packages.

use crate::debian;
use crate::kept;
use crate::run::{Outcome, failed, made};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

/// The kernel, which is fetched even where the host has it.
pub const KERNEL: &str = "user-mode-linux";

/// The release of Debian whose kernel is taken where it can be had and boots. Since Linux 6.16 a guest's
/// processes call their kernel by SECCOMP and not through ptrace: what starts many programs, as LVM's
/// tests do, takes well under half of the time that it takes with the 6.1 of Debian 12.
pub const SUITE: &str = "forky";

/// What a program of that release needs to run on this one: its C library, and to be told where it is.
const LIBRARY: &str = "libc6";
const PATCHER: &str = "patchelf";
const LOADER: &str = "ld-linux-x86-64.so.2";

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

/// Fetches and unpacks them into the empty directory `making`: the kernel as `linux.uml`, with `libc` if
/// that is not the host's own, and the packages as `root`. `boots` tells whether a guest made of it boots.
/// For `lock` see [`crate::kept::ready`].
pub fn make(making: &Path, lock: &File, boots: impl Fn(&Path) -> Outcome) -> Outcome {
    debian::fetch(making, &PACKAGES, &[], lock)?;
    let Err(refused) = newer(making, lock).and_then(|()| boots(making)) else { return Ok(()) };
    eprintln!(
        "xtask: the kernel of Debian's `{SUITE}` cannot be used: {refused}; \
         the guests run this system's own, and are slower"
    );
    ["newer", "libc", "alone"].iter().try_for_each(|left| remove(&making.join(left)))?;
    debian::fetch(making, &[], &[KERNEL], lock)?;
    place(&making.join("alone"), making)
}

/// The kernel of the newer release, as a program that runs on this one from its own directory.
fn newer(making: &Path, lock: &File) -> Outcome {
    debian::fetch(making, &[], &[PATCHER], lock)?;
    debian::fetch_newer(making, SUITE, &[KERNEL, LIBRARY], lock)?;
    let newer = making.join("newer");
    let library = making.join("libc");
    made(&library)?;
    for name in [LOADER, "libc.so.6"] {
        let from = newer.join("usr/lib/x86_64-linux-gnu").join(name);
        fs::copy(&from, library.join(name)).map_err(|error| failed("place", &from, &error))?;
    }
    place(&newer, making)?;
    let mut patch = Command::new(making.join("alone/usr/bin").join(PATCHER));
    // A relative path is one from the working directory, which `xtask/guest/src/confine.rs` sees to.
    patch.arg("--set-interpreter").arg(Path::new("libc").join(LOADER));
    kept::run(patch.args(["--set-rpath", "$ORIGIN/libc"]).arg(making.join("linux.uml")), lock)?;
    remove(&making.join("alone"))
}

/// Puts the kernel of the unpacked `package` beside the packages and its modules among them.
fn place(package: &Path, making: &Path) -> Outcome {
    let (modules, kernel) = (making.join("root/usr/lib/modules"), making.join("linux.uml"));
    remove(&modules)?;
    let from = [package.join("usr/lib/uml/modules"), package.join("usr/bin/linux.uml")];
    for (from, to) in from.iter().zip([modules, kernel]) {
        fs::rename(from, &to).map_err(|error| failed("place", from, &error))?;
    }
    remove(package)
}

/// Removes a directory, which need not be there.
fn remove(directory: &Path) -> Outcome {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(failed("remove", directory, &error))
        }
        _ => Ok(()),
    }
}
