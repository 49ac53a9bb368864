//! The kernel's own settings: the machine's, which a kubelet would change.
//!
//! The kubelet reads six of them and writes each that is not as it wants it. Here it finds all of them as it
//! wants them, because files that say so are mounted over them, and what is under `/proc/sys` is read-only
//! but for `net`, which belongs to the cluster's network namespace.

use crate::failure::{Doing, Result};
use crate::ground::{held, made, show};
use rustix::mount::{MountFlags, mount_remount};
use std::path::Path;

/// What `pkg/kubelet/cm/container_manager_linux.go` of Kubernetes wants.
const WANTED: [(&str, &str); 6] = [
    ("vm/overcommit_memory", "1"),
    ("vm/panic_on_oom", "0"),
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/keys/root_maxkeys", "1000000"),
    ("kernel/keys/root_maxbytes", "25000000"),
];

/// Hides the machine's behind them. It takes a `/proc` of this namespace.
pub(crate) fn hide() -> Result {
    let all = Path::new("/proc/sys");
    let net = held(&all.join("net"))?;
    show(&held(all)?, all)?;
    mount_remount(all, MountFlags::BIND | MountFlags::RDONLY, "")
        .doing(|| "make `/proc/sys` read-only")?;
    show(&net, all.join("net"))?;
    // A kernel without keyrings has no settings of them, and the kubelet asks for none.
    for (name, value) in WANTED.iter().filter(|(name, _)| all.join(name).exists()) {
        cover(&all.join(name), &format!("{value}\n"))?;
    }
    name_clock_speed()
}

/// The kubelet ends where no processor says how fast it is, as User-Mode Linux's does not. Nobody else reads
/// the number.
fn name_clock_speed() -> Result {
    let path = Path::new("/proc/cpuinfo");
    let text = std::fs::read_to_string(path).doing(|| "read what processors there are")?;
    if text.contains("cpu MHz") || !cfg!(target_arch = "x86_64") {
        return Ok(());
    }
    cover(path, &text.replace("bogomips", "cpu MHz\t\t: 1000.000\nbogomips"))
}

/// Mounts a file that says `text` over one of `/proc`.
fn cover(path: &Path, text: &str) -> Result {
    let files = Path::new("/run/covers");
    made(files)?;
    let file = files.join(path.to_string_lossy().replace('/', "."));
    std::fs::write(&file, text).doing(|| format!("write `{}`", file.display()))?;
    show(&held(&file)?, path)
}
