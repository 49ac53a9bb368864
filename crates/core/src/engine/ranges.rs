//! Where a snapshot has data, and where two snapshots of a volume differ: what a backup has to read.
//!
//! A snapshot never changes, so nothing is tracked while a volume is written to. The filesystem below
//! the pool tells what is a hole, and what two snapshots share; only what it cannot tell is read.

mod changed;

use super::Engine;
use super::apart::Operation;
use crate::backend::Medium;
use crate::lock::Lock;
use crate::pool::Pool;
use crate::record::SnapshotRecord;
use crate::{Error, Kind, Name, Result, size};
use becket_sys::extents::Extents;
use changed::Comparison;

/// Ranges are whole blocks of this many bytes, where the snapshot does not end before.
pub const BLOCK: u64 = 4096;

/// Extents that are looked at for one batch: a few megabytes of the filesystem's metadata.
const MOST_EXTENTS: usize = 1 << 16;

/// A stretch of bytes of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Its first byte.
    pub offset: u64,
    /// Its length in bytes; never 0.
    pub length: u64,
}

impl Range {
    /// The first byte behind it.
    pub fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// Ranges of one or two snapshots, told batch by batch. While this lives neither can be deleted.
#[derive(Debug)]
pub struct Ranges {
    size: u64,
    next: u64,
    of: Of,
    _locks: Vec<Lock>,
}

#[derive(Debug)]
enum Of {
    Allocated(Medium),
    Changed { base: Medium, target: Medium },
}

impl Engine {
    /// Where the snapshot may hold data, from the block of byte `from` on: every byte outside of the
    /// ranges is zero.
    ///
    /// `Unsupported` for snapshots without bytes of their own (directories), `OutOfRange` for a start
    /// behind the snapshot's end, `Busy` while it is being deleted.
    pub fn allocated_ranges(&self, pool: &Name, snapshot: &Name, from: u64) -> Result<Ranges> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return Err(
                apart.refusal(Operation::AllocatedRanges { snapshot: snapshot.clone(), from })
            );
        }
        let lock = self.share_snapshot(&pool, snapshot)?;
        let record = self.present_snapshot(&pool, snapshot)?;
        let of = Of::Allocated(self.bytes_of(&pool, &record)?);
        ranges(&record, of, from, vec![lock])
    }

    /// The blocks of `target` whose bytes differ from those of `base`, from the block of byte `from`
    /// on. Where `base` ends, `target` is compared with zeros; what only `base` has does not count.
    ///
    /// `Invalid` when they are not of one volume; otherwise like [`Engine::allocated_ranges`].
    pub fn changed_ranges(
        &self,
        pool: &Name,
        base: &Name,
        target: &Name,
        from: u64,
    ) -> Result<Ranges> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return Err(apart.refusal(Operation::ChangedRanges {
                base: base.clone(),
                target: target.clone(),
                from,
            }));
        }
        // In the order in which whoever deletes several takes them.
        let (first, second) = if base < target { (base, target) } else { (target, base) };
        let locks = vec![self.share_snapshot(&pool, first)?, self.share_snapshot(&pool, second)?];
        let old = self.present_snapshot(&pool, base)?;
        let new = self.present_snapshot(&pool, target)?;
        if old.volume_uuid != new.volume_uuid {
            return Err(Error::new(
                Kind::Invalid,
                format!("snapshots `{base}` and `{target}` are not of one volume"),
            )
            .hint("only snapshots of the same volume can be compared"));
        }
        let (base, target) = (self.bytes_of(&pool, &old)?, self.bytes_of(&pool, &new)?);
        ranges(&new, Of::Changed { base, target }, from, locks)
    }

    fn bytes_of(&self, pool: &Pool, snapshot: &SnapshotRecord) -> Result<Medium> {
        self.backend(pool)?.snapshot_medium(pool, snapshot)?.ok_or_else(|| {
            let what =
                format!("of snapshot `{}` it cannot be told which blocks it has", snapshot.name);
            Error::new(Kind::Unsupported, what).hint("compare its files instead")
        })
    }
}

fn ranges(snapshot: &SnapshotRecord, of: Of, from: u64, locks: Vec<Lock>) -> Result<Ranges> {
    if from > snapshot.size {
        return Err(Error::new(
            Kind::OutOfRange,
            format!(
                "byte {from} is behind the end of snapshot `{}` of {}",
                snapshot.name,
                size::display(snapshot.size)
            ),
        ));
    }
    let next = if from == snapshot.size { from } else { down(from) };
    Ok(Ranges { size: snapshot.size, next, of, _locks: locks })
}

impl Ranges {
    /// The size in bytes of the snapshot, or of the target of the two.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The next ranges, at most `most` of them, ascending and apart from each other; `None` when all
    /// were told.
    ///
    /// The work for one batch is bounded too, so a batch may be shorter, or empty although there is
    /// more. A range may go on in the next batch where this one ends. Asking anew from the end of the
    /// last range told goes on where an interrupted reader was.
    pub fn next_batch(&mut self, most: usize) -> Result<Option<Vec<Range>>> {
        if self.next >= self.size {
            return Ok(None);
        }
        let batch = || Batch { ranges: Vec::new(), most: most.max(1) };
        let (ranges, next) = match &self.of {
            Of::Allocated(medium) => allocated(medium, self.next, self.size, batch())?,
            Of::Changed { base, target } => {
                let compare = || Comparison::new(base, target, self.next, self.size).take(batch());
                undisturbed(compare)?
            }
        };
        self.next = next;
        Ok(Some(ranges))
    }
}

/// What `compare` says when nothing moves blocks meanwhile.
fn undisturbed<T>(compare: impl Fn() -> Result<Option<T>>) -> Result<T> {
    for _ in 0..8 {
        if let Some(told) = compare()? {
            return Ok(told);
        }
    }
    Err(Error::new(
        Kind::Busy,
        "the filesystem below the pool keeps moving blocks of the snapshots",
    )
    .hint("try again when it is no longer balanced or defragmented"))
}

/// The ranges of one batch as they are found.
struct Batch {
    ranges: Vec<Range>,
    most: usize,
}

impl Batch {
    /// Adds what is found behind the others, as a part of the last one where it touches that. False,
    /// with nothing added, when the batch is full.
    fn add(&mut self, start: u64, end: u64) -> bool {
        if let Some(last) = self.ranges.last_mut().filter(|last| last.end() >= start) {
            last.length = last.length.max(end - last.offset);
            return true;
        }
        if self.ranges.len() == self.most {
            return false;
        }
        self.ranges.push(Range { offset: start, length: end - start });
        true
    }
}

/// The batch from byte `from` on, and where the next one begins.
fn allocated(medium: &Medium, from: u64, size: u64, mut batch: Batch) -> Result<(Vec<Range>, u64)> {
    let mut extents = Extents::from(&medium.file, &medium.path, from);
    let mut done = from;
    for _ in 0..MOST_EXTENTS {
        let Some(extent) = extents.next().transpose()?.filter(|extent| extent.start < size) else {
            return Ok((batch.ranges, size));
        };
        let (start, end) = (down(extent.start).max(from), up(extent.end()).min(size));
        if extent.unwritten || start >= end {
            // The last block of it may have data in its rest.
            done = done.max(down(extent.end()));
            continue;
        }
        if !batch.add(start, end) {
            return Ok((batch.ranges, start));
        }
        done = end;
    }
    Ok((batch.ranges, done))
}

/// The start of the block that byte `place` is in.
fn down(place: u64) -> u64 {
    place - place % BLOCK
}

/// The first start of a block at or behind `place`.
fn up(place: u64) -> u64 {
    place.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_touches_is_one_range_and_a_full_batch_takes_no_more() {
        let mut batch = Batch { ranges: Vec::new(), most: 2 };
        for (start, end, taken) in [
            (0, 4096, true),
            (4096, 8192, true),
            (4096, 8192, true),
            (16_384, 20_480, true),
            (40_960, 45_056, false),
            (20_480, 24_576, true),
        ] {
            assert_eq!(batch.add(start, end), taken, "{start}..{end}");
        }
        let wanted = [(0, 8192), (16_384, 8192)];
        assert_eq!(batch.ranges, wanted.map(|(offset, length)| Range { offset, length }));
    }

    #[test]
    fn places_are_rounded_to_blocks_without_overflow() {
        assert_eq!([0, 1, 4095, 4096, 4097].map(down), [0, 0, 0, 4096, 4096]);
        assert_eq!([0, 1, 4095, 4096, 4097].map(up), [0, 4096, 4096, 4096, 8192]);
        assert_eq!(up(u64::MAX), u64::MAX);
    }
}
