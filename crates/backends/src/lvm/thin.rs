//! Thin pools: how full they are, as the kernel tells it.

use super::command;
use super::group::{Group, Logical};
use becket_core::backend::Space;
use becket_core::{Error, Kind, Result};
use becket_sys::device_mapper::{self, Target};

/// No new volume where more than this part of the pool's own metadata is taken: a pool that runs out of it
/// stops all its volumes.
const FULL_METADATA: f64 = 0.9;

/// What a thin pool tells of itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fill {
    pub(super) space: Space,
    /// The part of its metadata that is taken.
    pub(super) metadata: f64,
    /// It takes writes.
    pub(super) writable: bool,
}

/// The thin pool of this name in the group.
pub(super) fn expect_pool<'a>(group: &'a Group, name: &str) -> Result<&'a Logical> {
    let found = group.logical(name).filter(|logical| logical.attributes.starts_with('t'));
    found.ok_or_else(|| {
        Error::new(
            Kind::Unavailable,
            format!("volume group `{}` has no thin pool `{name}`", group.name),
        )
        .hint("`lvs -a` shows what it has")
    })
}

/// How full the thin pool is. It is activated for that where it is not, which changes nothing in it.
pub(super) fn fill(group: &Group, thin_pool: &Logical) -> Result<Fill> {
    let uuid = format!("{}-tpool", thin_pool.mapped_uuid(group));
    let mut state = device_mapper::state(&uuid)?;
    let place = thin_pool.place(group);
    if state.is_empty() {
        let what = format!("activate thin pool `{place}`");
        command::change(&what, &["lvchange", "--activate", "y", &place])?;
        state = device_mapper::state(&uuid)?;
    }
    state.first().and_then(read).ok_or_else(|| {
        let said = state.first().map_or("nothing", |target| target.state.as_str());
        Error::new(
            Kind::Unavailable,
            format!("thin pool `{place}` is not in order: it says `{said}`"),
        )
        .hint("look at it with `lvs -a` and mend it with `lvconvert --repair`")
    })
}

/// Bytes that the thin volume has written to; `None` where it is not active.
pub(super) fn written(group: &Group, logical: &Logical) -> Result<Option<u64>> {
    let state = device_mapper::state(&logical.mapped_uuid(group))?;
    let sectors = state.first().and_then(|target| target.state.split(' ').next()?.parse().ok());
    Ok(sectors.map(|sectors: u64| sectors * 512))
}

/// `NoSpace` where the pool's metadata is nearly full, `WrongState` where it takes no writes.
pub(super) fn refuse_exhausted(group: &Group, thin_pool: &Logical) -> Result<()> {
    judge(fill(group, thin_pool)?, &thin_pool.place(group))
}

fn judge(fill: Fill, place: &str) -> Result<()> {
    if !fill.writable {
        return Err(Error::new(Kind::WrongState, format!("thin pool `{place}` takes no writes"))
            .hint("look at it with `lvs -a`; it may need `lvextend` or `lvconvert --repair`"));
    }
    if fill.metadata > FULL_METADATA {
        return Err(Error::new(
            Kind::NoSpace,
            format!("the metadata of thin pool `{place}` is {:.0} % full", fill.metadata * 100.0),
        )
        .hint("grow it with `lvextend --poolmetadatasize`"));
    }
    Ok(())
}

/// Reads the state of a thin pool (`thin-provisioning.rst` of the kernel's documentation).
fn read(target: &Target) -> Option<Fill> {
    let mut words = target.state.split(' ').skip(1);
    let (used_metadata, metadata) = parts(words.next()?)?;
    let (used, blocks) = parts(words.next()?)?;
    let mode = words.nth(1)?;
    let total = target.sectors * 512;
    let block = total / blocks.max(1);
    Some(Fill {
        space: Space { total, free: total.saturating_sub(used * block) },
        metadata: used_metadata as f64 / metadata.max(1) as f64,
        writable: mode == "rw",
    })
}

fn parts(words: &str) -> Option<(u64, u64)> {
    let (used, total) = words.split_once('/')?;
    Some((used.parse().ok()?, total.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(state: &str) -> Option<Fill> {
        read(&Target { sectors: 2_097_152, kind: "thin-pool".into(), state: state.into() })
    }

    #[test]
    fn a_pool_says_how_full_it_is_and_whether_it_takes_writes() {
        let words = "3 112/1024 4096/16384 - rw discard_passdown queue_if_no_space - 1024";
        let fill = said(words).unwrap();
        assert_eq!((fill.space.total, fill.space.free), (1 << 30, 768 << 20));
        assert!(fill.writable && fill.metadata > 0.1 && fill.metadata < 0.2);
        let full = said(&words.replace("rw", "out_of_data_space")).unwrap();
        assert!(!full.writable);
        for (state, kind) in [
            (words.to_owned(), None),
            (words.replace("112/", "930/"), Some(Kind::NoSpace)),
            (words.replace("rw", "ro"), Some(Kind::WrongState)),
        ] {
            let judged = judge(said(&state).unwrap(), "group/pool");
            assert_eq!(judged.err().map(|error| error.kind()), kind, "{state}");
        }
        for broken in ["Fail", "", "1 2 3", "0 1/2"] {
            assert_eq!(said(broken), None, "{broken}");
        }
    }
}
