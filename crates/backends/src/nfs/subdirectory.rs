//! Where a volume's data lies below the share, when its class says so: `{namespace}/{claim}`.
//!
//! The volume's record stays in the pool, beside where its data would be. A volume is made at home, in
//! the pool, and moved to its subdirectory once it is visible; it comes home before it goes to the trash.
//! So at every moment it is whole and in one of the two places, and home is looked at first.

use super::parameters::{self, CLAIM, NAMESPACE, ON_DELETE, SUBDIRECTORY};
use super::{VOLUMES, data_path};
use crate::directory::template;
use crate::store::{self, DATA};
use becket_core::backend::Place;
use becket_core::record::{TrashKind, TrashRecord, VolumeRecord};
use becket_core::{Error, Kind, Name, Pool, Result};
use becket_sys::Errno;
use becket_sys::beneath::Dir;
use std::path::Path;

/// What a pool has of its own at the top of the share.
const OWN: [&str; 6] = ["pool.json", "volumes", "snapshots", "preparing", "trash", "locks"];

/// How the names of what is kept of deleted volumes begin.
const ARCHIVED: &str = "archived-";

/// The path below the share that the volume's parameters ask for; `None` where they ask for none.
pub(super) fn wanted(volume: &VolumeRecord) -> Result<Option<String>> {
    let Some(template) = volume.parameters.get(SUBDIRECTORY) else {
        return Ok(None);
    };
    let value = |key: &str| volume.parameters.get(key).map_or("", String::as_str);
    let values =
        [("claim", value(CLAIM)), ("namespace", value(NAMESPACE)), ("name", volume.name.as_str())];
    let path = template::render_with(template, &values)?;
    let top = path.split('/').next().unwrap_or_default();
    if OWN.contains(&top) || top.starts_with(ARCHIVED) {
        return Err(Error::new(
            Kind::Invalid,
            format!("volume `{}` cannot be at `{path}`: the pool has that itself", volume.name),
        ));
    }
    Ok(Some(path))
}

/// `Conflict` where something is at the volume's subdirectory already: it is not the volume's.
pub(super) fn refuse_taken(pool: &Pool, volume: &VolumeRecord) -> Result<()> {
    let Some(path) = wanted(volume)? else { return Ok(()) };
    match pool.dir.open_place(&path) {
        Err(error) if error.errno == Errno::NOENT => Ok(()),
        Err(error) => Err(error.into()),
        Ok(_) => Err(Error::new(
            Kind::Conflict,
            format!("volume `{}` cannot be at `{path}`: there is something already", volume.name),
        )
        .hint("use another subdirectory, or a static volume for what is there")),
    }
}

/// Where the data of a visible volume is now, below the share.
pub(super) fn place(pool: &Pool, volume: &VolumeRecord) -> Result<String> {
    let home = data_path(&volume.name);
    match wanted(volume)? {
        Some(path) if !is_there(&pool.dir, &home)? => Ok(path),
        _ => Ok(home),
    }
}

fn is_there(dir: &Dir, path: &str) -> Result<bool> {
    match dir.open_place(path) {
        Ok(_) => Ok(true),
        Err(error) if error.errno == Errno::NOENT => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Moves the data of a volume that has become visible to its subdirectory. What keeps it from there is
/// logged: at home it is as good.
pub(super) fn settle(pool: &Pool, volume: &VolumeRecord) -> Result<()> {
    if let Some(path) = wanted(volume)?
        && let Err(error) = move_out(pool, &volume.name, &path)
    {
        log::warn!("volume `{}` stays in the pool and not at `{path}`: {error}", volume.name);
    }
    Ok(())
}

fn move_out(pool: &Pool, name: &Name, path: &str) -> Result<()> {
    let (mut parent, mut rest) = (pool.dir.open_dir(".")?, path);
    while let Some((first, after)) = rest.split_once('/') {
        (parent, rest) = (parent.ensure_dir(first, 0o755)?, after);
    }
    let home = store::expect::<VolumeRecord>(pool, name, Place::Ready)?;
    Ok(home.rename_into(DATA, &parent, rest)?)
}

/// Brings the data home, and removes parents that it leaves empty.
fn move_home(pool: &Pool, volume: &VolumeRecord) -> Result<()> {
    let path = place(pool, volume)?;
    if path == data_path(&volume.name) {
        return Ok(());
    }
    let home = store::expect::<VolumeRecord>(pool, &volume.name, Place::Ready)?;
    let (mut above, name) = path.rsplit_once('/').unwrap_or((".", &path));
    match pool.dir.open_dir(above).and_then(|parent| parent.rename_into(name, &home, DATA)) {
        Ok(()) => {}
        // Somebody else took it away; the record goes all the same.
        Err(error) if error.errno == Errno::NOENT => {
            log::warn!("`{path}` of volume `{}` is gone already", volume.name);
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    }
    // Plain rmdir: what is not empty stays.
    while above != "." && pool.dir.remove_dir(above).is_ok() {
        above = above.rsplit_once('/').map_or(".", |(parent, _)| parent);
    }
    Ok(())
}

/// What becomes of a volume that is deleted, before it would go to the trash. True when it is elsewhere.
pub(super) fn part(pool: &Pool, trash: &TrashRecord) -> Result<bool> {
    if trash.kind != TrashKind::Volume {
        return Ok(false);
    }
    let Some(record) = store::read::<VolumeRecord>(pool, &trash.name)? else {
        return Ok(false);
    };
    let kept = match record.parameters.get(ON_DELETE).map(String::as_str) {
        Some(parameters::RETAIN) if place(pool, &record)? != data_path(&record.name) => {
            // The data stays where it is: only the record goes, by way of what is removed.
            store::discard_visible::<VolumeRecord>(pool, &record.name)?;
            return Ok(true);
        }
        Some(parameters::RETAIN | parameters::ARCHIVE) => true,
        _ => false,
    };
    move_home(pool, &record)?;
    if !kept {
        return Ok(false);
    }
    let volumes = pool.dir.open_dir(VOLUMES)?;
    let archived = format!("{ARCHIVED}{}", record.name);
    let moved = match volumes.rename_into(record.name.as_str(), &pool.dir, &archived) {
        // An earlier volume of that name was archived.
        Err(error) if error.errno == Errno::EXIST => {
            let archived = format!("{archived}.{}", record.uuid);
            volumes.rename_into(record.name.as_str(), &pool.dir, &archived)
        }
        other => other,
    };
    moved.map(|()| true).map_err(Error::from)
}

/// Opens the data of a visible volume.
pub(super) fn open(pool: &Pool, volume: &VolumeRecord) -> Result<Dir> {
    let path = place(pool, volume)?;
    pool.dir.open_dir(&path).map_err(|error| match error.errno {
        Errno::NOENT => super::missing(&pool.dir.path().join(Path::new(&path))),
        _ => error.into(),
    })
}
