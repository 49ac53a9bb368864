//! `becket snapshot`.

use crate::args::SnapshotCommand;
use crate::output::{self, Form};
use becket_core::record::SnapshotRecord;
use becket_core::{Engine, Name, Result, size};

pub(super) fn run(engine: &Engine, command: &SnapshotCommand, form: Form) -> Result<()> {
    match command {
        SnapshotCommand::Create { name, volume, at } => {
            engine.create_snapshot(&at.pool, name, volume)?;
            output::say(format_args!("snapshot `{name}` of volume `{volume}` is ready"));
            show(engine, &at.pool, name, form)
        }
        SnapshotCommand::List(at) => list(engine, &at.pool, form),
        SnapshotCommand::Show { name, at } => show(engine, &at.pool, name, form),
        SnapshotCommand::Delete { name, at } => {
            let existed = engine.delete_snapshot(&at.pool, name)?;
            super::say_deleted(engine, &at.pool, "snapshot", name, existed)?;
            Ok(())
        }
    }
}

fn list(engine: &Engine, pool: &Name, form: Form) -> Result<()> {
    let records = engine.snapshots(pool)?;
    let row = |record: &SnapshotRecord| {
        vec![
            record.name.to_string(),
            record.volume.to_string(),
            size::display(record.size),
            record.content.name().to_owned(),
            record.created.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = records.iter().map(row).collect();
    output::list(form, &records, &["name", "volume", "size", "content", "created"], &rows)
}

fn show(engine: &Engine, pool: &Name, name: &Name, form: Form) -> Result<()> {
    let record = engine.snapshot(pool, name)?;
    let fields = [
        ("name", record.name.to_string()),
        ("pool", pool.to_string()),
        ("uuid", record.uuid.to_string()),
        ("volume", record.volume.to_string()),
        ("size", size::display(record.size)),
        ("content", record.content.name().to_owned()),
        ("created", record.created.clone()),
    ];
    output::object(form, &record, &fields)
}
