//! Mounts of file servers: told from the mount table alone, and mended where the server has forgotten them.

use super::apart::Operation;
use super::observe::loop_number;
use super::steps::{in_use, stage_step, unmount_all_while, unmount_patiently};
use super::{Engine, Publication, Staging, refusal};
use crate::backend::{Abilities, IMAGE_ON_SERVER};
use crate::plan::Conflict;
use crate::pool::Pool;
use crate::record::VolumeRecord;
use crate::target::Target;
use crate::{Error, Kind, Name, Result};
use becket_sys::beneath::Dir;
use becket_sys::mountinfo::{self, Entry};
use becket_sys::point::Point;
use becket_sys::{Errno, loop_device, mount, rpc, space};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) use super::apart::unmount;

/// How long a server may take to say that it is there.
const SOON: Duration = Duration::from_secs(3);

/// The mount of a file server that is at the point; `None` for mounts of this node. The table alone is
/// asked, and read only where the point may be such a mount, whose device number is of no device.
pub(super) fn entry_of(point: &Point) -> Result<Option<Entry>> {
    if point.device.0 != 0 {
        return Ok(None);
    }
    let table = mountinfo::read()?;
    Ok(table.into_iter().find(|entry| entry.id == point.mount_id && entry.is_nfs()))
}

/// The mount at the point of an image on a server, and the image's path as the kernel tells it: below a
/// mount of the export that is attached nowhere. No server is asked.
pub(super) fn image_at(point: &Point) -> Result<Option<(Entry, PathBuf)>> {
    let find = |table: Vec<Entry>| table.into_iter().find(|entry| entry.id == point.mount_id);
    match point.device.0 {
        loop_device::MAJOR => {
            let Some(file) = loop_device::file_behind(point.device) else {
                return Ok(None);
            };
            if !is_on_server(&file) {
                return Ok(None);
            }
            Ok(find(mountinfo::read()?).map(|entry| (entry, file)))
        }
        // A btrfs has a number of its own; its device is told in the table.
        0 => {
            let file = |entry: &Entry| loop_device::file_of(loop_number(&entry.source)?);
            let told = find(mountinfo::read()?).and_then(|entry| Some((file(&entry)?, entry)));
            Ok(told.filter(|(file, _)| is_on_server(file)).map(|(file, entry)| (entry, file)))
        }
        _ => Ok(None),
    }
}

/// True for a file behind a loop device that is an image on a server.
pub(super) fn is_on_server(file: &Path) -> bool {
    file.file_name() == Some(IMAGE_ON_SERVER.as_ref())
}

/// True when the server that the mount is of answers now.
pub(super) fn answers(entry: &Entry) -> bool {
    let option = |key: &str| {
        entry.options.split(',').find_map(|option| option.strip_prefix(key)?.strip_prefix('='))
    };
    let Some(Ok(address)) = option("addr").map(str::parse::<IpAddr>) else {
        return true;
    };
    let port = option("port").and_then(|port| port.parse().ok()).unwrap_or(rpc::NFS_PORT);
    let version = if entry.kind == "nfs4" { 4 } else { 3 };
    rpc::call_null(SocketAddr::new(address, port), rpc::NFS, version, SOON).is_ok()
}

/// Unmounts in this process, which is expendable.
pub(super) fn unmount_here(path: &Path) -> Result<()> {
    unmount_patiently(path).map_err(in_use)
}

/// What a refused change of owner means on a file server.
pub(super) fn explained(error: becket_sys::Error, remote: bool) -> Error {
    let refused = matches!(error.errno, Errno::PERM | Errno::ACCESS);
    let error = Error::from(error);
    match refused && remote {
        true => Error::new(Kind::Denied, error.message().to_owned()).hint(
            "the server does not let root give files away: export it with no_root_squash, \
             or leave fsGroup out and set owners on the server",
        ),
        false => error,
    }
}

impl Engine {
    /// Unstages without asking the server: what is mounted is told from the table, and a dead server
    /// keeps no pod from ending.
    pub(super) fn unstage_unasked(&self, pool: &Pool, name: &Name, staging: &Target) -> Result<()> {
        let _lock = self.lock_volume(pool, name)?;
        self.refuse_foreign(pool, name, staging)?;
        self.unmount_all_of(pool.name(), staging)?;
        self.forget_words(pool, name, &staging.path())
    }

    /// Unmounts the target and removes it, without asking the server.
    pub(super) fn withdraw_unasked(&self, pool: &Pool, name: &Name, target: &Target) -> Result<()> {
        let _lock = self.lock_volume(pool, name)?;
        self.refuse_foreign(pool, name, target)?;
        self.unmount_all_of(pool.name(), target)?;
        target.remove()?;
        self.forget_words(pool, name, &target.path())
    }

    /// [`unmount_all`](super::steps::unmount_all) of a volume of the pool, whose server may be gone.
    pub(super) fn unmount_all_of(&self, pool: &Name, place: &Target) -> Result<()> {
        unmount_all_while(place, &|| self.pool_answers(pool))
    }

    /// False when the pool is on a server that does not answer.
    fn pool_answers(&self, pool: &Name) -> bool {
        let asked = self.state().open_pool(pool).and_then(|pool| match self.apart(&pool) {
            Some(apart) => apart.ask::<Abilities>(Operation::Abilities).map(drop),
            None => self.backend(&pool)?.reach(&pool.record).map(drop),
        });
        !asked.is_err_and(|error| error.kind() == Kind::Unavailable)
    }

    /// `WrongState` when what is mounted at the place is not of the pool's share, or is another volume
    /// of it.
    fn refuse_foreign(&self, pool: &Pool, name: &Name, place: &Target) -> Result<()> {
        let Some(point) = place.look()?.filter(|point| point.mounted) else {
            return Ok(());
        };
        let backend = self.backend(pool)?;
        let shown = match entry_of(&point)? {
            Some(entry) => Some(entry.source),
            None => image_at(&point)?.map(|(_, file)| file),
        };
        let ours = shown.is_some_and(|shown| backend.may_be_mount_of(&pool.record, name, &shown));
        match ours {
            true => Ok(()),
            false => {
                let path = place.path().display().to_string();
                Err(refusal(Conflict::TargetTaken, pool, name, &path))
            }
        }
    }

    /// Mounts the stage anew, and takes the target away, where the server does not know them any more: it
    /// has been restarted on other storage, or what they show was made again.
    pub(super) fn mend_stale(
        &self,
        pool: &Pool,
        name: &Name,
        staging: &Target,
        target: &Target,
        publication: &Publication,
    ) -> Result<()> {
        let backend = self.backend(pool)?;
        if !backend.is_remote() {
            return Ok(());
        }
        let Some(mut record) = backend.catalog().volume(pool, name)?.found() else {
            return Ok(());
        };
        if self.is_stale(pool, &record, target)? {
            mount::unmount_lazily(&target.path())?;
        }
        if self.is_stale(pool, &record, staging)? {
            log::warn!("volume `{name}` is mounted anew at `{}`", staging.path().display());
            mount::unmount_lazily(&staging.path())?;
            let how = Staging { flags: publication.flags.clone(), ..Staging::default() };
            stage_step(backend, pool, &mut record, staging, &how)
                .map_err(|error| error.during(format!("cannot stage volume `{name}` again")))?;
        }
        Ok(())
    }

    fn is_stale(&self, pool: &Pool, record: &VolumeRecord, place: &Target) -> Result<bool> {
        let Some(point) = place.look()?.filter(|point| point.mounted) else {
            return Ok(false);
        };
        let (entry, ours) = (entry_of(&point)?, self.backend(pool)?.remote_name(pool, record)?);
        let ours = entry.is_some_and(|entry| ours.is_some_and(|name| entry.source == name));
        Ok(ours && is_stale(&place.path()))
    }
}

/// True when the server has forgotten what is mounted at the path. It is asked, so this is for expendable
/// processes.
pub(super) fn is_stale(path: &Path) -> bool {
    // Its space, because what was opened or listed before is known without the server.
    let asked = Dir::open(path).and_then(|dir| space::of(dir.as_fd(), path));
    matches!(asked, Err(error) if error.errno == Errno::STALE)
}
