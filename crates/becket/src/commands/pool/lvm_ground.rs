//! What a pool of logical volumes stands on: shown before it is made, and asked about where something is
//! destroyed.

use crate::args::{LvmGround, PoolCreate};
use crate::output;
use becket_backends::lvm::setup::{self, Ground, Plan};
use becket_core::{Engine, Error, Kind, Result};
use std::collections::BTreeMap;
use std::io::IsTerminal;

/// The name of a thin pool that nobody named.
const THIN_POOL: &str = "becket-thin";

/// Makes the volume group and the thin pool where they are not there, and gives the pool's parameters.
pub(super) fn prepare(engine: &Engine, new: &PoolCreate) -> Result<BTreeMap<String, String>> {
    let given = &new.lvm;
    if engine.state().knows_pool(&new.name)? && *given == LvmGround::default() {
        // It is only changed, and knows its group.
        return Ok(engine.open(&new.name)?.record.parameters);
    }
    let thin_pool = given.thin_pool.clone().or(given.thin.then(|| THIN_POOL.to_owned()));
    let plan = setup::plan(&Ground {
        pool: new.name.clone(),
        group: given.vg.clone(),
        devices: given.device.clone(),
        thin_pool,
    })?;
    if !plan.steps.is_empty() {
        output::say(format_args!("pool `{}` takes these steps:", new.name));
        output::say(plan.to_string().trim_end());
        agree(&plan, given.yes)?;
    }
    setup::carry_out(&plan)
}

/// The parameters of a pool of another backend: the words for this one are refused.
pub(super) fn refuse(new: &PoolCreate) -> Result<BTreeMap<String, String>> {
    match new.lvm == LvmGround::default() {
        true => Ok(BTreeMap::new()),
        false => Err(Error::new(
            Kind::Invalid,
            format!("a pool of backend `{}` has no volume group", new.backend),
        )
        .hint("--vg, --device, --thin, --thin-pool and --yes go with --backend lvm")),
    }
}

/// Asks where something is destroyed. A blank device is taken without a question.
fn agree(plan: &Plan, yes: bool) -> Result<()> {
    let destroyed: Vec<String> =
        plan.destroyed().map(|(path, holds)| format!("`{}` ({holds})", path.display())).collect();
    if destroyed.is_empty() || yes {
        return Ok(());
    }
    let destroyed = destroyed.join(", ");
    let refused = |why: &str| {
        Error::new(
            Kind::Denied,
            format!("{why}: {destroyed} would be destroyed; nothing was changed"),
        )
    };
    if !std::io::stdin().is_terminal() {
        return Err(refused("nobody can be asked")
            .hint("blank the device with `wipefs --all`, or say --yes"));
    }
    output::say(format_args!("this destroys {destroyed}; write `yes` to go on:"));
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    match read.is_ok() && answer.trim() == "yes" {
        true => Ok(()),
        false => Err(refused("it was not agreed to")),
    }
}
