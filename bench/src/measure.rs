//! Running programs against the clock.

use crate::Outcome;
use std::ffi::OsStr;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// How long something took, each time it was done.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<Duration>);

impl Samples {
    /// Adds one measurement.
    pub(crate) fn add(&mut self, took: Duration) {
        self.0.push(took);
    }

    /// The one that was added last.
    pub(crate) fn last(&self) -> Duration {
        self.0.last().copied().unwrap_or_default()
    }

    /// The fastest: what it costs when nothing else disturbs.
    pub(crate) fn least(&self) -> Duration {
        self.0.iter().min().copied().unwrap_or_default()
    }

    /// The middle one: what it costs here and now.
    pub(crate) fn median(&self) -> Duration {
        self.percentile(50)
    }

    /// What `percent` of all are below, or equal to.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let last = sorted.len().saturating_sub(1);
        sorted.get((sorted.len() * percent / 100).min(last)).copied().unwrap_or_default()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }
}

/// Runs `work` and gives what it gave, and how long that took.
pub(crate) fn timed<T>(work: impl FnOnce() -> Outcome<T>) -> Outcome<(T, Duration)> {
    let started = Instant::now();
    let done = work()?;
    Ok((done, started.elapsed()))
}

/// A command without the environment's own idea of where Becket's state is.
pub(crate) fn command<S: AsRef<OsStr>>(program: &Path, arguments: &[S]) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_remove("BECKET_STATE_DIR")
        .env_remove("BECKET_KUBELET_ROOT")
        .stdin(Stdio::null());
    command
}

/// A program that ran to its end.
pub(crate) struct Ran {
    /// From before it was spawned until it was reaped.
    pub(crate) took: Duration,
    /// Whether it said that it went well.
    pub(crate) well: bool,
    /// What it wrote.
    pub(crate) text: String,
}

/// Runs the program as the kubelet would: stdout and stderr are one pipe, read to the end.
pub(crate) fn run<S: AsRef<OsStr>>(program: &Path, arguments: &[S]) -> Outcome<Ran> {
    refuse_when_interrupted()?;
    let failed = |error| format!("cannot run `{}`: {error}", program.display());
    let mut command = command(program, arguments);
    let started = Instant::now();
    let (mut reader, writer) = std::io::pipe().map_err(failed)?;
    command.stdout(writer.try_clone().map_err(failed)?).stderr(writer);
    let mut child = command.spawn().map_err(failed)?;
    // The command holds our copies of the pipe's other end.
    drop(command);
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(failed)?;
    let status = child.wait().map_err(failed)?;
    let took = started.elapsed();
    // The same interrupt may have ended the program, whose words would only mislead.
    refuse_when_interrupted()?;
    Ok(Ran { took, well: status.success(), text: String::from_utf8_lossy(&bytes).into_owned() })
}

/// Like [`run`], for programs that have to succeed.
pub(crate) fn run_well<S: AsRef<OsStr>>(program: &Path, arguments: &[S]) -> Outcome<Ran> {
    let ran = run(program, arguments)?;
    match ran.well {
        true => Ok(ran),
        false => {
            let words: Vec<String> =
                arguments.iter().map(|word| word.as_ref().to_string_lossy().into_owned()).collect();
            let (program, words) = (program.display(), words.join(" "));
            Err(format!("`{program} {words}` failed: {}", ran.text.trim()).into())
        }
    }
}

/// Both, and who goes first changes with the round, so that neither has the better place.
pub(crate) fn in_turns(
    round: usize,
    ours: &mut dyn FnMut() -> Outcome,
    theirs: &mut dyn FnMut() -> Outcome,
) -> Outcome {
    refuse_when_interrupted()?;
    let order: [&mut dyn FnMut() -> Outcome; 2] = match round % 2 {
        0 => [ours, theirs],
        _ => [theirs, ours],
    };
    order.into_iter().try_for_each(|work| work())
}

/// From here on an interrupt stops the next measurement, so that everything is still cleaned up.
pub(crate) fn heed_interrupts() -> Outcome {
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, interrupted().clone())?;
    }
    Ok(())
}

/// An error once an interrupt has come.
pub(crate) fn refuse_when_interrupted() -> Outcome {
    match interrupted().load(Ordering::Relaxed) {
        true => Err("interrupted".into()),
        false => Ok(()),
    }
}

fn interrupted() -> &'static Arc<AtomicBool> {
    static INTERRUPTED: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    INTERRUPTED.get_or_init(Arc::default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_and_median_do_not_depend_on_the_order() {
        let mut samples = Samples::default();
        for took in [5, 1, 9, 3, 700] {
            samples.add(Duration::from_micros(took));
        }
        assert_eq!(samples.least(), Duration::from_micros(1));
        assert_eq!(samples.median(), Duration::from_micros(5));
        assert_eq!(samples.percentile(99), Duration::from_micros(700));
        assert_eq!(Samples::default().median(), Duration::ZERO);
    }
}
