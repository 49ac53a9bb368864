//! `directory`: a volume is a directory of the pool's filesystem.
//!
//! A size is a real limit where the filesystem enforces project quotas, and is refused elsewhere
//! unless `limit: none` says that none is wanted. With a `template` each pod gets a directory of
//! its own within the volume.

pub mod template;

use crate::store::{self, DATA, Files, Stored, trash};
use becket_core::backend::{Abilities, Backend, From, Hold, Medium, Place, Source, Space};
use becket_core::catalog::Catalog;
use becket_core::engine::ON_UNMOUNT;
use becket_core::error::shown;
use becket_core::progress::Progress;
use becket_core::record::{Content, Provisioning, SnapshotRecord, VolumeRecord};
use becket_core::{Error, Kind, Name, Pool, Result};
use becket_sys::beneath::Dir;
use becket_sys::point::{self, Point};
use becket_sys::{Errno, copy, quota, tree};
use rustix::fs::OFlags;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// The backend.
#[derive(Debug, Clone, Copy)]
pub struct Directory;

/// The parameter that says whether a size is enforced: `hard`, the default, or `none`.
pub const LIMIT: &str = "limit";

/// The parameter that gives each pod a directory of its own.
pub const TEMPLATE: &str = "template";

/// Mode of the directories that workloads write to. Who gets that far is decided by the mount:
/// the pool above them is closed to everybody but root.
const OPEN_TO_ALL: u32 = 0o777;

impl Backend for Directory {
    fn name(&self) -> &'static str {
        "directory"
    }

    fn catalog(&self) -> &dyn Catalog {
        &const { Files::releasing(lift_limit) }
    }

    fn contents(&self) -> &'static [Content] {
        &[Content::Directory]
    }

    fn abilities(&self, pool: &Pool) -> Result<Abilities> {
        let limits = quota::enforced(&as_file(&pool.dir)?);
        let shares_blocks = copy::can_reflink(&pool.dir)?;
        Ok(Abilities {
            limits,
            shares_blocks,
            snapshots_in_use: false,
            snapshots_while_frozen: false,
            ranges: false,
        })
    }

    fn space(&self, pool: &Pool) -> Result<Space> {
        store::pool_space(pool)
    }

    fn allocated(&self, pool: &Pool, volume: &VolumeRecord) -> Result<u64> {
        let data = data::<VolumeRecord>(pool, &volume.name, Place::Ready)?;
        match limited(volume) {
            true => Ok(usage(&data)?.map_or(0, |usage| usage.used)),
            false => Ok(0),
        }
    }

    fn check(&self, pool: &Pool, volume: &VolumeRecord) -> Result<()> {
        if volume.content != Content::Directory {
            return Err(Error::new(
                Kind::Invalid,
                format!("a directory volume cannot be {}", volume.content.name()),
            )
            .hint("use the image backend"));
        }
        if volume.provisioning == Provisioning::Thick {
            return Err(Error::new(Kind::Invalid, "a directory volume cannot be thick"));
        }
        check_parameters(volume)?;
        if limited(volume) && !quota::enforced(&as_file(&pool.dir)?) {
            return Err(no_limit(pool, volume));
        }
        Ok(())
    }

    fn build(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        from: Option<&From>,
        progress: &dyn Progress,
    ) -> Result<()> {
        let dir = store::expect::<VolumeRecord>(pool, &volume.name, Place::Preparing)?;
        dir.create_dir(DATA, OPEN_TO_ALL)?;
        let data = dir.open_dir(DATA)?;
        // The limit first, so that a copy that does not fit fails here.
        if limited(volume) {
            limit_new(&data, volume)?;
        }
        let origin = match from {
            None => return Ok(()),
            Some(From::Snapshot(snapshot)) => data_of::<SnapshotRecord>(pool, &snapshot.name)?,
            Some(From::Volume(origin)) => data_of::<VolumeRecord>(pool, &origin.name)?,
        };
        copy_tree(&origin, &data, volume.name.as_str(), progress)
    }

    fn grow(&self, pool: &Pool, volume: &VolumeRecord, _before: u64) -> Result<()> {
        let data = data::<VolumeRecord>(pool, &volume.name, Place::Ready)?;
        match (limited(volume), quota::project(&as_file(&data)?, data.path())?) {
            (true, Some(project)) => {
                Ok(quota::set_limit(&as_file(&data)?, project, volume.size, data.path())?)
            }
            _ => Ok(()),
        }
    }

    fn stored(&self, pool: &Pool, volume: &VolumeRecord) -> Result<u64> {
        let data = data::<VolumeRecord>(pool, &volume.name, Place::Ready)?;
        match limited(volume) {
            true => Ok(usage(&data)?.map_or(0, |usage| usage.limit)),
            false => Ok(volume.size),
        }
    }

    fn medium(
        &self,
        _pool: &Pool,
        _volume: &VolumeRecord,
        _place: Place,
    ) -> Result<Option<Medium>> {
        Ok(None)
    }

    fn attach(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        place: Place,
        _hold: Hold,
    ) -> Result<Source> {
        data::<VolumeRecord>(pool, &volume.name, place).map(Source::Directory)
    }

    fn devices(&self, _pool: &Pool, _volume: &VolumeRecord, _place: Place) -> Result<Vec<PathBuf>> {
        Ok(Vec::new())
    }

    fn detach(&self, _pool: &Pool, _volume: &VolumeRecord) -> Result<()> {
        Ok(())
    }

    fn is_at(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        point: &Point,
        below: Option<&str>,
    ) -> Result<bool> {
        let data = data::<VolumeRecord>(pool, &volume.name, Place::Ready)?;
        let ours = match data.open_dir(below.unwrap_or(".")) {
            Ok(dir) => point::look_at(dir.as_fd(), dir.path())?,
            Err(error) if error.errno == Errno::NOENT => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        Ok((ours.device, ours.inode) == (point.device, point.inode))
    }

    fn copy_to_snapshot(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        snapshot: &SnapshotRecord,
        progress: &dyn Progress,
    ) -> Result<()> {
        let dir = store::expect::<SnapshotRecord>(pool, &snapshot.name, Place::Preparing)?;
        dir.create_dir(DATA, OPEN_TO_ALL)?;
        let data = dir.open_dir(DATA)?;
        copy_tree(
            &data_of::<VolumeRecord>(pool, &volume.name)?,
            &data,
            snapshot.name.as_str(),
            progress,
        )
    }

    fn open_below(&self, pool: &Pool, volume: &VolumeRecord, below: &str) -> Result<Dir> {
        let mut dir = data::<VolumeRecord>(pool, &volume.name, Place::Ready)?;
        for part in Path::new(below).iter().filter(|part| *part != ".") {
            dir = dir.ensure_dir(part, OPEN_TO_ALL)?;
        }
        Ok(dir)
    }

    fn set_aside(&self, pool: &Pool, volume: &VolumeRecord, below: &str) -> Result<String> {
        let data = data::<VolumeRecord>(pool, &volume.name, Place::Ready)?;
        let (parent, name) = split(below);
        let aside = trash::discard_of_pod(pool, &data.open_dir(parent)?, name)?;
        // Parents that have become empty, such as a namespace's; plain rmdir, and full is fine.
        let mut parent = parent;
        while parent != "." && data.remove_dir(parent).is_ok() {
            parent = split(parent).0;
        }
        aside.ok_or_else(|| {
            let shown = data.path().join(below);
            Error::new(Kind::Internal, format!("`{}` is gone already", shown.display()))
        })
    }

    fn bring_back(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        below: &str,
        aside: &str,
    ) -> Result<()> {
        let (parent, name) = split(below);
        trash::undo(pool, aside, &self.open_below(pool, volume, parent)?, name)
    }
}

/// A path below a volume, as its parent and its name.
fn split(below: &str) -> (&str, &str) {
    below.rsplit_once('/').unwrap_or((".", below))
}

/// True when the volume's size is to be enforced.
fn limited(volume: &VolumeRecord) -> bool {
    volume.size > 0 && volume.parameters.get(LIMIT).is_none_or(|limit| limit != "none")
}

fn check_parameters(volume: &VolumeRecord) -> Result<()> {
    for (key, value) in &volume.parameters {
        let fine = match key.as_str() {
            LIMIT => matches!(value.as_str(), "hard" | "none"),
            ON_UNMOUNT => matches!(value.as_str(), "keep" | "remove"),
            TEMPLATE => {
                template::check(value)?;
                true
            }
            _ => {
                return Err(Error::new(
                    Kind::Invalid,
                    format!("directory volumes know no parameter `{}`", shown(key)),
                )
                .hint("they know limit, onUnmount and template"));
            }
        };
        if !fine {
            return Err(Error::new(
                Kind::Invalid,
                format!("parameter `{key}` cannot be `{}`", shown(value)),
            )
            .hint("limit is hard or none, onUnmount is keep or remove"));
        }
    }
    Ok(())
}

fn no_limit(pool: &Pool, volume: &VolumeRecord) -> Error {
    Error::new(
        Kind::WrongState,
        format!(
            "volume `{}` cannot be limited: the filesystem of pool `{}` does not enforce project quotas",
            volume.name,
            pool.name()
        ),
    )
    .hint(
        "mount it with prjquota (ext4 also needs `tune2fs -O project,quota` once), \
         use an image volume, or ask for `limit: none`",
    )
}

fn data<R: Stored>(pool: &Pool, name: &Name, place: Place) -> Result<Dir> {
    let dir = store::expect::<R>(pool, name, place)?;
    dir.open_dir(DATA).map_err(|error| match error.errno {
        Errno::NOENT => {
            let path = dir.path().join(DATA);
            Error::new(Kind::WrongState, format!("directory `{}` is missing", path.display()))
                .hint("nothing was changed; look for it before you do anything else")
        }
        _ => error.into(),
    })
}

fn data_of<R: Stored>(pool: &Pool, name: &Name) -> Result<Dir> {
    data::<R>(pool, name, Place::Ready)
}

fn as_file(dir: &Dir) -> Result<File> {
    Ok(dir.open_file(".", OFlags::RDONLY | OFlags::DIRECTORY)?)
}

fn copy_tree(from: &Dir, to: &Dir, what: &str, progress: &dyn Progress) -> Result<()> {
    // How much there is in all would take a walk of its own.
    tree::copy(from, to, &mut |done| progress.advance(what, done, 0))?;
    rustix::fs::syncfs(to)
        .map_err(|errno| becket_sys::Error::new("sync", to.path().to_string_lossy(), errno).into())
}

/// Puts the new, empty directory into a project of its own and limits that.
///
/// The project's id is made from the volume's UUID and tried onwards from there until one is found
/// that has neither usage nor limit.
fn limit_new(data: &Dir, volume: &VolumeRecord) -> Result<()> {
    let file = as_file(data)?;
    let first = volume.uuid.as_fields().0;
    for attempt in 0..1024 {
        let project = (first.wrapping_add(attempt) & 0x7fff_ffff).max(1);
        let usage = quota::usage(&file, project, data.path())?;
        if usage.used == 0 && usage.limit == 0 {
            quota::set_limit(&file, project, volume.size, data.path())?;
            return Ok(quota::set_project(&file, project, data.path())?);
        }
    }
    Err(Error::new(Kind::Unavailable, "no free project id was found")
        .hint("`repquota -P` lists those in use"))
}

/// What the project of a limited directory uses.
fn usage(data: &Dir) -> Result<Option<quota::Usage>> {
    let file = as_file(data)?;
    match quota::project(&file, data.path())? {
        Some(project) => Ok(Some(quota::usage(&file, project, data.path())?)),
        None => Ok(None),
    }
}

/// Frees the project of the directory in `dir`, before its last file is gone.
fn lift_limit(dir: &Dir) -> Result<()> {
    let data = match dir.open_dir(DATA) {
        Ok(data) => as_file(&data)?,
        Err(error) if error.errno == Errno::NOENT => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    match quota::project(&data, dir.path())? {
        Some(project) if quota::enforced(&data) => {
            Ok(quota::set_limit(&data, project, 0, dir.path())?)
        }
        _ => Ok(()),
    }
}
