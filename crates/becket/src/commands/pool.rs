//! `becket pool`.

use crate::args::{PoolCommand, PoolCreate};
use crate::output::{self, Form};
use becket_core::engine::{Capacity, NewPool};
use becket_core::record::PoolRecord;
use becket_core::{Engine, Name, Result, size};
use serde::Serialize;
use std::time::Duration;

pub(super) fn run(engine: &Engine, command: &PoolCommand, form: Form) -> Result<()> {
    match command {
        PoolCommand::Create(new) => create(engine, new, form),
        PoolCommand::List => list(engine, form),
        PoolCommand::Show { name } => show(engine, name, form),
        PoolCommand::Delete { name } => {
            engine.delete_pool(name)?;
            output::say(format_args!("pool `{name}` is deleted"));
            Ok(())
        }
    }
}

fn create(engine: &Engine, new: &PoolCreate, form: Form) -> Result<()> {
    let record = engine.create_pool(&NewPool {
        path: new.path.clone(),
        overcommit: new.overcommit,
        trash_retention: new.trash_retention,
        ..NewPool::new(new.name.clone(), &*new.backend)
    })?;
    output::say(format_args!("pool `{}` is ready", record.name));
    show(engine, &new.name, form)
}

/// A pool as `-o json` shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PoolView {
    #[serde(flatten)]
    record: Option<PoolRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    capacity: Option<CapacityView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CapacityView {
    total: u64,
    free: u64,
    promised: u64,
    held: u64,
    available_thin: u64,
    available_thick: u64,
}

impl From<Capacity> for CapacityView {
    fn from(capacity: Capacity) -> CapacityView {
        CapacityView {
            total: capacity.total,
            free: capacity.free,
            promised: capacity.promised,
            held: capacity.held,
            available_thin: capacity.thin,
            available_thick: capacity.thick,
        }
    }
}

fn list(engine: &Engine, form: Form) -> Result<()> {
    let mut views = Vec::new();
    let mut rows = Vec::new();
    for (name, pool) in engine.pools()? {
        let found = pool.and_then(|pool| Ok((pool.record, engine.capacity(&name)?)));
        match found {
            Ok((record, capacity)) => {
                rows.push(vec![
                    name.to_string(),
                    record.backend.clone(),
                    size::display(capacity.total),
                    size::display(capacity.free),
                    size::display(capacity.promised),
                    size::display(capacity.thin),
                    "ready".to_owned(),
                ]);
                views.push(PoolView {
                    record: Some(record),
                    capacity: Some(capacity.into()),
                    error: None,
                });
            }
            Err(error) => {
                let dash = || "-".to_owned();
                rows.push(vec![
                    name.to_string(),
                    dash(),
                    dash(),
                    dash(),
                    dash(),
                    dash(),
                    error.to_string(),
                ]);
                views.push(PoolView {
                    record: None,
                    capacity: None,
                    error: Some(error.to_string()),
                });
            }
        }
    }
    output::list(
        form,
        &views,
        &["name", "backend", "total", "free", "promised", "available", "state"],
        &rows,
    )
}

fn show(engine: &Engine, name: &Name, form: Form) -> Result<()> {
    let pool = engine.open(name)?;
    let capacity = engine.capacity(name)?;
    let abilities = engine.abilities(name)?;
    let place = pool.dir.path().canonicalize().unwrap_or_else(|_| pool.dir.path().to_owned());
    let record = pool.record;
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let retention = Duration::from_secs(record.trash_retention_seconds);
    let fields = [
        ("name", record.name.to_string()),
        ("uuid", record.uuid.to_string()),
        ("backend", record.backend.clone()),
        ("path", place.display().to_string()),
        ("total", size::display(capacity.total)),
        ("free", size::display(capacity.free)),
        ("promised", size::display(capacity.promised)),
        ("available, thin", size::display(capacity.thin)),
        ("available, thick", size::display(capacity.thick)),
        ("over-commit", record.overcommit.to_string()),
        ("real limits", yes(abilities.limits)),
        ("instant snapshots", yes(abilities.shares_blocks)),
        ("trash retention", humantime::format_duration(retention).to_string()),
        ("created", record.created.clone()),
    ];
    let view = PoolView { record: Some(record), capacity: Some(capacity.into()), error: None };
    output::object(form, &view, &fields)
}
