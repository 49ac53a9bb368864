//! Static volumes of `nfs.becket.dev`: a server and a share in the volume's attributes, mounted as they are.
//!
//! Such a volume has no record and no pool, and any id. It is mounted when it is published; staging it does
//! nothing, because the kernel keeps one connection and one cache for all mounts of a share.

use super::publish::publication;
use super::stage;
use crate::capability::Capability;
use crate::driver::Driver;
use crate::identifier::Identifier;
use crate::plugin::Plugin;
use becket_backends::nfs::{SERVER, SHARE, VERSION};
use becket_core::engine::Share;
use becket_core::record::Content;
use becket_core::target::Target;
use becket_core::{Error, Kind, Result};
use becket_sys::mountinfo;
use std::collections::HashMap;
use std::path::PathBuf;

/// The share that a volume's attributes name. `Invalid` where they name a half of one.
pub fn read(plugin: &Plugin, context: &HashMap<String, String>) -> Result<Option<Share>> {
    if plugin.driver != Driver::Nfs {
        return Ok(None);
    }
    match (context.get(SERVER), context.get(SHARE)) {
        (Some(server), Some(share)) => Ok(Some(Share {
            server: server.clone(),
            share: share.clone(),
            version: context.get(VERSION).cloned(),
        })),
        (None, None) => Ok(None),
        _ => Err(Error::new(Kind::Invalid, format!("`{SERVER}` and `{SHARE}` go together"))),
    }
}

/// Mounts the share at the target.
pub fn publish(
    plugin: &Plugin,
    share: &Share,
    capability: &Capability,
    target: &Target,
    readonly: bool,
) -> Result<()> {
    capability.suits(plugin.driver, Content::Directory)?;
    let publication = publication(capability, Content::Directory, readonly, None)?;
    plugin.engine.mount_static(plugin.driver.backend(), share, target, &publication)
}

/// Server and path of what is mounted at the target from a file server; `None` where nothing is.
pub fn at(target: &Target) -> Result<Option<PathBuf>> {
    let point = target.look()?.filter(|point| point.mounted);
    let table = mountinfo::read()?;
    let mounted =
        point.and_then(|point| table.into_iter().find(|entry| entry.id == point.mount_id));
    Ok(mounted.filter(|entry| entry.is_nfs()).map(|entry| entry.source))
}

/// Unmounts a share from the target, which is removed. What is no share is left alone, with an error.
pub fn unpublish(plugin: &Plugin, id: &str, target: &Target) -> Result<()> {
    match at(target)?.is_some() {
        true => plugin.engine.unpublish(target)?,
        false => stage::nothing_at(target, id)?,
    }
    target.remove()
}

/// True for an id that no pool of this node can be about, so that what is mounted for it is a share.
pub fn may_be(plugin: &Plugin, id: &str) -> Result<bool> {
    if plugin.driver != Driver::Nfs {
        return Ok(false);
    }
    match Identifier::parse(id) {
        Some(id) => Ok(!plugin.engine.state().knows_pool(&id.pool)?),
        None => Ok(true),
    }
}
