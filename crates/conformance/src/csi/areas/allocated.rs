//! `GetMetadataAllocated`: which blocks of a snapshot hold data, judged by the content itself.

use crate::csi::ask::{self, Access};
use crate::csi::check::{Check, Verdict, check, want};
use crate::csi::content::{PIECE, read_all};
use crate::csi::ground::Ground;
use crate::csi::need::{CREATE, METADATA, Need, SNAPSHOT};
use crate::csi::on_node::OnNode;
use becket_csi::protocol::csi;
use std::path::Path;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("allocated-covers-data", Must,
        [CREATE, SNAPSHOT, METADATA, Need::Block, Need::Here] => covers_data,
        "GetMetadataAllocated: identifies the data ranges that have valid data; outside of them \
         the snapshot reads as zeros"),
    check!("allocated-ordered", Must,
        [CREATE, SNAPSHOT, METADATA, Need::Block, Need::Here] => ordered,
        "GetMetadataAllocated: ranges ascend without overlap and are not empty, and style and \
         capacity are the same in all messages"),
    check!("allocated-max-results", Must,
        [CREATE, SNAPSHOT, METADATA, Need::Block, Need::Here] => max_results,
        "GetMetadataAllocated: with max_results, no message has more entries than that"),
    check!("allocated-resumes", Must,
        [CREATE, SNAPSHOT, METADATA, Need::Block, Need::Here] => resumes,
        "GetMetadataAllocated: with starting_offset, no range ends before it, and none behind it \
         is missing"),
    check!("allocated-bad-offset", Must, [CREATE, SNAPSHOT, METADATA, Need::Block] => bad_offset,
        "GetMetadataAllocated: a starting_offset that is negative or exceeds the volume size is \
         OUT_OF_RANGE"),
];

/// A data range: its first byte, and the one behind its last.
pub(super) type Range = (i64, i64);

/// One message of either stream.
pub(super) struct Message {
    pub(super) style: i32,
    pub(super) capacity: i64,
    pub(super) ranges: Vec<Range>,
}

impl Message {
    pub(super) fn new(style: i32, capacity: i64, blocks: Vec<csi::BlockMetadata>) -> Message {
        let range = |block: csi::BlockMetadata| {
            (block.byte_offset, block.byte_offset.saturating_add(block.size_bytes))
        };
        Message { style, capacity, ranges: blocks.into_iter().map(range).collect() }
    }
}

/// All ranges of a stream.
pub(super) fn ranges(stream: &[Message]) -> Vec<Range> {
    stream.iter().flat_map(|message| message.ranges.iter().copied()).collect()
}

/// Fails unless `stream` keeps all rules of order and style, for a volume of `capacity` bytes.
pub(super) fn judge_order(rpc: &str, stream: &[Message], capacity: i64) -> Verdict {
    let style = stream.first().map_or(0, |message| message.style);
    let fixed = csi::BlockMetadataType::FixedLength as i32;
    let known = csi::BlockMetadataType::try_from(style).is_ok() && style != 0;
    want(known, rpc, format!("block_metadata_type {style}"), "FIXED_LENGTH or VARIABLE_LENGTH")?;
    let mut end = 0;
    let mut length = None;
    for message in stream {
        let same = message.style == style;
        want(same, rpc, "the style changes in the stream", "one style")?;
        let got = format!("volume_capacity_bytes {}", message.capacity);
        want(message.capacity == capacity, rpc, got, capacity.to_string())?;
        for (from, to) in &message.ranges {
            let got = format!("a range {from}..{to} behind {end}");
            let fits = *from >= end && to > from && *to <= capacity;
            want(fits, rpc, got, "ascending ranges within the volume, not empty")?;
            let first = *length.get_or_insert(to - from);
            let got = format!("FIXED_LENGTH, and ranges of {first} and {} bytes", to - from);
            want(style != fixed || first == to - from, rpc, got, "one length")?;
            end = *to;
        }
    }
    Ok(())
}

/// True when every byte of `range` is in `ranges`, which ascend.
pub(super) fn covered(ranges: &[Range], (from, to): Range) -> bool {
    let mut reached = from;
    for (start, end) in ranges {
        if *start <= reached && *end > reached {
            reached = *end;
        }
    }
    reached >= to
}

/// The first MiB-long pieces that are written before the snapshot.
const WRITTEN: [u64; 3] = [0, 5, 17];

/// A block volume with known writes, and its snapshot.
pub(super) async fn taken(g: &Ground) -> Verdict<(OnNode, csi::Snapshot)> {
    let here = g.new_published(Access::Block).await?;
    for piece in WRITTEN {
        here.write(piece, piece + 1)?;
    }
    g.take_down(&here).await?;
    let snapshot = g.snapshot(&here.volume).await?;
    Ok((here, snapshot))
}

async fn stream(
    g: &Ground,
    snapshot: &csi::Snapshot,
    starting_offset: i64,
    max_results: i32,
) -> Verdict<Vec<Message>> {
    let request = csi::GetMetadataAllocatedRequest {
        snapshot_id: snapshot.snapshot_id.clone(),
        starting_offset,
        max_results,
        ..Default::default()
    };
    let what = format!("starting_offset {starting_offset}, max_results {max_results}");
    let messages = g.calls.get_metadata_allocated(request).await.when(what).ok()?;
    let message = |one: csi::GetMetadataAllocatedResponse| {
        Message::new(one.block_metadata_type, one.volume_capacity_bytes, one.block_metadata)
    };
    Ok(messages.into_iter().map(message).collect())
}

/// The snapshot's whole content.
pub(super) async fn content(
    g: &Ground,
    source: &OnNode,
    snapshot: &csi::Snapshot,
) -> Verdict<Vec<u8>> {
    let request = super::restore::from(g, &source.volume, &snapshot.snapshot_id);
    let volume = g.volume_as(request).await?;
    let restored = g.published(volume).await?;
    read_all(Path::new(&restored.target))
}

/// A piece as a range.
pub(super) fn piece(number: u64) -> Range {
    let from = ask::bytes(number * PIECE as u64);
    (from, from + ask::bytes(PIECE as u64))
}

async fn covers_data(g: &Ground) -> Verdict {
    let (source, snapshot) = taken(g).await?;
    let found = ranges(&stream(g, &snapshot, 0, 0).await?);
    for number in WRITTEN {
        let (from, to) = piece(number);
        let got = format!("no range for the bytes {from}..{to}, which were written");
        want(covered(&found, (from, to)), "GetMetadataAllocated", got, "ranges with all data")?;
    }
    let content = content(g, &source, &snapshot).await?;
    const STEP: usize = 4096;
    for (index, block) in content.chunks(STEP).enumerate() {
        let from = ask::bytes((index * STEP) as u64);
        let range = (from, from + ask::bytes(block.len() as u64));
        let empty = block.iter().all(|byte| *byte == 0);
        let got = format!("no range for the bytes from {from}, which are not zero");
        let fits = empty || covered(&found, range);
        want(fits, "GetMetadataAllocated", got, "ranges with all data")?;
    }
    Ok(())
}

async fn ordered(g: &Ground) -> Verdict {
    let (source, snapshot) = taken(g).await?;
    for most in [0, 1] {
        let stream = stream(g, &snapshot, 0, most).await?;
        judge_order("GetMetadataAllocated", &stream, source.volume.capacity)?;
    }
    Ok(())
}

async fn max_results(g: &Ground) -> Verdict {
    let (_, snapshot) = taken(g).await?;
    let whole = ranges(&stream(g, &snapshot, 0, 0).await?);
    for most in [1, 2] {
        let stream = stream(g, &snapshot, 0, most).await?;
        let longest = stream.iter().map(|message| message.ranges.len()).max().unwrap_or(0);
        let asked = format!("GetMetadataAllocated: max_results {most}");
        let fits = i32::try_from(longest).is_ok_and(|longest| longest <= most);
        want(fits, asked.clone(), format!("a message of {longest}"), format!("at most {most}"))?;
        let same = whole.iter().all(|range| covered(&ranges(&stream), *range));
        want(same, asked, "ranges are missing", "all of them, in more messages")?;
    }
    Ok(())
}

async fn resumes(g: &Ground) -> Verdict {
    let (_, snapshot) = taken(g).await?;
    let whole = ranges(&stream(g, &snapshot, 0, 0).await?);
    let first = whole.first().map_or(0, |range| range.1);
    for start in [first, piece(5).0 + 4096, piece(6).0] {
        let rest = ranges(&stream(g, &snapshot, start, 0).await?);
        judge_resumed("GetMetadataAllocated", &whole, &rest, start)?;
    }
    Ok(())
}

/// Fails unless `rest` is what `whole` has behind `start`.
pub(super) fn judge_resumed(rpc: &str, whole: &[Range], rest: &[Range], start: i64) -> Verdict {
    let asked = format!("{rpc}: starting_offset {start}");
    let early = rest.iter().find(|range| range.1 <= start);
    let got = format!("the range {early:?}");
    want(early.is_none(), asked.clone(), got, "no range that ends before it")?;
    let behind = whole.iter().filter(|range| range.1 > start);
    for (from, to) in behind {
        let range = (*from.max(&start), *to);
        let got = format!("no range for {}..{to}", range.0);
        want(covered(rest, range), asked.clone(), got, "all ranges behind it")?;
    }
    Ok(())
}

async fn bad_offset(g: &Ground) -> Verdict {
    let volume = g.volume(Access::Block).await?;
    let snapshot = g.snapshot(&volume).await?;
    let beyond = volume.capacity.max(ask::bytes(g.options.size)) + (1 << 20);
    for starting_offset in [-1, beyond] {
        let request = csi::GetMetadataAllocatedRequest {
            snapshot_id: snapshot.snapshot_id.clone(),
            starting_offset,
            ..Default::default()
        };
        let answer = g.calls.get_metadata_allocated(request).await;
        answer.when(format!("starting_offset {starting_offset}")).is(&[Code::OutOfRange])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_what_they_hold_together_and_nothing_else() {
        let ranges = [(0, 10), (10, 20), (30, 40)];
        assert!(covered(&ranges, (0, 20)) && covered(&ranges, (15, 20)));
        assert!(!covered(&ranges, (15, 25)) && !covered(&ranges, (25, 35)));
        assert!(!covered(&[], (0, 1)));
    }

    #[test]
    fn every_rule_of_order_is_judged() {
        let fixed = csi::BlockMetadataType::FixedLength as i32;
        let variable = csi::BlockMetadataType::VariableLength as i32;
        let message =
            |style, ranges: &[Range]| Message { style, capacity: 100, ranges: ranges.to_vec() };
        let fits = |stream: &[Message]| judge_order("x", stream, 100).is_ok();
        assert!(fits(&[message(variable, &[(0, 10), (20, 90)]), message(variable, &[(90, 100)])]));
        assert!(!fits(&[message(0, &[(0, 10)])]));
        assert!(!fits(&[message(fixed, &[(0, 10), (20, 40)])]));
        assert!(!fits(&[message(fixed, &[(0, 10)]), message(variable, &[(10, 20)])]));
        assert!(!fits(&[message(variable, &[(0, 10), (5, 20)])]));
        assert!(!fits(&[message(variable, &[(10, 10)])]));
        assert!(!fits(&[message(variable, &[(90, 110)])]));
        assert!(judge_order("x", &[message(variable, &[])], 200).is_err());
    }
}
