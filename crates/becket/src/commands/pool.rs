//! `becket pool`.

mod lvm_ground;

use crate::args::{PoolCommand, PoolCreate};
use crate::output::{self, Form};
use becket_core::engine::{Capacity, NewPool};
use becket_core::record::PoolRecord;
use becket_core::{Engine, Name, Result, size};
use serde::Serialize;
use std::path::PathBuf;

pub(super) fn run(engine: &Engine, command: &PoolCommand, form: Form) -> Result<()> {
    match command {
        PoolCommand::Create(new) => create(engine, new, form),
        PoolCommand::List => list(engine, form),
        PoolCommand::Show { name } => show(engine, name, form),
        PoolCommand::Delete { name, forget } => {
            let (known, what) = match forget {
                true => (engine.forget_pool(name)?, "forgotten; nothing in it was touched"),
                false => (engine.delete_pool(name)?, "deleted"),
            };
            match known {
                true => output::say(format_args!("pool `{name}` is {what}")),
                false => {
                    output::say(format_args!("pool `{name}` does not exist; nothing was deleted"))
                }
            }
            Ok(())
        }
    }
}

fn create(engine: &Engine, new: &PoolCreate, form: Form) -> Result<()> {
    let parameters = match &*new.backend {
        "lvm" => lvm_ground::prepare(engine, new)?,
        _ => lvm_ground::refuse(new)?,
    };
    let parameters = parameters.into_iter().chain(new.export.parameters()).collect();
    let record = engine.create_pool(&NewPool {
        parameters,
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
#[serde(untagged)]
enum View {
    Ready(Box<Ready>),
    Broken { name: Name, error: String },
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    #[serde(flatten)]
    record: PoolRecord,
    path: PathBuf,
    real_limits: bool,
    instant_snapshots: bool,
    capacity: CapacityView,
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

fn look(engine: &Engine, name: &Name) -> Result<Ready> {
    let pool = engine.open(name)?;
    let Capacity { total, free, promised, held, thin, thick } = engine.capacity(name)?;
    let abilities = engine.abilities(name)?;
    let path = pool.dir.path();
    Ok(Ready {
        path: path.canonicalize().unwrap_or_else(|_| path.to_owned()),
        real_limits: abilities.limits,
        instant_snapshots: abilities.shares_blocks,
        capacity: CapacityView {
            total,
            free,
            promised,
            held,
            available_thin: thin,
            available_thick: thick,
        },
        record: pool.record,
    })
}

fn list(engine: &Engine, form: Form) -> Result<()> {
    let mut views = Vec::new();
    let mut rows = Vec::new();
    for (name, _) in engine.pools()? {
        match look(engine, &name) {
            Ok(ready) => {
                let capacity = &ready.capacity;
                let mut row = vec![name.to_string(), ready.record.backend.clone()];
                row.extend(
                    [capacity.total, capacity.free, capacity.promised, capacity.available_thin]
                        .map(size::display),
                );
                row.push("ready".to_owned());
                rows.push(row);
                views.push(View::Ready(Box::new(ready)));
            }
            Err(error) => {
                let mut row = vec![name.to_string()];
                row.extend(["-"; 5].map(str::to_owned));
                row.push(error.to_string());
                rows.push(row);
                views.push(View::Broken { name, error: error.to_string() });
            }
        }
    }
    let header = ["name", "backend", "total", "free", "promised", "available", "state"];
    output::list(form, &views, &header, &rows)
}

fn show(engine: &Engine, name: &Name, form: Form) -> Result<()> {
    let pool = look(engine, name)?;
    let (record, capacity) = (&pool.record, &pool.capacity);
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let fields = [
        ("name", record.name.to_string()),
        ("uuid", record.uuid.to_string()),
        ("backend", record.backend.clone()),
        ("path", pool.path.display().to_string()),
        ("total", size::display(capacity.total)),
        ("free", size::display(capacity.free)),
        ("promised", size::display(capacity.promised)),
        ("available, thin", size::display(capacity.available_thin)),
        ("available, thick", size::display(capacity.available_thick)),
        ("over-commit", record.overcommit.to_string()),
        ("real limits", yes(pool.real_limits)),
        ("instant snapshots", yes(pool.instant_snapshots)),
        ("trash retention", hours(record.trash_retention_seconds)),
        ("created", record.created.clone()),
    ];
    output::object(form, &pool, &fields)
}

/// `24h`, as the command line takes it.
fn hours(seconds: u64) -> String {
    match (seconds / 3600, seconds % 3600) {
        (hours, 0) if hours > 0 => format!("{hours}h"),
        _ => format!("{seconds}s"),
    }
}
