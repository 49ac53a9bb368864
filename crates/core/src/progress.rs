//! Progress of long work, told to whoever wants to show it.

use crate::size;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Told how far a long piece of work has come, and asked whether it shall go on.
pub trait Progress: Send + Sync {
    /// `done` of `total` bytes of `what` are finished; a total of 0 is not known. Called often; must be cheap. `Break` stops the
    /// work, which then fails and leaves nothing behind.
    fn advance(&self, what: &str, done: u64, total: u64) -> ControlFlow<()>;
}

/// Progress as log lines, at most one in five seconds: for servers and callouts.
#[derive(Debug, Default)]
pub struct Logged {
    last: Mutex<Option<Instant>>,
}

impl Progress for Logged {
    fn advance(&self, what: &str, done: u64, total: u64) -> ControlFlow<()> {
        const EVERY: Duration = Duration::from_secs(5);
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_some_and(|last| last.elapsed() >= EVERY);
        if last.is_none() || due {
            *last = Some(Instant::now());
        }
        drop(last);
        if due {
            match total {
                0 => log::info!("{what}: {}", size::display(done)),
                _ => log::info!("{what}: {} of {}", size::display(done), size::display(total)),
            }
        }
        ControlFlow::Continue(())
    }
}
