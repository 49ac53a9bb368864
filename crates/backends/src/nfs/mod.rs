//! `nfs`: a pool is an export of a file server, a volume a directory in it.
//!
//! The pool itself is on the server, laid out as any pool of directories, so every node that makes the
//! pool of the same server and share has the same one. A workload's mount is one of the volume's own
//! directory and not of the pool. Nothing here is touched by a process that serves others: [`Nfs::apart`]
//! is what those have, which only tells the way; [`Nfs::here`] is what the expendable process has.

mod parameters;
mod subdirectory;
mod way;

pub use parameters::{CLAIM, NAMESPACE, ON_DELETE, SUBDIRECTORY};
pub use way::{OPTIONS, SERVER, SHARE, VERSION};

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
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use way::Way;

/// The backend.
#[derive(Debug, Clone, Copy)]
pub struct Nfs {
    here: bool,
}

impl Nfs {
    /// For processes that serve others: they hand every operation on.
    pub fn apart() -> Nfs {
        Nfs { here: false }
    }

    /// For the expendable process.
    pub fn here() -> Nfs {
        Nfs { here: true }
    }
}

/// Mode of the directories that workloads write to; who gets that far is decided by the mount.
const OPEN_TO_ALL: u32 = 0o777;

const VOLUMES: &str = "volumes";

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
        let way = Way::of_pool(&pool.record.parameters)?;
        Ok(Some(way.source(&subdirectory::place(pool, volume)?).into()))
    }

    fn may_be_mount_of(&self, pool: &PoolRecord, volume: &Name, source: &Path) -> bool {
        let Ok(way) = Way::of_pool(&pool.parameters) else {
            return false;
        };
        let below = |path: &str| source.starts_with(way.source(path));
        below(&data_path(volume)) || (below("") && !below(VOLUMES))
    }

    fn share(&self, share: &Share) -> Result<RemoteMount> {
        let way = Way::of_share(share)?;
        let address = way.probe()?;
        Ok(way.mount_of("", address))
    }

    fn catalog(&self) -> &dyn Catalog {
        &Files { release: |_| Ok(()), settle: subdirectory::settle, part: subdirectory::part }
    }

    fn contents(&self) -> &'static [Content] {
        &[Content::Directory]
    }

    fn abilities(&self, pool: &Pool) -> Result<Abilities> {
        let shares_blocks = store::can_share_blocks(pool)?;
        Ok(Abilities {
            limits: false,
            shares_blocks,
            snapshots_in_use: false,
            snapshots_while_frozen: false,
            ranges: false,
        })
    }

    fn space(&self, pool: &Pool) -> Result<Space> {
        store::pool_space(pool)
    }

    fn allocated(&self, _pool: &Pool, _volume: &VolumeRecord) -> Result<u64> {
        // Nobody counts what is in a directory.
        Ok(0)
    }

    fn check(&self, pool: &Pool, volume: &VolumeRecord) -> Result<()> {
        parameters::check(volume)?;
        subdirectory::refuse_taken(pool, volume)
    }

    fn build(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        from: Option<&From>,
        progress: &dyn Progress,
    ) -> Result<()> {
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
        let data = new_data::<SnapshotRecord>(pool, &snapshot.name)?;
        copy_tree(&subdirectory::open(pool, volume)?, &data, &snapshot.name, progress)
    }

    fn grow(&self, _pool: &Pool, _volume: &VolumeRecord, _before: u64) -> Result<()> {
        Ok(())
    }

    fn stored(&self, pool: &Pool, volume: &VolumeRecord) -> Result<u64> {
        // Opened, so that a missing one is told.
        subdirectory::open(pool, volume)?;
        Ok(volume.size)
    }

    fn medium(&self, _: &Pool, _: &VolumeRecord, _: Place) -> Result<Option<Medium>> {
        Ok(None)
    }

    fn attach(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        _place: Place,
        _hold: Hold,
    ) -> Result<Source> {
        // Opened, so that a missing one or a link in its place is told from a server's refusal.
        subdirectory::open(pool, volume)?;
        let way = Way::of_pool(&pool.record.parameters)?;
        let address = way.probe()?;
        Ok(Source::Remote(way.mount_of(&subdirectory::place(pool, volume)?, address)))
    }

    fn devices(&self, _pool: &Pool, _volume: &VolumeRecord, _place: Place) -> Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    fn detach(&self, _pool: &Pool, _volume: &VolumeRecord) -> Result<()> {
        Ok(())
    }

    /// The mount table alone is asked: it tells what of which server a mount shows.
    fn is_at(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        point: &Point,
        _below: Option<&str>,
    ) -> Result<bool> {
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
