//! Making, opening and deleting pools.

use super::apart::Operation;
use super::{Engine, MOMENT, remote_pool};
use crate::backend::Backend;
use crate::lock::{self, Lock, Mode};
use crate::pool::{DEFAULT_POOL, Pool};
use crate::record::{self, FORMAT, PoolRecord, Record};
use crate::{Error, Kind, Name, Result, preflight};
use becket_sys::beneath::Dir;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

/// What a new pool is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct NewPool {
    /// Its name on this node.
    pub name: Name,
    /// The backend of its volumes.
    pub backend: String,
    /// Its directory; `None` for `<state>/pools/<name>`.
    pub path: Option<PathBuf>,
    /// Bytes that may be promised for each byte there is; `None` for 1, or for what an adopted pool has.
    pub overcommit: Option<f64>,
    /// How long deleted things stay in the trash; `None` for a day, or for what an adopted pool has.
    pub trash_retention: Option<Duration>,
    /// What its backend wants to know.
    pub parameters: BTreeMap<String, String>,
    /// What is known of it, for pools on servers.
    #[serde(default)]
    pub expected: Expected,
}

/// What is known of a pool on a server before its server is asked. A share may show another directory than usual
/// for a while, above all an empty one, when its own disk is not mounted yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Expected {
    /// Nothing: there may be a pool or none.
    #[default]
    Nothing,
    /// It is there: none is made.
    Existing,
    /// It is there and has this identity.
    This(Uuid),
}

impl NewPool {
    /// A pool with the defaults.
    pub fn new(name: Name, backend: impl Into<String>) -> NewPool {
        NewPool {
            name,
            backend: backend.into(),
            path: None,
            overcommit: None,
            trash_retention: None,
            parameters: BTreeMap::new(),
            expected: Expected::Nothing,
        }
    }
}

impl Engine {
    /// Makes a pool, or adopts the one that is at the path already under the same name and backend and
    /// changes what is asked to be changed.
    pub fn create_pool(&self, new: &NewPool) -> Result<PoolRecord> {
        preflight::kernel()?;
        let backend = self.backend_named(&new.backend)?;
        if let Some(overcommit) = new.overcommit.filter(|ratio| !(0.1..=1000.0).contains(ratio)) {
            return Err(Error::new(
                Kind::OutOfRange,
                format!("over-commit {overcommit} is out of range"),
            )
            .hint("1 promises no more than there is; 0.1 to 1000 is possible"));
        }
        if new.path.as_deref().is_some_and(|path| !path.is_absolute()) {
            return Err(Error::new(Kind::Invalid, "the path of a pool must be absolute")
                .hint("it is where the pool is for as long as it lives"));
        }
        if backend.is_apart() {
            let create = Operation::CreatePool(Box::new(new.clone()));
            return self.ask_apart(&backend.medium_named(&new.parameters), None, create);
        }
        let _lock = self.lock_pool(&new.name)?;
        if backend.is_remote() {
            return self.create_remote_pool(backend, new);
        }
        let place = self.state.place_of(&new.name, new.path.as_deref());
        self.refuse_other_place(new, &place)?;
        if let Ok(dir) = Dir::open(&place) {
            match read_record(&dir)? {
                Some(found) => adoptable(&found, new)?,
                None => refuse_filled(&dir)?,
            }
        }
        let dir = self.state.make_place(&new.name, new.path.as_deref())?;
        let catalog = self.backend_named(&new.backend)?.catalog();
        let record = match read_record(&dir)? {
            Some(record) => Some(record),
            None => catalog.recognise(&new.parameters)?,
        };
        let pool = match record {
            Some(record) => {
                adoptable(&record, new)?;
                self.state.pool(changed(record, new), dir)?
            }
            None => self.state.pool(new_record(new), dir)?,
        };
        // The record last: with it the directory is a pool, and a whole one.
        self.backend(&pool)?.catalog().lay_out(&pool)?;
        pool.dir.write_atomic(PoolRecord::FILE, &record::write(&pool.record)?)?;
        self.state.show_place(&new.name, new.path.as_deref())?;
        Ok(pool.record)
    }

    /// The lock of a pool's name on this node.
    fn lock_pool(&self, name: &Name) -> Result<Lock> {
        let locks = becket_sys::beneath::ensure_path(&self.state.path().join("locks"))?;
        lock::acquire(&locks, &format!("pool-{name}"), Mode::Exclusive, MOMENT)
    }

    /// A name stands for one place: a pool that is elsewhere already is not quietly replaced.
    fn refuse_other_place(&self, new: &NewPool, place: &std::path::Path) -> Result<()> {
        let known = self.state.place_of(&new.name, None);
        match std::fs::read_link(&known) {
            Ok(there) if there != place && new.path.is_some() => Err(Error::new(
                Kind::Conflict,
                format!("pool `{}` exists at `{}`", new.name, there.display()),
            )
            .hint("if that place is gone for good, `becket pool delete --forget` forgets it")),
            Err(_) if new.path.is_some() && known != place && Dir::open(&known).is_ok() => {
                Err(Error::new(
                    Kind::Conflict,
                    format!("pool `{}` exists at its default place", new.name),
                ))
            }
            _ => Ok(()),
        }
    }

    /// Opens a pool.
    pub fn open(&self, name: &Name) -> Result<Pool> {
        let pool = self.state.open_pool(name)?;
        match self.backend(&pool)?.reach(&pool.record)? {
            Some(medium) => remote_pool::entered(pool, medium),
            None => Ok(pool),
        }
    }

    /// Opens a pool to make a volume in it. The pool named `default` is made, with the backend `image`,
    /// when the node has never had it.
    pub(super) fn open_or_make(&self, name: &Name) -> Result<Pool> {
        if self.would_make(name)? {
            self.create_pool(&NewPool::new(name.clone(), "image"))?;
        }
        self.open(name)
    }

    /// True for the pool named `default` while the node has never had it.
    pub fn would_make(&self, name: &Name) -> Result<bool> {
        Ok(name.as_str() == DEFAULT_POOL && !self.state.knows_pool(name)?)
    }

    /// The pools of this node, those that cannot be opened with the reason.
    pub fn pools(&self) -> Result<Vec<(Name, Result<Pool>)>> {
        let names = self.state.pool_names()?;
        Ok(names.into_iter().map(|name| (name.clone(), self.state.open_pool(&name))).collect())
    }

    /// The identity of a pool, as this node knows it; its server is not asked.
    pub fn pool_uuid(&self, name: &Name) -> Result<Uuid> {
        Ok(self.state.open_pool(name)?.record.uuid)
    }

    /// Forgets where a pool with a path of its own is. Nothing in it is touched, and creating it again
    /// with its path adopts it. False when this node does not know it.
    pub fn forget_pool(&self, name: &Name) -> Result<bool> {
        let _lock = self.lock_pool(name)?;
        if !self.state.knows_pool(name)? {
            return Ok(false);
        }
        if std::fs::read_link(self.state.place_of(name, None)).is_err() {
            if self.forget_remote_pool(name)? {
                return Ok(true);
            }
            return Err(Error::new(
                Kind::WrongState,
                format!("pool `{name}` is at its default place and cannot be forgotten"),
            )
            .hint("move its directory away by hand if you want to keep what is in it"));
        }
        self.state.forget_pool(name)?;
        self.forget_places(name).map(|()| true)
    }

    /// Deletes an empty pool. Anything in it, the trash included, stops the deletion. False when this
    /// node does not know it.
    pub fn delete_pool(&self, name: &Name) -> Result<bool> {
        if self.state.knows_pool(name)?
            && let Some(apart) = self.apart(&self.state.open_pool(name)?)
        {
            return apart.ask(Operation::DeletePool);
        }
        let _lock = self.lock_pool(name)?;
        if !self.state.knows_pool(name)? {
            return Ok(false);
        }
        let pool = self.open(name)?;
        let backend = self.backend(&pool)?;
        refuse_used(backend, &pool)?;
        backend.catalog().sweep(&pool)?;
        // Plain rmdir only: whatever is not empty stays, and its name is in the error.
        for area in pool.dir.names()?.iter().filter(|area| !lock::is_file(area)) {
            for part in pool.dir.open_dir(area)?.names()? {
                pool.dir.open_dir(area)?.remove_dir(&part)?;
            }
            pool.dir.remove_dir(area)?;
        }
        backend.catalog().dissolve(&pool)?;
        pool.dir.remove_file(PoolRecord::FILE)?;
        if pool.shared {
            lock::forget_beyond(&pool)?;
            self.forget_remote_pool(name)?;
        } else {
            self.state.forget_pool(name)?;
        }
        self.forget_places(name).map(|()| true)
    }
}

pub(super) fn read_record(dir: &Dir) -> Result<Option<PoolRecord>> {
    match dir.read(PoolRecord::FILE, record::LARGEST)? {
        Some(bytes) => {
            record::read(&bytes, &dir.path().join(PoolRecord::FILE).to_string_lossy()).map(Some)
        }
        None => Ok(None),
    }
}

pub(super) fn adoptable(found: &PoolRecord, new: &NewPool) -> Result<()> {
    if found.name == new.name && found.backend == new.backend {
        return Ok(());
    }
    Err(Error::new(
        Kind::Conflict,
        format!(
            "there is already a pool `{}` of backend `{}` at that path",
            found.name, found.backend
        ),
    ))
}

/// A directory with something in it is somebody's; `lost+found` is a fresh filesystem's, and the beginnings of a
/// pool's record are of a node that makes the same pool, or was killed while it did.
pub(super) fn refuse_filled(dir: &Dir) -> Result<()> {
    let names = dir.names()?;
    let is_begun = |name: &str| {
        name.starts_with('.') && name.trim_start_matches('.').starts_with(PoolRecord::FILE)
    };
    match names.iter().find(|name| *name != "lost+found" && !is_begun(name)) {
        None => Ok(()),
        Some(name) => Err(Error::new(
            Kind::Conflict,
            format!("directory `{}` is not empty: it holds `{name}`", dir.path().display()),
        )
        .hint("a pool needs a directory of its own; name a new one")),
    }
}

fn refuse_used(backend: &dyn Backend, pool: &Pool) -> Result<()> {
    let volumes = backend.catalog().volumes(pool)?;
    let snapshots = backend.catalog().snapshots(pool)?;
    let trash = backend.catalog().trash(pool)?;
    let unreadable = volumes.unreadable.len() + snapshots.unreadable.len() + trash.unreadable.len();
    let counts = [
        (volumes.records.len(), "volumes"),
        (snapshots.records.len(), "snapshots"),
        (trash.records.len(), "things in the trash"),
        (unreadable, "places without a readable record"),
    ];
    match counts.iter().find(|(count, _)| *count > 0) {
        None => Ok(()),
        Some((count, what)) => {
            Err(Error::new(Kind::InUse, format!("pool `{}` still has {count} {what}", pool.name()))
                .hint("delete them first; `becket trash empty --all` empties the trash"))
        }
    }
}

/// How long deleted things stay in the trash unless told otherwise.
const DAY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn changed(found: PoolRecord, new: &NewPool) -> PoolRecord {
    let retention = new.trash_retention.map(|time| time.as_secs());
    PoolRecord {
        overcommit: new.overcommit.unwrap_or(found.overcommit),
        trash_retention_seconds: retention.unwrap_or(found.trash_retention_seconds),
        ..found
    }
}

pub(super) fn new_record(new: &NewPool) -> PoolRecord {
    PoolRecord {
        format: FORMAT,
        uuid: Uuid::new_v4(),
        name: new.name.clone(),
        backend: new.backend.clone(),
        overcommit: new.overcommit.unwrap_or(1.0),
        trash_retention_seconds: new.trash_retention.unwrap_or(DAY).as_secs(),
        created: record::now(),
        parameters: new.parameters.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginnings_of_a_pools_record_fill_no_directory() {
        let place = tempfile::tempdir().unwrap();
        let dir = Dir::open(place.path()).unwrap();
        for begun in ["lost+found", ".pool.json.new", ".pool.json.1-2.new", "..pool.json.1-2.new"] {
            std::fs::write(place.path().join(begun), "").unwrap();
            refuse_filled(&dir).unwrap();
        }
        for other in ["pool.json.old", ".hidden", "data"] {
            std::fs::write(place.path().join(other), "").unwrap();
            assert_eq!(refuse_filled(&dir).unwrap_err().kind(), Kind::Conflict, "{other}");
            std::fs::remove_file(place.path().join(other)).unwrap();
        }
    }
}
