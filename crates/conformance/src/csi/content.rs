//! What a workload sees of a published volume: its bytes, its size, where it ends.

use super::ask::Access;
use super::check::{Verdict, cannot_run, fail, want};
use super::on_node::{OnNode, own};
use becket_sys::{point, space};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of a pattern.
pub(crate) const PIECE: usize = 1 << 20;

/// One MiB that is different for each `seed` and does not compress to nothing.
pub(crate) fn pattern(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(PIECE);
    while bytes.len() < PIECE {
        // xorshift64: any sequence will do, as long as it is the same each time.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

impl OnNode {
    /// The file that holds piece 0 and up: one in the filesystem, or the device itself.
    fn file(&self) -> PathBuf {
        match self.volume.access {
            Access::Mount => Path::new(&self.target).join("content"),
            Access::Block => PathBuf::from(&self.target),
        }
    }

    /// Writes the pattern of `seed` as piece number `piece`, down to the medium.
    pub(crate) fn write(&self, piece: u64, seed: u64) -> Verdict {
        let mut options = OpenOptions::new();
        let options = options.write(true).create(self.volume.access == Access::Mount);
        let path = self.file();
        let write = || {
            let file = options.open(&path)?;
            file.write_all_at(&pattern(seed), piece * PIECE as u64)?;
            file.sync_all()
        };
        let wanted = "a published volume that can be written";
        write().map_err(|error| fail("write into the published volume", error.to_string(), wanted))
    }

    /// Fails unless piece number `piece` is the pattern of `seed`.
    pub(crate) fn expect(&self, piece: u64, seed: u64, what: &str) -> Verdict {
        let path = self.file();
        let mut found = vec![0; PIECE];
        let mut read = || File::open(&path)?.read_exact_at(&mut found, piece * PIECE as u64);
        let wanted = "the content that was written";
        read().map_err(|error| fail(format!("read {what}"), error.to_string(), wanted))?;
        want(found == pattern(seed), format!("read {what}"), "another content", wanted)
    }

    /// Bytes that the workload sees: the device's size, or all that the filesystem manages.
    pub(crate) fn size(&self) -> Verdict<u64> {
        match self.volume.access {
            Access::Block => device_size(Path::new(&self.target)),
            Access::Mount => {
                let path = Path::new(&self.target);
                let directory = own(File::open(path), "open the published volume")?;
                let space = space::of(directory.as_fd(), path);
                Ok(space.map_err(|error| cannot_run(error.to_string()))?.total)
            }
        }
    }

    /// Brings all that was written to the medium; some filesystems count it only then.
    pub(crate) fn settle(&self) -> Verdict {
        let directory = own(File::open(&self.target), "open the published volume")?;
        own(rustix::fs::syncfs(&directory).map_err(Into::into), "sync the published volume")
    }

    /// Fails unless the target is a mounted directory, or a block device.
    pub(crate) fn expect_there(&self) -> Verdict {
        let path = Path::new(&self.target);
        let found = look(path)?;
        let (got, fits) = match &found {
            None => ("nothing", false),
            Some(point) => match (self.volume.access, point.kind) {
                (Access::Block, rustix::fs::FileType::BlockDevice) => ("a block device", true),
                (Access::Mount, rustix::fs::FileType::Directory) if point.mounted => {
                    ("a mounted directory", true)
                }
                (Access::Mount, rustix::fs::FileType::Directory) => {
                    ("a directory on which nothing is mounted", false)
                }
                (_, rustix::fs::FileType::RegularFile) => ("a plain file", false),
                _ => ("something else", false),
            },
        };
        let wanted = match self.volume.access {
            Access::Block => "a block device",
            Access::Mount => "a mounted directory",
        };
        want(fits, "look at the target path after NodePublishVolume answered OK", got, wanted)
    }

    /// Fails unless nothing is at the target any more.
    pub(crate) fn expect_gone(&self) -> Verdict {
        let found = look(Path::new(&self.target))?;
        let got = match found {
            Some(point) if point.mounted => "it is still mounted",
            Some(_) => "it is still there",
            None => "nothing",
        };
        let asked = "look at the target path after NodeUnpublishVolume answered OK";
        want(found.is_none(), asked, got, "nothing: the driver deletes what it made there")
    }

    /// The error of the first write into the published volume, or nothing when it can be written.
    pub(crate) fn refuses_writing(&self) -> Option<std::io::Error> {
        let path = match self.volume.access {
            Access::Mount => Path::new(&self.target).join("must-not-be"),
            Access::Block => PathBuf::from(&self.target),
        };
        let create = self.volume.access == Access::Mount;
        let write = || {
            let file = OpenOptions::new().write(true).create(create).truncate(false).open(&path)?;
            file.write_all_at(b"written", 0)?;
            file.sync_all()
        };
        write().err()
    }
}

/// What is at `path`, without following a link.
pub(crate) fn look(path: &Path) -> Verdict<Option<point::Point>> {
    point::look(path).map_err(|error| cannot_run(error.to_string()))
}

/// The size of the block device at `path`.
pub(crate) fn device_size(path: &Path) -> Verdict<u64> {
    own(File::open(path).and_then(|mut file| file.seek(SeekFrom::End(0))), "measure the device")
}

/// Writes files into `directory` until it is full or holds `most` bytes; gives how much went in,
/// and removes it again.
pub(crate) fn fill(directory: &Path, most: u64) -> Verdict<u64> {
    let path = directory.join("filling");
    let piece = pattern(7);
    let mut written = 0;
    let mut write = || {
        let mut file = File::create(&path)?;
        while written <= most {
            file.write_all(&piece)?;
            // What is only in memory has not met any limit yet.
            file.sync_data()?;
            written += PIECE as u64;
        }
        Ok(())
    };
    let stopped: std::io::Result<()> = write();
    let _ = std::fs::remove_file(&path);
    match stopped {
        Ok(()) => Ok(written),
        Err(error) if full(&error) => Ok(written),
        Err(error) => Err(cannot_run(format!("cannot fill the volume: {error}"))),
    }
}

fn full(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Everything that can be read from the device or file at `path`.
pub(crate) fn read_all(path: &Path) -> Verdict<Vec<u8>> {
    let mut bytes = Vec::new();
    own(File::open(path).and_then(|mut file| file.read_to_end(&mut bytes)), "read the volume")?;
    Ok(bytes)
}

/// Writes `bytes` at `offset` of the device at `path`; true when all of them went in.
pub(crate) fn write_beyond(path: &Path, offset: u64) -> Verdict<bool> {
    let file = own(OpenOptions::new().write(true).open(path), "open the device")?;
    let mut file = &file;
    own(file.seek(SeekFrom::Start(offset)), "seek on the device")?;
    Ok(file.write_all(&[1; 4096]).and_then(|()| file.sync_all()).is_ok())
}
