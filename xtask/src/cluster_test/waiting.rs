//! Waiting for what comes of itself, on a machine that may be very busy.

use crate::run::{Failed, Outcome};
use std::time::{Duration, Instant};

/// How long at most.
const LONGEST: Duration = Duration::from_secs(300);
/// The same, as `kubectl` and `helm` are told.
pub const TIMEOUT: &str = "--timeout=300s";
const PAUSE: Duration = Duration::from_millis(200);

/// Waits until `look` finds it.
pub fn comes<T>(what: &str, look: impl Fn() -> Outcome<Option<T>>) -> Outcome<T> {
    let since = Instant::now();
    while since.elapsed() < LONGEST {
        if let Some(found) = look()? {
            return Ok(found);
        }
        std::thread::sleep(PAUSE);
    }
    Err(Failed::new(format!("there is no {what} after {} s", LONGEST.as_secs())))
}

/// Waits until it is so.
pub fn becomes(what: &str, is_so: impl Fn() -> Outcome<bool>) -> Outcome {
    comes(what, || Ok(is_so()?.then_some(())))
}
