//! On the host, as process 1 of namespaces of its own: confines the kernel and sees to its end.
//!
//! A process of the guest is a process of the host whose system calls the kernel intercepts, and the
//! guest's root can reach through hostfs whatever the kernel can. So the kernel gets a read-only view of
//! the host but for the directories that are written through, and no devices, network or capabilities.
//! When this process ends, all processes of the guest end: it is process 1 of theirs.

use crate::failure::{Doing, Result};
use crate::overlay::{EXCHANGE, STATUS_NAME};
use crate::settings::{self, Settings};
use crate::{devices, read_only};
use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountFlags, mount, mount_bind_recursive};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{
    CapabilitySet, CapabilitySets, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Reads settings from stdin, which is a socket, runs the kernel, and answers on the same socket: how
/// the command ended, or what the kernel's log says. Stdout and stderr are the command's.
pub(crate) fn run() -> Result {
    let stdin = std::io::stdin();
    let mut bytes = Vec::new();
    stdin.lock().read_to_end(&mut bytes).doing(|| "read the settings")?;
    let answer = match confined(&bytes) {
        Ok(answer) => answer,
        Err(failure) => format!("failed {failure}"),
    };
    let socket = stdin.as_fd().try_clone_to_owned().doing(|| "answer")?;
    File::from(socket).write_all(answer.as_bytes()).doing(|| "answer")
}

fn confined(bytes: &[u8]) -> Result<String> {
    let settings = settings::parse(bytes)?;
    let exchange = Path::new(EXCHANGE);
    ground(&settings)?;
    std::fs::write(exchange.join("settings"), bytes).doing(|| "hand the settings over")?;
    drop_rights(settings.shares.iter().any(|share| share.writable))?;
    let ended = kernel(&settings)?;
    let status = std::fs::read_to_string(exchange.join(STATUS_NAME)).unwrap_or_default();
    if !status.is_empty() {
        return Ok(status);
    }
    let log = std::fs::read(exchange.join("log")).unwrap_or_default();
    Ok(format!("failed the guest's kernel ended with {ended}\n{}", String::from_utf8_lossy(&log)))
}

/// Shows the kernel its own `/dev` and, in the exchange, the shares.
///
/// All of that is in memory, so a guest leaves nothing on the host, however it ends.
fn ground(settings: &Settings) -> Result {
    let plain = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    // Where the host hides parts of its /proc, no other may be mounted in a user namespace: the old one
    // does as well, and like all else it becomes read-only.
    let _ = mount("proc", "/proc", "proc", plain, None);
    // They may be below /dev, which is about to be covered.
    let opened: Vec<OwnedFd> =
        settings.shares.iter().map(|share| directory(&share.path)).collect::<Result<_>>()?;
    devices::lay()?;
    for (number, (share, opened)) in settings.shares.iter().zip(opened).enumerate() {
        let place = place(number);
        std::fs::create_dir_all(&place).doing(|| format!("make `{}`", place.display()))?;
        mount_bind_recursive(format!("/proc/self/fd/{}", opened.as_raw_fd()), &place)
            .doing(|| format!("show `{}`", share.path.display()))?;
    }
    read_only::restrict(|path| {
        let mut shares = settings.shares.iter().enumerate();
        if devices::are_at(path) {
            MountFlags::empty()
        } else if shares.any(|(number, share)| share.writable && path.starts_with(place(number))) {
            MountFlags::NODEV
        } else {
            MountFlags::RDONLY | MountFlags::NODEV
        }
    })
}

/// Where in the exchange a share is.
fn place(number: usize) -> PathBuf {
    Path::new(EXCHANGE).join("share").join(number.to_string())
}

fn directory(path: &Path) -> Result<OwnedFd> {
    open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .doing(|| format!("show `{}`", path.display()))
}

/// Gives up everything but reading all files; with directories to write through, also what root needs
/// to make any file there.
fn drop_rights(writes: bool) -> Result {
    let mut kept = CapabilitySet::DAC_READ_SEARCH;
    if writes {
        kept |= CapabilitySet::DAC_OVERRIDE
            | CapabilitySet::CHOWN
            | CapabilitySet::FOWNER
            | CapabilitySet::FSETID;
    }
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Core, none).doing(|| "forbid core dumps")?;
    set_no_new_privs(true).doing(|| "give up privileges")?;
    for capability in (CapabilitySet::all() - kept).iter() {
        // A kernel that is older than the list does not know the last of them.
        let _ = remove_capability_from_bounding_set(capability);
    }
    let sets =
        CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    set_capabilities(None, sets).doing(|| "give up capabilities")
}

/// Runs the kernel to its end and says how it ended.
fn kernel(settings: &Settings) -> Result<std::process::ExitStatus> {
    let log = File::create(Path::new(EXCHANGE).join("log")).doing(|| "make the log")?;
    let (stdout, stderr) = (inherited(std::io::stdout())?, inherited(std::io::stderr())?);
    let mut kernel = Command::new(settings.tree.join("linux.uml"));
    // A panicking kernel aborts, which process 1 cannot: so it is a child.
    kernel
        .env_clear()
        .env("LD_PRELOAD", settings.tree.join("shim.so"))
        .env("TMPDIR", "/dev/shm")
        // A kernel of a newer system finds that system's C library from here.
        .current_dir(&settings.tree)
        .arg0("linux.uml")
        .arg(format!("mem={}", settings.memory))
        .args(["root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"])
        .args(["quiet", "loglevel=3", "noreboot", "ssl=null", "con=null", "con0=null,fd:2"])
        // Not through ptrace where that kernel can do without. A process of the guest might then reach all
        // memory of the guest, but nothing that the guest itself cannot.
        .arg("seccomp=auto")
        .arg(format!("con1=null,fd:{}", stdout.as_raw_fd()))
        .arg(format!("con2=null,fd:{}", stderr.as_raw_fd()))
        .args(["umid=guest", "uml_dir=/dev/guest"])
        // The speed test of RAID 6 takes longer than the rest of the boot. Nothing here tests RAID 6:
        // using it (LVM or btrfs) ends the guest.
        .arg("initcall_blacklist=raid6_select_algo")
        .arg(format!("init={}", quoted(&settings.program)))
        .stdin(Stdio::null())
        .stdout(log.try_clone().doing(|| "share the log")?)
        .stderr(log);
    kernel.status().doing(|| "run the guest's kernel")
}

/// A path as a value on the kernel's command line.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

/// A copy of a file descriptor that the kernel inherits.
fn inherited(stream: impl AsFd) -> Result<OwnedFd> {
    rustix::io::dup(stream).doing(|| "pass the command's output on")
}
