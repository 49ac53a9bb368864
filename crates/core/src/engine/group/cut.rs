//! The one moment of a group: everything that may be written to is held still until all is copied.

use super::Member;
use crate::backend::{Backend, Place, on_another_node};
use crate::engine::Engine;
use crate::engine::observe::{at_rest, mounts};
use crate::engine::snapshot::{
    LONGEST_FREEZE, WhileFrozen, flush, in_use, mark_of, root_of, thaw_left,
};
use crate::pool::Pool;
use crate::progress::Progress;
use crate::record::{Content, VolumeRecord};
use crate::{Error, Kind, Result};
use becket_sys::freeze::{self, Frozen};
use rustix::fs::OFlags;
use std::fs::File;
use std::path::PathBuf;

/// A filesystem in use, open where it is mounted.
struct InUse<'a> {
    volume: &'a VolumeRecord,
    point: PathBuf,
    root: File,
}

impl Engine {
    /// Copies every volume to the hidden place of its snapshot, all of them as they are at one moment.
    /// The caller holds the volumes' locks.
    pub(super) fn cut(&self, backend: &dyn Backend, pool: &Pool, members: &[Member]) -> Result<()> {
        let (mut used, mut at_rest) = (Vec::new(), Vec::new());
        for member @ (volume, _) in members {
            thaw_left(backend, pool, volume)?;
            if backend.used_elsewhere(pool, volume)? {
                return Err(on_another_node(volume));
            }
            match is_used(backend, pool, volume)? {
                true => used.push(member),
                false => at_rest.push(member),
            }
        }
        // One volume alone has its own rules, and what is at rest stays as it is meanwhile.
        if used.len() < 2 {
            return members.iter().try_for_each(|(volume, snapshot)| {
                self.at_one_moment(backend, pool, volume, |progress| {
                    backend.copy_to_snapshot(pool, volume, snapshot, progress)
                })
            });
        }
        let still = used.iter().map(|(volume, _)| find_root(backend, pool, volume));
        let still = still.collect::<Result<Vec<_>>>()?;
        if let [first, ..] = still.as_slice()
            && !backend.abilities(pool)?.snapshots_while_frozen
        {
            return Err(in_use(first.volume, "volumes of this pool cannot be held still together"));
        }
        let copy = |members: &[&Member], progress: &dyn Progress| {
            members.iter().try_for_each(|(volume, snapshot)| {
                backend.copy_to_snapshot(pool, volume, snapshot, progress)
            })
        };
        copy(&at_rest, self.progress.as_ref())?;
        while_still(pool, &still, |frozen| {
            copy(&used, &WhileFrozen { frozen, inner: self.progress.as_ref() })
        })
    }
}

/// True when something may write to the volume. A device that its last user has just left is waited for.
fn is_used(backend: &dyn Backend, pool: &Pool, volume: &VolumeRecord) -> Result<bool> {
    if volume.content == Content::Block {
        return Ok(!backend.devices(pool, volume, Place::Ready)?.is_empty());
    }
    Ok(!mounts(backend, pool, volume)?.is_empty() || !at_rest(backend, pool, volume)?)
}

/// The volume's filesystem, where it can be held still; `WrongState` where that is impossible.
fn find_root<'a>(
    backend: &dyn Backend,
    pool: &Pool,
    volume: &'a VolumeRecord,
) -> Result<InUse<'a>> {
    match volume.content {
        Content::Directory => {
            return Err(in_use(volume, "its files would be copied at different moments"));
        }
        Content::Block => return Err(in_use(volume, "a raw block device cannot be held still")),
        Content::Ext4 | Content::Xfs | Content::Btrfs => {}
    }
    let mounts = mounts(backend, pool, volume)?;
    let seen = mounts.iter().find_map(root_of);
    let seen = seen.map(|(mounted, root)| InUse { volume, point: mounted.point.clone(), root });
    seen.ok_or_else(|| in_use(volume, "it is mounted where becket cannot hold it still"))
}

/// Runs `copy` while all of them are held still at once. An error when they were not, all the time.
fn while_still(
    pool: &Pool,
    used: &[InUse<'_>],
    copy: impl FnOnce(&[Frozen]) -> Result<()>,
) -> Result<()> {
    // Were a guard killed together with us, the next one to come would see these marks and thaw.
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW;
    for member in used {
        pool.locks.open_file(mark_of(&member.volume.name), flags)?;
    }
    let copied = freeze_all(used).and_then(|frozen| {
        let copied = copy(&frozen);
        let expired = frozen.iter().any(Frozen::expired);
        let thawed: Vec<_> = frozen.into_iter().map(Frozen::thaw).collect();
        match expired {
            true => Err(too_slow()),
            false => {
                copied.and_then(|()| Ok(thawed.into_iter().collect::<becket_sys::Result<_>>()?))
            }
        }
    });
    let unmarked = used.iter().map(|member| pool.locks.remove_file(mark_of(&member.volume.name)));
    let unmarked: Vec<_> = unmarked.collect();
    copied.and_then(|()| Ok(unmarked.into_iter().collect::<becket_sys::Result<()>>()?))
}

/// Freezes one after the other; when one cannot be frozen, the others are thawed. What is in memory is
/// written out before the first writer is held up.
fn freeze_all(used: &[InUse<'_>]) -> Result<Vec<Frozen>> {
    for member in used {
        flush(&member.root, member.volume)?;
    }
    let freeze =
        |member: &InUse<'_>| Ok(freeze::freeze(&member.root, &member.point, LONGEST_FREEZE)?);
    used.iter().map(freeze).collect()
}

fn too_slow() -> Error {
    let seconds = LONGEST_FREEZE.as_secs();
    let what = format!(
        "several volumes are in use, and copying them takes longer than the {seconds} s that their writers may be held up"
    );
    Error::new(Kind::WrongState, what)
        .hint("unmount them first, or use a pool on xfs or btrfs, where a snapshot takes no time")
}
