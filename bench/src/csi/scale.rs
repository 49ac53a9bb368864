//! Pools with more and with fewer volumes: what a call costs should not depend on their number.

use super::life::{Contestant, Step};
use super::load::{self, Times};
use super::program::{IMAGE, Program};
use crate::Outcome;
use crate::measure::Samples;
use crate::place::Place;
use crate::report::{AtMost, Row};
use crate::scale::{MANY, ONE, fill};
use becket_core::Name;
use becket_core::engine::NewPool;
use becket_csi::protocol::csi::ListVolumesRequest;
use becket_csi::protocol::csi::controller_client::ControllerClient;
use std::time::Instant;

/// The pool between the one with one volume and the one with many.
const HUNDRED: &str = "hundred";

/// Measures the calls of a life in each pool, in turns, and lists of everything.
///
/// The pools of one and of many volumes are there already.
pub(crate) async fn measure(
    place: &Place,
    becket: &Program,
    rounds: usize,
    volumes: usize,
) -> Outcome<Vec<Row>> {
    place.engine.create_pool(&NewPool::new(Name::new(HUNDRED)?, "image"))?;
    fill(place, HUNDRED, 100)?;
    let (_served, channel) = becket.start(IMAGE).await?;
    let pools = [ONE, HUNDRED, MANY];
    let drivers = pools.map(|pool| Contestant::driver(becket, channel.clone(), Some(pool)));
    let mut times = [Times::default(), Times::default(), Times::default()];
    let mut list = Samples::default();
    let mut controller = ControllerClient::new(channel);
    let mut listed = 0;
    for round in 0..rounds * 2 {
        for turn in 0..pools.len() {
            let index = (turn + round) % pools.len();
            let names = [format!("scale-{round}")];
            load::live(&drivers[index], &names, &mut times[index]).await?;
            load::empty_trash(place, pools[index])?;
        }
        let started = Instant::now();
        let answer = controller.list_volumes(ListVolumesRequest::default()).await?;
        list.add(started.elapsed());
        listed = answer.into_inner().entries.len();
    }
    let [one, hundred, many] = times;
    let mut rows =
        vec![Row::new(format!("ListVolumes, {listed} volumes"), &list).target(AtMost::Ms(50.0))];
    for (count, times) in [(100, &hundred), (volumes, &many)] {
        rows.extend(Step::ALL.map(|step| {
            let target = (step == Step::Publish).then_some(AtMost::Times(1.1));
            Row::new(format!("{}, {count} volumes in the pool", step.name()), times.of(step))
                .against("1", one.of(step))
                .target(target)
        }));
    }
    Ok(rows)
}
