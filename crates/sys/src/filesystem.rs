//! Making, checking, growing and re-identifying the filesystems Becket puts into volumes.
//!
//! Making is left to the host's `mkfs.*`: nothing in-process is as good. Growing is one ioctl each
//! and needs no program.

use crate::child::{self, run_well};
use crate::error::{Context, Result};
use crate::superblock::Kind;
use crate::{Errno, Error};
use rustix::ioctl::{Getter, Setter, opcode};
use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;

/// The smallest device, in bytes, on which `kind` can be made. ext4 below this has no journal;
/// xfs since xfsprogs 5.19 and btrfs refuse smaller ones.
pub fn smallest(kind: Kind) -> u64 {
    const MIB: u64 = 1024 * 1024;
    match kind {
        Kind::Ext4 => 8 * MIB,
        Kind::Xfs => 300 * MIB,
        Kind::Btrfs => 128 * MIB,
    }
}

/// The program that makes `kind`, as it is called on the host.
pub fn maker(kind: Kind) -> &'static str {
    match kind {
        Kind::Ext4 => "mkfs.ext4",
        Kind::Xfs => "mkfs.xfs",
        Kind::Btrfs => "mkfs.btrfs",
    }
}

/// Makes a filesystem with the UUID `id` on `target`, a device or an image file.
///
/// Never passes a force flag: the caller has seen that `target` is blank, and `mkfs` looks again.
/// `discard` lets it release blocks; switch that off where they were allocated on purpose.
pub fn make(kind: Kind, target: &Path, id: [u8; 16], discard: bool) -> Result<()> {
    let id = display_uuid(id);
    let uuid_option = format!("uuid={id}");
    // Blocks and sectors of 4,096 bytes suit every loop device; see `loop_device::SECTOR`.
    let mut arguments: Vec<&OsStr> = match kind {
        // No blocks are reserved for root: a volume belongs to its workload alone. With a seed of its
        // own for checksums a copy's UUID can be changed (Linux 4.4).
        Kind::Ext4 => {
            words(&["-q", "-m", "0", "-b", "4096", "-O", "metadata_csum_seed", "-U", &id])
        }
        Kind::Xfs => words(&["-q", "-s", "size=4096", "-m", &uuid_option]),
        Kind::Btrfs => words(&["-q", "-s", "4096", "-U", &id]),
    };
    match (kind, discard) {
        (_, true) => {}
        (Kind::Ext4, false) => arguments.extend(words(&["-E", "nodiscard"])),
        (Kind::Xfs | Kind::Btrfs, false) => arguments.push(OsStr::new("-K")),
    }
    arguments.push(target.as_os_str());
    run_well(maker(kind), &arguments)
}

/// Repairs an ext4 filesystem that recorded an error, as far as that is safe without asking
/// (`e2fsck -p`). Fails when a person has to decide.
pub fn repair_ext4(device: &Path) -> Result<()> {
    check_ext4(device, "-p")
}

fn check_ext4(device: &Path, how: &str) -> Result<()> {
    let ended = child::run("e2fsck", &[OsStr::new(how), device.as_os_str()])?;
    // e2fsck(8): 1 is "errors corrected", higher bits are "left uncorrected" and worse.
    match ended.status {
        0 | 1 => Ok(()),
        status => Err(Error::new("check", device.to_string_lossy(), Errno::IO)
            .detail(format!("e2fsck {how} ended with {status}: {}", ended.words))),
    }
}

/// Gives the unmounted filesystem on `target`, a device or an image file, another UUID. xfs has to
/// be closed cleanly.
///
/// ext4 is not done here: its UUID changes while mounted, see [`set_ext4_uuid`].
pub fn set_uuid(kind: Kind, target: &Path, id: [u8; 16]) -> Result<()> {
    match kind {
        Kind::Ext4 => Ok(()),
        Kind::Xfs => {
            let id = display_uuid(id);
            run_well("xfs_admin", &[OsStr::new("-U"), OsStr::new(&id), target.as_os_str()])
        }
        Kind::Btrfs => {
            let file = File::options().read(true).write(true).open(target).on("open", target)?;
            let size =
                rustix::fs::seek(&file, rustix::fs::SeekFrom::End(0)).on("read size of", target)?;
            crate::btrfs::set_uuid(&file, size, id, target)
        }
    }
}

/// Grows the unmounted ext4 filesystem on `device` to fill it, after the check that `resize2fs` asks
/// for. For processes without `CAP_SYS_RESOURCE`, whom the kernel does not let grow a mounted one.
pub fn grow_unmounted_ext4(device: &Path) -> Result<()> {
    check_ext4(device, "-fp")?;
    run_well("resize2fs", &[device.as_os_str()])
}

/// `struct fsuuid` of `ext4.h` with room for one UUID.
#[repr(C)]
struct FilesystemUuid {
    length: u32,
    flags: u32,
    uuid: [u8; 16],
}

/// Gives the mounted ext4 filesystem that `root` is on another UUID (`EXT4_IOC_SETFSUUID`, Linux
/// 6.0). False when this kernel cannot.
pub fn set_ext4_uuid(root: &File, id: [u8; 16]) -> Result<bool> {
    // The ioctl number is made from the struct without its flexible array: 8 bytes.
    const SET: u32 = opcode::write::<[u32; 2]>(b'f', 44);
    let argument = FilesystemUuid { length: 16, flags: 0, uuid: id };
    // SAFETY: EXT4_IOC_SETFSUUID reads a header of two u32 and then `length` bytes; the struct holds
    // exactly 16 behind its header.
    match unsafe { rustix::ioctl::ioctl(root, Setter::<SET, FilesystemUuid>::new(argument)) } {
        Ok(()) => Ok(true),
        Err(Errno::NOTTY | Errno::OPNOTSUPP) => Ok(false),
        Err(errno) => Err(errno).on("set UUID of", "ext4 filesystem"),
    }
}

/// Grows the mounted filesystem that `root` is on to fill its device of `size` bytes. Growing one
/// that fills it already changes nothing.
pub fn grow(kind: Kind, root: &File, size: u64, name: &Path) -> Result<()> {
    match kind {
        Kind::Ext4 => grow_ext4(root, size),
        Kind::Xfs => grow_xfs(root, size),
        Kind::Btrfs => grow_btrfs(root),
    }
    .on("grow the filesystem at", name)
}

fn grow_ext4(root: &File, size: u64) -> rustix::io::Result<()> {
    const RESIZE: u32 = opcode::write::<u64>(b'f', 16);
    let blocks = size / rustix::fs::fstatfs(root)?.f_bsize as u64;
    // SAFETY: EXT4_IOC_RESIZE_FS reads one u64, the new number of blocks.
    unsafe { rustix::ioctl::ioctl(root, Setter::<RESIZE, u64>::new(blocks)) }
}

/// The start of `struct xfs_fsop_geom_v1` (`xfs_fs.h`), of which only these fields are used.
#[repr(C)]
struct XfsGeometry {
    block_size: u32,
    unused: [u32; 6],
    inode_percent: u32,
    data_blocks: u64,
    rest: [u64; 9],
}

/// `struct xfs_growfs_data` (`xfs_fs.h`).
#[repr(C)]
struct XfsGrowth {
    blocks: u64,
    inode_percent: u32,
}

fn grow_xfs(root: &File, size: u64) -> rustix::io::Result<()> {
    const GEOMETRY: u32 = opcode::read::<XfsGeometry>(b'X', 100);
    const GROW: u32 = opcode::write::<XfsGrowth>(b'X', 110);
    // SAFETY: XFS_IOC_FSGEOMETRY_V1 fills one `struct xfs_fsop_geom_v1`, 112 bytes like `XfsGeometry`.
    let now = unsafe { rustix::ioctl::ioctl(root, Getter::<GEOMETRY, XfsGeometry>::new()) }?;
    let blocks = size / u64::from(now.block_size);
    if blocks <= now.data_blocks {
        return Ok(());
    }
    let growth = XfsGrowth { blocks, inode_percent: now.inode_percent };
    // SAFETY: XFS_IOC_FSGROWFSDATA reads one `struct xfs_growfs_data`.
    unsafe { rustix::ioctl::ioctl(root, Setter::<GROW, XfsGrowth>::new(growth)) }
}

/// `struct btrfs_ioctl_vol_args` (`linux/btrfs.h`).
#[repr(C)]
struct BtrfsArguments {
    fd: i64,
    name: [u8; 4088],
}

fn grow_btrfs(root: &File) -> rustix::io::Result<()> {
    const RESIZE: u32 = opcode::write::<BtrfsArguments>(0x94, 3);
    let mut arguments = BtrfsArguments { fd: 0, name: [0; 4088] };
    arguments.name[..3].copy_from_slice(b"max");
    // SAFETY: BTRFS_IOC_RESIZE reads one `struct btrfs_ioctl_vol_args` with a NUL-terminated name.
    unsafe { rustix::ioctl::ioctl(root, Setter::<RESIZE, BtrfsArguments>::new(arguments)) }
}

fn words<'a>(words: &[&'a str]) -> Vec<&'a OsStr> {
    words.iter().map(|word| OsStr::new(*word)).collect()
}

/// `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx`.
fn display_uuid(id: [u8; 16]) -> String {
    let hex: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
