//! Where a file has its data, and whether it shares it (`FS_IOC_FIEMAP`, `linux/fiemap.h`).

use crate::error::{Context, Result};
use crate::{Errno, copy};
use rustix::fs::SeekFrom;
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
    /// Where on the medium its first byte is. Files of one filesystem that have the same place at the
    /// same time have the same bytes there. `None` where the medium does not have the bytes as the
    /// file has them: compressed data, data within metadata, and what has no place yet.
    pub place: Option<u64>,
    /// True when another file has the same blocks.
    pub shared: bool,
    /// True when it was allocated and never written: it reads as zeros.
    pub unwritten: bool,
}

impl Extent {
    /// The first byte behind it.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }
}

const PER_CALL: usize = 256;

/// Ask after everything in memory was written out, so that it has its place.
const SYNC: u32 = 0x1;

const LAST: u32 = 0x1;
const UNWRITTEN: u32 = 0x800;
const SHARED: u32 = 0x2000;

/// The flags of extents whose place is unknown, or says nothing of their bytes: `UNKNOWN`, `DELALLOC`,
/// `ENCODED`, `DATA_ENCRYPTED`, `NOT_ALIGNED`, `DATA_INLINE`, `DATA_TAIL`.
const ELSEWHERE: u32 = 0x2 | 0x4 | 0x8 | 0x80 | 0x100 | 0x200 | 0x400;

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

/// Some extents in order, and whether they are the last ones.
type Answer = (Vec<Extent>, bool);

/// The first extents of `file` that end behind `start`. `None` when the filesystem keeps no such map.
fn ask(file: &File, name: &Path, start: u64, flags: u32) -> Result<Option<Answer>> {
    // The ioctl number is made from the struct without its extents: 32 bytes.
    const FIEMAP: u32 = opcode::read_write::<[u64; 4]>(b'f', 11);
    let mut map = Map {
        start,
        length: u64::MAX - start,
        flags,
        mapped: 0,
        count: PER_CALL as u32,
        reserved: 0,
        extents: [RawExtent::default(); PER_CALL],
    };
    // SAFETY: FS_IOC_FIEMAP reads the header and writes at most `count` extents behind it, for
    // which `Map` has room.
    match unsafe { rustix::ioctl::ioctl(file, Updater::<FIEMAP, Map>::new(&mut map)) } {
        Ok(()) => {}
        Err(Errno::OPNOTSUPP | Errno::NOTTY) => return Ok(None),
        Err(errno) => return Err(errno).on("read the extents of", name),
    }
    let found = &map.extents[..(map.mapped as usize).min(PER_CALL)];
    let last = found.last().is_none_or(|last| last.flags & LAST != 0);
    let extents = found.iter().map(|raw| Extent {
        start: raw.logical,
        length: raw.length,
        place: (raw.flags & ELSEWHERE == 0).then_some(raw.physical),
        shared: raw.flags & SHARED != 0,
        unwritten: raw.flags & UNWRITTEN != 0,
    });
    Ok(Some((extents.collect(), last)))
}

/// Calls `each` for every extent of `file` in order. False when the filesystem keeps no such map.
pub fn each(file: &File, name: &Path, mut each: impl FnMut(Extent)) -> Result<bool> {
    let mut start = 0;
    loop {
        let Some((extents, last)) = ask(file, name, start, 0)? else {
            return Ok(false);
        };
        extents.iter().copied().for_each(&mut each);
        match extents.last() {
            Some(found) if !last && found.end() > start => start = found.end(),
            _ => return Ok(true),
        }
    }
}

/// The extents of a file that nobody writes to, in order, some hundred of them in memory at a time.
///
/// Where the filesystem keeps no map, an extent is what `SEEK_DATA` tells of (lseek(2)): without a
/// place, and never known to be unwritten.
#[derive(Debug)]
pub struct Extents<'a> {
    file: &'a File,
    name: &'a Path,
    /// Where the next question starts; `None` when everything was told.
    next: Option<u64>,
    told: std::vec::IntoIter<Extent>,
}

impl<'a> Extents<'a> {
    /// Those that end behind byte `start` of `file`.
    pub fn from(file: &'a File, name: &'a Path, start: u64) -> Extents<'a> {
        Extents { file, name, next: Some(start), told: Vec::new().into_iter() }
    }

    fn more(&mut self, start: u64) -> Result<()> {
        let (extents, last) = match ask(self.file, self.name, start, SYNC)? {
            Some(answer) => answer,
            None => self.seek(start)?,
        };
        self.next = extents.last().map(Extent::end).filter(|end| !last && *end > start);
        self.told = extents.into_iter();
        Ok(())
    }

    fn seek(&self, start: u64) -> Result<Answer> {
        let length = rustix::fs::seek(self.file, SeekFrom::End(0)).on("read size of", self.name)?;
        let data = copy::next_data(self.file, start, length).on("find data in", self.name)?;
        let extent = |(start, end)| Extent {
            start,
            length: end - start,
            place: None,
            shared: false,
            unwritten: false,
        };
        Ok((data.map(extent).into_iter().collect(), data.is_none()))
    }
}

impl Iterator for Extents<'_> {
    type Item = Result<Extent>;

    fn next(&mut self) -> Option<Result<Extent>> {
        loop {
            if let Some(extent) = self.told.next() {
                return Some(Ok(extent));
            }
            let start = self.next.take()?;
            if let Err(error) = self.more(start) {
                return Some(Err(error));
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{child, filesystem, loop_device, mount, superblock};
    use rustix::fs::{FallocateFlags, Mode, OFlags};
    use std::os::unix::fs::FileExt;

    fn all(file: &File) -> Vec<Extent> {
        Extents::from(file, Path::new("test"), 0).map(|extent| extent.unwrap()).collect()
    }

    #[test]
    fn without_a_map_data_is_told_and_has_no_place() {
        let memory = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let file = File::from(memory);
        file.set_len(1 << 20).unwrap();
        assert_eq!(all(&file), []);
        file.write_all_at(&[1; 4096], 8192).unwrap();
        file.write_all_at(&[1; 4096], 81_920).unwrap();
        let found: Vec<_> = all(&file).iter().map(|it| (it.start, it.length, it.place)).collect();
        assert_eq!(found, [(8192, 4096, None), (81_920, 4096, None)]);
        assert_eq!(Extents::from(&file, Path::new("test"), 12_288).count(), 1);
    }

    /// Taken for the bytes' own place, that of a compressed extent would make two files alike that are not.
    #[test]
    fn only_plain_data_has_a_place() {
        let kind = superblock::Kind::Btrfs;
        if !rustix::process::geteuid().is_root() || child::find(filesystem::maker(kind)).is_none() {
            eprintln!("skipped: it takes root and mkfs.btrfs");
            return;
        }
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(256 << 20).unwrap();
        // One that no test beside this one has on a device: mkfs.btrfs refuses what libblkid finds elsewhere.
        let uuid = uuid::Uuid::new_v4().into_bytes();
        filesystem::make(kind, image.path(), uuid, true).unwrap();
        let options = loop_device::Options { readonly: false, autoclear: true, label: "" };
        let device = loop_device::attach(image.as_file(), image.path(), options).unwrap();
        let compress = [("compress-force", Some("zlib"))];
        let mounted = mount::filesystem("btrfs", &device.path(), &compress).unwrap();
        let root = mounted.root().unwrap();
        let new = |name: &str| {
            let flags = OFlags::RDWR | OFlags::CREATE;
            File::from(rustix::fs::openat(&root, name, flags, Mode::from(0o600)).unwrap())
        };

        let compressed = new("compressed");
        compressed.write_all_at(&[1; 131_072], 0).unwrap();
        let found = all(&compressed);
        assert!(!found.is_empty() && found.iter().all(|it| it.place.is_none()), "{found:?}");

        let within = new("within-metadata");
        within.write_all_at(b"a few bytes", 0).unwrap();
        assert_eq!(all(&within)[0].place, None);

        let plain = new("plain");
        rustix::fs::fallocate(&plain, FallocateFlags::empty(), 0, 1 << 20).unwrap();
        plain.write_all_at(&[1; 4096], 0).unwrap();
        let copy = new("copy");
        assert!(copy::reflink(&plain, &copy, Path::new("test")).unwrap());
        let (one, other) = (all(&plain), all(&copy));
        assert!(one[0].place.is_some() && one[0].shared && !one[0].unwritten, "{one:?}");
        assert_eq!(one[0].place, other[0].place);
        assert!(one[1].unwritten, "{one:?}");
    }
}
