//! Where a file has its data, and whether it shares it (`FS_IOC_FIEMAP`, `linux/fiemap.h`).

use crate::Errno;
use crate::error::{Context, Result};
use rustix::ioctl::{Updater, opcode};
use std::fs::File;
use std::path::Path;

/// One stretch of data of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Its first byte in the file.
    pub start: u64,
    /// Its length in bytes.
    pub length: u64,
    /// True when another file has the same blocks.
    pub shared: bool,
    /// True when it was allocated and never written: it reads as zeros.
    pub unwritten: bool,
}

const PER_CALL: usize = 256;
const LAST: u32 = 0x1;
const UNWRITTEN: u32 = 0x800;
const SHARED: u32 = 0x2000;

/// `struct fiemap_extent`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct RawExtent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved: [u64; 2],
    flags: u32,
    reserved_32: [u32; 3],
}

/// `struct fiemap` with room for the answer.
#[repr(C)]
struct Map {
    start: u64,
    length: u64,
    flags: u32,
    mapped: u32,
    count: u32,
    reserved: u32,
    extents: [RawExtent; PER_CALL],
}

/// Calls `each` for every extent of `file` in order. False when the filesystem keeps no such map.
pub fn each(file: &File, name: &Path, mut each: impl FnMut(Extent)) -> Result<bool> {
    // The ioctl number is made from the struct without its extents: 32 bytes.
    const FIEMAP: u32 = opcode::read_write::<[u64; 4]>(b'f', 11);
    let mut start = 0;
    loop {
        let mut map = Map {
            start,
            length: u64::MAX - start,
            flags: 0,
            mapped: 0,
            count: PER_CALL as u32,
            reserved: 0,
            extents: [RawExtent::default(); PER_CALL],
        };
        // SAFETY: FS_IOC_FIEMAP reads the header and writes at most `count` extents behind it, for
        // which `Map` has room.
        match unsafe { rustix::ioctl::ioctl(file, Updater::<FIEMAP, Map>::new(&mut map)) } {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::NOTTY) => return Ok(false),
            Err(errno) => return Err(errno).on("read the extents of", name),
        }
        let found = &map.extents[..(map.mapped as usize).min(PER_CALL)];
        for raw in found {
            each(Extent {
                start: raw.logical,
                length: raw.length,
                shared: raw.flags & SHARED != 0,
                unwritten: raw.flags & UNWRITTEN != 0,
            });
        }
        match found.last() {
            Some(last) if last.flags & LAST == 0 => start = last.logical + last.length,
            _ => return Ok(true),
        }
    }
}

/// Bytes of `file` that it shares with no other; all its allocated bytes where nothing can be shared.
pub fn exclusive(file: &File, name: &Path) -> Result<u64> {
    let mut bytes = 0;
    let mapped = each(file, name, |extent| {
        if !extent.shared {
            bytes += extent.length;
        }
    })?;
    if mapped {
        return Ok(bytes);
    }
    Ok(std::os::unix::fs::MetadataExt::blocks(&file.metadata().on("look at", name)?) * 512)
}
