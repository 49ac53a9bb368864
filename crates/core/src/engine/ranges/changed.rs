//! Two snapshots compared, block by block, without reading what the filesystem says they share.

use super::{BLOCK, Batch, MOST_EXTENTS, Range, down, up};
use crate::Result;
use crate::backend::Medium;
use becket_sys::Errno;
use becket_sys::extents::{Extent, Extents};
use rustix::fs::Advice;
use std::iter::Peekable;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;

/// Bytes of each snapshot that are in memory at a time.
const CHUNK: u64 = 1 << 20;

/// Bytes of each snapshot that are read for one batch: a second or so of a slow disk.
const MOST_READ: u64 = 128 << 20;

/// A comparison that has come to `next`, a start of a block.
pub(super) struct Comparison<'a> {
    base: Layout<'a>,
    target: Layout<'a>,
    next: u64,
    size: u64,
    /// What may still be read for this batch.
    left: u64,
    buffers: [Vec<u8>; 2],
}

impl<'a> Comparison<'a> {
    /// The comparison of the bytes from `from` to `size`.
    pub(super) fn new(base: &'a Medium, target: &'a Medium, from: u64, size: u64) -> Self {
        Comparison {
            base: Layout::of(base, from),
            target: Layout::of(target, from),
            next: from,
            size,
            left: MOST_READ,
            buffers: [Vec::new(), Vec::new()],
        }
    }

    /// The batch from here on, and where the next one begins. `None` when blocks of `base` were moved
    /// meanwhile, as a balance or a defragmentation does: another block of `target` may then have come
    /// to lie where one of `base` had been, and was taken for the same.
    pub(super) fn take(mut self, mut batch: Batch) -> Result<Option<(Vec<Range>, u64)>> {
        for _ in 0..MOST_EXTENTS {
            if self.next >= self.size || self.left == 0 {
                break;
            }
            let (alike, end) = self.told()?;
            let end = end.min(self.size);
            // The last block is whole even where the snapshot ends within it.
            let whole = if end == self.size { end } else { down(end) };
            if alike && whole > self.next {
                self.next = whole;
            } else if !self.read(up(end.min(self.next + self.left)).min(self.size), &mut batch)? {
                break;
            }
        }
        let unmoved = self.base.stayed()?;
        Ok(unmoved.then_some((batch.ranges, self.next)))
    }

    /// What the filesystem says of the bytes from here on, and how far that holds: true when both
    /// snapshots have the same bytes, false when that takes reading them.
    fn told(&mut self) -> Result<(bool, u64)> {
        let (base, base_end) = self.base.at(self.next)?;
        let (target, target_end) = self.target.at(self.next)?;
        let alike = match (base, target) {
            (Piece::Zeros, Piece::Zeros) => true,
            (Piece::Data(Some(base)), Piece::Data(Some(target))) => base == target,
            _ => false,
        };
        Ok((alike, base_end.min(target_end)))
    }

    /// Reads both up to `end` and adds the blocks that differ. False when the batch is full.
    fn read(&mut self, end: u64, batch: &mut Batch) -> Result<bool> {
        while self.next < end {
            let length = (end - self.next).min(CHUNK);
            let [old, new] = &mut self.buffers;
            read_at(self.base.medium, old, self.next, length)?;
            read_at(self.target.medium, new, self.next, length)?;
            let blocks = old.chunks(BLOCK as usize).zip(new.chunks(BLOCK as usize));
            for (start, (old, new)) in (self.next..).step_by(BLOCK as usize).zip(blocks) {
                if old != new && !batch.add(start, start + new.len() as u64) {
                    self.next = start;
                    return Ok(false);
                }
            }
            self.next += length;
            self.left = self.left.saturating_sub(length);
        }
        Ok(true)
    }
}

/// What a snapshot has at a byte.
enum Piece {
    /// Zeros: a hole, or blocks that were never written.
    Zeros,
    /// Data, and where on the medium, where that can be said.
    Data(Option<u64>),
}

/// The extents of a snapshot from byte `from` on, looked at one after the other.
struct Layout<'a> {
    medium: &'a Medium,
    from: u64,
    extents: Peekable<Extents<'a>>,
    passed: Vec<Extent>,
}

impl<'a> Layout<'a> {
    fn of(medium: &'a Medium, from: u64) -> Layout<'a> {
        let extents = Extents::from(&medium.file, &medium.path, from).peekable();
        Layout { medium, from, extents, passed: Vec::new() }
    }

    /// What is at byte `place`, which is never before the last one asked for, and up to which byte
    /// that holds.
    fn at(&mut self, place: u64) -> Result<(Piece, u64)> {
        while let Some(Ok(extent)) = self.extents.next_if(|extent| ends_before(extent, place)) {
            self.passed.push(extent);
        }
        Ok(match self.extents.peek() {
            None => (Piece::Zeros, u64::MAX),
            Some(Err(error)) => return Err(error.clone().into()),
            Some(Ok(extent)) if extent.start > place => (Piece::Zeros, extent.start),
            Some(Ok(extent)) if extent.unwritten => (Piece::Zeros, extent.end()),
            Some(Ok(extent)) => {
                let at = extent.place.map(|start| start + (place - extent.start));
                (Piece::Data(at), extent.end())
            }
        })
    }

    /// True when the filesystem still says the same of what was looked at.
    fn stayed(self) -> Result<bool> {
        let current = self.extents.take(1).collect::<becket_sys::Result<Vec<_>>>()?;
        let now = Extents::from(&self.medium.file, &self.medium.path, self.from);
        let count = self.passed.len() + current.len();
        let now = now.take(count).collect::<becket_sys::Result<Vec<_>>>()?;
        Ok(self.passed.iter().chain(&current).eq(&now))
    }
}

fn ends_before(extent: &becket_sys::Result<Extent>, place: u64) -> bool {
    extent.as_ref().is_ok_and(|extent| extent.end() <= place)
}

/// Fills `buffer` with the `length` bytes at `place`; what is behind the end of the file is zero.
fn read_at(medium: &Medium, buffer: &mut Vec<u8>, place: u64, length: u64) -> Result<()> {
    buffer.clear();
    buffer.resize(length as usize, 0);
    let failed = |error: std::io::Error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        becket_sys::Error::new("read", medium.path.to_string_lossy(), errno)
    };
    let mut filled = 0;
    while filled < buffer.len() {
        match medium.file.read_at(&mut buffer[filled..], place + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error).into()),
        }
    }
    // A backup of terabytes must not push everything else out of memory. It is advice: what comes of
    // it does not matter.
    let _ = rustix::fs::fadvise(&medium.file, place, NonZeroU64::new(length), Advice::DontNeed);
    Ok(())
}
