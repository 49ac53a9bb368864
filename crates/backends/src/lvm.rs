//! `lvm`: a volume is a logical volume, thick or thin, with a filesystem in it or raw.
//!
//! A pool is a volume group, whose volumes are thick, or a thin pool in one, whose volumes are thin. The
//! logical volume is the limit. Snapshots and clones of thin volumes share blocks and take no time; those
//! of thick ones are copies. What exists is told by tags (`catalog`), and what is in use by the kernel's
//! device mapper (`devices`).
//!
//! Logical volumes are named after UUIDs, so that no name of a volume can be LVM's own or another's. They
//! stay active while they exist, as those of people do. Raw block and snapshots are active only while they
//! are used: nothing else tells the kernel that a raw block volume is.

mod catalog;
mod command;
mod devices;
mod group;
mod making;
mod options;
mod payload;
mod removal;
mod seen;
pub mod setup;
mod tags;
mod thin;

pub use group::{GROUP, GROUP_UUID, THIN_POOL};
pub use options::{LVCREATE_OPTIONS, WIPE};

use becket_core::backend::{Abilities, Backend, From, Hold, Medium, Place, Source, Space};
use becket_core::catalog::Catalog;
use becket_core::progress::Progress;
use becket_core::record::{Content, Provisioning, SnapshotRecord, VolumeRecord};
use becket_core::{Error, Kind, Pool, Result, size};
use becket_sys::point::Point;
use catalog::{SNAPSHOT, Tagged, VOLUME, expect};
use group::{Group, PREPARING, READY};
use making::{New, blank, extend};
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The backend.
#[derive(Debug, Clone, Copy)]
pub struct Lvm;

/// What logical volumes can hold, the default first.
const CONTENTS: &[Content] = &[Content::Ext4, Content::Xfs, Content::Btrfs, Content::Block];

/// What a description of one more logical volume may take of the group's own room.
const DESCRIPTION: u64 = 8 * 1024;

impl Backend for Lvm {
    fn name(&self) -> &'static str {
        "lvm"
    }

    fn catalog(&self) -> &dyn Catalog {
        &Tagged
    }

    fn contents(&self) -> &'static [Content] {
        CONTENTS
    }

    fn abilities(&self, pool: &Pool) -> Result<Abilities> {
        Ok(Abilities {
            limits: true,
            shares_blocks: is_thin(pool),
            snapshots_in_use: true,
            // LVM holds the filesystem still itself for a thin snapshot, and cannot where somebody does already.
            snapshots_while_frozen: !is_thin(pool),
            // The thin pool knows, and tells it only by a program that reads all of its metadata.
            ranges: false,
        })
    }

    fn space(&self, pool: &Pool) -> Result<Space> {
        let group = Group::of(pool)?;
        match pool.record.parameters.get(THIN_POOL) {
            Some(name) => Ok(thin::fill(&group, thin::expect_pool(&group, name)?)?.space),
            None => Ok(Space { total: group.size, free: group.free }),
        }
    }

    fn provisioning(&self, pool: &Pool) -> Provisioning {
        if is_thin(pool) { Provisioning::Thin } else { Provisioning::Thick }
    }

    fn takes_space_at_once(&self, pool: &Pool) -> bool {
        !is_thin(pool)
    }

    fn granularity(&self, pool: &Pool, parameters: &BTreeMap<String, String>) -> Result<u64> {
        let stripes = options::layout(parameters)?.stripes;
        Ok((Group::of(pool)?.extent * stripes).max(size::GRANULE))
    }

    /// A thin volume that has relatives counts as sharing everything with them: how much it really shares
    /// takes reading the whole pool's metadata, and too little promised is safe.
    fn allocated(&self, pool: &Pool, volume: &VolumeRecord) -> Result<u64> {
        let group = Group::of(pool)?;
        let logical = expect(&group, pool, VOLUME, READY, &volume.name)?;
        match (&logical.thin_pool, logical.shared) {
            // What is not the volume's own counts as taken by others: it is nobody's promise.
            (None, _) => Ok(logical.size.saturating_sub(payload::overhead(volume))),
            (Some(_), true) => Ok(0),
            (Some(_), false) => Ok(thin::written(&group, logical)?.unwrap_or(0)),
        }
    }

    fn check(&self, pool: &Pool, volume: &VolumeRecord) -> Result<()> {
        crate::medium::check_content(volume)?;
        options::check(volume)?;
        check_provisioning(pool, volume)?;
        let group = Group::of(pool)?;
        group.refuse_partial()?;
        if group.room < DESCRIPTION {
            return Err(Error::new(
                Kind::NoSpace,
                format!("the metadata area of volume group `{}` is full", group.name),
            )
            .hint("delete volumes, or use another group"));
        }
        if let Some(name) = pool.record.parameters.get(THIN_POOL) {
            thin::refuse_exhausted(&group, thin::expect_pool(&group, name)?)?;
        }
        refuse_stranger(&group, volume)
    }

    fn build(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        from: Option<&From>,
        progress: &dyn Progress,
    ) -> Result<()> {
        let group = Group::of(pool)?;
        let source = match from {
            None => None,
            Some(From::Snapshot(snapshot)) => {
                Some(expect(&group, pool, SNAPSHOT, READY, &snapshot.name)?)
            }
            Some(From::Volume(origin)) => Some(expect(&group, pool, VOLUME, READY, &origin.name)?),
        };
        let rests = volume.content == Content::Block;
        let size = volume.size + payload::overhead(volume);
        let new = New { pool, kind: VOLUME, uuid: volume.uuid, size, rests };
        let layout = options::layout(&volume.parameters)?.words;
        if let Some(source) = source {
            options::refuse_other_encryption(volume, source)?;
        }
        match source {
            Some(source) if source.thin_pool.is_some() => new.share(&group, source, volume)?,
            Some(source) => {
                new.make(&group, &layout, volume)?;
                new.copy(source, volume.name.as_str(), progress)?;
            }
            None => {
                new.make(&group, &layout, volume)?;
                blank(pool, volume)?;
            }
        }
        Ok(())
    }

    fn copy_to_snapshot(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        snapshot: &SnapshotRecord,
        progress: &dyn Progress,
    ) -> Result<()> {
        let group = Group::of(pool)?;
        let source = expect(&group, pool, VOLUME, READY, &volume.name)?;
        let (kind, uuid, size) = (SNAPSHOT, snapshot.uuid, source.size);
        let new = New { pool, kind, uuid, size, rests: true };
        if source.thin_pool.is_some() {
            return new.share(&group, source, snapshot);
        }
        new.make(&group, &[], snapshot)?;
        new.copy(source, snapshot.name.as_str(), progress)
    }

    fn grow(&self, pool: &Pool, volume: &VolumeRecord, _before: u64) -> Result<()> {
        let group = Group::of(pool)?;
        let logical = expect(&group, pool, VOLUME, READY, &volume.name)?;
        let size = volume.size + payload::overhead(volume);
        if logical.size < size {
            extend(pool, &logical.place(&group), size)?;
        }
        let Some(mapped) = payload::mapped(&group, logical, volume)? else {
            return Ok(());
        };
        for device in devices::readonly_loops(&mapped)? {
            device.refresh_size()?;
        }
        Ok(())
    }

    fn stored(&self, pool: &Pool, volume: &VolumeRecord) -> Result<u64> {
        let size = expect(&*Group::of(pool)?, pool, VOLUME, READY, &volume.name)?.size;
        Ok(size.saturating_sub(payload::overhead(volume)))
    }

    fn is_encrypted(&self, volume: &VolumeRecord) -> bool {
        payload::is_encrypted(volume)
    }

    fn sealed(&self, pool: &Pool, volume: &VolumeRecord) -> Result<Medium> {
        let group = Group::of(pool)?;
        let logical = expect(&group, pool, VOLUME, READY, &volume.name)?;
        devices::open(&group, logical, OFlags::RDONLY)
    }

    fn medium(&self, pool: &Pool, volume: &VolumeRecord, place: Place) -> Result<Option<Medium>> {
        let group = Group::of(pool)?;
        let logical = expect(&group, pool, VOLUME, state_of(place), &volume.name)?;
        payload::medium(&group, logical, volume)
    }

    /// By the names of the group and the logical volume: the number of a device is another one tomorrow.
    fn lasting_path(&self, pool: &Pool, volume: &VolumeRecord) -> Result<Option<PathBuf>> {
        let group = Group::of(pool)?;
        let logical = expect(&group, pool, VOLUME, READY, &volume.name)?;
        Ok(Some(PathBuf::from("/dev").join(logical.place(&group))))
    }

    fn attach(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        place: Place,
        hold: Hold,
    ) -> Result<Source> {
        let group = Group::of(pool)?;
        let logical = expect(&group, pool, VOLUME, state_of(place), &volume.name)?;
        payload::source(&group, logical, volume, hold)
    }

    fn attach_readonly(&self, pool: &Pool, volume: &VolumeRecord) -> Result<Source> {
        let group = Group::of(pool)?;
        let logical = expect(&group, pool, VOLUME, READY, &volume.name)?;
        payload::readonly(&group, logical, volume)
    }

    fn devices(&self, pool: &Pool, volume: &VolumeRecord, place: Place) -> Result<Vec<PathBuf>> {
        let group = Group::of(pool)?;
        let logical = expect(&group, pool, VOLUME, state_of(place), &volume.name)?;
        let Some(mapped) = payload::attached(&group, logical, volume, place)? else {
            return Ok(Vec::new());
        };
        if volume.content != Content::Block && !devices::used_by_others(&mapped)? {
            return Ok(Vec::new());
        }
        let loops = devices::readonly_loops(&mapped)?;
        let loops = loops.iter().map(becket_sys::loop_device::LoopDevice::path);
        Ok([mapped.path()].into_iter().chain(loops).collect())
    }

    fn detach(&self, pool: &Pool, volume: &VolumeRecord) -> Result<()> {
        if volume.content != Content::Block {
            return Ok(());
        }
        let group = Group::of(pool)?;
        let logical = expect(&group, pool, VOLUME, READY, &volume.name)?;
        payload::detach(&group, logical, volume)
    }

    fn is_at(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        point: &Point,
        _below: Option<&str>,
    ) -> Result<bool> {
        let group = Group::of(pool)?;
        let logical = expect(&group, pool, VOLUME, READY, &volume.name)?;
        match payload::mapped(&group, logical, volume)? {
            Some(mapped) => devices::is_at(&mapped, point),
            None => Ok(false),
        }
    }
}

fn is_thin(pool: &Pool) -> bool {
    pool.record.parameters.contains_key(THIN_POOL)
}

fn state_of(place: Place) -> &'static str {
    match place {
        Place::Preparing => PREPARING,
        Place::Ready => READY,
    }
}

fn check_provisioning(pool: &Pool, volume: &VolumeRecord) -> Result<()> {
    let (wanted, is) = match (volume.provisioning, is_thin(pool)) {
        (Provisioning::Thin, false) => ("thin", "thick"),
        (Provisioning::Thick, true) => ("thick", "thin"),
        (_, true) if volume.parameters.contains_key(LVCREATE_OPTIONS) => {
            return Err(Error::new(
                Kind::Invalid,
                format!("thin volumes take no `{LVCREATE_OPTIONS}`: their thin pool has a layout"),
            ));
        }
        _ => return Ok(()),
    };
    Err(Error::new(
        Kind::Invalid,
        format!("pool `{}` has {is} volumes, not {wanted} ones", pool.name()),
    )
    .hint(format!("make a pool of {wanted} volumes with `becket pool create --backend lvm`")))
}

/// A logical volume that has the volume's name and is not ours may be what is really meant: it is neither
/// used nor shadowed by a new one.
fn refuse_stranger(group: &Group, volume: &VolumeRecord) -> Result<()> {
    let named = group.logical(volume.name.as_str());
    match named.filter(|logical| logical.tags.get(group::POOL).is_none()) {
        None => Ok(()),
        Some(logical) => Err(Error::new(
            Kind::Conflict,
            format!("logical volume `{}` is not Becket's", logical.place(group)),
        )
        .hint("use another name; Becket touches no logical volume without its tags")),
    }
}
