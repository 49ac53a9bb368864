//! A driver as it is served on a node: what all its services share.

use crate::driver::Driver;
use crate::identifier::{self, Identifier};
use crate::protocol::csi::{Topology, TopologyRequirement};
use becket_core::engine::{INLINE, NewPool};
use becket_core::record::{SnapshotRecord, VolumeRecord};
use becket_core::{Engine, Error, Kind, Name, Result, preflight};
use std::collections::HashMap;

/// The key of the segment that says on which node a volume is.
pub const NODE_SEGMENT: &str = "topology.becket.dev/node";

/// A pool that cannot be opened, and why.
pub type Broken = (Name, Error);

/// Which half of a driver a process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Both.
    All,
    /// What runs on each node.
    Node,
    /// What provisions.
    Controller,
}

impl Mode {
    /// True when it serves the node's calls.
    pub fn node(self) -> bool {
        self != Mode::Controller
    }

    /// True when it serves the controller's calls.
    pub fn controller(self) -> bool {
        self != Mode::Node
    }
}

/// A served driver.
pub struct Plugin {
    /// Which one.
    pub driver: Driver,
    /// The node's id.
    pub node: String,
    /// Which half of it.
    pub mode: Mode,
    /// Volumes are attached to the node before they are staged.
    pub attach: bool,
    /// How many volumes may be attached; 0 for no limit.
    pub most_volumes: u32,
    /// What does the work.
    pub engine: Engine,
}

impl Plugin {
    /// True when the driver is there for the default pool and has the programs it needs.
    ///
    /// A pool that is broken beside others that are whole is no reason to end the process: that is told
    /// by the storage's health.
    pub fn in_order(&self) -> Result<()> {
        preflight::kernel()?;
        for program in self.driver.programs() {
            if becket_sys::child::find(program).is_none() {
                return Err(Error::new(
                    Kind::WrongState,
                    format!("this host has no `{program}`, which makes volumes"),
                )
                .hint("install it in the image or on the host that becket runs on"));
            }
        }
        let default = identifier::pool(self.driver, None)?;
        let (pools, broken) = self.pools()?;
        match broken.into_iter().find(|(name, _)| *name == default || pools.is_empty()) {
            Some((_, error)) => Err(Error::new(Kind::WrongState, error.message())),
            None => Ok(()),
        }
    }

    /// Makes the driver's default pool where the node never had it.
    pub fn prepare(&self) -> Result<()> {
        let name = identifier::pool(self.driver, None)?;
        if self.engine.state().knows_pool(&name)? || !self.driver.makes_its_pool() {
            return Ok(());
        }
        log::info!("pool `{name}` is made, for volumes whose class names no pool");
        self.engine.create_pool(&NewPool::new(name, self.driver.backend())).map(drop)
    }

    /// Thaws what a killed process left held still.
    pub fn thaw(&self) {
        for pool in self.pools().map(|(usable, _)| usable).unwrap_or_default() {
            if let Err(error) = self.engine.thaw(&pool) {
                log::warn!("volumes of pool `{pool}` may be left held still: {error}");
            }
        }
    }

    /// The driver's pools that can be used, and all others that cannot be opened with the reason.
    pub fn pools(&self) -> Result<(Vec<Name>, Vec<Broken>)> {
        let (mut usable, mut broken) = (Vec::new(), Vec::new());
        for (name, pool) in self.engine.pools()? {
            match pool {
                Ok(pool) if pool.record.backend == self.driver.backend() => usable.push(name),
                Ok(_) => {}
                Err(error) => broken.push((name, error)),
            }
        }
        Ok((usable, broken))
    }

    /// An id of this driver's. `Invalid` without one, `NotFound` where nothing of it can go by it.
    pub fn identifier(&self, id: &str, what: &str) -> Result<Identifier> {
        if let Some(id) = self.inline(id) {
            return Ok(id);
        }
        let id = Identifier::expect(id, what)?;
        self.own(&id.pool, what, &id)?;
        Ok(id)
    }

    /// Where the inline volume is that Kubernetes knows by `id`: such ids are its own, not ours.
    fn inline(&self, id: &str) -> Option<Identifier> {
        if !id.starts_with("csi-") || Identifier::parse(id).is_some() {
            return None;
        }
        let (pools, _) = self.pools().ok()?;
        pools.into_iter().map(|pool| Identifier::of(pool, id)).find(|id| {
            let found = self.engine.find_volume(&id.pool, &id.name).ok().flatten();
            found.is_some_and(|found| found.labels.contains_key(INLINE))
        })
    }

    /// The volume that an id stands for.
    pub fn volume(&self, id: &str) -> Result<(Identifier, VolumeRecord)> {
        let id = self.identifier(id, "volume")?;
        let record = self.engine.volume(&id.pool, &id.name)?;
        Ok((id, record))
    }

    /// The snapshot that an id stands for.
    pub fn snapshot(&self, id: &str) -> Result<(Identifier, SnapshotRecord)> {
        let id = self.identifier(id, "snapshot")?;
        let record = self.engine.snapshot(&id.pool, &id.name)?;
        Ok((id, record))
    }

    /// What an id says that is to be taken away; `None` where nothing of this driver can go by it.
    pub fn to_remove(&self, id: &str, what: &str) -> Result<Option<Identifier>> {
        if id.is_empty() {
            return Err(Error::new(Kind::Invalid, format!("the {what}'s id is missing")));
        }
        let Some(id) = Identifier::parse(id) else {
            return Ok(None);
        };
        match self.own(&id.pool, what, &id) {
            Ok(()) => Ok(Some(id)),
            // The pool is another driver's, which is there and has no such thing of ours.
            Err(error) if error.kind() == Kind::NotFound && self.engine.open(&id.pool).is_ok() => {
                Ok(None)
            }
            Err(error) if error.kind() == Kind::NotFound => {
                // Its pool may be on a disk that this node has yet to see: that is no proof.
                Err(Error::new(Kind::Unavailable, error.message()))
            }
            Err(error) => Err(error),
        }
    }

    /// `NotFound` when the pool is not of this driver.
    fn own(&self, pool: &Name, what: &str, id: &Identifier) -> Result<()> {
        match self.engine.open(pool)?.record.backend == self.driver.backend() {
            true => Ok(()),
            false => {
                let driver = self.driver.name();
                Err(Error::new(Kind::NotFound, format!("{what} `{id}` is not of `{driver}`")))
            }
        }
    }

    /// Where a volume or snapshot of this node can be used; nothing where that is everywhere.
    pub fn topologies(&self) -> Vec<Topology> {
        if self.driver.is_shared() { Vec::new() } else { vec![self.topology()] }
    }

    /// Where this node's volumes can be used.
    pub fn topology(&self) -> Topology {
        let segments = HashMap::from([(NODE_SEGMENT.to_owned(), self.node.clone())]);
        Topology { segments }
    }

    /// `NoSpace` when `what` is wanted elsewhere than on this node: none of what is required includes it.
    pub fn is_wanted_here(&self, what: &str, wanted: Option<&TopologyRequirement>) -> Result<()> {
        let requisite = wanted.map_or(&[][..], |wanted| &wanted.requisite);
        match self.driver.is_shared()
            || requisite.is_empty()
            || requisite.iter().any(|topology| self.is_in(topology))
        {
            true => Ok(()),
            false => {
                let node = &self.node;
                let words = format!("the {what} is wanted elsewhere than on node `{node}`");
                Err(Error::new(Kind::NoSpace, words))
            }
        }
    }

    /// True when `topology` includes this node: it names no segment of ours, or names us. Keys are
    /// compared without regard to case (message `Topology`).
    pub fn is_in(&self, topology: &Topology) -> bool {
        topology
            .segments
            .iter()
            .all(|(key, value)| key.eq_ignore_ascii_case(NODE_SEGMENT) && *value == self.node)
    }
}
