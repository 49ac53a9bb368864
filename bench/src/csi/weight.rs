//! What the process weighs: idle, under load, and idle again.

use super::life::{Contestant, Step};
use super::load::{self, Times};
use super::program::{BOTH, IMAGE, Program};
use crate::Outcome;
use crate::place::Place;
use crate::report::{AtMost, Row, Value};
use becket_tests::Served;
use becket_tests::process::{self, Memory};
use std::time::Duration;

/// After this long without a call, threads that were made for calls are gone.
const IDLE: Duration = Duration::from_secs(4);

/// Calls between the first look and the second one, by so many callers at once.
const CALLS: usize = 5_000;
const CALLERS: usize = 64;

/// Looks at Becket with one driver and with both, and at the peer.
pub(crate) async fn measure(
    place: &Place,
    becket: &Program,
    peer: Option<&Program>,
) -> Outcome<Vec<Row>> {
    let (served, _channel) = becket.start(BOTH).await?;
    let both = idle(&served).await?;
    served.kill()?;
    let own = under_load(place, becket, Some(super::POOL)).await?;
    let other = match peer {
        Some(peer) => Some(under_load(place, peer, None).await?),
        None => None,
    };
    let bytes = |bytes: u64| Value::Bytes { bytes };
    let target = AtMost::Bytes(10_000_000);
    let both = [
        Row::new("memory, both drivers, idle: resident", bytes(both.resident)).target(target),
        Row::new("memory, both drivers, idle: own share", bytes(both.share)),
    ];
    let moments = ["idle", "after 5,000 calls", "idle again"];
    let rows = moments.iter().zip(0..).flat_map(|(when, index)| {
        let beside = |of: fn(&Memory) -> u64| other.as_ref().map(|other| of(&other[index]));
        let now = &own[index];
        [
            Row::new(format!("memory, image, {when}: resident"), bytes(now.resident))
                .beside(beside(|memory| memory.resident).map(bytes)),
            Row::new(format!("memory, image, {when}: own share"), bytes(now.share))
                .beside(beside(|memory| memory.share).map(bytes)),
            Row::new(format!("threads, image, {when}"), Value::Count { count: now.threads })
                .beside(beside(|memory| memory.threads).map(|count| Value::Count { count })),
        ]
    });
    Ok(both.into_iter().chain(rows).collect())
}

/// Idle, right after the calls, and idle again.
async fn under_load(
    place: &Place,
    program: &Program,
    pool: Option<&'static str>,
) -> Outcome<[Memory; 3]> {
    let (served, channel) = program.start(IMAGE).await?;
    let before = idle(&served).await?;
    let driver = Contestant::driver(program, channel, pool);
    // All steps, and the deletion of the snapshot.
    let batches = CALLS.div_ceil(CALLERS * (Step::ALL.len() + 1));
    let mut after = before;
    for batch in 0..batches {
        let names: Vec<String> =
            (0..CALLERS).map(|caller| format!("weight-{batch}-{caller}")).collect();
        load::live(&driver, &names, &mut Times::default()).await?;
        // Threads end soon: before anything else is done.
        after = process::memory(served.pid())?;
        if let Some(pool) = pool {
            load::empty_trash(place, pool)?;
        }
    }
    let again = idle(&served).await?;
    served.kill()?;
    Ok([before, after, again])
}

async fn idle(served: &Served) -> Outcome<Memory> {
    tokio::time::sleep(IDLE).await;
    Ok(process::memory(served.pid())?)
}
