//! What a device or an image holds, read from its own bytes.
//!
//! The answer decides whether something may be formatted, so it has three grades: *blank* is only
//! said when every byte of the signature areas is zero; a known signature is named; everything else
//! is *unknown data*. An error while reading is an error, never *blank*.

use crate::Errno;
use crate::error::{Context, Result};
use rustix::fs::SeekFrom;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How much of the start and of the end is looked at. Covers every signature named below: the
/// farthest from the start is btrfs (64 KiB), ZFS labels lie within 512 KiB of both ends.
pub const SIGNATURE_AREA: u64 = 1024 * 1024;

/// A filesystem Becket makes and mounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// ext4 (also reported for ext2 and ext3, which the same driver mounts).
    Ext4,
    /// XFS.
    Xfs,
    /// Btrfs on one device.
    Btrfs,
}

impl Kind {
    /// The kernel's name of it, as mount(2) takes it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Ext4 => "ext4",
            Kind::Xfs => "xfs",
            Kind::Btrfs => "btrfs",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Every byte of both signature areas is zero.
    Blank,
    /// One of ours.
    Filesystem(Superblock),
    /// Something with a known signature that Becket neither makes nor mounts.
    Foreign(&'static str),
    /// Bytes without a signature we know: data until somebody proves otherwise.
    Unknown,
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Blank => f.write_str("nothing"),
            Content::Filesystem(superblock) => superblock.kind.fmt(f),
            Content::Foreign(name) => f.write_str(name),
            Content::Unknown => f.write_str("data of an unknown kind"),
        }
    }
}

/// What a filesystem says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superblock {
    /// Which filesystem it is.
    pub kind: Kind,
    /// Its UUID, big-endian as displayed.
    pub uuid: [u8; 16],
    /// How many bytes of the device it uses.
    pub size: u64,
    /// ext4 only: the kernel recorded an error, so it wants a check before the next mount.
    pub damaged: bool,
}

/// Reads the signature areas of `file`, which is `size` bytes long.
///
/// The cheap answers come first: a file that is one hole, which is blank, and one of our filesystems,
/// which the first bytes tell. Only what is neither is read whole.
pub fn probe(file: &File, size: u64, name: &Path) -> Result<Content> {
    if is_one_hole(file) {
        return Ok(Content::Blank);
    }
    let start = read_area(file, 0, size.min(FILESYSTEM_AREA), name)?;
    if let Some(superblock) = filesystem(&start) {
        return Ok(Content::Filesystem(superblock));
    }
    let head = read_area(file, 0, size.min(SIGNATURE_AREA), name)?;
    let tail_start = size.saturating_sub(SIGNATURE_AREA).max(head.len() as u64);
    let tail = read_area(file, tail_start, size - tail_start, name)?;
    Ok(identify(&head, &tail))
}

/// How much of the start tells one of our filesystems: the superblock of btrfs is the farthest.
const FILESYSTEM_AREA: u64 = 65_536 + 4096;

/// True for a regular file without any data (`SEEK_DATA` answers `NXIO`, lseek(2)); a device always
/// says that it is all data.
fn is_one_hole(file: &File) -> bool {
    let regular = file.metadata().is_ok_and(|found| found.is_file());
    regular && rustix::fs::seek(file, SeekFrom::Data(0)) == Err(Errno::NXIO)
}

fn read_area(file: &File, start: u64, length: u64, name: &Path) -> Result<Vec<u8>> {
    let mut bytes = vec![0; length as usize];
    file.read_exact_at(&mut bytes, start).on("read signatures of", name)?;
    Ok(bytes)
}

/// Judges the first and the last bytes of a device.
pub fn identify(head: &[u8], tail: &[u8]) -> Content {
    if let Some(superblock) = filesystem(head) {
        return Content::Filesystem(superblock);
    }
    if let Some(name) = foreign(head, tail) {
        return Content::Foreign(name);
    }
    match head.iter().chain(tail).all(|byte| *byte == 0) {
        true => Content::Blank,
        false => Content::Unknown,
    }
}

fn filesystem(head: &[u8]) -> Option<Superblock> {
    ext4(head).or_else(|| xfs(head)).or_else(|| btrfs(head))
}

/// `struct ext4_super_block`, at byte 1024, little-endian.
fn ext4(head: &[u8]) -> Option<Superblock> {
    let block = head.get(1024..2048)?;
    if le16(block, 56)? != 0xEF53 {
        return None;
    }
    const INCOMPAT_64BIT: u32 = 0x80;
    const STATE_ERROR: u16 = 0x2;
    let log_block = le32(block, 24)?;
    let high = if le32(block, 96)? & INCOMPAT_64BIT != 0 { le32(block, 336)? } else { 0 };
    let blocks = u64::from(high) << 32 | u64::from(le32(block, 4)?);
    let block_size = 1024u64.checked_shl(log_block.min(32)).unwrap_or(0);
    Some(Superblock {
        kind: Kind::Ext4,
        uuid: uuid(block, 104)?,
        size: blocks.saturating_mul(block_size),
        damaged: le16(block, 58)? & STATE_ERROR != 0,
    })
}

/// `struct xfs_dsb`, at byte 0, big-endian.
fn xfs(head: &[u8]) -> Option<Superblock> {
    if head.get(..4)? != b"XFSB" {
        return None;
    }
    let block_size = u32::from_be_bytes(head.get(4..8)?.try_into().ok()?);
    let blocks = u64::from_be_bytes(head.get(8..16)?.try_into().ok()?);
    let size = blocks.saturating_mul(u64::from(block_size));
    Some(Superblock { kind: Kind::Xfs, uuid: uuid(head, 32)?, size, damaged: false })
}

/// `struct btrfs_super_block`, at byte 65,536, little-endian.
fn btrfs(head: &[u8]) -> Option<Superblock> {
    let block = head.get(65_536..65_536 + 4096)?;
    if block.get(64..72)? != b"_BHRfS_M" {
        return None;
    }
    let size = u64::from_le_bytes(block.get(112..120)?.try_into().ok()?);
    Some(Superblock { kind: Kind::Btrfs, uuid: uuid(block, 32)?, size, damaged: false })
}

/// Signatures at a fixed place from the start: (name, offset, bytes).
const FOREIGN: &[(&str, usize, &[u8])] = &[
    ("a LUKS container", 0, b"LUKS\xba\xbe"),
    ("an LVM physical volume", 512, b"LABELONE"),
    ("an LVM physical volume", 0, b"LABELONE"),
    ("a GPT partition table", 512, b"EFI PART"),
    ("a GPT partition table", 4096, b"EFI PART"),
    ("swap space", 4086, b"SWAPSPACE2"),
    ("a RAID member", 4096, &[0xfc, 0x4e, 0x2b, 0xa9]),
    ("a RAID member", 0, &[0xfc, 0x4e, 0x2b, 0xa9]),
    ("squashfs", 0, b"hsqs"),
    ("ntfs", 3, b"NTFS    "),
    ("exfat", 3, b"EXFAT   "),
    ("an ISO 9660 image", 32_769, b"CD001"),
    ("f2fs", 1024, &[0x10, 0x20, 0xf5, 0xf2]),
    ("a QEMU disk image", 0, b"QFI\xfb"),
    ("a partition table or FAT", 510, &[0x55, 0xaa]),
];

fn foreign(head: &[u8], tail: &[u8]) -> Option<&'static str> {
    for (name, offset, signature) in FOREIGN {
        if head.get(*offset..offset + signature.len()) == Some(*signature) {
            return Some(name);
        }
    }
    // The backup GPT header is the last 512-byte sector.
    let last = tail.len().checked_sub(512)?;
    (tail.get(last..last + 8)? == b"EFI PART").then_some("a GPT partition table")
}

fn le16(bytes: &[u8], offset: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(offset..offset + 2)?.try_into().ok()?))
}

fn le32(bytes: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(offset..offset + 4)?.try_into().ok()?))
}

fn uuid(bytes: &[u8], offset: usize) -> Option<[u8; 16]> {
    bytes.get(offset..offset + 16)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_zeros_are_blank() {
        let mut head = vec![0; SIGNATURE_AREA as usize];
        assert_eq!(identify(&head, &[]), Content::Blank);
        for place in [0, 700_000, head.len() - 1] {
            head[place] = 1;
            assert_eq!(identify(&head, &[]), Content::Unknown, "a byte at {place}");
            head[place] = 0;
        }
        assert_eq!(identify(&head, &[0, 0, 1]), Content::Unknown);
    }

    #[test]
    fn each_foreign_signature_is_named() {
        for (name, offset, signature) in FOREIGN {
            let mut head = vec![0; 128 * 1024];
            head[*offset..offset + signature.len()].copy_from_slice(signature);
            assert_eq!(identify(&head, &[]), Content::Foreign(name));
        }
    }

    #[test]
    fn what_the_hosts_mkfs_writes_is_recognised() {
        for kind in [Kind::Ext4, Kind::Xfs, Kind::Btrfs] {
            if crate::child::find(&format!("mkfs.{kind}")).is_none() {
                eprintln!("skipped {kind}: this host has no mkfs.{kind}");
                continue;
            }
            let image = tempfile::NamedTempFile::new().unwrap();
            let size = 320 * 1024 * 1024;
            image.as_file().set_len(size).unwrap();
            assert_eq!(probe(image.as_file(), size, image.path()).unwrap(), Content::Blank);
            let id = uuid::Uuid::new_v4().into_bytes();
            crate::filesystem::make(kind, image.path(), id, true).unwrap();
            let Content::Filesystem(found) = probe(image.as_file(), size, image.path()).unwrap()
            else {
                panic!("{kind} was not recognised");
            };
            assert_eq!(
                (found.kind, found.uuid, found.size, found.damaged),
                (kind, id, size, false)
            );
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_probe_panic(
            head in proptest::collection::vec(any::<u8>(), 0..2100),
            tail in proptest::collection::vec(any::<u8>(), 0..600),
        ) {
            let _ = identify(&head, &tail);
        }
    }
}
