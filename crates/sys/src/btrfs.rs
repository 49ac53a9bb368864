//! The identity of a btrfs filesystem, changed in its superblocks (`linux/btrfs_tree.h`).
//!
//! `btrfstune -M` does the same and also begins a new generation. A copy of a filesystem in use has a
//! log of what was synced last, and the log belongs to the generation it was written in: after
//! `btrfstune` such a copy cannot be mounted any more. So the UUID, and nothing else, is changed here.

use crate::error::{Context, Result};
use crate::{Errno, Error};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

const LENGTH: usize = 4096;

/// Where the superblock and its copies are, as far as the device reaches.
const PLACES: [u64; 3] = [64 << 10, 64 << 20, 256 << 30];

const FSID: usize = 0x20;
const MAGIC: usize = 0x40;
const INCOMPAT_FLAGS: usize = 0xbc;
const CHECKSUM_TYPE: usize = 0xc4;
const METADATA_UUID: usize = 0x23b;

/// `BTRFS_FEATURE_INCOMPAT_METADATA_UUID` (Linux 5.0): the UUID that the blocks of metadata carry is
/// kept apart from the one the filesystem goes by.
const HAS_METADATA_UUID: u64 = 1 << 10;

/// Gives the unmounted filesystem on `target`, which is `size` bytes long, the UUID `id`. The copies
/// go first, so that the change is done when the superblock itself is written.
pub(crate) fn set_uuid(target: &File, size: u64, id: [u8; 16], name: &Path) -> Result<()> {
    let refused = |reason: &str| {
        Error::new("set UUID of", name.to_string_lossy(), Errno::INVAL).detail(reason)
    };
    for (index, place) in PLACES.into_iter().enumerate().rev() {
        if place + LENGTH as u64 > size {
            continue;
        }
        let mut block = [0; LENGTH];
        target.read_exact_at(&mut block, place).on("read superblock of", name)?;
        if block[MAGIC..MAGIC + 8] != *b"_BHRfS_M" {
            // A grown filesystem gets a further copy only when it is mounted.
            match index {
                0 => return Err(refused("it has no btrfs superblock")),
                _ => continue,
            }
        }
        if block[CHECKSUM_TYPE..CHECKSUM_TYPE + 2] != [0, 0] {
            return Err(refused("its checksums are not crc32c"));
        }
        if block[..4] != checksum(&block[32..]).to_le_bytes() {
            return Err(refused("its superblock is damaged"));
        }
        rename(&mut block, id);
        target.write_all_at(&block, place).on("write superblock of", name)?;
        target.sync_all().on("sync", name)?;
    }
    Ok(())
}

fn rename(block: &mut [u8; LENGTH], id: [u8; 16]) {
    let mut flags = [0; 8];
    flags.copy_from_slice(&block[INCOMPAT_FLAGS..INCOMPAT_FLAGS + 8]);
    let flags = u64::from_le_bytes(flags);
    if flags & HAS_METADATA_UUID == 0 {
        let flags = flags | HAS_METADATA_UUID;
        block[INCOMPAT_FLAGS..INCOMPAT_FLAGS + 8].copy_from_slice(&flags.to_le_bytes());
        block.copy_within(FSID..FSID + 16, METADATA_UUID);
    }
    block[FSID..FSID + 16].copy_from_slice(&id);
    let sum = checksum(&block[32..]);
    block[..4].copy_from_slice(&sum.to_le_bytes());
}

/// CRC-32C (Castagnoli), bit by bit: it is taken of three blocks.
fn checksum(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            let carry = if sum & 1 == 1 { 0x82f6_3b78 } else { 0 };
            sum >> 1 ^ carry
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_crc32c() {
        assert_eq!(checksum(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn the_uuid_changes_twice_and_the_metadata_keep_theirs() {
        if crate::child::find("mkfs.btrfs").is_none() {
            eprintln!("skipped: this host has no mkfs.btrfs");
            return;
        }
        let image = tempfile::NamedTempFile::new().unwrap();
        let (file, path, size) = (image.as_file(), image.path(), 256 << 20);
        file.set_len(size).unwrap();
        let kind = crate::superblock::Kind::Btrfs;
        let [first, second, third] = [(); 3].map(|()| uuid::Uuid::new_v4().into_bytes());
        crate::filesystem::make(kind, path, first, true).unwrap();
        for id in [second, third] {
            set_uuid(file, size, id, path).unwrap();
            for place in [64 << 10, 64 << 20] {
                let mut block = [0; LENGTH];
                file.read_exact_at(&mut block, place).unwrap();
                assert_eq!(block[FSID..FSID + 16], id);
                assert_eq!(block[METADATA_UUID..METADATA_UUID + 16], first);
                assert_eq!(block[..4], checksum(&block[32..]).to_le_bytes());
            }
        }
        file.write_all_at(&[0xff], (64 << 10) + 2000).unwrap();
        assert!(set_uuid(file, size, [4; 16], path).is_err(), "a damaged superblock was changed");
    }
}
