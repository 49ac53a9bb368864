//! Shares that are no pool's: a server and a path, mounted as they are, with no record anywhere.

use super::apart::Operation;
use super::remote::{entry_of, is_stale};
use super::usage::of_filesystem;
use super::{Engine, MOMENT, Publication, Usage};
use crate::backend::Backend;
use crate::lock::{self, Mode};
use crate::target::Target;
use crate::{Error, Kind, Result};
use becket_sys::beneath::{self, Dir};
use becket_sys::mount::{self, Attributes};
use becket_sys::ownership;
use serde::{Deserialize, Serialize};
use std::os::fd::AsFd;
use std::path::Path;
use uuid::Uuid;

/// A share of a file server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// The server's name or address.
    pub server: String,
    /// The exported path.
    pub share: String,
    /// The version of the protocol; `None` for the newest that both sides have.
    pub version: Option<String>,
}

impl Engine {
    /// Mounts a share at the target. Nothing is made and nothing is recorded; [`Engine::unpublish`] and
    /// [`Engine::unmount`] are the way back. `backend` is the one that knows such shares.
    pub fn mount_static(
        &self,
        backend: &str,
        share: &Share,
        target: &Target,
        publication: &Publication,
    ) -> Result<()> {
        let found = self.backend_named(backend)?;
        if !found.is_apart() {
            return self.mount_static_here(share, target, publication);
        }
        let whom = format!("{}:{}", share.server, share.share);
        let (share, target) = (share.clone(), target.clone());
        let publication = publication.clone();
        self.ask_apart(&whom, None, Operation::MountStatic { share, target, publication })
    }

    /// How full the share is that is mounted at the target. `NotFound` where none is.
    pub fn share_usage(&self, target: &Target) -> Result<Usage> {
        let path = target.path();
        let point = target.look()?.filter(|point| point.mounted);
        let entry = point.map(|point| entry_of(&point)).transpose()?.flatten();
        let entry = entry.ok_or_else(|| {
            Error::new(Kind::NotFound, format!("no share is mounted at `{}`", path.display()))
        })?;
        let whom = entry.source.to_string_lossy().into_owned();
        self.ask_apart(&whom, None, Operation::ShareUsage(target.clone()))
    }

    /// [`Engine::share_usage`] in a process that is expendable.
    pub(super) fn share_usage_here(&self, target: &Target) -> Result<Usage> {
        let place = target.open()?.ok_or_else(|| {
            let path = target.path();
            Error::new(Kind::NotFound, format!("nothing is at `{}`", path.display()))
        })?;
        of_filesystem(place.as_fd(), &target.path())
    }

    /// [`Engine::mount_static`] in a process that is expendable.
    pub(super) fn mount_static_here(
        &self,
        share: &Share,
        target: &Target,
        publication: &Publication,
    ) -> Result<()> {
        let backend = self.backends.iter().find(|backend| backend.is_remote());
        let backend: &dyn Backend =
            backend.ok_or_else(|| Error::new(Kind::Internal, "no backend mounts shares"))?.as_ref();
        let remote = backend.share(share)?;
        let path = target.path();
        let locks = beneath::ensure_path(&self.state.path().join("locks"))?;
        let key = Uuid::new_v5(&Uuid::NAMESPACE_URL, path.as_os_str().as_encoded_bytes());
        let _lock = lock::acquire(&locks, &format!("share-{key}"), Mode::Exclusive, MOMENT)?;
        let readonly = publication.readonly || publication.flags.attributes().readonly();
        if let Some(point) = target.look()?.filter(|point| point.mounted) {
            let shown = path.display();
            match entry_of(&point)? {
                Some(entry) if entry.source == Path::new(&remote.source) => {
                    if !is_stale(&path) {
                        return match entry.readonly == readonly {
                            true => Ok(()),
                            false => Err(Error::new(
                                Kind::Conflict,
                                format!(
                                    "`{}` is mounted at `{shown}` already, with the other of read-only and writable",
                                    remote.source
                                ),
                            )),
                        };
                    }
                    mount::unmount_lazily(&path)?;
                }
                _ => {
                    return Err(Error::new(
                        Kind::WrongState,
                        format!("something else is mounted at `{shown}`"),
                    )
                    .hint("look at it with `findmnt`, and unmount it if nobody needs it"));
                }
            }
        }
        let detached = remote.mount(&publication.flags)?;
        if let Some(group) = publication.group.filter(|_| !readonly) {
            let top = Dir::of(detached.root()?, &path);
            let given = match publication.deep {
                true => ownership::give(&top, group),
                false => ownership::give_top(top.as_fd(), group, &path),
            };
            given.map_err(|error| super::remote::explained(error, true))?;
        }
        detached.set(publication.flags.attributes())?;
        if readonly {
            detached.set(Attributes::READONLY)?;
        }
        let place = target.ensure_dir()?;
        Ok(detached.attach(place.as_fd(), &path)?)
    }
}
