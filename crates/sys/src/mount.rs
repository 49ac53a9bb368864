//! The new mount API (Linux 5.2; `mount_setattr` Linux 5.12).
//!
//! A mount is built detached, given its attributes, and only then attached with one `move_mount`.
//! A process killed before that leaves nothing: the kernel drops a detached mount with its last
//! descriptor, and with it an autoclear loop device. There is no moment at which a read-only
//! publication is writable.

use crate::error::{Context, Result};
use crate::{Errno, Error};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// A mount that is attached nowhere yet, and goes away when dropped.
///
/// Drop it before unmounting: while it is open the filesystem stays busy.
#[derive(Debug)]
pub struct Detached {
    fd: OwnedFd,
    from: String,
}

/// One filesystem option: a flag (`nouuid`) or a key with its value.
pub type FilesystemOption<'a> = (&'a str, Option<&'a str>);

/// What a mount forbids or leaves out, whatever its filesystem is: the per-mount words of mount(8).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    set: u64,
    clear: u64,
}

impl Attributes {
    /// A mount that cannot be written through.
    pub const READONLY: Attributes = Attributes { set: libc::MOUNT_ATTR_RDONLY, clear: 0 };

    /// Adds what `word` names, such as `noexec`; false when it names no attribute of a mount.
    pub fn add(&mut self, word: &str) -> bool {
        let (set, clear) = match word {
            "ro" => (libc::MOUNT_ATTR_RDONLY, 0),
            "nosuid" => (libc::MOUNT_ATTR_NOSUID, 0),
            "nodev" => (libc::MOUNT_ATTR_NODEV, 0),
            "noexec" => (libc::MOUNT_ATTR_NOEXEC, 0),
            "nodiratime" => (libc::MOUNT_ATTR_NODIRATIME, 0),
            "nosymfollow" => (libc::MOUNT_ATTR_NOSYMFOLLOW, 0),
            // The three ways to keep access times share one field, which is cleared first.
            "noatime" => (libc::MOUNT_ATTR_NOATIME, libc::MOUNT_ATTR__ATIME),
            "relatime" => (libc::MOUNT_ATTR_RELATIME, libc::MOUNT_ATTR__ATIME),
            "strictatime" => (libc::MOUNT_ATTR_STRICTATIME, libc::MOUNT_ATTR__ATIME),
            _ => return false,
        };
        self.set = (self.set & !clear) | set;
        self.clear |= clear;
        true
    }

    /// True when a mount with them cannot be written through.
    pub fn readonly(self) -> bool {
        self.set & libc::MOUNT_ATTR_RDONLY != 0
    }
}

/// Mounts the filesystem of type `kind` on the block device `source`, attached nowhere.
///
/// fsopen(2), fsconfig(2), fsmount(2). The error carries the kernel's own words from the context.
pub fn filesystem(kind: &str, source: &Path, options: &[FilesystemOption<'_>]) -> Result<Detached> {
    let from = source.to_string_lossy().into_owned();
    let context = rustix::mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
        .map_err(|errno| unknown_filesystem(kind, errno))?;
    let build = || -> rustix::io::Result<OwnedFd> {
        rustix::mount::fsconfig_set_string(context.as_fd(), "source", source)?;
        for (key, value) in options {
            match value {
                Some(value) => rustix::mount::fsconfig_set_string(context.as_fd(), *key, *value)?,
                None => rustix::mount::fsconfig_set_flag(context.as_fd(), *key)?,
            }
        }
        rustix::mount::fsconfig_create(context.as_fd())?;
        let attributes = MountAttrFlags::empty();
        rustix::mount::fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
    };
    let fd = build().map_err(|errno| {
        let error = Error::new("mount", &*from, errno);
        match kernel_words(&context) {
            Some(words) => error.detail(format!("{words} ({errno})")),
            None => error,
        }
    })?;
    Ok(Detached { fd, from })
}

fn unknown_filesystem(kind: &str, errno: Errno) -> Error {
    let error = Error::new("use filesystem", kind, errno);
    match errno {
        Errno::NODEV => error.detail("this kernel does not have it"),
        _ => error,
    }
}

/// The messages the kernel left in a filesystem context, newest problem last.
fn kernel_words(context: &OwnedFd) -> Option<String> {
    let mut words = Vec::new();
    let mut line = [0u8; 4096];
    while let Ok(length) = rustix::io::read(context, &mut line) {
        if length == 0 {
            break;
        }
        let text = String::from_utf8_lossy(&line[..length]);
        // Each message is "e text", "w text" or "i text", by severity.
        words.push(text.trim_end().get(2..).unwrap_or_default().to_owned());
    }
    (!words.is_empty()).then(|| words.join("; "))
}

/// A second, detached view of the directory or file behind `place`: what a bind mount starts from.
///
/// open_tree(2) with `OPEN_TREE_CLONE`; mounts below `place` are not taken along.
pub fn view_of(place: BorrowedFd<'_>, name: &Path) -> Result<Detached> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    let fd = rustix::mount::open_tree(place, "", flags).on("take a view of", name)?;
    Ok(Detached { fd, from: name.to_string_lossy().into_owned() })
}

impl Detached {
    /// Gives this mount its attributes before anybody can see it. mount_setattr(2), Linux 5.12.
    pub fn set(&self, attributes: Attributes) -> Result<()> {
        if attributes == Attributes::default() {
            return Ok(());
        }
        self.mount_setattr(&libc::mount_attr {
            attr_set: attributes.set,
            attr_clr: attributes.clear,
            propagation: 0,
            userns_fd: 0,
        })
    }

    fn mount_setattr(&self, attributes: &libc::mount_attr) -> Result<()> {
        let empty = c"";
        // SAFETY: the descriptor is open for the whole call, the path is a NUL-terminated string,
        // and the pointer and size describe one initialised `mount_attr` that the kernel only reads.
        let result = unsafe {
            libc::syscall(
                libc::SYS_mount_setattr,
                self.fd.as_raw_fd(),
                empty.as_ptr(),
                libc::AT_EMPTY_PATH,
                std::ptr::from_ref(attributes),
                size_of::<libc::mount_attr>(),
            )
        };
        match result {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()).on("set attributes of mount", &self.from),
        }
    }

    /// Attaches this mount over `place`. move_mount(2). The view is complete at once or not at all.
    pub fn attach(self, place: BorrowedFd<'_>, name: &Path) -> Result<()> {
        let flags =
            MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
        rustix::mount::move_mount(self.fd.as_fd(), "", place, "", flags)
            .on("attach a mount at", name)
    }

    /// The root of the mounted filesystem, usable although it is attached nowhere.
    pub fn root(&self) -> Result<std::fs::File> {
        use rustix::fs::{Mode, OFlags};
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
        let fd = rustix::fs::openat(&self.fd, ".", flags, Mode::empty())
            .on("open root of", &self.from)?;
        Ok(fd.into())
    }
}

/// Unmounts what is mounted at `target`; its last component is not followed. umount2(2).
///
/// Fails with `INVAL` when nothing is mounted there and `BUSY` while it is used.
pub fn unmount(target: &Path) -> Result<()> {
    rustix::mount::unmount(target, UnmountFlags::NOFOLLOW).on("unmount", target)
}

/// Like [`unmount`], of a mount whose server is gone: what waits for the server fails, and the mount
/// goes away for all who come after, also while it is used (`MNT_FORCE`, then `MNT_DETACH`).
pub fn unmount_lazily(target: &Path) -> Result<()> {
    // This one only ends what waits; whether it also unmounts is all the same.
    let _ = rustix::mount::unmount(target, UnmountFlags::NOFOLLOW | UnmountFlags::FORCE);
    match rustix::mount::unmount(target, UnmountFlags::NOFOLLOW | UnmountFlags::DETACH) {
        Err(Errno::INVAL) => Ok(()),
        other => other.on("unmount", target),
    }
}
