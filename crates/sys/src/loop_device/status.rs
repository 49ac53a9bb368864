//! What the kernel keeps with a loop device while a file is attached (`struct loop_info64`).
//!
//! Part of it is a label, `lo_file_name`, that the kernel uses for nothing. It lives and dies with the
//! attachment, so it cannot be left behind.

use super::{Info, LO_FLAGS_AUTOCLEAR, LO_FLAGS_READ_ONLY, LoopDevice};
use crate::Errno;
use crate::error::{Context, Result};
use rustix::ioctl::{Getter, Setter};

const LOOP_SET_STATUS64: u32 = 0x4C04;
const LOOP_GET_STATUS64: u32 = 0x4C05;

/// The most bytes of a label: the kernel ends it with a NUL.
pub const LONGEST_LABEL: usize = 63;

/// How a file is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The device refuses writes.
    pub readonly: bool,
    /// The kernel detaches the device when its last user is gone.
    pub autoclear: bool,
    /// What is written on it; losetup(8) and mount(8) write the path of the file.
    pub label: String,
}

impl LoopDevice {
    /// How a file is attached here; `None` when none is.
    pub fn status(&self) -> Result<Option<Status>> {
        let info = match self.info() {
            Err(Errno::NXIO) => return Ok(None),
            other => other.on("read status of", self.path())?,
        };
        let label = info.file_name.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(Some(Status {
            readonly: info.flags & LO_FLAGS_READ_ONLY != 0,
            autoclear: info.flags & LO_FLAGS_AUTOCLEAR != 0,
            label: String::from_utf8_lossy(label).into_owned(),
        }))
    }

    /// Keeps this device attached until it is detached, and writes `label` on it, in one step.
    pub fn hold(&self, label: &str) -> Result<()> {
        let mut info = self.info().on("read status of", self.path())?;
        info.flags &= !LO_FLAGS_AUTOCLEAR;
        info.file_name = written(label).on("write a label on", self.path())?;
        // SAFETY: LOOP_SET_STATUS64 reads one `struct loop_info64`, which `Info` mirrors.
        unsafe {
            rustix::ioctl::ioctl(&self.file, Setter::<{ LOOP_SET_STATUS64 }, Info>::new(info))
        }
        .on("set status of", self.path())
    }

    pub(super) fn info(&self) -> rustix::io::Result<Info> {
        // SAFETY: LOOP_GET_STATUS64 fills one `struct loop_info64`, which `Info` mirrors.
        unsafe { rustix::ioctl::ioctl(&self.file, Getter::<{ LOOP_GET_STATUS64 }, Info>::new()) }
    }
}

/// The label as the kernel takes it.
pub(super) fn written(label: &str) -> rustix::io::Result<[u8; LONGEST_LABEL + 1]> {
    if label.len() > LONGEST_LABEL {
        return Err(Errno::NAMETOOLONG);
    }
    let mut written = [0; LONGEST_LABEL + 1];
    written[..label.len()].copy_from_slice(label.as_bytes());
    Ok(written)
}
