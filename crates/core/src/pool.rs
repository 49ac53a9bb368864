//! The state directory of a node, and the pools in it.
//!
//! ```text
//! <state>/pools/<name>             a pool, or a symbolic link to where it is
//! <state>/locks/<pool uuid>/       the locks of volumes and snapshots at work
//! <state>/staged/<pool>/<volume>/  where mount-only drivers stage
//! ```
//!
//! Nothing else is kept: a pool carries its own identity and its volumes' records, and what is
//! mounted is asked of the kernel.

use crate::device_label::{DeviceLabel, StateIdentity};
use crate::memory::Memory;
use crate::record::{self, PoolRecord, Record};
use crate::{Error, Kind, Name, Result};
use becket_sys::Errno;
use becket_sys::beneath::{self, Dir};
use becket_sys::point;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// The state directory unless told otherwise.
pub const DEFAULT_STATE: &str = "/var/lib/becket";

/// The environment variable that names another state directory.
pub const STATE_VARIABLE: &str = "BECKET_STATE_DIR";

/// The pool that is made by itself when it is first used.
pub const DEFAULT_POOL: &str = "default";

/// The state directory.
#[derive(Debug)]
pub struct State {
    path: PathBuf,
}

/// An open pool: its record was read and fits, so the medium is there.
#[derive(Debug)]
pub struct Pool {
    /// `pool.json`.
    pub record: PoolRecord,
    /// The pool's own directory.
    pub dir: Dir,
    /// Where the locks of its volumes and snapshots are.
    pub locks: Dir,
    /// True when other nodes have the pool too: its locks are then kept on its medium as well.
    pub shared: bool,
    /// Below which mount-only drivers stage its volumes, one directory each.
    pub staged: PathBuf,
    /// The state directory of the node that has opened it.
    pub state: StateIdentity,
    /// What its backend has read of it in this operation.
    pub memory: Memory,
}

impl State {
    /// The state directory at `path`; it is made when something is first written to it.
    pub fn new(path: impl Into<PathBuf>) -> State {
        State { path: path.into() }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What tells it from every other.
    pub fn identity(&self) -> Result<StateIdentity> {
        let found = point::look_at(Dir::open(&self.path)?.as_fd(), &self.path)?;
        Ok((found.device, found.inode))
    }

    /// Below which mount-only drivers stage: `<state>/staged`.
    pub fn staged(&self) -> PathBuf {
        self.path.join("staged")
    }

    fn pools(&self) -> Result<Dir> {
        Ok(beneath::ensure_path(&self.path.join("pools"))?)
    }

    /// True when the node has, or once had, a pool of this name.
    pub fn knows_pool(&self, name: &Name) -> Result<bool> {
        Ok(self.pools()?.contains(name)?)
    }

    /// Opens the pool `name`.
    ///
    /// `NotFound` when this node never had it; `Unavailable` when it had, and its medium is not there.
    pub fn open_pool(&self, name: &Name) -> Result<Pool> {
        if !self.knows_pool(name)? {
            return Err(Error::new(Kind::NotFound, format!("pool `{name}` does not exist")).hint(
                match name.as_str() {
                    DEFAULT_POOL => "it is made with its first volume".to_owned(),
                    "directory" => {
                        "make it with `becket pool create directory --backend directory`".to_owned()
                    }
                    _ => format!("make it with `becket pool create {name} --backend …`"),
                },
            ));
        }
        let missing = |reason: &str| {
            Error::new(Kind::Unavailable, format!("pool `{name}` is not reachable: {reason}"))
                .hint("is its disk mounted?")
        };
        let path = self.path.join("pools").join(name);
        let dir = Dir::open(&path).map_err(|error| match error.errno {
            Errno::NOENT => missing("its directory is gone"),
            _ => error.into(),
        })?;
        let bytes = dir.read(PoolRecord::FILE, record::LARGEST)?;
        let bytes = bytes.ok_or_else(|| missing("its directory has no pool.json"))?;
        let record: PoolRecord =
            record::read(&bytes, &path.join(PoolRecord::FILE).to_string_lossy())?;
        if record.name != *name {
            return Err(Error::new(
                Kind::WrongState,
                format!("`{}` holds the pool `{}`, not `{name}`", path.display(), record.name),
            ));
        }
        self.pool(record, dir)
    }

    /// The pool with this record in this directory.
    pub(crate) fn pool(&self, record: PoolRecord, dir: Dir) -> Result<Pool> {
        let locks = beneath::ensure_path(&self.path.join("locks").join(record.uuid.to_string()))?;
        let staged = self.staged().join(&record.name);
        let (state, memory) = (self.identity()?, Memory::default());
        Ok(Pool { record, dir, locks, shared: false, staged, state, memory })
    }

    /// The names of this node's pools.
    pub fn pool_names(&self) -> Result<Vec<Name>> {
        Ok(self.pools()?.names()?.into_iter().filter_map(|name| Name::new(name).ok()).collect())
    }

    /// Where the pool `name` is or will be: `path`, or its default place.
    pub fn place_of(&self, name: &Name, path: Option<&Path>) -> PathBuf {
        path.map_or_else(|| self.path.join("pools").join(name), Path::to_owned)
    }

    /// Makes the directory of a new pool. Without a path of its own it is hidden, and nobody opens
    /// the pool before [`State::show_place`]. What is in it already stays: the caller has looked.
    pub(crate) fn make_place(&self, name: &Name, path: Option<&Path>) -> Result<Dir> {
        let pools = self.pools()?;
        match path {
            Some(path) => Ok(beneath::ensure_path(path)?),
            None if pools.contains(name)? => Ok(Dir::open(pools.path().join(name))?),
            None => Ok(pools.ensure_dir(hidden(name), 0o700)?),
        }
    }

    /// Makes a new pool known under its name, in one step.
    pub(crate) fn show_place(&self, name: &Name, path: Option<&Path>) -> Result<()> {
        let pools = self.pools()?;
        if pools.contains(name)? {
            return Ok(());
        }
        let Some(path) = path else {
            return Ok(pools.rename_into(&hidden(name), &pools, name.as_str())?);
        };
        std::os::unix::fs::symlink(path, pools.path().join(name)).map_err(|error| {
            Error::new(Kind::Internal, format!("cannot link pool `{name}` to its place: {error}"))
        })?;
        Ok(pools.sync()?)
    }

    /// Forgets the pool `name`, whose own directory the caller has emptied or wants to keep.
    pub fn forget_pool(&self, name: &Name) -> Result<()> {
        let pools = self.pools()?;
        match pools.remove_dir(name) {
            Err(error) if error.errno == Errno::NOTDIR => Ok(pools.remove_file(name)?),
            other => Ok(other?),
        }
    }
}

/// Where a new pool is made: names of pools do not start with a dot.
fn hidden(name: &Name) -> String {
    format!(".{name}.new")
}

impl Pool {
    /// The pool's name.
    pub fn name(&self) -> &Name {
        &self.record.name
    }

    /// What is written on the devices of its raw block volume `name`.
    pub fn label_of(&self, name: &Name) -> DeviceLabel {
        DeviceLabel::new(self.state, self.name(), name)
    }
}
