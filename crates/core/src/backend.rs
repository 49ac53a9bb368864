//! The one central trait: what makes storage exist and makes it reachable.
//!
//! What exists is told by its [`Catalog`]; here is what it is made of. A backend never formats on its
//! own decision, never mounts for a workload, never locks and never remembers. The engine calls it
//! under the volume's lock and does everything that follows from what kind of [`Source`] a volume has.
//! The contract is written down as a test suite in `becket_core::contract`, which runs on every
//! backend.

use crate::catalog::Catalog;
use crate::engine::Share;
use crate::pool::Pool;
use crate::progress::Progress;
use crate::record::{Birth, Content, PoolRecord, Provisioning, SnapshotRecord, VolumeRecord};
use crate::remote_mount::RemoteMount;
use crate::{Error, Kind, Name, Result, size};
use becket_sys::beneath::Dir;
use becket_sys::point::Point;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Where a volume's storage is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Hidden, while it is being made.
    Preparing,
    /// Where everybody sees it.
    Ready,
}

/// What a new volume's data is copied from.
#[derive(Debug, Clone)]
pub enum From {
    /// A snapshot of the same pool.
    Snapshot(SnapshotRecord),
    /// Another volume of the same pool, whose lock is held and whose content is at rest.
    Volume(VolumeRecord),
}

/// A volume, reachable on this node.
#[derive(Debug)]
pub enum Source {
    /// A block device. While `holder` is open the device stays attached, whatever else happens.
    Block {
        /// Its path in `/dev`.
        device: PathBuf,
        /// The open device.
        holder: File,
    },
    /// A directory to bind.
    Directory(Dir),
    /// A directory of a file server, which every node mounts for itself.
    Remote(RemoteMount),
}

/// The bytes of a volume that has its own: an image file or a block device.
#[derive(Debug)]
pub struct Medium {
    /// Open for reading.
    pub file: File,
    /// Its path, for host programs and messages.
    pub path: PathBuf,
    /// Its length in bytes.
    pub size: u64,
}

/// The name of image files on a file server, and of no others: what is known of a device with such a file
/// is what the kernel tells without asking the server.
pub const IMAGE_ON_SERVER: &str = "image-on-server";

/// How an attached device lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Until its last user is gone: for what is going to be mounted.
    WhileUsed,
    /// Until it is detached: for raw block, whose users the kernel does not count. A loop device has the
    /// volume's [`DeviceLabel`](crate::device_label::DeviceLabel) then, which says that it is staged.
    UntilDetached,
}

/// What a pool can do, as fixed facts of its backend and of the filesystem or group below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Abilities {
    /// True when a size is a real limit here.
    pub limits: bool,
    /// True when snapshots and clones share blocks and take no time.
    pub shares_blocks: bool,
    /// True when a snapshot of a volume in use is one moment of it. Directories cannot have that.
    pub snapshots_in_use: bool,
    /// True when a snapshot can be taken of a filesystem that is held still already, which is what it takes
    /// to cut several volumes in use at one moment.
    pub snapshots_while_frozen: bool,
    /// True when it can be told which bytes snapshots have and how they differ.
    pub ranges: bool,
}

/// The space of a pool, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What the medium below holds in all.
    pub total: u64,
    /// What can still be written to it.
    pub free: u64,
}

/// A kind of storage.
pub trait Backend: Send + Sync {
    /// Its name: `image`, `directory` and so on.
    fn name(&self) -> &'static str;

    /// True when this process must not touch what its pools keep, because a server may not answer: the
    /// engine does its operations in a second process.
    fn is_apart(&self) -> bool {
        false
    }

    /// True when the pools themselves are on a server, and what is in the state directory only tells the
    /// way to it.
    fn is_remote(&self) -> bool {
        false
    }

    /// What the medium of a pool with these parameters is called in messages.
    fn medium_named(&self, _parameters: &BTreeMap<String, String>) -> String {
        self.name().to_owned()
    }

    /// Opens the pool's directory on its server; `None` for pools of this node.
    fn reach(&self, _pool: &PoolRecord) -> Result<Option<Dir>> {
        Ok(None)
    }

    /// What the mount table shows as the source of the volume's mounts; `None` for volumes of this node.
    fn remote_name(&self, _pool: &Pool, _volume: &VolumeRecord) -> Result<Option<PathBuf>> {
        Ok(None)
    }

    /// True when the mount that the table shows with `source` may be one of the volume, and is no other
    /// volume's of the pool: what can be told without its record.
    fn may_be_mount_of(&self, _pool: &PoolRecord, _volume: &Name, _source: &Path) -> bool {
        false
    }

    /// The text with paths that only this process knows put into the words that people know.
    fn in_words(&self, text: String) -> String {
        text
    }

    /// True when another node has the volume attached, which can have one user only.
    fn used_elsewhere(&self, _pool: &Pool, _volume: &VolumeRecord) -> Result<bool> {
        Ok(false)
    }

    /// How a share that is no pool's is mounted.
    fn share(&self, _share: &Share) -> Result<RemoteMount> {
        Err(Error::new(
            Kind::Unsupported,
            format!("the backend `{}` mounts no shares", self.name()),
        ))
    }

    /// The records of its pools.
    fn catalog(&self) -> &dyn Catalog;

    /// What its volumes can hold; the first is the default.
    fn contents(&self) -> &'static [Content];

    /// What a volume with these parameters holds that does not say.
    fn default_content(&self, _parameters: &BTreeMap<String, String>) -> Content {
        self.contents().first().copied().unwrap_or(Content::Directory)
    }

    /// What this pool can do.
    fn abilities(&self, pool: &Pool) -> Result<Abilities>;

    /// How much room the pool's medium has.
    fn space(&self, pool: &Pool) -> Result<Space>;

    /// How space is taken in this pool by a volume that does not say.
    fn provisioning(&self, _pool: &Pool) -> Provisioning {
        Provisioning::Thin
    }

    /// True when making or growing a volume takes all of its space in one step, or fails and takes none:
    /// then two that are made at once cannot both get the same bytes, and promises need no lock.
    fn takes_space_at_once(&self, _pool: &Pool) -> bool {
        false
    }

    /// Sizes of volumes with these parameters are multiples of this: at least a MiB.
    fn granularity(&self, _pool: &Pool, _parameters: &BTreeMap<String, String>) -> Result<u64> {
        Ok(size::GRANULE)
    }

    /// Bytes on the medium that the volume shares with nothing.
    fn allocated(&self, pool: &Pool, volume: &VolumeRecord) -> Result<u64>;

    /// Refuses a volume that this pool could never make, before anything is touched: content,
    /// limits, parameters. `Invalid`, `OutOfRange` or `WrongState`, with what to do about it.
    fn check(&self, pool: &Pool, volume: &VolumeRecord) -> Result<()>;

    /// Makes the storage in the hidden place, `volume.size` bytes of it, empty or copied.
    fn build(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        from: Option<&From>,
        progress: &dyn Progress,
    ) -> Result<()>;

    /// Copies the volume as it is now to the hidden place of `snapshot`. The engine has seen to it
    /// that nothing changes meanwhile, or that blocks are shared in one moment.
    fn copy_to_snapshot(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        snapshot: &SnapshotRecord,
        progress: &dyn Progress,
    ) -> Result<()>;

    /// Grows the storage of a visible volume, and its device where it is attached, to at least
    /// `volume.size`. Already large enough is fine; it never shrinks. `before` is the size to go
    /// back to when it does not fit.
    fn grow(&self, pool: &Pool, volume: &VolumeRecord, before: u64) -> Result<()>;

    /// Bytes of storage the volume really has: what its limit is now.
    fn stored(&self, pool: &Pool, volume: &VolumeRecord) -> Result<u64>;

    /// True when the volume's bytes are encrypted: they are reached by a mapping
    /// ([`crate::encryption::mapping_of`]), which the engine opens.
    fn is_encrypted(&self, _volume: &VolumeRecord) -> bool {
        false
    }

    /// The bytes of a visible encrypted volume as they are on the medium, its header first.
    fn sealed(&self, _pool: &Pool, volume: &VolumeRecord) -> Result<Medium> {
        Err(Error::new(Kind::Internal, format!("volume `{}` is not encrypted", volume.name)))
    }

    /// The volume's own bytes; `None` where it has none (directories), or is encrypted and not open.
    fn medium(&self, pool: &Pool, volume: &VolumeRecord, place: Place) -> Result<Option<Medium>>;

    /// The path of the volume's own bytes that stays the same while the volume lives, also over a reboot;
    /// `None` where it has none.
    fn lasting_path(&self, pool: &Pool, volume: &VolumeRecord) -> Result<Option<PathBuf>> {
        Ok(self.medium(pool, volume, Place::Ready)?.map(|medium| medium.path))
    }

    /// The snapshot's own bytes, which nobody writes to any more; `None` where it has none.
    fn snapshot_medium(&self, _pool: &Pool, _snapshot: &SnapshotRecord) -> Result<Option<Medium>> {
        Ok(None)
    }

    /// Makes the volume reachable, by the device it is attached to already if there is one that takes
    /// writes.
    fn attach(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        place: Place,
        hold: Hold,
    ) -> Result<Source>;

    /// Makes a raw block volume reachable by a device that refuses writes by whatever path it is
    /// opened, until it is detached; by the one there is already, if there is one.
    fn attach_readonly(&self, _pool: &Pool, volume: &VolumeRecord) -> Result<Source> {
        Err(Error::new(
            Kind::Unsupported,
            format!("raw block volume `{}` cannot be published read-only", volume.name),
        ))
    }

    /// Paths of the devices the volume is attached to now, those that refuse writes among them.
    fn devices(&self, pool: &Pool, volume: &VolumeRecord, place: Place) -> Result<Vec<PathBuf>>;

    /// Detaches devices that have no user left; those that have are left alone.
    fn detach(&self, pool: &Pool, volume: &VolumeRecord) -> Result<()>;

    /// True when what `point` shows, the root of a mount or a device node, is this volume or lies
    /// `below` in it.
    fn is_at(
        &self,
        pool: &Pool,
        volume: &VolumeRecord,
        point: &Point,
        below: Option<&str>,
    ) -> Result<bool>;

    /// Opens the directory `below` in a volume, which is a pod's own, making it where it is absent.
    /// `Invalid` for volumes that have no such directories.
    fn open_below(&self, _pool: &Pool, volume: &VolumeRecord, _below: &str) -> Result<Dir> {
        Err(no_directories(volume))
    }

    /// Moves the directory `below` in a volume to the trash, from where a sweep removes it, and
    /// gives its name there. What is mounted of it stays mounted.
    fn set_aside(&self, _pool: &Pool, volume: &VolumeRecord, _below: &str) -> Result<String> {
        Err(no_directories(volume))
    }

    /// Brings back what was set aside.
    fn bring_back(
        &self,
        _pool: &Pool,
        volume: &VolumeRecord,
        _below: &str,
        _aside: &str,
    ) -> Result<()> {
        Err(no_directories(volume))
    }
}

/// The refusal of what another node uses, and only one can at a time.
pub fn on_another_node(volume: &VolumeRecord) -> Error {
    Error::new(Kind::InUse, format!("volume `{}` is in use on another node", volume.name))
        .hint("unmount it there first; of a node that is gone the server gives it back in time")
}

fn no_directories(volume: &VolumeRecord) -> Error {
    Error::new(Kind::Invalid, format!("volume `{}` has no directories for pods", volume.name))
        .hint("use a volume of the directory backend")
}

impl From {
    /// True when nothing is in it: an encrypted volume that was never staged, or a snapshot of one.
    pub fn is_blank(&self) -> bool {
        match self {
            From::Snapshot(snapshot) => snapshot.blank,
            From::Volume(volume) => volume.birth == Birth::Blank,
        }
    }
}

impl Source {
    /// The device, where there is one.
    pub fn device(&self) -> Option<&std::path::Path> {
        match self {
            Source::Block { device, .. } => Some(device),
            Source::Directory(_) | Source::Remote(_) => None,
        }
    }
}
