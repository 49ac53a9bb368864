//! Block devices of any kind: size, blanking, discarding (`linux/fs.h`).

use crate::error::{Context, Result};
use crate::point::DeviceNumber;
use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::ioctl::{Opcode, Setter, opcode};
use std::fs::File;
use std::os::unix::fs::FileExt;
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

/// How many bytes [`start`] reads.
pub const START: usize = 8192;

/// The first bytes of a block device as they are on it now, and not as the kernel keeps them (`O_DIRECT`,
/// open(2)). A link is followed. It takes as long as the device does.
pub fn start(device: &Path) -> Result<Box<[u8; START]>> {
    /// Direct reading takes memory that starts at a multiple of a sector, which is 4 KiB at most.
    #[repr(align(4096))]
    struct Aligned([u8; START]);
    let flags = OFlags::RDONLY | OFlags::DIRECT | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(device, flags, Mode::empty()).on("open", device)?);
    let mut read = Box::new(Aligned([0; START]));
    file.read_exact_at(&mut read.0, 0).on("read", device)?;
    Ok(Box::new(read.0))
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
