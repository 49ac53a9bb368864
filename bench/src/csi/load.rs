//! Each call of a volume's life, by one caller and by many at once.

use super::life::{Contestant, Life, Step};
use super::program::{IMAGE, Program};
use crate::Outcome;
use crate::measure::{Samples, refuse_when_interrupted};
use crate::place::Place;
use crate::report::{AtMost, Row, Value};
use becket_core::Name;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How many call at once. Sidecars and a kubelet that starts many pods are many.
const CALLERS: [usize; 3] = [1, 8, 64];

/// What one contestant's calls took.
#[derive(Default)]
pub(crate) struct Times {
    steps: [Samples; Step::ALL.len()],
    /// From the first call of a batch to the last answer, all batches together.
    walls: [Duration; Step::ALL.len()],
    /// From nothing to staged.
    fresh: Samples,
}

impl Times {
    /// What one step took.
    pub(crate) fn of(&self, step: Step) -> Value {
        let (samples, wall) = (&self.steps[step as usize], self.walls[step as usize]);
        Value::calls(samples, wall)
    }
}

/// Measures all calls, at each number of callers.
pub(crate) async fn measure(
    place: &Place,
    becket: &Program,
    peer: Option<&Program>,
    rounds: usize,
) -> Outcome<Vec<Row>> {
    let (_served, channel) = becket.start(IMAGE).await?;
    let becket = Contestant::driver(becket, channel, Some(super::POOL));
    let bare = Contestant::Bare(place.directory("csi/bare")?);
    // Its process has to stay for as long as it is asked.
    let (_peer_served, peer) = match peer {
        Some(peer) => {
            let (served, channel) = peer.start(IMAGE).await?;
            (Some(served), Some(Contestant::driver(peer, channel, None)))
        }
        None => (None, None),
    };
    let mut rows = Vec::new();
    for callers in CALLERS {
        let batches = (rounds * 10).div_ceil(callers);
        let mut times = [Times::default(), Times::default(), Times::default()];
        for batch in 0..batches {
            let names: Vec<String> =
                (0..callers).map(|caller| format!("load-{callers}-{batch}-{caller}")).collect();
            let contestants = [Some(&becket), Some(&bare), peer.as_ref()];
            for turn in 0..contestants.len() {
                let index = (turn + batch) % contestants.len();
                if let Some(contestant) = contestants[index] {
                    live(contestant, &names, &mut times[index]).await?;
                }
            }
            empty_trash(place, super::POOL)?;
        }
        let [becket, bare, other] = times;
        rows.extend(shown(callers, &becket, &bare, peer.is_some().then_some(&other)));
    }
    Ok(rows)
}

fn shown(callers: usize, becket: &Times, bare: &Times, peer: Option<&Times>) -> Vec<Row> {
    let many = match callers {
        1 => String::new(),
        callers => format!(", {callers} at once"),
    };
    let row = |step: Step| {
        let target = (step == Step::Publish && callers == 1).then_some(AtMost::Ms(1.0));
        Row::new(format!("{}{many}", step.name()), becket.of(step))
            .against("bare", bare.of(step))
            .beside(peer.map(|peer| peer.of(step)))
            .target(target)
    };
    let mut rows: Vec<Row> = Step::ALL.map(row).into();
    let fresh = Row::new(format!("create and stage 1 GiB ext4{many}"), &becket.fresh)
        .against("bare", &bare.fresh)
        .beside(peer.map(|peer| &peer.fresh));
    rows.push(fresh.target((callers == 1).then_some(AtMost::Times(1.3))));
    rows
}

/// Leads volumes through their lives at once: each step of all of them before the next one.
pub(crate) async fn live(contestant: &Contestant, names: &[String], times: &mut Times) -> Outcome {
    refuse_when_interrupted()?;
    let lives = names.iter().map(|name| Life::new(contestant, name));
    let mut lives = lives.collect::<Outcome<Vec<Life>>>()?;
    let mut fresh = Duration::ZERO;
    for step in Step::ALL {
        let started = Instant::now();
        let mut calls = JoinSet::new();
        for mut life in lives.drain(..) {
            calls.spawn(async move { life.take(step).await.map(|took| (life, took)) });
        }
        while let Some(done) = calls.join_next().await {
            let (life, took) = done??;
            times.steps[step as usize].add(took);
            lives.push(life);
        }
        let wall = started.elapsed();
        times.walls[step as usize] += wall;
        match step {
            Step::Create => fresh = wall,
            // Of many at once, the time until all of them are there.
            Step::Stage => times.fresh.add(fresh + wall),
            _ => {}
        }
    }
    for life in lives {
        life.forget().await?;
    }
    Ok(())
}

/// Empties the trash, so that no batch is slower than the one before it.
pub(crate) fn empty_trash(place: &Place, pool: &str) -> Outcome {
    Ok(place.engine.empty_trash(&Name::new(pool)?, true).map(drop)?)
}
