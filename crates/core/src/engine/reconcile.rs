//! What is left over or strange on this node, found and, where that is safe, put right.
//!
//! Put right is only what a killed operation left and its retry would have removed. Everything else
//! is reported, and a person decides: nothing is ever deleted because something seems to miss it.

use super::Engine;
use super::apart::Operation;
use super::encrypted::close_left;
use super::observe::{at_rest, leftover as is_left_over, mounts};
use super::snapshot::thaw_left;
use crate::backend::Backend;
use crate::catalog::Existence;
use crate::lock::{self, Lock, Mode};
use crate::name::Name;
use crate::pool::Pool;
use crate::record::VolumeRecord;
use crate::{Error, Result};
use becket_sys::{loop_device, mountinfo};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What became of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// It is put right.
    Repaired,
    /// It is left alone because an operation on it is running.
    AtWork,
    /// A person has to look at it.
    Reported,
}

/// Something left over or strange.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Finding {
    /// What it is, as a sentence with the object in backticks.
    pub what: String,
    /// What became of it.
    pub outcome: Outcome,
}

impl Engine {
    /// Goes through one pool and this node's traces of it.
    pub fn reconcile(&self, pool: &Name) -> Result<Vec<Finding>> {
        let pool = self.open(pool)?;
        if let Some(apart) = self.apart(&pool) {
            return apart.ask(Operation::Reconcile);
        }
        let backend = self.backend(&pool)?;
        let mut findings = Vec::new();
        self.leftovers(backend, &pool, &mut findings)?;
        self.idle_stages(backend, &pool, &mut findings)?;
        self.incomplete_groups(backend, &pool, &mut findings)?;
        let volumes = backend.catalog().volumes(&pool)?;
        unreadable(&volumes.unreadable, &mut findings);
        unreadable(&backend.catalog().snapshots(&pool)?.unreadable, &mut findings);
        unreadable(&backend.catalog().trash(&pool)?.unreadable, &mut findings);
        for record in &volumes.records {
            self.volume_state(backend, &pool, record, &mut findings)?;
        }
        match self.empty(&pool, false) {
            Ok(removed) => findings.extend(removed.into_iter().map(|removed| {
                repaired(format!("`{}` was in the trash until {}", removed.name, removed.until))
            })),
            Err(error) => findings.push(reported(format!("the trash: {error}"))),
        }
        orphaned_devices(&pool, &mut findings)?;
        self.old_traces(backend, &pool)?;
        Ok(findings)
    }

    /// Hidden preparations whose maker is gone.
    fn leftovers(
        &self,
        backend: &dyn Backend,
        pool: &Pool,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let hidden = backend.catalog().preparing(pool)?;
        let readable = hidden.records.iter().map(|record| record.name.to_string());
        for name in readable.chain(hidden.unreadable.into_iter().map(|(place, _)| place)) {
            match Name::new(&*name) {
                Ok(name) => findings.extend(leftover(
                    pool,
                    "volume",
                    &name,
                    || is_left_over(backend, pool, &name),
                    || backend.catalog().discard(pool, &name),
                )?),
                Err(_) => {
                    findings.push(reported(format!("`{name}` among the preparations is not ours")))
                }
            }
        }
        for name in backend.catalog().preparing_snapshots(pool)? {
            let there = || Ok(backend.catalog().preparing_snapshots(pool)?.contains(&name));
            let discard = || backend.catalog().discard_snapshot(pool, &name);
            findings.extend(leftover(pool, "snapshot", &name, there, discard)?);
        }
        Ok(())
    }

    /// Our own staging places that nothing is published from.
    fn idle_stages(
        &self,
        backend: &dyn Backend,
        pool: &Pool,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        let names = match becket_sys::beneath::Dir::open(&pool.staged) {
            Ok(dir) => dir.names()?,
            Err(_) => return Ok(()),
        };
        for name in names.into_iter().filter_map(|name| Name::new(name).ok()) {
            let anchor = self.anchor(pool.name(), &name)?;
            let what = format!("`{}` is staged and nothing uses it", anchor.path().display());
            let Some(lock) = attempt(pool, "volume", &name)? else {
                findings.push(Finding { what, outcome: Outcome::AtWork });
                continue;
            };
            let absent = matches!(backend.catalog().volume(pool, &name), Ok(Existence::Absent));
            if absent && anchor.look()?.is_some_and(|point| point.mounted) {
                findings.push(reported(format!(
                    "`{}` is mounted, and its volume does not exist",
                    anchor.path().display()
                )));
                continue;
            }
            // The kernel tells what is used, also where the volume's record cannot be read.
            let mounted = anchor.look().map_or(true, |point| point.is_some_and(|it| it.mounted));
            match self.release(pool.name(), &name, Some(&lock)) {
                // An empty directory is what a process left that was killed before it staged.
                Ok(true) if mounted => findings.push(repaired(what)),
                Ok(_) => {}
                Err(error) => findings.push(reported(format!("{what}: {error}"))),
            }
        }
        Ok(())
    }

    /// A growth that was cut short is finished by its retry or by the next stage; it is told here.
    fn volume_state(
        &self,
        backend: &dyn Backend,
        pool: &Pool,
        record: &VolumeRecord,
        findings: &mut Vec<Finding>,
    ) -> Result<()> {
        // Who has the lock leaves it as it should be, or is killed and told of the next time.
        let Some(_lock) = attempt(pool, "volume", &record.name)? else {
            return Ok(());
        };
        // It may have been deleted, made anew or grown since the list was made.
        let Existence::Present(record) = backend.catalog().volume(pool, &record.name)? else {
            return Ok(());
        };
        if thaw_left(backend, pool, &record)? {
            let what =
                format!("volume `{}` was left frozen by a snapshot that was killed", record.name);
            findings.push(repaired(what));
        }
        if close_left(backend, &record)? {
            let what = format!("volume `{}` was left open by a stage that was killed", record.name);
            findings.push(repaired(what));
        }
        match backend.stored(pool, &record) {
            Ok(stored)
                if stored < record.filesystem_size && record.content.filesystem().is_some() =>
            {
                findings.push(reported(format!(
                    "volume `{}` lost its end: its storage is smaller than its filesystem",
                    record.name
                )));
            }
            Ok(stored) if stored < record.size => {
                let what = format!("the expansion of volume `{}` was cut short", record.name);
                findings.push(match backend.grow(pool, &record, stored) {
                    Ok(()) => repaired(what),
                    Err(error) => reported(format!("{what}: {error}")),
                });
            }
            Ok(_) if is_idle(backend, pool, &record)? => {
                findings.push(reported(format!(
                    "volume `{}` is attached to a device, and nothing of it is mounted here",
                    record.name
                )));
            }
            Ok(_) => {}
            Err(error) => findings.push(reported(format!("volume `{}`: {error}", record.name))),
        }
        Ok(())
    }
}

/// Discards a preparation, unless its maker is at work, which the lock tells. `None` when its maker has
/// finished it since it was seen.
fn leftover(
    pool: &Pool,
    kind: &str,
    name: &Name,
    there: impl FnOnce() -> Result<bool>,
    discard: impl FnOnce() -> Result<()>,
) -> Result<Option<Finding>> {
    let Some(_lock) = attempt(pool, kind, name)? else {
        return Ok(Some(Finding {
            what: format!("{kind} `{name}` is being made"),
            outcome: Outcome::AtWork,
        }));
    };
    if !there()? {
        return Ok(None);
    }
    let what = format!("{kind} `{name}` was being made when its maker was killed");
    Ok(Some(match discard() {
        Ok(()) => repaired(what),
        Err(error) => reported(format!("{what}: {error}")),
    }))
}

/// True for a filesystem's volume that has a device and no mount: raw block is used without one.
fn is_idle(backend: &dyn Backend, pool: &Pool, record: &VolumeRecord) -> Result<bool> {
    Ok(record.content.filesystem().is_some()
        && mounts(backend, pool, record)?.is_empty()
        && !at_rest(backend, pool, record)?)
}

/// Loop devices on files below the pool that are gone, and mounts of them.
fn orphaned_devices(pool: &Pool, findings: &mut Vec<Finding>) -> Result<()> {
    // The kernel tells paths without links, and a pool's own path may be one.
    let place = pool.dir.path().canonicalize().unwrap_or_else(|_| pool.dir.path().to_owned());
    for (number, path) in loop_device::attached()? {
        let Some(file) = path.to_str().and_then(|path| path.strip_suffix(" (deleted)")) else {
            continue;
        };
        if Path::new(file).starts_with(&place) {
            let device = format!("/dev/loop{number}");
            let mounted =
                mountinfo::read()?.into_iter().find(|entry| entry.source == Path::new(&device));
            let place = mounted
                .map_or(String::new(), |entry| format!(", mounted at `{}`", entry.point.display()));
            findings.push(reported(format!(
                "`{device}` is attached to `{file}`, which is deleted{place}"
            )));
        }
    }
    Ok(())
}

fn unreadable(places: &[(String, Error)], findings: &mut Vec<Finding>) {
    findings.extend(places.iter().map(|(place, error)| reported(format!("`{place}`: {error}"))));
}

pub(super) fn attempt(pool: &Pool, kind: &str, name: &Name) -> Result<Option<Lock>> {
    lock::attempt_on(pool, &format!("{kind}-{name}"), Mode::Exclusive)
}

pub(super) fn repaired(what: String) -> Finding {
    Finding { what, outcome: Outcome::Repaired }
}

fn reported(what: String) -> Finding {
    Finding { what, outcome: Outcome::Reported }
}
