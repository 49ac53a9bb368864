//! Published block devices: their size and where they end.

use crate::csi::ask::Access;
use crate::csi::check::{Check, Verdict, check, skip, want};
use crate::csi::content::{PIECE, write_beyond};
use crate::csi::ground::Ground;
use crate::csi::need::{CREATE, Need};
use std::path::Path;

pub(super) const CHECKS: &[Check] = &[
    check!("block-size", Must, [CREATE, Need::NodeService, Need::Block, Need::Here] => size,
        "CreateVolume: the underlying volume, when used as BlockVolume, MUST match the specified \
         capacity_range"),
    check!("block-exact-size", Must, [CREATE, Need::NodeService, Need::Block, Need::Here] => exact,
        "CreateVolume: a block volume asked for with an exact size has that size on the node"),
    check!("block-full-at-capacity", Must,
        [CREATE, Need::NodeService, Need::Block, Need::Here] => full,
        "NodePublishVolume: a block volume ends at its capacity; writing beyond fails"),
    check!("block-last-byte", Must,
        [CREATE, Need::NodeService, Need::Block, Need::Here] => last_byte,
        "CreateVolume: all of a block volume's capacity can be written and read"),
];

async fn size(g: &Ground) -> Verdict {
    let here = g.new_published(Access::Block).await?;
    here.expect_there()?;
    let seen = here.size()?;
    let capacity = u64::try_from(here.volume.capacity).unwrap_or(0);
    let asked = "measure the published device";
    let enough = seen >= g.options.size;
    want(enough, asked, format!("{seen} bytes"), format!("{} or more", g.options.size))?;
    let same = capacity == 0 || seen == capacity;
    want(same, asked, format!("{seen} bytes"), format!("capacity_bytes {capacity}"))
}

async fn exact(g: &Ground) -> Verdict {
    let mut request = g.create_request(Access::Block);
    request.capacity_range = crate::csi::ask::exactly(g.options.size);
    let answer = g.calls.create_volume(request.clone()).await;
    if answer.code() == tonic::Code::OutOfRange {
        return skip("the driver cannot make exactly that size");
    }
    let volume = crate::csi::ground::made(request, answer.prepared()?)?;
    let here = g.published(volume).await?;
    let seen = here.size()?;
    let asked = "measure a published device that was asked for with an exact size";
    want(seen == g.options.size, asked, format!("{seen} bytes"), g.options.size.to_string())
}

async fn full(g: &Ground) -> Verdict {
    let here = g.new_published(Access::Block).await?;
    let capacity = u64::try_from(here.volume.capacity).unwrap_or(0).max(g.options.size);
    let went_in = write_beyond(Path::new(&here.target), capacity)?;
    let asked = format!("write behind the last of {capacity} bytes");
    want(!went_in, asked, "it was written", "an error")
}

async fn last_byte(g: &Ground) -> Verdict {
    let here = g.new_published(Access::Block).await?;
    let pieces = g.options.size / PIECE as u64;
    here.write(pieces - 1, 9)?;
    here.expect(pieces - 1, 9, "the last MiB of the device")
}
