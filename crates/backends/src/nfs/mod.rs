//! `nfs`: a pool is an export of a file server, a volume a directory in it, or an image file on it where
//! its size is to be a limit.
//!
//! The pool itself is on the server, laid out as any pool of directories, so every node that makes the
//! pool of the same server and share has the same one. A workload's mount is one of the volume's own
//! directory and not of the pool. Nothing here is touched by a process that serves others: [`Nfs::apart`]
//! is what those have, which only tells the way; [`Nfs::here`] is what the expendable process has.

mod image;
mod parameters;
mod subdirectory;
mod way;

pub use parameters::{CLAIM, HARD, NAMESPACE, ON_DELETE, SUBDIRECTORY};
pub use way::{OPTIONS, SERVER, SHARE, VERSION};

use crate::image::Image;
use crate::store::{self, DATA, Files, Stored};
use becket_core::backend::{Abilities, Backend, From, Hold, Medium, Place, Source, Space};
use becket_core::catalog::Catalog;
use becket_core::engine::Share;
use becket_core::mount_flags::MountFlags;
use becket_core::progress::Progress;
use becket_core::record::{Content, PoolRecord, SnapshotRecord, VolumeRecord};
use becket_core::remote_mount::RemoteMount;
use becket_core::{Error, Kind, Name, Pool, Result};
use becket_sys::beneath::Dir;
use becket_sys::point::Point;
use becket_sys::{Errno, mountinfo, tree};
use image::{Opened, is_image, may_be_image};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use way::Way;

/// The backend.
#[derive(Debug)]
pub struct Nfs {
    here: bool,
    opened: Opened,
}

impl Nfs {
    /// For processes that serve others: they hand every operation on.
    pub fn apart() -> Nfs {
        Nfs { here: false, opened: Opened::default() }
    }

    /// For the expendable process.
    pub fn here() -> Nfs {
        Nfs { here: true, opened: Opened::default() }
    }
}

/// Mode of the directories that workloads write to; who gets that far is decided by the mount.
const OPEN_TO_ALL: u32 = 0o777;

const VOLUMES: &str = "volumes";

const CATALOG: &Files =
    &Files { release: |_| Ok(()), settle: subdirectory::settle, part: subdirectory::part };

impl Backend for Nfs {
    fn name(&self) -> &'static str {
        "nfs"
    }

    fn is_apart(&self) -> bool {
        !self.here
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn medium_named(&self, parameters: &BTreeMap<String, String>) -> String {
        match Way::of_pool(parameters) {
            Ok(way) => way.source(""),
            Err(_) => self.name().to_owned(),
        }
    }

    /// Mounts the export attached nowhere: it goes away with its last descriptor, however this process
    /// ends.
    fn reach(&self, pool: &PoolRecord) -> Result<Option<Dir>> {
        if !self.here {
            return Ok(None);
        }
        let way = Way::of_pool(&pool.parameters)?;
        let address = way.probe()?;
        let mounted = way.mount_of_ours(address).mount(&MountFlags::default())?;
        Ok(Some(Dir::of(mounted.root()?, way.source(""))))
    }

    fn remote_name(&self, pool: &Pool, volume: &VolumeRecord) -> Result<Option<PathBuf>> {
        if is_image(volume.content) {
            return Ok(None);
        }
        let way = Way::of_pool(&pool.record.parameters)?;
        Ok(Some(way.source(&subdirectory::place(pool, volume)?).into()))
    }

    fn may_be_mount_of(&self, pool: &PoolRecord, volume: &Name, source: &Path) -> bool {
        let Ok(way) = Way::of_pool(&pool.parameters) else {
            return false;
        };
        let below = |path: &str| source.starts_with(way.source(path));
        may_be_image(volume, source) || below(&data_path(volume)) || (below("") && !below(VOLUMES))
    }

    fn in_words(&self, text: String) -> String {
        self.images_in_words(text)
    }

    fn used_elsewhere(&self, pool: &Pool, volume: &VolumeRecord) -> Result<bool> {
        Ok(is_image(volume.content) && self.has_other_user(pool, volume)?)
    }

    fn share(&self, share: &Share) -> Result<RemoteMount> {
        let way = Way::of_share(share)?;
        let address = way.probe()?;
        Ok(way.mount_of("", address))
    }

    fn catalog(&self) -> &dyn Catalog {
        CATALOG
    }

    fn contents(&self) -> &'static [Content] {
        &[Content::Directory, Content::Ext4, Content::Xfs, Content::Btrfs]
    }

    fn default_content(&self, parameters: &BTreeMap<String, String>) -> Content {
        match parameters.get(parameters::LIMIT).is_some_and(|limit| limit == HARD) {
            true => Content::Ext4,
            false => Content::Directory,
        }
    }

    fn abilities(&self, pool: &Pool) -> Result<Abilities> {
        let shares_blocks = store::can_share_blocks(pool)?;
        Ok(Abilities {
            limits: false,
            shares_blocks,
            // Of images: directories that are in use are never copied.
            snapshots_in_use: true,
            snapshots_while_frozen: false,
            ranges: false,
        })
    }

    fn space(&self, pool: &Pool) -> Result<Space> {
        store::pool_space(pool)
    }

    fn allocated(&self, pool: &Pool, volume: &VolumeRecord) -> Result<u64> {
        match is_image(volume.content) {
            true => image::allocated(pool, &*self.images(pool)?, volume),
            // Nobody counts what is in a directory.
            false => Ok(0),
        }
    }

    fn check(&self, pool: &Pool, volume: &VolumeRecord) -> Result<()> {
        parameters::check(volume)?;
        if is_image(volume.content) {
            return self.images(pool).map(drop);
        }
        subdirectory::refuse_taken(pool, volume)
    }

    fn build(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        from: Option<&From>,
        progress: &dyn Progress,
    ) -> Result<()> {
        if is_image(volume.content) {
            return Image.build(&*self.images(pool)?, volume, from, progress);
        }
        let data = new_data::<VolumeRecord>(pool, &volume.name)?;
        let origin = match from {
            None => return Ok(()),
            Some(From::Snapshot(snapshot)) => snapshot_data(pool, &snapshot.name)?,
            Some(From::Volume(origin)) => subdirectory::open(pool, origin)?,
        };
        copy_tree(&origin, &data, &volume.name, progress)
    }

    fn copy_to_snapshot(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        snapshot: &SnapshotRecord,
        progress: &dyn Progress,
    ) -> Result<()> {
        if is_image(volume.content) {
            return Image.copy_to_snapshot(&*self.images(pool)?, volume, snapshot, progress);
        }
        let data = new_data::<SnapshotRecord>(pool, &snapshot.name)?;
        copy_tree(&subdirectory::open(pool, volume)?, &data, &snapshot.name, progress)
    }

    fn grow(&self, pool: &Pool, volume: &VolumeRecord, before: u64) -> Result<()> {
        match is_image(volume.content) {
            true => Image.grow(&*self.images(pool)?, volume, before),
            false => Ok(()),
        }
    }

    fn stored(&self, pool: &Pool, volume: &VolumeRecord) -> Result<u64> {
        if is_image(volume.content) {
            return Image.stored(&*self.images(pool)?, volume);
        }
        // Opened, so that a missing one is told.
        subdirectory::open(pool, volume)?;
        Ok(volume.size)
    }

    fn medium(&self, pool: &Pool, volume: &VolumeRecord, place: Place) -> Result<Option<Medium>> {
        match is_image(volume.content) {
            true => Image.medium(&*self.images(pool)?, volume, place),
            false => Ok(None),
        }
    }

    /// None that another process could use: the mount goes with this one.
    fn lasting_path(&self, _pool: &Pool, _volume: &VolumeRecord) -> Result<Option<PathBuf>> {
        Ok(None)
    }

    fn attach(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        place: Place,
        hold: Hold,
    ) -> Result<Source> {
        if is_image(volume.content) {
            return self.attach_image(pool, volume, place, hold);
        }
        // Opened, so that a missing one or a link in its place is told from a server's refusal.
        subdirectory::open(pool, volume)?;
        let way = Way::of_pool(&pool.record.parameters)?;
        let address = way.probe()?;
        Ok(Source::Remote(way.mount_of(&subdirectory::place(pool, volume)?, address)))
    }

    fn devices(&self, pool: &Pool, volume: &VolumeRecord, place: Place) -> Result<Vec<PathBuf>> {
        match is_image(volume.content) {
            true => Image.devices(&*self.images(pool)?, volume, place),
            false => Ok(Vec::new()),
        }
    }

    fn detach(&self, pool: &Pool, volume: &VolumeRecord) -> Result<()> {
        match is_image(volume.content) {
            true => Image.detach(&*self.images(pool)?, volume),
            false => Ok(()),
        }
    }

    /// Of a directory the mount table alone is asked: it tells what of which server a mount shows.
    fn is_at(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        point: &Point,
        below: Option<&str>,
    ) -> Result<bool> {
        if is_image(volume.content) {
            return Image.is_at(&*self.images(pool)?, volume, point, below);
        }
        let name = self.remote_name(pool, volume)?;
        let table = mountinfo::read()?;
        let entry = table.into_iter().find(|entry| entry.id == point.mount_id);
        Ok(entry.is_some_and(|entry| entry.is_nfs() && Some(entry.source) == name))
    }
}

/// Where the volume's data is, below the share.
fn data_path(volume: &Name) -> String {
    format!("{VOLUMES}/{volume}/{DATA}")
}

fn new_data<R: Stored>(pool: &Pool, name: &Name) -> Result<Dir> {
    let dir = store::expect::<R>(pool, name, Place::Preparing)?;
    dir.create_dir(DATA, OPEN_TO_ALL)?;
    Ok(dir.open_dir(DATA)?)
}

fn snapshot_data(pool: &Pool, name: &Name) -> Result<Dir> {
    let dir = store::expect::<SnapshotRecord>(pool, name, Place::Ready)?;
    dir.open_dir(DATA).map_err(|error| match error.errno {
        Errno::NOENT => missing(&dir.path().join(DATA)),
        _ => error.into(),
    })
}

fn missing(path: &Path) -> Error {
    Error::new(Kind::WrongState, format!("directory `{}` is missing", path.display()))
        .hint("nothing was changed; look for it on the server before you do anything else")
}

fn copy_tree(from: &Dir, to: &Dir, what: &Name, progress: &dyn Progress) -> Result<()> {
    tree::copy(from, to, &mut |done| progress.advance(what.as_str(), done, 0))?;
    rustix::fs::syncfs(to)
        .map_err(|errno| becket_sys::Error::new("sync", to.path().to_string_lossy(), errno).into())
}
