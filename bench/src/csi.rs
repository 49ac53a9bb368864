//! The CSI driver `image.becket.dev`, as `becket serve` has it, over its socket.
//!
//! Beside it the bare system calls for the same, and the driver that `BECKET_BENCH_PEER` names: the
//! path of a `csi-driver-host-path` binary, or of anything that takes its flags. All take turns, so
//! that all have the same neighbours. Their client runs in this process, on the same cores.

mod life;
mod load;
mod program;
mod scale;
mod start;
mod weight;

use crate::Outcome;
use crate::place::Place;
use crate::report::Row;
use becket_core::Name;
use becket_core::engine::NewPool;
use program::Program;
use std::path::PathBuf;

/// The pool of the volumes whose lives are measured.
const POOL: &str = "csi";

/// The variable that names another driver.
const PEER: &str = "BECKET_BENCH_PEER";

/// Another driver to be measured beside, where one is named.
pub(crate) fn peer() -> Outcome<Option<PathBuf>> {
    let Some(path) = std::env::var_os(PEER).filter(|path| !path.is_empty()) else {
        crate::say(&format!("{PEER} names no driver to compare with"));
        return Ok(None);
    };
    let path = PathBuf::from(path);
    let found = path.canonicalize();
    Ok(Some(found.map_err(|error| format!("no driver at `{}`: {error}", path.display()))?))
}

/// Measures everything that goes over a socket; `volumes` are in the large pool.
pub(crate) fn measure(
    place: &Place,
    rounds: usize,
    volumes: usize,
    peer: Option<PathBuf>,
) -> Outcome<Vec<Row>> {
    // Volumes of 1 GiB take a few MiB each: many may be promised at once.
    let pool = NewPool { overcommit: Some(100.0), ..NewPool::new(Name::new(POOL)?, "image") };
    place.engine.create_pool(&pool)?;
    let becket = Program::becket(place)?;
    let peer = peer.map(|path| Program::peer(place, path)).transpose()?;
    let peer = peer.as_ref();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut rows = start::measure(&becket, peer, rounds).await?;
        rows.extend(load::measure(place, &becket, peer, rounds).await?);
        rows.extend(scale::measure(place, &becket, rounds, volumes).await?);
        rows.extend(weight::measure(place, &becket, peer).await?);
        Ok(rows)
    })
}
