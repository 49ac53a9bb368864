//! Block devices of any kind: size, blanking, discarding (`linux/fs.h`).

use crate::error::{Context, Result};
use crate::point::DeviceNumber;
use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::ioctl::{Opcode, Setter, opcode};
use std::fs::File;
use std::path::{Path, PathBuf};

/// `BLKDISCARD` and `BLKZEROOUT` take a start and a length, in bytes.
const DISCARD: Opcode = opcode::none(0x12, 119);
const ZERO_OUT: Opcode = opcode::none(0x12, 127);

/// Opens a device without following a link, for what `flags` say.
pub fn open(device: &Path, flags: OFlags) -> Result<File> {
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(File::from(rustix::fs::open(device, flags, Mode::empty()).on("open", device)?))
}

/// The size in bytes of a block device.
pub fn size(device: &Path) -> Result<u64> {
    size_of(&open(device, OFlags::RDONLY)?, device)
}

/// The size in bytes of an open block device.
pub fn size_of(device: &File, name: &Path) -> Result<u64> {
    rustix::fs::seek(device, SeekFrom::End(0)).on("read size of", name)
}

/// True for a block device that refuses writes by whatever path it is opened: the kernel's own flag
/// of the whole device.
pub fn refuses_writes((major, minor): DeviceNumber) -> Result<bool> {
    let flag = PathBuf::from(format!("/sys/dev/block/{major}:{minor}/ro"));
    Ok(std::fs::read_to_string(&flag).on("read", &flag)?.trim_end() == "1")
}

/// Overwrites a range with zeros, by the device's own means where it has some: after it every byte reads
/// as zero (Linux 3.7).
pub fn zero(device: &File, start: u64, length: u64, name: &Path) -> Result<()> {
    // SAFETY: BLKZEROOUT reads two numbers of 64 bits.
    unsafe { rustix::ioctl::ioctl(device, Setter::<ZERO_OUT, [u64; 2]>::new([start, length])) }
        .on("write zeros to", name)
}

/// Tells the device that a range is not needed any more (Linux 2.6.28). What it reads as afterwards is the
/// device's choice. `OPNOTSUPP` where it cannot.
pub fn discard(device: &File, start: u64, length: u64, name: &Path) -> Result<()> {
    // SAFETY: BLKDISCARD reads two numbers of 64 bits.
    unsafe { rustix::ioctl::ioctl(device, Setter::<DISCARD, [u64; 2]>::new([start, length])) }
        .on("discard", name)
}
