//! Expansions that cannot be.

use super::expand::request;
use crate::csi::ask::{self, Access};
use crate::csi::check::{Check, Tally, Verdict, check, skip, want};
use crate::csi::ground::Ground;
use crate::csi::need::{CREATE, EXPAND, Need, ONLINE};
use becket_csi::protocol::csi;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("expand-smaller", Should, [CREATE, EXPAND] => smaller,
        "ControllerExpandVolume: a volume that is already larger SHOULD be OK, and keeps its size"),
    check!("expand-beyond", Must, [CREATE, EXPAND] => beyond,
        "ControllerExpandVolume: a capacity_range that the plugin does not allow is OUT_OF_RANGE"),
    check!("expand-negative", Must, [CREATE, EXPAND] => negative,
        "CapacityRange: required_bytes and limit_bytes MUST NOT be negative"),
    check!("expand-limit-below-required", Must, [CREATE, EXPAND] => limit_below,
        "CapacityRange: a range whose limit_bytes is below its required_bytes holds no size"),
    check!("expand-refused-changes-nothing", Must,
        [CREATE, EXPAND, Need::NodeService, Need::Here] => changes_nothing,
        "ControllerExpandVolume: a request that was refused with a final code has not grown the \
         volume, nor harmed it"),
    check!("expand-other-capability", Should, [CREATE, EXPAND, Need::Mount] => other_capability,
        "ControllerExpandVolume: capabilities that the volume does not support are \
         INVALID_ARGUMENT"),
    check!("expand-published-offline-only", Must,
        [CREATE, EXPAND, Need::NodeService, Need::Here] => offline_only,
        "ControllerExpandVolume: a published volume of a plugin without ONLINE expansion is \
         FAILED_PRECONDITION"),
];

const BAD_RANGE: &[Code] = &[Code::InvalidArgument, Code::OutOfRange];

async fn smaller(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let answer = g.calls.controller_expand_volume(request(&volume, g.options.size / 2)).await;
    let answer = answer.when("half of the volume's size");
    let asked = answer.asked();
    let capacity = answer.ok()?.capacity_bytes;
    let have = volume.capacity;
    let got = format!("capacity_bytes {capacity}");
    want(have == 0 || capacity == have, asked, got, have.to_string())
}

async fn beyond(g: &Ground) -> Verdict {
    let mut tally = Tally::default();
    let volume = g.volume(g.access()).await?;
    for required in [1 << 60, i64::MAX] {
        let mut request = request(&volume, 0);
        request.capacity_range = ask::range(required, 0);
        let answer = g.calls.controller_expand_volume(request).await;
        let what = format!("required_bytes {required}");
        tally.take(answer.when(what).is(&[Code::OutOfRange, Code::ResourceExhausted]))?;
    }
    tally.verdict()
}

async fn negative(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let mut tally = Tally::default();
    for (what, range) in [
        ("negative required_bytes", ask::range(-1, 0)),
        ("negative limit_bytes", ask::range(ask::bytes(g.options.expand_size), -1)),
    ] {
        let mut request = request(&volume, 0);
        request.capacity_range = range;
        let answer = g.calls.controller_expand_volume(request).await.when(what);
        tally.take(answer.is(BAD_RANGE))?;
    }
    tally.verdict()
}

async fn limit_below(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let size = ask::bytes(g.options.expand_size);
    let mut request = request(&volume, 0);
    request.capacity_range = ask::range(size, size - 1);
    let answer = g.calls.controller_expand_volume(request).await;
    answer.when("limit_bytes below required_bytes").is(BAD_RANGE)
}

async fn changes_nothing(g: &Ground) -> Verdict {
    let here = g.new_published(g.access()).await?;
    here.write(0, 1)?;
    let before = here.size()?;
    g.take_down(&here).await?;
    let mut impossible = request(&here.volume, 0);
    impossible.capacity_range = ask::range(1 << 60, 0);
    g.calls.controller_expand_volume(impossible).await.when("1 EiB").refused()?;
    let again = g.published(here.volume).await?;
    again.expect(0, 1, "a volume whose expansion was refused")?;
    let after = again.size()?;
    let asked = "look at the size of a volume whose expansion was refused";
    want(before == after, asked, format!("{after} bytes"), format!("{before} bytes, as before"))
}

async fn other_capability(g: &Ground) -> Verdict {
    let volume = g.volume(Access::Mount).await?;
    let request = csi::ControllerExpandVolumeRequest {
        volume_capability: Some(g.capability(Access::Block)),
        ..request(&volume, g.options.expand_size)
    };
    let answer = g.calls.controller_expand_volume(request).await;
    answer.when("block capability, of a mount volume").is(&[Code::InvalidArgument])
}

async fn offline_only(g: &Ground) -> Verdict {
    if g.has(ONLINE) {
        return skip("the driver claims VolumeExpansion ONLINE");
    }
    let here = g.new_published(g.access()).await?;
    let request = request(&here.volume, g.options.expand_size);
    let answer = g.calls.controller_expand_volume(request).await.when("a published volume");
    answer.is(&[Code::FailedPrecondition])
}
