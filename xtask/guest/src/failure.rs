//! Why a step failed, in words: nothing here reacts to the reason.

use std::fmt::Display;

/// A sentence that says what failed, on what, and why.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// The result of a step.
pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

/// Says what was being done when an error of the system came.
pub(crate) trait Doing<T> {
    /// `what` completes "cannot …".
    fn doing<W: Display>(self, what: impl FnOnce() -> W) -> Result<T>;
}

impl<T, E: Display> Doing<T> for std::result::Result<T, E> {
    fn doing<W: Display>(self, what: impl FnOnce() -> W) -> Result<T> {
        self.map_err(|error| format!("cannot {}: {error}", what()).into())
    }
}
