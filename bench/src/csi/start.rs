//! From the start of the process until its driver says that it is ready.

use super::program::{IMAGE, Program};
use crate::Outcome;
use crate::measure::Samples;
use crate::report::Row;
use std::time::Instant;

/// Measures starts, in turns.
pub(crate) async fn measure(
    becket: &Program,
    peer: Option<&Program>,
    rounds: usize,
) -> Outcome<Vec<Row>> {
    let (mut own, mut other) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        own.add(start(becket).await?);
        if let Some(peer) = peer {
            other.add(start(peer).await?);
        }
    }
    let row = Row::new("serve, from its start to the first answer", &own);
    Ok(vec![row.beside(peer.map(|_| &other))])
}

async fn start(program: &Program) -> Outcome<std::time::Duration> {
    let started = Instant::now();
    let (served, _) = program.start(IMAGE).await?;
    let took = started.elapsed();
    served.kill()?;
    Ok(took)
}
