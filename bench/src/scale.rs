//! A pool with many volumes against a pool with one: what should cost the same in both, and what it
//! takes to list them.

use crate::Outcome;
use crate::callouts::options;
use crate::measure::{self, Samples, timed};
use crate::place::Place;
use crate::report::{AtMost, Row};
use becket_core::Name;
use becket_core::engine::{NewPool, NewVolume};
use becket_core::record::Content;

/// The pool with one volume.
pub(crate) const ONE: &str = "one";

/// The pool with many.
pub(crate) const MANY: &str = "many";

/// The pools differ in the number of volumes only; in each the same volume is published.
pub(crate) fn measure(place: &Place, rounds: usize, volumes: usize) -> Outcome<Vec<Row>> {
    let driver = place.install("image", false)?;
    let pod = |of: &str| -> Outcome<String> {
        Ok(place.directory(&format!("becket/pods/{of}"))?.display().to_string())
    };
    let mut publish = [Samples::default(), Samples::default()];
    let mut list = [Samples::default(), Samples::default()];
    for pool in [ONE, MANY] {
        place.engine.create_pool(&NewPool::new(Name::new(pool)?, "image"))?;
        measure::run_well(&driver, &["mount", &pod(pool)?, &options("published", pool)])?;
    }
    let ((), filling) = timed(|| fill(place, MANY, volumes.saturating_sub(1)))?;
    crate::say(&format!("made {volumes} volumes in {:.1} s", filling.as_secs_f64()));
    let second = pod("second")?;
    for _ in 0..rounds * 2 {
        for (index, pool) in [ONE, MANY].into_iter().enumerate() {
            let mount = ["mount", &second, &options("published", pool)];
            publish[index].add(measure::run_well(&driver, &mount)?.took);
            measure::run_well(&driver, &["unmount", &second])?;
            let words = place.words(&["volume", "list", "--pool", pool]);
            list[index].add(measure::run_well(place.becket(), &words)?.took);
        }
    }
    for pool in [ONE, MANY] {
        measure::run_well(&driver, &["unmount", &pod(pool)?])?;
    }
    let of = format!("with {volumes} volumes in the pool");
    Ok(vec![
        Row::new(format!("volume list, {of}"), &list[1])
            .against("with 1", &list[0])
            .target(AtMost::Ms(50.0)),
        Row::new(format!("mount, second pod, {of}"), &publish[1])
            .against("with 1", &publish[0])
            .target(AtMost::Times(1.1)),
    ])
}

/// Makes small raw block volumes: they need no `mkfs`, and are found and listed like all others.
pub(crate) fn fill(place: &Place, pool: &str, volumes: usize) -> Outcome {
    let pool = Name::new(pool)?;
    for number in 0..volumes {
        measure::refuse_when_interrupted()?;
        let name = Name::new(format!("filler-{number}"))?;
        let content = Some(Content::Block);
        place.engine.create(&pool, &NewVolume { content, ..NewVolume::new(name, 1 << 20) })?;
    }
    Ok(())
}
