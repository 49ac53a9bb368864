//! Image files as block devices, by `LOOP_CONFIGURE` (Linux 5.8, loop(4), `linux/loop.h`).
//!
//! One ioctl attaches the file with all its settings, so no half-configured device is ever seen.
//! With autoclear the kernel detaches the device when its last user closes it: a mounted
//! filesystem is a user, a dead process is not.

mod status;

pub use status::{LONGEST_LABEL, Status};

use crate::error::{Context, Result};
use crate::point::DeviceNumber;
use crate::{Errno, Error};
use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{IntegerSetter, NoArg, Setter};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

const LOOP_CTL_GET_FREE: u32 = 0x4C82;
const LOOP_CONFIGURE: u32 = 0x4C0A;
const LOOP_CLR_FD: u32 = 0x4C01;
const LOOP_SET_CAPACITY: u32 = 0x4C07;

const LO_FLAGS_READ_ONLY: u32 = 1;
const LO_FLAGS_AUTOCLEAR: u32 = 4;
const LO_FLAGS_DIRECT_IO: u32 = 16;

/// Block major number of loop devices (`linux/major.h`).
pub const MAJOR: u32 = 7;

/// The sector size of every device. Left to itself the kernel takes what direct I/O needs, which is
/// the sector size of the disk below, and since Linux 6.15 a whole block once the image shares
/// blocks: a volume would change its sector size when a snapshot of it is taken or its pool moves, and
/// a filesystem with smaller sectors or blocks could then not be mounted any more.
pub const SECTOR: u32 = 4096;

/// `BTRFS_SUPER_MAGIC` of `linux/magic.h`.
const BTRFS: i64 = 0x9123_683e;

/// `struct loop_info64` of `linux/loop.h`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Info {
    device: u64,
    inode: u64,
    rdevice: u64,
    offset: u64,
    sizelimit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

/// `struct loop_config` of `linux/loop.h`.
#[repr(C)]
struct Config {
    fd: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// How an image is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options<'a> {
    /// The device refuses writes.
    pub readonly: bool,
    /// The kernel detaches the device when its last user is gone.
    pub autoclear: bool,
    /// What is written on it, [`LONGEST_LABEL`] bytes at most.
    pub label: &'a str,
}

/// An open loop device with an image attached.
#[derive(Debug)]
pub struct LoopDevice {
    file: File,
    number: u32,
}

/// Attaches `image` to a free loop device, with direct I/O where the filesystem below allows it
/// (otherwise the kernel goes through the page cache by itself). Not on btrfs: there a page that changes
/// while it is written directly leaves a wrong checksum (until Linux 6.15), and reading it fails.
///
/// The caller must have made sure, under its own lock, that the image is attached nowhere else: the
/// kernel does not.
pub fn attach(image: &File, name: &Path, options: Options<'_>) -> Result<LoopDevice> {
    let control_path = Path::new("/dev/loop-control");
    let control = open(control_path, OFlags::RDWR).map_err(|error| match error.errno {
        Errno::NOENT | Errno::NODEV => error.detail("this kernel has no loop devices"),
        _ => error,
    })?;
    // Between asking for a free device and configuring it another process may take it (`BUSY`);
    // each time that happens somebody made progress, so a plain bounded retry is enough.
    for _ in 0..256 {
        let number = free_number(&control)?;
        let access = if options.readonly { OFlags::RDONLY } else { OFlags::RDWR };
        let file = open(&path_of(number), access)?;
        match configure(&file, image, options) {
            Ok(()) => return Ok(LoopDevice { file, number }),
            Err(Errno::BUSY) => continue,
            Err(errno) => return Err(errno).on("attach a loop device to", name),
        }
    }
    Err(Error::new("attach a loop device to", name.to_string_lossy(), Errno::BUSY))
}

fn free_number(control: &File) -> Result<u32> {
    // SAFETY: LOOP_CTL_GET_FREE takes no argument and gives the number as the call's result.
    let number = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE as _) };
    match u32::try_from(number) {
        Ok(number) => Ok(number),
        Err(_) => {
            Err(std::io::Error::last_os_error()).on("find a free device by", "/dev/loop-control")
        }
    }
}

fn configure(device: &File, image: &File, options: Options<'_>) -> rustix::io::Result<()> {
    let mut flags = match rustix::fs::fstatfs(image)?.f_type as i64 {
        BTRFS => 0,
        _ => LO_FLAGS_DIRECT_IO,
    };
    if options.readonly {
        flags |= LO_FLAGS_READ_ONLY;
    }
    if options.autoclear {
        flags |= LO_FLAGS_AUTOCLEAR;
    }
    let config = Config {
        fd: image.as_raw_fd() as u32,
        block_size: SECTOR,
        info: Info { flags, file_name: status::written(options.label)?, ..empty_info() },
        reserved: [0; 8],
    };
    // SAFETY: LOOP_CONFIGURE reads one `struct loop_config`, which `Config` mirrors field by field.
    unsafe { rustix::ioctl::ioctl(device, Setter::<{ LOOP_CONFIGURE }, Config>::new(config)) }
}

fn empty_info() -> Info {
    Info {
        device: 0,
        inode: 0,
        rdevice: 0,
        offset: 0,
        sizelimit: 0,
        number: 0,
        encrypt_type: 0,
        encrypt_key_size: 0,
        flags: 0,
        file_name: [0; 64],
        crypt_name: [0; 64],
        encrypt_key: [0; 32],
        init: [0; 2],
    }
}

/// The devices that have the file (`device`, `inode`) attached, lowest number first. `path` is the
/// file's path now.
///
/// A device whose file has another name, or is in a directory of another name, is left alone: asking
/// it would ask the filesystem of its file, and that may be on a server that does not answer.
pub fn attached_to(path: &Path, device: DeviceNumber, inode: u64) -> Result<Vec<LoopDevice>> {
    among(&attached()?, path, device, inode)
}

/// [`attached_to`] among devices that were listed before, by [`attached`].
pub fn among(
    attached: &[(u32, PathBuf)],
    path: &Path,
    device: DeviceNumber,
    inode: u64,
) -> Result<Vec<LoopDevice>> {
    let mut found = Vec::new();
    for (number, backing) in attached {
        if !same_ending(backing, path) {
            continue;
        }
        match LoopDevice::open(*number)? {
            Some(open) if open.backs(device, inode)? => found.push(open),
            _ => {}
        }
    }
    Ok(found)
}

/// True when the last two components are the same. The kernel tells the names as they are now, with
/// ` (deleted)` behind those of a removed file.
fn same_ending(backing: &Path, path: &Path) -> bool {
    let backing = backing.to_string_lossy();
    let backing = Path::new(backing.trim_end_matches(" (deleted)"));
    backing.iter().rev().take(2).eq(path.iter().rev().take(2))
}

/// All loop devices with a file attached: their numbers and the paths of the files as the kernel
/// tells them in `/sys/block`, ` (deleted)` included.
pub fn attached() -> Result<Vec<(u32, PathBuf)>> {
    let blocks = Path::new("/sys/block");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(blocks).on("list", blocks)? {
        let name = entry.on("list", blocks)?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix("loop")?.parse().ok());
        let Some(number) = number else { continue };
        if let Some(file) = file_told_in(&blocks.join(&name)) {
            found.push((number, file));
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The path of the file behind loop device `number`, as in [`attached`]; `None` when it has none.
pub fn file_of(number: u32) -> Option<PathBuf> {
    file_told_in(&Path::new("/sys/block").join(format!("loop{number}")))
}

/// [`file_of`] the device with this number of major and minor; `None` for other devices, partitions of
/// loop devices among them.
pub fn file_behind(device: DeviceNumber) -> Option<PathBuf> {
    file_told_in(&Path::new("/sys/dev/block").join(format!("{}:{}", device.0, device.1)))
}

/// What the kernel tells in a device's directory of sysfs, for a loop device in use only.
fn file_told_in(directory: &Path) -> Option<PathBuf> {
    let text = std::fs::read_to_string(directory.join("loop/backing_file")).ok()?;
    Some(PathBuf::from(text.trim_end_matches('\n')))
}

impl LoopDevice {
    /// Opens loop device `number`, `None` when there is no such device.
    pub fn open(number: u32) -> Result<Option<LoopDevice>> {
        match open(&path_of(number), OFlags::RDONLY) {
            Ok(file) => Ok(Some(LoopDevice { file, number })),
            Err(error) if matches!(error.errno, Errno::NOENT | Errno::NXIO | Errno::NODEV) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// `/dev/loopN`.
    pub fn path(&self) -> PathBuf {
        path_of(self.number)
    }

    /// The device's own number.
    pub fn number(&self) -> DeviceNumber {
        (MAJOR, self.number)
    }

    /// The open device: as long as it is held, an autoclear device stays attached.
    pub fn into_file(self) -> File {
        self.file
    }

    /// True when the file (`device`, `inode`) is attached here. Not being able to tell is an error:
    /// taken for "no" it would attach an image a second time.
    pub fn backs(&self, device: DeviceNumber, inode: u64) -> Result<bool> {
        match self.info() {
            Ok(info) => {
                let number = (rustix::fs::major(info.device), rustix::fs::minor(info.device));
                Ok(number == device && info.inode == inode)
            }
            // Nothing is attached any more.
            Err(Errno::NXIO) => Ok(false),
            Err(errno) => Err(errno).on("read status of", self.path()),
        }
    }

    /// Takes over the size that the image has grown to.
    pub fn refresh_size(&self) -> Result<()> {
        // SAFETY: LOOP_SET_CAPACITY ignores its argument.
        unsafe { rustix::ioctl::ioctl(&self.file, NoArg::<{ LOOP_SET_CAPACITY }>::new()) }
            .on("refresh size of", self.path())
    }

    /// Detaches the image; when the device still has users the kernel does it after the last one.
    pub fn detach(&self) -> Result<()> {
        // SAFETY: LOOP_CLR_FD ignores its argument.
        match unsafe {
            rustix::ioctl::ioctl(&self.file, IntegerSetter::<{ LOOP_CLR_FD }>::new_usize(0))
        } {
            Err(Errno::NXIO) => Ok(()),
            other => other.on("detach", self.path()),
        }
    }
}

fn open(path: &Path, flags: OFlags) -> Result<File> {
    let fd = rustix::fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).on("open", path)?;
    Ok(File::from(fd))
}

fn path_of(number: u32) -> PathBuf {
    PathBuf::from(format!("/dev/loop{number}"))
}
