//! The `/dev` of the confined kernel: a file system in memory with four devices that do no harm.

use crate::failure::{Doing, Result};
use crate::overlay::EXCHANGE;
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountFlags, mount, mount_bind};
use std::ffi::CStr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

const DEVICES: [&str; 4] = ["/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"];
/// The guest's memory is a file here: the machine's own memory is the limit, not half of it.
const MEMORY: &str = "/dev/shm";

/// Covers `/dev`. The exchange with the guest is in it, empty and writable.
pub(crate) fn lay() -> Result {
    let opened: Vec<OwnedFd> = DEVICES.iter().map(|path| node(path)).collect::<Result<_>>()?;
    in_memory("/dev", c"mode=755")?;
    for (path, opened) in DEVICES.iter().zip(opened) {
        std::fs::File::create(path).doing(|| format!("make `{path}`"))?;
        mount_bind(format!("/proc/self/fd/{}", opened.as_raw_fd()), *path)
            .doing(|| format!("show `{path}`"))?;
    }
    for (path, options) in [(MEMORY, c"mode=1777,size=100%"), (EXCHANGE, c"mode=700")] {
        std::fs::create_dir(path).doing(|| format!("make `{path}`"))?;
        in_memory(path, options)?;
    }
    Ok(())
}

/// True for the mounts that [`lay`] made and that stay as they are; `/dev` itself is not among them.
pub(crate) fn are_at(path: &Path) -> bool {
    DEVICES.iter().chain(&[MEMORY, EXCHANGE]).any(|ours| path == Path::new(ours))
}

fn node(path: &str) -> Result<OwnedFd> {
    open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).doing(|| format!("open `{path}`"))
}

fn in_memory(path: &str, options: &CStr) -> Result {
    mount("tmpfs", path, "tmpfs", MountFlags::NOSUID, options).doing(|| format!("mount `{path}`"))
}
