//! Making logical volumes: empty, sharing the blocks of another, or copied from it.

use super::catalog::{VOLUME, expect, tags_of_new};
use super::group::{Group, Logical, PREPARING, THIN_POOL};
use super::{command, devices, is_thin, payload};
use becket_core::progress::Progress;
use becket_core::record::{Content, Record, VolumeRecord};
use becket_core::{Error, Kind, Pool, Result};
use becket_sys::copy;
use becket_sys::superblock::SIGNATURE_AREA;
use rustix::fs::OFlags;
use uuid::Uuid;

/// A logical volume that is being made.
pub(super) struct New<'a> {
    pub(super) pool: &'a Pool,
    pub(super) kind: &'static str,
    pub(super) uuid: Uuid,
    pub(super) size: u64,
    /// It is active only while it is used.
    pub(super) rests: bool,
}

impl New<'_> {
    /// Its name in the group.
    fn name(&self) -> String {
        format!("becket-{}", self.uuid)
    }

    fn skip(&self) -> &'static str {
        if self.rests { "y" } else { "n" }
    }

    /// Makes it empty.
    pub(super) fn make<R: Record>(
        &self,
        group: &Group,
        layout: &[String],
        record: &R,
    ) -> Result<()> {
        let (name, size) = (self.name(), format!("{}b", self.size));
        let thin_pool = self.pool.record.parameters.get(THIN_POOL);
        let mut arguments = vec!["lvcreate", "--name", &name, "--wipesignatures", "n"];
        arguments.extend(["--setactivationskip", self.skip()]);
        match thin_pool {
            Some(pool) => arguments.extend(["--virtualsize", &size, "--thinpool", pool]),
            None => arguments.extend(["--size", &size, "--zero", "n"]),
        }
        arguments.extend(layout.iter().map(String::as_str));
        self.create(&arguments, record, &group.name)
    }

    /// Makes it a thin copy of `source`, which shares its blocks, and lets it grow to its own size.
    pub(super) fn share<R: Record>(
        &self,
        group: &Group,
        source: &Logical,
        record: &R,
    ) -> Result<()> {
        let (name, place) = (self.name(), source.place(group));
        let skip = ["--setactivationskip", self.skip()];
        let arguments = [&["lvcreate", "--snapshot", "--name", &name][..], &skip].concat();
        self.create(&arguments, record, &place)?;
        match self.size > source.size {
            true => extend(self.pool, &format!("{}/{name}", group.name), self.size),
            false => Ok(()),
        }
    }

    fn create<R: Record>(&self, arguments: &[&str], record: &R, from: &str) -> Result<()> {
        let tags = tags_of_new(self.pool, self.kind, record)?.words();
        let tags = tags.iter().flat_map(|tag| ["--addtag", tag.as_str()]);
        let arguments: Vec<&str> = arguments.iter().copied().chain(tags).chain([from]).collect();
        let what = format!("make logical volume `{}` in `{from}`", self.name());
        let made = command::change(&what, &arguments);
        self.pool.memory.forget();
        made
    }

    /// Fills it with every byte of `source`, and zeros behind them.
    pub(super) fn copy(&self, source: &Logical, what: &str, progress: &dyn Progress) -> Result<()> {
        let group = Group::of(self.pool)?;
        let new = group.logical(&self.name()).ok_or_else(|| {
            Error::new(Kind::Internal, format!("logical volume `{}` is gone", self.name()))
        })?;
        let from = devices::open(&group, source, OFlags::RDONLY | OFlags::DIRECT)?;
        let to = devices::open(&group, new, OFlags::RDWR | OFlags::DIRECT)?;
        let mut advance = |done| progress.advance(what, done, from.size);
        copy::device(&from.file, &to.file, from.size, &from.path, &mut advance)?;
        match to.size > from.size {
            true => devices::zero(&to.file, from.size, to.size - from.size, &to.path),
            false => Ok(()),
        }
    }
}

pub(super) fn extend(pool: &Pool, place: &str, size: u64) -> Result<()> {
    let what = format!("grow logical volume `{place}`");
    let size = format!("{size}b");
    let grown = command::change(&what, &["lvextend", "--size", &size, place]);
    pool.memory.forget();
    grown
}

/// Removes what earlier volumes left where signatures are looked for: the extents of a thick volume hold
/// what was written to them last, and it has just been made. Raw block is blanked whole, because its user
/// reads all of it. Thin volumes are blank: their blocks are zeroed when they are handed out.
pub(super) fn blank(pool: &Pool, volume: &VolumeRecord) -> Result<()> {
    if is_thin(pool) {
        return Ok(());
    }
    let group = Group::of(pool)?;
    let logical = expect(&group, pool, VOLUME, PREPARING, &volume.name)?;
    let device = devices::open(&group, logical, OFlags::RDWR)?;
    // What is below a new mapping reads as noise.
    if volume.content == Content::Block && !payload::is_encrypted(volume) {
        return devices::zero(&device.file, 0, device.size, &device.path);
    }
    let area = SIGNATURE_AREA.min(device.size);
    devices::zero(&device.file, 0, area, &device.path)?;
    devices::zero(&device.file, device.size - area, area, &device.path)
}
