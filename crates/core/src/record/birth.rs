//! How far a volume has come into being.

use serde::{Deserialize, Serialize};

/// Whether a volume has come into being.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Birth {
    /// It is being made: its filesystem may or may not be there yet, and nobody has used it.
    Preparing,
    /// It is visible, encrypted and blank: its header and its filesystem take the passphrase, which comes
    /// with its first stage. Nobody has used it, nor what it may be a copy of.
    Blank,
    /// It was blank, and its first stage is making them, or was cut short there. Nobody has used it.
    Formatting,
    /// It is a visible encrypted copy, whose header and filesystem its first stage makes its own.
    Copied,
    /// It is whole. From here on nothing is ever formatted.
    Ready,
}
