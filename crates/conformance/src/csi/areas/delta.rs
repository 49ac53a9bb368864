//! `GetMetadataDelta`: which blocks changed between two snapshots, judged by the content itself.

use super::allocated::{Message, content, judge_order, judge_resumed, piece, ranges, taken};
use crate::csi::ask;
use crate::csi::check::{Check, Verdict, check, skip, want};
use crate::csi::ground::Ground;
use crate::csi::need::{CREATE, METADATA, Need, SNAPSHOT};
use crate::csi::on_node::OnNode;
use becket_csi::protocol::csi;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("delta-covers-changes", Must,
        [CREATE, SNAPSHOT, METADATA, Need::Block, Need::Here] => covers_changes,
        "GetMetadataDelta: gives the data ranges that have changed between two snapshots; outside \
         of them the snapshots are the same"),
    check!("delta-only-changes", Judgement,
        [CREATE, SNAPSHOT, METADATA, Need::Block, Need::Here] => only_changes,
        "GetMetadataDelta: the data ranges that have changed are not the whole volume where \
         little has"),
    check!("delta-ordered", Must, [CREATE, SNAPSHOT, METADATA, Need::Block, Need::Here] => ordered,
        "GetMetadataDelta: ranges ascend without overlap and are not empty, and style and \
         capacity are the same in all messages"),
    check!("delta-max-results", Must,
        [CREATE, SNAPSHOT, METADATA, Need::Block, Need::Here] => max_results,
        "GetMetadataDelta: with max_results, no message has more entries than that"),
    check!("delta-resumes", Must, [CREATE, SNAPSHOT, METADATA, Need::Block, Need::Here] => resumes,
        "GetMetadataDelta: with starting_offset, no range ends before it, and none behind it is \
         missing"),
    check!("delta-bad-offset", Must,
        [CREATE, SNAPSHOT, METADATA, Need::Block, Need::Here] => bad_offset,
        "GetMetadataDelta: a starting_offset that is negative or exceeds the volume size is \
         OUT_OF_RANGE"),
    check!("delta-of-two-volumes", Should,
        [CREATE, SNAPSHOT, METADATA, Need::Block, Need::Here] => of_two_volumes,
        "GetMetadataDelta: target_snapshot_id is a second snapshot of the same volume; another \
         volume's is INVALID_ARGUMENT"),
];

/// Pieces that are written anew between the snapshots.
const CHANGED: [u64; 2] = [5, 9];

struct Pair {
    source: OnNode,
    base: csi::Snapshot,
    target: csi::Snapshot,
}

async fn pair(g: &Ground) -> Verdict<Pair> {
    let (source, base) = taken(g).await?;
    let again = g.published(source.volume.clone()).await?;
    for piece in CHANGED {
        again.write(piece, piece + 100)?;
    }
    g.take_down(&again).await?;
    let target = g.snapshot(&source.volume).await?;
    Ok(Pair { source, base, target })
}

fn request(pair: &Pair, starting_offset: i64, max_results: i32) -> csi::GetMetadataDeltaRequest {
    csi::GetMetadataDeltaRequest {
        base_snapshot_id: pair.base.snapshot_id.clone(),
        target_snapshot_id: pair.target.snapshot_id.clone(),
        starting_offset,
        max_results,
        ..Default::default()
    }
}

async fn stream(g: &Ground, pair: &Pair, offset: i64, most: i32) -> Verdict<Vec<Message>> {
    let what = format!("starting_offset {offset}, max_results {most}");
    let answer = g.calls.get_metadata_delta(request(pair, offset, most)).await.when(what);
    if answer.code() == Code::FailedPrecondition {
        return skip(format!("the driver does not track changes: {}", answer.shown()));
    }
    let message = |one: csi::GetMetadataDeltaResponse| {
        Message::new(one.block_metadata_type, one.volume_capacity_bytes, one.block_metadata)
    };
    Ok(answer.ok()?.into_iter().map(message).collect())
}

async fn covers_changes(g: &Ground) -> Verdict {
    let pair = pair(g).await?;
    let found = ranges(&stream(g, &pair, 0, 0).await?);
    let old = content(g, &pair.source, &pair.base).await?;
    let new = content(g, &pair.source, &pair.target).await?;
    want(old != new, "compare the snapshots", "no difference", "the pieces that were written")?;
    const STEP: usize = 4096;
    for (index, (old, new)) in old.chunks(STEP).zip(new.chunks(STEP)).enumerate() {
        let from = ask::bytes((index * STEP) as u64);
        let range = (from, from + ask::bytes(old.len() as u64));
        let got = format!("no range for the bytes from {from}, which differ");
        let fits = old == new || super::allocated::covered(&found, range);
        want(fits, "GetMetadataDelta", got, "ranges with all changes")?;
    }
    Ok(())
}

async fn only_changes(g: &Ground) -> Verdict {
    let pair = pair(g).await?;
    let found = ranges(&stream(g, &pair, 0, 0).await?);
    let total: i64 = found.iter().map(|(from, to)| to - from).sum();
    let half = pair.source.volume.capacity / 2;
    let got = format!("{total} bytes changed, after writing 2 MiB");
    want(total < half, "GetMetadataDelta", got, "less than half of the volume")
}

async fn ordered(g: &Ground) -> Verdict {
    let pair = pair(g).await?;
    for most in [0, 1] {
        let stream = stream(g, &pair, 0, most).await?;
        judge_order("GetMetadataDelta", &stream, pair.source.volume.capacity)?;
    }
    Ok(())
}

async fn max_results(g: &Ground) -> Verdict {
    let pair = pair(g).await?;
    let whole = ranges(&stream(g, &pair, 0, 0).await?);
    let stream = stream(g, &pair, 0, 1).await?;
    let longest = stream.iter().map(|message| message.ranges.len()).max().unwrap_or(0);
    let asked = "GetMetadataDelta: max_results 1";
    want(longest <= 1, asked, format!("a message of {longest}"), "at most 1")?;
    let same = whole.iter().all(|range| super::allocated::covered(&ranges(&stream), *range));
    want(same, asked, "ranges are missing", "all of them, in more messages")
}

async fn resumes(g: &Ground) -> Verdict {
    let pair = pair(g).await?;
    let whole = ranges(&stream(g, &pair, 0, 0).await?);
    for start in [piece(5).0 + 4096, piece(6).0] {
        let rest = ranges(&stream(g, &pair, start, 0).await?);
        judge_resumed("GetMetadataDelta", &whole, &rest, start)?;
    }
    Ok(())
}

async fn bad_offset(g: &Ground) -> Verdict {
    let pair = pair(g).await?;
    let beyond = pair.source.volume.capacity.max(ask::bytes(g.options.size)) + (1 << 20);
    for offset in [-1, beyond] {
        let answer = g.calls.get_metadata_delta(request(&pair, offset, 0)).await;
        answer.when(format!("starting_offset {offset}")).is(&[Code::OutOfRange])?;
    }
    Ok(())
}

async fn of_two_volumes(g: &Ground) -> Verdict {
    let (source, base) = taken(g).await?;
    let (_, target) = taken(g).await?;
    let answer = g.calls.get_metadata_delta(request(&Pair { source, base, target }, 0, 0)).await;
    answer.when("snapshots of two volumes").is(&[Code::InvalidArgument])
}
