//! In the guest, second: what programs expect to find on a machine.

use crate::failure::{Doing, Result};
use crate::files::{self, link};
use crate::mounts::{at, from_host};
use crate::programs::run;
use crate::settings::Settings;
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use rustix::mount::MountFlags;
use std::path::Path;

/// Nodes whose opening loads the module behind them (`modules.devname`): path, and minor number of
/// the miscellaneous major.
const NODES: [(&str, u32); 4] =
    [("loop-control", 237), ("fuse", 229), ("mapper/control", 236), ("net/tun", 200)];
const MISCELLANEOUS: u32 = 10;

/// Makes it, and shows the host's directories that the settings name.
pub(crate) fn make(settings: &Settings) -> Result {
    rustix::process::umask(Mode::from_raw_mode(0o022));
    kernel_files()?;
    devices()?;
    files::write(settings)?;
    for (number, share) in settings.shares.iter().enumerate() {
        let flags = if share.writable { MountFlags::empty() } else { MountFlags::RDONLY };
        std::fs::create_dir_all(&share.path)
            .doing(|| format!("make `{}`", share.path.display()))?;
        let source = Path::new(crate::overlay::EXCHANGE).join("share").join(number.to_string());
        from_host(&source, &share.path, flags)?;
    }
    rustix::system::sethostname(b"guest").doing(|| "name the machine")?;
    run("ip", &["link", "set", "lo", "up"])?;
    if settings.udev { udev() } else { Ok(()) }
}

fn kernel_files() -> Result {
    let plain = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let memory = MountFlags::NOSUID | MountFlags::NODEV;
    at("/proc", "proc", plain, "")?;
    at("/sys", "sysfs", plain, "")?;
    at("/sys/fs/cgroup", "cgroup2", plain, "")?;
    at("/dev/pts", "devpts", MountFlags::NOSUID, "mode=620,ptmxmode=666")?;
    at("/dev/shm", "tmpfs", memory, "mode=1777")?;
    at("/tmp", "tmpfs", memory, "mode=1777")
}

fn devices() -> Result {
    for (target, path) in [
        ("/proc/self/fd", "/dev/fd"),
        ("fd/0", "/dev/stdin"),
        ("fd/1", "/dev/stdout"),
        ("fd/2", "/dev/stderr"),
    ] {
        link(target, path)?;
    }
    remove_old_terminals()?;
    for (name, minor) in NODES {
        let path = Path::new("/dev").join(name);
        if path.exists() {
            continue;
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).doing(|| format!("make `{}`", parent.display()))?;
        }
        let mode = Mode::from_raw_mode(if name == "fuse" { 0o666 } else { 0o600 });
        mknodat(CWD, &path, FileType::CharacterDevice, mode, makedev(MISCELLANEOUS, minor))
            .doing(|| format!("make `{}`", path.display()))?;
    }
    Ok(())
}

/// Removes 500 BSD terminals (`ptyxy` and `ttyxy`), for each LVM command looks at every device.
fn remove_old_terminals() -> Result {
    for entry in std::fs::read_dir("/dev").doing(|| "list `/dev`")?.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let two = name.strip_prefix("pty").or(name.strip_prefix("tty")).unwrap_or("");
        if two.len() == 2 && two.starts_with(|first: char| first.is_ascii_lowercase()) {
            std::fs::remove_file(entry.path()).doing(|| format!("remove `/dev/{name}`"))?;
        }
    }
    Ok(())
}

fn udev() -> Result {
    run("/lib/systemd/systemd-udevd", &["--daemon"])?;
    run("udevadm", &["trigger", "--type=devices", "--action=add", "--subsystem-match=block"])?;
    run("udevadm", &["settle"])
}
