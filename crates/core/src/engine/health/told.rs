//! Complaints as another process of ours tells them.

use super::{Complaint, Severity};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// A complaint whose reason is no constant of this process yet.
#[derive(Deserialize)]
struct Told {
    severity: Severity,
    reason: String,
    message: String,
}

impl<'de> Deserialize<'de> for Complaint {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Complaint, D::Error> {
        let Told { severity, reason, message } = Told::deserialize(from)?;
        Ok(Complaint { severity, reason: fixed(reason), message })
    }
}

/// One of the fixed words. There are few of them, and each is kept once.
fn fixed(word: String) -> &'static str {
    static WORDS: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut words = WORDS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(kept) = words.get(word.as_str()) {
        return kept;
    }
    let kept: &'static str = Box::leak(word.into_boxed_str());
    words.insert(kept);
    kept
}
