//! What the cluster sees of the machine: all of it, with its own layers over the places that a node
//! writes to, so that nothing is left on the machine but in the cluster's own directory.
//!
//! | where | what |
//! |---|---|
//! | `/run` | empty memory; below it `cluster`, `programs` and `packages` |
//! | `/usr` | the Debian packages over the host's, read-only |
//! | `/etc`, `/var/lib`, `/var/log` | memory over the host's |
//! | `/var/lib/kubelet`, `/var/lib/becket` | directories of the cluster, on the host's disk |

use crate::Settings;
use crate::failure::{Doing, Result};
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{
    MountFlags, MountPropagationFlags, mount, mount_bind_recursive, mount_change, mount_remount,
};
use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The cluster's own directory, by a short path: those of sockets are limited.
pub(crate) const CLUSTER: &str = "/run/cluster";
/// `hyper` by its parts' names.
pub(crate) const PROGRAMS: &str = "/run/programs";
/// The Debian packages and an image.
pub(crate) const PACKAGES: &str = "/run/packages";

/// Directories that get a layer of memory over them.
const LAYERED: [&str; 3] = ["/etc", "/var/lib", "/var/log"];

/// Lays all of it. Whoever reads `/proc` after that sees the cluster's processes only.
pub(crate) fn lay(settings: &Settings) -> Result {
    // They may be below what is about to be covered.
    let (run, programs) = (held(&settings.run)?, held(&settings.programs)?);
    let packages = held(&settings.packages)?;
    let kept: Vec<(&PathBuf, OwnedFd)> =
        settings.kept.iter().map(|path| Ok((path, held(path)?))).collect::<Result<_>>()?;
    // Pods pass mounts on to the node and get those of the node, as on a machine that systemd started.
    mount_change("/", MountPropagationFlags::SHARED | MountPropagationFlags::REC)
        .doing(|| "share mounts between the node and its pods")?;
    let plain = MountFlags::NOSUID | MountFlags::NODEV;
    at("/proc", "proc", plain | MountFlags::NOEXEC, "")?;
    at("/run", "tmpfs", plain, "mode=755")?;
    show(&run, CLUSTER)?;
    for (source, path) in [(programs, PROGRAMS), (packages, PACKAGES)] {
        show(&source, path)?;
        mount_remount(path, MountFlags::BIND | MountFlags::RDONLY, "")
            .doing(|| format!("make `{path}` read-only"))?;
    }
    let layers = format!("lowerdir={PACKAGES}/root/usr:/usr");
    at("/usr", "overlay", MountFlags::RDONLY, &layers)?;
    LAYERED.iter().try_for_each(|path| layer(path))?;
    for (path, source) in kept.iter().filter(|(path, _)| is_covered(path)) {
        show(source, path)?;
    }
    for name in ["kubelet", "becket"] {
        let path = Path::new(CLUSTER).join(name);
        made(&path)?;
        show(&held(&path)?, Path::new("/var/lib").join(name))?;
    }
    Ok(())
}

/// Lays memory over a directory.
fn layer(path: &str) -> Result {
    let own = Path::new("/run/layers").join(path.trim_start_matches('/').replace('/', "-"));
    let (upper, work) = (own.join("upper"), own.join("work"));
    made(&upper)?;
    made(&work)?;
    let (upper, work) = (upper.display(), work.display());
    let layers = format!("lowerdir={path},upperdir={upper},workdir={work}");
    at(path, "overlay", MountFlags::empty(), &layers)
}

fn is_covered(path: &Path) -> bool {
    LAYERED.iter().chain(&["/run", "/usr"]).any(|covered| path.starts_with(covered))
}

/// Mounts a filesystem of `kind` at `path`, which is there.
pub(crate) fn at(path: &str, kind: &str, flags: MountFlags, data: &str) -> Result {
    let data = CString::new(data).doing(|| "read mount options")?;
    mount(kind, path, kind, flags, data.as_c_str()).doing(|| format!("mount {kind} at `{path}`"))
}

/// Shows a file or directory at another path too, which is made as a directory if it is not there.
///
/// Mounts below the one are not passed on to the other: the kernel would list each volume twice.
pub(crate) fn show(source: &OwnedFd, path: impl AsRef<Path>) -> Result {
    let path = path.as_ref();
    if !path.exists() {
        made(path)?;
    }
    mount_bind_recursive(format!("/proc/self/fd/{}", source.as_raw_fd()), path)
        .doing(|| format!("show a directory at `{}`", path.display()))?;
    for kind in [MountPropagationFlags::PRIVATE, MountPropagationFlags::SHARED] {
        mount_change(path, kind | MountPropagationFlags::REC)
            .doing(|| format!("part `{}` from what it shows", path.display()))?;
    }
    Ok(())
}

/// A file or directory that is meant whatever is mounted over its path later.
pub(crate) fn held(path: &Path) -> Result<OwnedFd> {
    open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .doing(|| format!("open `{}`", path.display()))
}

/// Makes a directory, with those above it, if it is not there.
pub(crate) fn made(path: &Path) -> Result {
    std::fs::create_dir_all(path).doing(|| format!("make `{}`", path.display()))
}
