//! In the guest, first: its root, which is memory over the packages over the host's root.

use crate::failure::{Doing, Result};
use crate::mounts::{at, from_host};
use crate::settings::{self, Settings};
use rustix::mount::{MountFlags, UnmountFlags, mount_move, mount_remount, unmount};
use rustix::process::{chdir, pivot_root};
use std::fs::File;
use std::path::Path;

/// On the host, in the namespaces of the kernel: what both sides write and read.
pub(crate) const EXCHANGE: &str = "/dev/guest";
/// The file in it that says how the command ended.
pub(crate) const STATUS_NAME: &str = "status";
/// The same file in the guest.
pub(crate) const STATUS: &str = "/run/guest/status";

/// Makes the root and moves into it. The first process starts on the host's root, read-only, with only
/// the kernel's devices mounted.
pub(crate) fn enter() -> Result<Settings> {
    mount_remount("/", MountFlags::RDONLY | MountFlags::NOSUID, "")
        .doing(|| "make the host's root read-only")?;
    // Any directory that every host has will do: this is covered again, and in the new root it is not.
    at("/tmp", "tmpfs", MountFlags::empty(), "size=75%")?;
    for directory in ["exchange", "packages", "upper", "work", "root"] {
        let path = Path::new("/tmp").join(directory);
        std::fs::create_dir(&path).doing(|| format!("make `{}`", path.display()))?;
    }
    from_host(Path::new(EXCHANGE), Path::new("/tmp/exchange"), MountFlags::empty())?;
    let bytes = std::fs::read("/tmp/exchange/settings").doing(|| "read the settings")?;
    let settings = settings::parse(&bytes)?;
    // Layers of one file system may not be within each other, so this is a mount of its own.
    from_host(&settings.tree.join("root"), Path::new("/tmp/packages"), MountFlags::RDONLY)?;
    load_overlay()?;
    let layers = "lowerdir=/tmp/packages:/,upperdir=/tmp/upper,workdir=/tmp/work";
    at("/tmp/root", "overlay", MountFlags::NOSUID, layers)?;
    at("/tmp/root/run", "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, "mode=755")?;
    std::fs::create_dir("/tmp/root/run/guest").doing(|| "make `/run/guest`")?;
    mount_move("/tmp/exchange", "/tmp/root/run/guest").doing(|| "move the exchange")?;
    std::fs::create_dir_all("/tmp/root/dev").doing(|| "make `/dev`")?;
    mount_move("/dev", "/tmp/root/dev").doing(|| "move `/dev`")?;
    // Not chroot: the kernel looks for its modules' loader in the root of its first process, which only
    // this replaces for all.
    chdir("/tmp/root").doing(|| "go to the new root")?;
    pivot_root(".", ".").doing(|| "change the root")?;
    unmount(".", UnmountFlags::DETACH).doing(|| "leave the old root")?;
    chdir("/").doing(|| "go to the new root")?;
    Ok(settings)
}

/// Loads the kernel's overlay file system. It needs no other module, and the loader of modules would
/// need a root first.
fn load_overlay() -> Result {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let module = format!("/tmp/packages/usr/lib/modules/{release}/kernel/fs/overlayfs/overlay.ko");
    let file = File::open(&module).doing(|| format!("open `{module}`"))?;
    rustix::system::finit_module(file, c"", 0).doing(|| format!("load `{module}`"))
}
