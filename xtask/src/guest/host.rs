//! What this machine can do itself, and whether it can have a guest.

use super::NoGuest;
use crate::run::{command, is_root, is_there};

/// Programs without which there is no guest; all of them are in every Debian, but for the compiler.
const PROGRAMS: [&str; 7] =
    ["apt-get", "apt-config", "dpkg-deb", "dpkg-query", "tar", "unshare", "cc"];

/// True when this kernel has device-mapper, or a module for it.
pub fn has_device_mapper() -> bool {
    let misc = std::fs::read_to_string("/proc/misc").unwrap_or_default();
    misc.lines().any(|line| line.ends_with(" device-mapper")) || can_load("dm-mod")
}

/// True when this kernel has a client of NFS 4, or a module for it.
pub fn has_nfs() -> bool {
    let all = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    all.lines().any(|line| line.trim_start_matches("nodev").trim() == "nfs4") || can_load("nfsv4")
}

/// A dry run: nothing is loaded by asking.
fn can_load(module: &str) -> bool {
    is_there("modprobe") && command("modprobe").args(&["-n", "-q", module]).read().is_some()
}

/// Fails when no guest is possible on this machine.
pub fn check() -> Result<(), NoGuest> {
    let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
    if (system, machine) != ("linux", "x86_64") {
        return Err(NoGuest::Impossible(format!(
            "its kernel, User-Mode Linux, is made for x86_64 Linux only, and this is {machine} {system}"
        )));
    }
    let missing: Vec<&str> =
        PROGRAMS.iter().copied().filter(|program| !is_there(program)).collect();
    if !missing.is_empty() {
        return Err(NoGuest::Impossible(format!(
            "it is made of Debian packages and a small C file, and this machine lacks `{}`",
            missing.join("`, `")
        )));
    }
    Ok(())
}

/// Why namespaces cannot be had, if that is so: containers may forbid them.
pub fn no_namespaces() -> Option<NoGuest> {
    let mut words = vec!["--mount", "--pid", "--net", "--ipc", "--fork"];
    if !is_root() {
        words.extend(["--user", "--map-root-user"]);
    }
    words.push("true");
    let reason = "this machine lets no process have mount, process and network namespaces of its own, \
                  which keep the guest away from the host";
    let refused = command("unshare").args(&words).read().is_none();
    refused.then(|| NoGuest::Impossible(reason.to_owned()))
}
