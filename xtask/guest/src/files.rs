//! Files of the guest that say how its system is: written into its own root, never to the host.

use crate::failure::{Doing, Result};
use crate::settings::Settings;
use std::fs::{OpenOptions, create_dir_all, read_to_string};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

/// A system with no systemd and, unless wanted, no udev. LVM fills and locks 8 MiB for each command
/// unless told not to: in here that is 2000 slow page faults.
const LVM: &str = "\
global { event_activation=0 use_lvmpolld=0 notify_dbus=0 }
activation { reserved_memory=0 reserved_stack=0 monitoring=0 }
devices { use_devicesfile=0 }
";
const LVM_WITHOUT_UDEV: &str = "\
activation { udev_sync=0 udev_rules=0 }
devices { obtain_device_list_from_udev=0 }
";

/// Short times for the NFS server: its clients are in here too, so nobody reclaims anything after a
/// start, and the first lock of a client would wait for that.
const NFS: &str = "\
[nfsd]
grace-time=10
lease-time=10
threads=2
";

/// Users of daemons, whose packages' own installation never ran.
const USERS: [(&str, &str); 2] = [("_rpc", "9994"), ("statd", "9995")];

/// Writes them all.
pub(crate) fn write(settings: &Settings) -> Result {
    users()?;
    // There is no network but `lo`: let other names fail at once.
    replace("/etc/hosts", "127.0.0.1 localhost guest\n")?;
    replace("/etc/resolv.conf", "")?;
    link("/proc/self/mounts", "/etc/mtab")?;
    let lvm = if settings.udev { LVM.to_owned() } else { format!("{LVM}{LVM_WITHOUT_UDEV}") };
    replace("/etc/lvm/lvmlocal.conf", &lvm)?;
    replace("/etc/nfs.conf", NFS)?;
    for directory in ["sm", "sm.bak", "rpc_pipefs", "v4recovery", "nfsdcld"] {
        let path = format!("/var/lib/nfs/{directory}");
        create_dir_all(&path).doing(|| format!("make `{path}`"))?;
    }
    for path in ["/etc/exports", "/var/lib/nfs/etab", "/var/lib/nfs/rmtab"] {
        append(path, "")?;
    }
    for path in ["/run/lock", "/run/lvm", "/run/sendsigs.omit.d", "/etc/exports.d"] {
        create_dir_all(path).doing(|| format!("make `{path}`"))?;
    }
    Ok(())
}

fn users() -> Result {
    let known = read_to_string("/etc/passwd").unwrap_or_default();
    for (name, number) in USERS {
        if !known.lines().any(|line| line.split(':').next() == Some(name)) {
            append("/etc/passwd", &format!("{name}:x:{number}:65534::/run:/usr/sbin/nologin\n"))?;
        }
    }
    Ok(())
}

/// Makes `path` a symbolic link to `target`, whatever it was.
pub(crate) fn link(target: &str, path: &str) -> Result {
    let _ = std::fs::remove_file(path);
    symlink(target, path).doing(|| format!("make the link `{path}`"))
}

/// Makes `path` a file with this text; not what it links to, which may be a file of a missing `/run`.
fn replace(path: &str, text: &str) -> Result {
    let _ = std::fs::remove_file(path);
    append(path, text)
}

fn append(path: &str, text: &str) -> Result {
    let parent = Path::new(path).parent().unwrap_or(Path::new("/"));
    create_dir_all(parent).doing(|| format!("make `{}`", parent.display()))?;
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .doing(|| format!("open `{path}`"))?;
    file.write_all(text.as_bytes()).doing(|| format!("write `{path}`"))
}

/// Writes `text` where the host reads it.
pub(crate) fn tell(path: &str, text: &str) -> Result {
    std::fs::write(path, text).doing(|| format!("write `{path}`"))?;
    write_back(Path::new(path))
}

/// Waits until the file system of `path` has everything that was written to it.
pub(crate) fn write_back(path: &Path) -> Result {
    let shown = path.display();
    let file = std::fs::File::open(path).doing(|| format!("open `{shown}`"))?;
    rustix::fs::syncfs(file).doing(|| format!("write back `{shown}`"))
}
