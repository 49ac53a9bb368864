//! Volumes with a limit: each is an image file on the export, used by one node at a time.
//!
//! Who has an image attached has a byte of it locked, by the very open file that the loop device has. So
//! the server keeps that lock for exactly as long as the device is there, whatever becomes of the
//! processes around it; and a node that has lost it, because it was cut off, cannot write any more.
//!
//! All that touches images goes through one way of mounting the export, so that this node has one view of
//! each, and a device is told by its file's inode.

use super::way::Way;
use super::{Nfs, VOLUMES};
use crate::image::{self, Image};
use becket_core::backend::{
    Backend, Hold, IMAGE_ON_SERVER, Medium, Place, Source, on_another_node,
};
use becket_core::catalog::Catalog;
use becket_core::memory::Memory;
use becket_core::mount_flags::MountFlags;
use becket_core::record::{Content, VolumeRecord};
use becket_core::{Name, Pool, Result};
use becket_sys::beneath::Dir;
use becket_sys::range_lock;
use rustix::fs::OFlags;
use std::collections::BTreeSet;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The pools whose images this process works on.
pub(super) type Opened = Mutex<Vec<(Uuid, Arc<Pool>)>>;

/// The byte of an image that is locked by who has it attached.
const CLAIM: u64 = 0;

/// How long a lock may outlive its device: the kernel gives it back a moment later.
const LINGERING: Duration = Duration::from_secs(2);

/// True for volumes that are image files.
pub(super) fn is_image(content: Content) -> bool {
    content != Content::Directory
}

impl Nfs {
    /// The pool as images see it: by a mount that waits for the server. Its path is one that programs of
    /// the host can use while this process lives.
    pub(super) fn images(&self, pool: &Pool) -> Result<Arc<Pool>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, known)) = opened.iter().find(|(uuid, _)| *uuid == pool.record.uuid) {
            return Ok(Arc::clone(known));
        }
        let way = Way::of_pool(&pool.record.parameters)?;
        let mount = way.mount_of_images(way.probe()?)?;
        let root = mount.mount(&MountFlags::default())?.root()?;
        let path = format!("/proc/{}/fd/{}", std::process::id(), root.as_raw_fd());
        let images = Arc::new(Pool {
            record: pool.record.clone(),
            dir: Dir::of(root, path),
            locks: pool.locks.open_dir(".")?,
            shared: pool.shared,
            staged: pool.staged.clone(),
            state: pool.state,
            memory: Memory::short(),
        });
        opened.push((pool.record.uuid, Arc::clone(&images)));
        Ok(images)
    }

    /// The text with the paths of images as the server has them.
    pub(super) fn images_in_words(&self, text: String) -> String {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.iter().fold(text, |text, (_, images)| {
            let Ok(way) = Way::of_pool(&images.record.parameters) else { return text };
            let (ours, theirs) = (images.dir.path().display(), way.source(""));
            text.replace(&format!("{ours}/"), &format!("{}/", theirs.trim_end_matches('/')))
        })
    }

    /// Attaches an image, as the only one who has it.
    pub(super) fn attach_image(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        place: Place,
        hold: Hold,
    ) -> Result<Source> {
        let images = self.images(pool)?;
        image::attach(&images, volume, place, hold, |image| claim(image, volume))
    }

    /// True when somebody has the image attached who is not this node.
    pub(super) fn has_other_user(&self, pool: &Pool, volume: &VolumeRecord) -> Result<bool> {
        let images = self.images(pool)?;
        let flags = OFlags::RDWR;
        let image = image::open_image::<VolumeRecord>(&images, &volume.name, Place::Ready, flags)?;
        let claimed =
            || -> Result<bool> { Ok(range_lock::is_held(&image.file, CLAIM, &image.path)?) };
        let elsewhere =
            || Ok(claimed()? && Image.devices(&images, volume, Place::Ready)?.is_empty());
        lasts(elsewhere)
    }
}

/// Locks the image for as long as it is open.
fn claim(image: &Medium, volume: &VolumeRecord) -> Result<()> {
    let taken = lasts(|| Ok(!range_lock::attempt(&image.file, CLAIM, false, &image.path)?))?;
    match taken {
        false => Ok(()),
        true => Err(on_another_node(volume)),
    }
}

/// True when it holds for longer than what has ended may leave it so.
fn lasts(holds: impl Fn() -> Result<bool>) -> Result<bool> {
    let deadline = Instant::now() + LINGERING;
    while holds()? {
        if Instant::now() >= deadline {
            return Ok(true);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(false)
}

/// What the image has of its size and shares with nothing. A server does not tell what is shared, so an image
/// with relatives is taken to share everything: too little is promised then, never too much.
pub(super) fn allocated(pool: &Pool, images: &Pool, volume: &VolumeRecord) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let origins = pool.memory.or_read(|| origins(pool))?;
    if volume.origin.is_some() || origins.contains(&volume.uuid) {
        return Ok(0);
    }
    let (place, flags) = (Place::Ready, OFlags::RDONLY);
    let image = image::open_image::<VolumeRecord>(images, &volume.name, place, flags)?;
    let found = image.file.metadata().map_err(|error| {
        let errno = becket_sys::Errno::from_io_error(&error).unwrap_or(becket_sys::Errno::IO);
        becket_sys::Error::new("look at", image.path.to_string_lossy(), errno)
    })?;
    Ok(found.blocks().saturating_mul(512).min(volume.size))
}

/// The volumes of which there are copies in the pool.
fn origins(pool: &Pool) -> Result<BTreeSet<Uuid>> {
    let catalog = super::CATALOG;
    let snapshots = catalog.snapshots(pool)?.records;
    let volumes = catalog.volumes(pool)?.records;
    let cloned = volumes.into_iter().filter_map(|volume| volume.origin?.uuid);
    Ok(snapshots.into_iter().map(|snapshot| snapshot.volume_uuid).chain(cloned).collect())
}

/// True for the file behind a loop device that may be the volume's image: the kernel shows its path below
/// the mount of the export, which is attached nowhere.
pub(super) fn may_be_image(volume: &Name, file: &Path) -> bool {
    file == Path::new("/").join(VOLUMES).join(volume).join(IMAGE_ON_SERVER)
}
