//! `image`: a volume is an image file, attached as a loop device when it is used.
//!
//! The image's size is the limit, and it is a real one. Thin images are sparse, thick ones
//! preallocated. Snapshots and clones share blocks where the pool's filesystem can (xfs, btrfs) and
//! are copies that keep the holes elsewhere.

mod devices;

use crate::medium;
use crate::store::{self, DATA, Files, Stored};
use becket_core::backend::{
    Abilities, Backend, From, Hold, IMAGE_ON_SERVER, Medium, Place, Source, Space,
};
use becket_core::catalog::Catalog;
use becket_core::progress::Progress;
use becket_core::record::{Content, Provisioning, SnapshotRecord, VolumeRecord};
use becket_core::{Error, Kind, Name, Pool, Result};
use becket_sys::beneath::Dir;
use becket_sys::loop_device::{self, LoopDevice};
use becket_sys::point::{self, Point};
use becket_sys::{Errno, copy, extents};
use devices::{attached, devices, identity, loop_number};
use rustix::fs::{FallocateFlags, FileType, OFlags};
use std::os::fd::AsFd;
use std::path::PathBuf;

/// The backend.
#[derive(Debug, Clone, Copy)]
pub struct Image;

/// What images can hold, the default first.
const CONTENTS: &[Content] = &[Content::Ext4, Content::Xfs, Content::Btrfs, Content::Block];

impl Backend for Image {
    fn name(&self) -> &'static str {
        "image"
    }

    fn catalog(&self) -> &dyn Catalog {
        &const { Files::releasing(|_| Ok(())) }
    }

    fn contents(&self) -> &'static [Content] {
        CONTENTS
    }

    fn abilities(&self, pool: &Pool) -> Result<Abilities> {
        let shares_blocks = copy::can_reflink(&pool.dir)?;
        Ok(Abilities {
            limits: true,
            shares_blocks,
            snapshots_in_use: true,
            snapshots_while_frozen: true,
            ranges: true,
        })
    }

    fn space(&self, pool: &Pool) -> Result<Space> {
        store::pool_space(pool)
    }

    fn allocated(&self, pool: &Pool, volume: &VolumeRecord) -> Result<u64> {
        let image = open_image::<VolumeRecord>(pool, &volume.name, Place::Ready, OFlags::RDONLY)?;
        Ok(extents::exclusive(&image.file, &image.path)?)
    }

    fn check(&self, _pool: &Pool, volume: &VolumeRecord) -> Result<()> {
        if let Some(parameter) = volume.parameters.keys().next() {
            return Err(Error::new(
                Kind::Invalid,
                format!("image volumes know no parameter `{parameter}`"),
            ));
        }
        medium::check_content(volume)
    }

    fn build(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        from: Option<&From>,
        progress: &dyn Progress,
    ) -> Result<()> {
        let dir = store::expect::<VolumeRecord>(pool, &volume.name, Place::Preparing)?;
        let image = new_image(pool, &dir)?;
        let share = volume.provisioning == Provisioning::Thin;
        let (place, flags) = (Place::Ready, OFlags::RDONLY);
        let source = match from {
            None => None,
            Some(From::Snapshot(snapshot)) => {
                Some(open_image::<SnapshotRecord>(pool, &snapshot.name, place, flags)?)
            }
            Some(From::Volume(origin)) => {
                Some(open_image::<VolumeRecord>(pool, &origin.name, place, flags)?)
            }
        };
        if let Some(source) = source {
            fill(&source, &image, share, volume.name.as_str(), progress)?;
        }
        lengthen(&image, volume.size)?;
        match volume.provisioning {
            Provisioning::Thin => Ok(()),
            Provisioning::Thick => allocate(&image, 0, volume.size),
        }
    }

    fn grow(&self, pool: &Pool, volume: &VolumeRecord, before: u64) -> Result<()> {
        let image = open_image::<VolumeRecord>(pool, &volume.name, Place::Ready, OFlags::RDWR)?;
        if image.size < volume.size {
            let grown = match volume.provisioning {
                Provisioning::Thin => lengthen(&image, volume.size),
                Provisioning::Thick => allocate(&image, image.size, volume.size - image.size),
            };
            if let Err(error) = grown {
                // Never below what it had: that part may hold data.
                let _ = image.file.set_len(image.size.max(before));
                return Err(error);
            }
            image.file.sync_all().map_err(|error| failed("sync", &image, error))?;
        }
        for device in devices(pool, volume, Place::Ready)? {
            device.refresh_size()?;
        }
        Ok(())
    }

    fn stored(&self, pool: &Pool, volume: &VolumeRecord) -> Result<u64> {
        Ok(open_image::<VolumeRecord>(pool, &volume.name, Place::Ready, OFlags::PATH)?.size)
    }

    fn medium(&self, pool: &Pool, volume: &VolumeRecord, place: Place) -> Result<Option<Medium>> {
        open_image::<VolumeRecord>(pool, &volume.name, place, OFlags::RDONLY).map(Some)
    }

    fn snapshot_medium(&self, pool: &Pool, snapshot: &SnapshotRecord) -> Result<Option<Medium>> {
        let (place, flags) = (Place::Ready, OFlags::RDONLY);
        open_image::<SnapshotRecord>(pool, &snapshot.name, place, flags).map(Some)
    }

    fn attach(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        place: Place,
        hold: Hold,
    ) -> Result<Source> {
        attach(pool, volume, place, hold, |_| Ok(()))
    }

    /// A second device on the same image: the kernel lets a device be written to through a read-only
    /// mount of its node.
    fn attach_readonly(&self, pool: &Pool, volume: &VolumeRecord) -> Result<Source> {
        let place = Place::Ready;
        let device = match attached(pool, volume, place, true)? {
            Some(device) => device,
            None => {
                let image = open_image::<VolumeRecord>(pool, &volume.name, place, OFlags::RDONLY)?;
                let label = pool.label_of(&volume.name).staged();
                let options =
                    loop_device::Options { readonly: true, autoclear: false, label: &label };
                loop_device::attach(&image.file, &image.path, options)?
            }
        };
        Ok(Source::Block { device: device.path(), holder: device.into_file() })
    }

    fn devices(&self, pool: &Pool, volume: &VolumeRecord, place: Place) -> Result<Vec<PathBuf>> {
        Ok(devices(pool, volume, place)?.iter().map(LoopDevice::path).collect())
    }

    fn detach(&self, pool: &Pool, volume: &VolumeRecord) -> Result<()> {
        for device in devices(pool, volume, Place::Ready)? {
            device.detach()?;
        }
        Ok(())
    }

    fn is_at(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        point: &Point,
        _below: Option<&str>,
    ) -> Result<bool> {
        let Some(number) = loop_number(point)? else {
            return Ok(false);
        };
        let (_, device, inode) = identity(pool, volume, Place::Ready)?;
        match LoopDevice::open(number)? {
            Some(open) => Ok(open.backs(device, inode)?),
            None => Ok(false),
        }
    }

    fn copy_to_snapshot(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        snapshot: &SnapshotRecord,
        progress: &dyn Progress,
    ) -> Result<()> {
        let dir = store::expect::<SnapshotRecord>(pool, &snapshot.name, Place::Preparing)?;
        let source = open_image::<VolumeRecord>(pool, &volume.name, Place::Ready, OFlags::RDONLY)?;
        let image = new_image(pool, &dir)?;
        fill(&source, &image, true, snapshot.name.as_str(), progress)?;
        image.file.sync_all().map_err(|error| failed("sync", &image, error))
    }
}

/// Attaches the volume's image to a device, unless it is. A new device is attached once `claim` has seen to
/// it that nobody else has the image: what it does to the open file lasts as long as the device does.
pub(crate) fn attach(
    pool: &Pool,
    volume: &VolumeRecord,
    place: Place,
    hold: Hold,
    claim: impl FnOnce(&Medium) -> Result<()>,
) -> Result<Source> {
    let autoclear = hold == Hold::WhileUsed;
    let label = if autoclear { String::new() } else { pool.label_of(&volume.name).staged() };
    let device = match attached(pool, volume, place, false)? {
        Some(device) => {
            if !autoclear {
                device.hold(&label)?;
            }
            device
        }
        None => {
            let image = open_image::<VolumeRecord>(pool, &volume.name, place, OFlags::RDWR)?;
            claim(&image)?;
            let options = loop_device::Options { readonly: false, autoclear, label: &label };
            loop_device::attach(&image.file, &image.path, options)?
        }
    };
    Ok(Source::Block { device: device.path(), holder: device.into_file() })
}

pub(crate) fn open_image<R: Stored>(
    pool: &Pool,
    name: &Name,
    place: Place,
    flags: OFlags,
) -> Result<Medium> {
    let dir = store::expect::<R>(pool, name, place)?;
    let path = dir.path().join(name_in(pool));
    let file =
        dir.open_file(name_in(pool), flags | OFlags::NOFOLLOW).map_err(|error| {
            match error.errno {
                Errno::NOENT => {
                    Error::new(Kind::WrongState, format!("image `{}` is missing", path.display()))
                        .hint("nothing was changed; look for it before you do anything else")
                }
                _ => error.into(),
            }
        })?;
    let found = point::look_at(file.as_fd(), &path)?;
    match found.kind {
        FileType::RegularFile => Ok(Medium { file, path, size: found.size }),
        _ => Err(Error::new(Kind::WrongState, format!("`{}` is no image file", path.display()))
            .hint("nothing was changed; look at what is there before you do anything else")),
    }
}

fn new_image(pool: &Pool, dir: &Dir) -> Result<Medium> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    let file = dir.open_file(name_in(pool), flags)?;
    Ok(Medium { file, path: dir.path().join(name_in(pool)), size: 0 })
}

/// The name of the pool's image files. On a server it is another one, by which whoever looks for an image
/// of this node knows not to ask.
fn name_in(pool: &Pool) -> &'static str {
    if pool.shared { IMAGE_ON_SERVER } else { DATA }
}

/// Copies `source` into the empty `image`, by sharing blocks where `share` asks for it and the
/// filesystem can.
fn fill(
    source: &Medium,
    image: &Medium,
    share: bool,
    what: &str,
    progress: &dyn Progress,
) -> Result<()> {
    if share && copy::reflink(&source.file, &image.file, &source.path)? {
        return Ok(());
    }
    let mut advance = |done| progress.advance(what, done, source.size);
    Ok(copy::sparse(&source.file, &image.file, &source.path, &mut advance)?)
}

fn lengthen(image: &Medium, size: u64) -> Result<()> {
    let length = image.file.metadata().map_err(|error| failed("look at", image, error))?.len();
    match length < size {
        true => image.file.set_len(size).map_err(|error| failed("lengthen", image, error)),
        false => Ok(()),
    }
}

fn allocate(image: &Medium, start: u64, length: u64) -> Result<()> {
    rustix::fs::fallocate(&image.file, FallocateFlags::empty(), start, length).map_err(|errno| {
        let error = becket_sys::Error::new("allocate", image.path.to_string_lossy(), errno);
        match errno {
            Errno::OPNOTSUPP => Error::new(Kind::WrongState, error.to_string())
                .hint("this filesystem cannot preallocate; use thin provisioning"),
            _ => error.into(),
        }
    })
}

fn failed(operation: &'static str, image: &Medium, error: std::io::Error) -> Error {
    let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
    becket_sys::Error::new(operation, image.path.to_string_lossy(), errno).into()
}
