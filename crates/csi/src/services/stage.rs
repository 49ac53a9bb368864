//! Staging: the volume, mounted once for the node.

use super::create::POOL_UUID;
use super::{attach, share};
use crate::capability::Capability;
use crate::identifier::Identifier;
use crate::place;
use crate::plugin::Plugin;
use crate::protocol::csi::{
    NodeStageVolumeRequest, NodeStageVolumeResponse, NodeUnstageVolumeRequest,
    NodeUnstageVolumeResponse,
};
use becket_backends::directory::TEMPLATE;
use becket_core::encryption::Passphrase;
use becket_core::engine::Staging;
use becket_core::error::shown;
use becket_core::mount_flags::MountFlags;
use becket_core::record::{Content, VolumeRecord};
use becket_core::target::Target;
use becket_core::{Error, Kind, Result};

/// `NodeStageVolume`.
pub fn stage(
    plugin: &Plugin,
    mut request: NodeStageVolumeRequest,
) -> Result<NodeStageVolumeResponse> {
    let capability = Capability::read(request.volume_capability.as_ref())?;
    let staging = place::read(&request.staging_target_path, "staging")?;
    if share::read(plugin, &request.volume_context)?.is_some() {
        return capability
            .suits(plugin.driver, Content::Directory)
            .map(|()| NodeStageVolumeResponse {});
    }
    refuse_other_pool(plugin, &request)?;
    let (id, record) = plugin.volume(&request.volume_id)?;
    fits(plugin, &id, &record, &capability, &staging)?;
    let readonly = attach::claim(plugin, &record)?.is_some_and(|claim| claim.readonly);
    let writes = !readonly && !capability.reads_only();
    let shared_out = record.parameters.contains_key(TEMPLATE);
    let how = Staging {
        flags: MountFlags::read(&capability.flags, record.content)?,
        // Of a volume with a directory for each pod, each gets its own group.
        group: capability.group()?.filter(|_| writes && !shared_out),
        asked: capability.words(),
        passphrase: Passphrase::take(&mut request.secrets)?,
    };
    plugin.engine.stage_as(&id.pool, &id.name, &staging, &how)?;
    Ok(NodeStageVolumeResponse {})
}

/// `WrongState` where the volume is of another pool than the one that has its pool's name here.
fn refuse_other_pool(plugin: &Plugin, request: &NodeStageVolumeRequest) -> Result<()> {
    let Some(wanted) = request.volume_context.get(POOL_UUID) else { return Ok(()) };
    let pool = plugin.identifier(&request.volume_id, "volume")?.pool;
    if plugin.engine.pool_uuid(&pool)?.to_string() == *wanted {
        return Ok(());
    }
    let words = format!("volume `{}` is of another pool `{pool}`", shown(&request.volume_id));
    Err(Error::new(Kind::WrongState, words).hint(
        "this node knows a pool of that name on another server or share; `becket pool delete --forget` \
         forgets it",
    ))
}

/// What the volume cannot be; `Conflict` where it is mounted at the place as something else already.
pub fn fits(
    plugin: &Plugin,
    id: &Identifier,
    record: &VolumeRecord,
    capability: &Capability,
    place: &Target,
) -> Result<()> {
    let Err(error) = capability.fits(plugin.driver, record.content) else {
        return Ok(());
    };
    let there = error.kind() == Kind::WrongState
        && plugin.engine.is_at(&id.pool, &id.name, place).unwrap_or(false);
    match there {
        true => Err(Error::new(Kind::Conflict, error.message())),
        false => Err(error),
    }
}

/// `NodeUnstageVolume`: what is not staged there is unstaged. Neither a volume that is gone, nor one whose
/// record or pool cannot be read, keeps a node from being cleaned up.
pub fn unstage(
    plugin: &Plugin,
    request: NodeUnstageVolumeRequest,
) -> Result<NodeUnstageVolumeResponse> {
    let staging = to_leave(&request.volume_id, &request.staging_target_path, "staging")?;
    let (id, staging) = match (Identifier::parse(&request.volume_id), staging) {
        (_, None) => return Ok(NodeUnstageVolumeResponse {}),
        (Some(id), Some(staging)) => (id, staging),
        (None, Some(staging)) => {
            nothing_at(&staging, &request.volume_id)?;
            return Ok(NodeUnstageVolumeResponse {});
        }
    };
    match plugin.engine.find_volume(&id.pool, &id.name) {
        Ok(Some(_)) => plugin.engine.unstage(&id.pool, &id.name, &staging)?,
        Ok(None) => plugin.engine.unstage_unread(&id.pool, &id.name, &staging)?,
        Err(error) => {
            log::warn!("volume `{id}` is unstaged without its record: {error}");
            plugin.engine.unstage_unread(&id.pool, &id.name, &staging)?;
        }
    }
    Ok(NodeUnstageVolumeResponse {})
}

/// The place that a volume is to leave; `None` where there is no directory that it could be in.
pub fn to_leave(id: &str, path: &str, what: &str) -> Result<Option<Target>> {
    if id.is_empty() {
        return Err(Error::new(Kind::Invalid, "the volume's id is missing"));
    }
    match place::read(path, what) {
        Ok(place) => Ok(Some(place)),
        Err(error) if error.kind() == Kind::WrongState => Ok(None),
        Err(error) => Err(error),
    }
}

/// `NotFound` when something is mounted at a place that is said to be of a volume we never had.
pub fn nothing_at(place: &Target, id: &str) -> Result<()> {
    match place.look()?.is_some_and(|point| point.mounted) {
        false => Ok(()),
        true => {
            let (shown, path) = (shown(id), place.path());
            let path = path.display();
            Err(Error::new(Kind::NotFound, format!("volume `{shown}` does not exist"))
                .hint(format!("what is mounted at `{path}` is left alone")))
        }
    }
}

/// What no volume is at: `NotFound` of the volume with this id.
fn not_at(id: &str, path: &str) -> Error {
    Error::new(Kind::NotFound, format!("volume `{}` is not at `{}`", shown(id), shown(path)))
}

/// The path as a place where a volume may be. `NotFound` where none can be.
pub fn expect_place(id: &str, path: &str) -> Result<Target> {
    place::read(path, "volume").map_err(|_| not_at(id, path))
}

/// `NotFound` when the volume is not at the path, which may be where it is staged or published.
pub fn expect_at(plugin: &Plugin, id: &Identifier, path: &str) -> Result<Target> {
    let absent = || not_at(&id.to_string(), path);
    let place = expect_place(&id.to_string(), path)?;
    let record = plugin.engine.volume(&id.pool, &id.name)?;
    // A raw block volume is attached when it is staged, and nothing is mounted at that path.
    let staged = record.content == Content::Block && place.look()?.is_some_and(|at| !at.mounted);
    match staged || plugin.engine.is_at(&id.pool, &id.name, &place)? {
        true => Ok(place),
        false => Err(absent()),
    }
}
