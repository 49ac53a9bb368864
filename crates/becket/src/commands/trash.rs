//! `becket trash`.

use crate::args::TrashCommand;
use crate::output::{self, Form};
use becket_core::record::{TrashKind, TrashRecord};
use becket_core::{Engine, Result, size};

pub(super) fn run(engine: &Engine, command: &TrashCommand, form: Form) -> Result<()> {
    match command {
        TrashCommand::List(at) => show(&engine.trash(&at.pool)?, form),
        TrashCommand::Restore { id, at } => {
            let record = engine.restore_trash(&at.pool, *id)?;
            output::say(format_args!("`{}` is back in pool `{}`", record.name, at.pool));
            Ok(())
        }
        TrashCommand::Empty { all, at } => {
            let removed = engine.empty_trash(&at.pool, *all)?;
            output::say(format_args!("{} removed for good", removed.len()));
            show(&removed, form)
        }
    }
}

fn show(records: &[TrashRecord], form: Form) -> Result<()> {
    let row = |record: &TrashRecord| {
        vec![
            record.id.to_string(),
            if record.kind == TrashKind::Volume { "volume" } else { "snapshot" }.to_owned(),
            record.name.to_string(),
            size::display(record.size),
            record.deleted.clone(),
            record.until.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = records.iter().map(row).collect();
    output::list(form, &records, &["id", "kind", "name", "size", "deleted", "kept until"], &rows)
}
