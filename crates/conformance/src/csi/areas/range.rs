//! `capacity_range` of `CreateVolume`.

use crate::csi::ask;
use crate::csi::check::{Check, Tally, Verdict, check, want};
use crate::csi::ground::Ground;
use crate::csi::need::CREATE;
use becket_csi::protocol::csi;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("create-exact-size", Must, [CREATE] => exact,
        "CapacityRange: with required_bytes and limit_bytes the same, the volume has exactly that \
         size, or OUT_OF_RANGE"),
    check!("create-limit-honoured", Must, [CREATE] => limit,
        "CapacityRange: a volume MUST NOT be bigger than limit_bytes"),
    check!("create-size-of-odd-bytes", Must, [CREATE] => odd,
        "CapacityRange: a volume MUST be at least required_bytes, also where that is no multiple \
         of anything"),
    check!("create-negative-size", Must, [CREATE] => negative,
        "CapacityRange: required_bytes and limit_bytes MUST NOT be negative"),
    check!("create-limit-below-required", Must, [CREATE] => limit_below,
        "CapacityRange: a range whose limit_bytes is below its required_bytes holds no size"),
    check!("create-empty-range", Should, [CREATE] => empty,
        "CapacityRange: at least one of required_bytes and limit_bytes MUST be specified"),
    check!("create-absurd-size", Must, [CREATE] => absurd,
        "CreateVolume: a capacity_range that the plugin does not allow is OUT_OF_RANGE, one for \
         which there is no room RESOURCE_EXHAUSTED"),
];

/// Codes for a range that is wrong in itself: the general rule's and the table's.
const BAD_RANGE: &[Code] = &[Code::InvalidArgument, Code::OutOfRange];

fn asked(g: &Ground, range: Option<csi::CapacityRange>) -> csi::CreateVolumeRequest {
    csi::CreateVolumeRequest { capacity_range: range, ..g.create_request(g.access()) }
}

/// The capacity of a volume made with `range`; nothing when that is out of range.
async fn capacity(
    g: &Ground,
    range: Option<csi::CapacityRange>,
    what: &str,
) -> Verdict<Option<i64>> {
    let answer = g.calls.create_volume(asked(g, range)).await.when(what);
    if answer.code() == Code::OutOfRange {
        return Ok(None);
    }
    Ok(Some(answer.ok()?.volume.unwrap_or_default().capacity_bytes))
}

async fn exact(g: &Ground) -> Verdict {
    let size = ask::bytes(g.options.size);
    let what = "limit_bytes and required_bytes the same";
    match capacity(g, ask::exactly(g.options.size), what).await? {
        None => Ok(()),
        Some(got) => {
            let asked = format!("CreateVolume: {what}");
            want(got == size, asked, format!("capacity_bytes {got}"), size.to_string())
        }
    }
}

async fn limit(g: &Ground) -> Verdict {
    let size = ask::bytes(g.options.size);
    match capacity(g, ask::range(0, size), "only limit_bytes").await? {
        None => Ok(()),
        Some(got) => {
            let fits = got > 0 && got <= size;
            let wanted = format!("1 to {size}");
            want(fits, "CreateVolume: only limit_bytes", format!("capacity_bytes {got}"), wanted)
        }
    }
}

async fn odd(g: &Ground) -> Verdict {
    let size = ask::bytes(g.options.size) + 1;
    match capacity(g, ask::range(size, 0), "an odd required_bytes").await? {
        None => Ok(()),
        Some(got) => {
            let fits = got == 0 || got >= size;
            let got = format!("capacity_bytes {got}");
            want(fits, "CreateVolume: an odd required_bytes", got, format!("{size} or more"))
        }
    }
}

async fn negative(g: &Ground) -> Verdict {
    let mut tally = Tally::default();
    let size = ask::bytes(g.options.size);
    for (what, range) in [
        ("negative required_bytes", ask::range(-1, 0)),
        ("negative limit_bytes", ask::range(size, -1)),
        ("the most negative required_bytes", ask::range(i64::MIN, 0)),
    ] {
        let answer = g.calls.create_volume(asked(g, range)).await.when(what);
        tally.take(answer.is(BAD_RANGE))?;
    }
    tally.verdict()
}

async fn limit_below(g: &Ground) -> Verdict {
    let size = ask::bytes(g.options.size);
    let answer = g.calls.create_volume(asked(g, ask::range(size, size - 1))).await;
    answer.when("limit_bytes below required_bytes").is(BAD_RANGE)
}

async fn empty(g: &Ground) -> Verdict {
    let answer = g.calls.create_volume(asked(g, ask::range(0, 0))).await;
    answer.when("a capacity_range with neither field").is(BAD_RANGE)
}

async fn absurd(g: &Ground) -> Verdict {
    let mut tally = Tally::default();
    for required in [1 << 60, i64::MAX] {
        let answer = g.calls.create_volume(asked(g, ask::range(required, 0))).await;
        let what = format!("required_bytes {required}");
        tally.take(answer.when(what).is(&[Code::OutOfRange, Code::ResourceExhausted]))?;
    }
    tally.verdict()
}
