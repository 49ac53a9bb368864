//! Pools that are on a file server: the state directory holds the way there, the server the pool.
//!
//! Every node that makes the pool of the same server and share adopts the same one.

use super::Engine;
use super::pools::{Expected, NewPool, adoptable, changed, new_record, read_record, refuse_filled};
use crate::backend::Backend;
use crate::pool::Pool;
use crate::record::{self, PoolRecord, Record};
use crate::{Error, Kind, Name, Result};
use becket_sys::beneath::Dir;
use std::os::fd::AsFd;
use uuid::Uuid;

/// The pool whose way is known, and whose directory on its server is open.
pub(crate) fn entered(way: Pool, medium: Dir) -> Result<Pool> {
    let lost = |reason: String| {
        Error::new(Kind::Unavailable, format!("pool `{}` is not reachable: {reason}", way.name()))
            .hint("is it still exported there, and is what is exported mounted on the server?")
    };
    let shown = medium.path().display();
    let found = read_record(&medium)?.ok_or_else(|| lost(format!("`{shown}` holds no pool")))?;
    if found.uuid != way.record.uuid {
        return Err(lost(format!("`{shown}` holds another pool")));
    }
    let record = PoolRecord { parameters: way.record.parameters.clone(), ..found };
    Ok(Pool { record, dir: medium, shared: true, ..way })
}

impl Engine {
    /// Makes a pool on its server, or adopts the one that is there, and notes the way to it. For callers
    /// that hold the lock of its name.
    pub(super) fn create_remote_pool(
        &self,
        backend: &dyn Backend,
        new: &NewPool,
    ) -> Result<PoolRecord> {
        if new.path.is_some() {
            return Err(Error::new(Kind::Invalid, "a pool on a server has no path on this node")
                .hint("its server and share say where it is"));
        }
        let way = self.way_to(new)?;
        let medium = backend.reach(&way)?.ok_or_else(|| {
            Error::new(
                Kind::Internal,
                format!("pool `{}` cannot be made in this process", new.name),
            )
        })?;
        let found = match read_record(&medium)? {
            Some(found) => {
                adoptable(&found, new)?;
                found
            }
            None if new.expected != Expected::Nothing => return Err(missing(&medium, new)),
            None => self.new_on(&medium, &way, new)?,
        };
        if let Expected::This(uuid) = new.expected
            && found.uuid != uuid
        {
            return Err(Error::new(
                Kind::Conflict,
                format!(
                    "`{}` holds another pool `{}` than the one that there are volumes of",
                    medium.path().display(),
                    new.name
                ),
            )
            .hint("is it the right server and share, and is the server's own disk mounted?"));
        }
        if self.state.knows_pool(&new.name)? && found.uuid != way.uuid {
            return Err(Error::new(
                Kind::Conflict,
                format!("`{}` holds another pool than `{}`", medium.path().display(), new.name),
            )
            .hint("`becket pool delete --forget` forgets the old one"));
        }
        let record = changed(found.clone(), new);
        if record != found {
            medium.write_atomic(PoolRecord::FILE, &record::write(&record)?)?;
        }
        let local = PoolRecord { parameters: way.parameters, ..record };
        let place = self.state.make_place(&new.name, None)?;
        let pool = Pool { dir: medium, shared: true, ..self.state.pool(local, place)? };
        backend.catalog().lay_out(&pool)?;
        let place = self.state.make_place(&new.name, None)?;
        place.write_atomic(PoolRecord::FILE, &record::write(&pool.record)?)?;
        self.state.show_place(&new.name, None)?;
        Ok(pool.record)
    }

    /// The record with which the pool's server is found: the one this node has, or a new one.
    fn way_to(&self, new: &NewPool) -> Result<PoolRecord> {
        if !self.state.knows_pool(&new.name)? {
            return Ok(new_record(new));
        }
        let known = self.state.open_pool(&new.name)?.record;
        adoptable(&known, new)?;
        if !new.parameters.is_empty() && new.parameters != known.parameters {
            return Err(Error::new(
                Kind::Conflict,
                format!("pool `{}` exists with other parameters", new.name),
            )
            .hint("`becket pool delete --forget` forgets it; nothing on the server is touched"));
        }
        Ok(known)
    }

    /// Makes the pool's record on the server, unless another node is faster.
    fn new_on(&self, medium: &Dir, way: &PoolRecord, new: &NewPool) -> Result<PoolRecord> {
        if self.state.knows_pool(&new.name)? {
            let shown = medium.path().display();
            let lost = format!("`{shown}` does not hold the pool `{}` any more", new.name);
            return Err(Error::new(Kind::Unavailable, lost)
                .hint("`becket pool delete --forget` forgets it, if that is meant to be"));
        }
        refuse_filled(medium)?;
        expect_root(medium)?;
        let record = PoolRecord { parameters: Default::default(), ..way.clone() };
        let beside = format!(".{}.{}", PoolRecord::FILE, record.uuid);
        medium.write_atomic(&beside, &record::write(&record)?)?;
        match medium.rename_into(&beside, medium, PoolRecord::FILE) {
            Ok(()) => Ok(record),
            Err(error) if error.errno == becket_sys::Errno::EXIST => {
                medium.remove_file(&beside)?;
                let found = read_record(medium)?.ok_or(error)?;
                adoptable(&found, new)?;
                Ok(found)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Forgets the way to a pool on a server. False for pools of this node.
    pub(super) fn forget_remote_pool(&self, name: &Name) -> Result<bool> {
        let way = self.state.open_pool(name)?;
        if !self.backend(&way)?.is_remote() {
            return Ok(false);
        }
        way.dir.remove_file(PoolRecord::FILE)?;
        self.state.forget_pool(name).map(|()| true)
    }
}

fn missing(medium: &Dir, new: &NewPool) -> Error {
    let shown = medium.path().display();
    Error::new(Kind::Unavailable, format!("`{shown}` holds no pool `{}`", new.name)).hint(
        "if it never was there, make it with `becket pool create` or let `becket controller` do so; \
         otherwise, is the server's own disk mounted?",
    )
}

/// `Denied` where the server takes root for somebody else: nothing could be given to anybody there, and
/// what is copied would lose its owners.
fn expect_root(medium: &Dir) -> Result<()> {
    let name = format!(".{}.{}", PoolRecord::FILE, Uuid::new_v4());
    let squashed = |shown: &str| {
        Error::new(Kind::Denied, format!("the server of `{shown}` does not let root be root"))
            .hint("export it with no_root_squash to the nodes, and make the pool again")
    };
    let shown = medium.path().display().to_string();
    medium.create_dir(&name, 0o700).map_err(|error| match error.errno {
        becket_sys::Errno::ACCESS | becket_sys::Errno::PERM => squashed(&shown),
        becket_sys::Errno::ROFS => {
            Error::new(Kind::WrongState, format!("`{shown}` is exported read-only"))
                .hint("export it with rw to the nodes")
        }
        _ => error.into(),
    })?;
    let made = medium.open_dir(&name)?;
    let owner = rustix::fs::fstat(made.as_fd()).map(|stat| stat.st_uid);
    medium.remove_dir(&name)?;
    match owner {
        Ok(0) => Ok(()),
        _ => Err(squashed(&shown)),
    }
}
