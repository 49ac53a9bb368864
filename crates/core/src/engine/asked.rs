//! Notes on what a mount was asked for with.
//!
//! What is mounted where is read from the kernel, always. But the kernel does not know the words of a
//! request, such as its access mode, and a repeat with other words is a conflict. So they are noted
//! beside the locks, under the volume's lock and before the mount is made. A note says something only
//! of a path at which the kernel shows the volume; where there is none, the request is taken as it is.
//! Nothing is synced: after a power cut there are no mounts either.

use super::Engine;
use crate::pool::Pool;
use crate::{Error, Kind, Name, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// Requests' words, by the path of the mount.
type Notes = BTreeMap<String, String>;

/// A larger file is none of ours.
const LARGEST: u64 = 1 << 20;

impl Engine {
    /// `Conflict` when the volume was mounted at `place` with other words than `words`.
    pub(super) fn same_words(
        &self,
        pool: &Pool,
        name: &Name,
        place: &Path,
        words: &str,
    ) -> Result<()> {
        let notes = read(pool, name);
        match notes.get(&key(place)) {
            Some(noted) if noted != words => Err(Error::new(
                Kind::Conflict,
                format!(
                    "volume `{name}` is mounted at `{}` already, and was asked for differently",
                    place.display()
                ),
            )
            .hint("unmount it there first; its access mode or mount flags differ")),
            _ => Ok(()),
        }
    }

    /// Notes that the volume is about to be mounted at `place` with `words`; empty words are no note.
    pub(super) fn note_words(
        &self,
        pool: &Pool,
        name: &Name,
        place: &Path,
        words: &str,
    ) -> Result<()> {
        let mut notes = read(pool, name);
        let changed = match words.is_empty() {
            true => notes.remove(&key(place)).is_some(),
            false => notes.insert(key(place), words.to_owned()).as_deref() != Some(words),
        };
        if changed { write(pool, name, &notes) } else { Ok(()) }
    }

    /// Forgets the words of a mount that is gone.
    pub(super) fn forget_words(&self, pool: &Pool, name: &Name, place: &Path) -> Result<()> {
        self.note_words(pool, name, place, "")
    }
}

/// Forgets all words of a volume that is gone.
pub(super) fn forget_all(pool: &Pool, name: &Name) -> Result<()> {
    Ok(pool.locks.remove_file(file(name))?)
}

fn file(name: &Name) -> String {
    format!("volume-{name}{NOTES}")
}

/// How the names of such notes end.
pub(super) const NOTES: &str = ".asked";

fn key(place: &Path) -> String {
    place.to_string_lossy().into_owned()
}

/// Unreadable notes are none: they only ever add a refusal.
fn read(pool: &Pool, name: &Name) -> Notes {
    let bytes = pool.locks.read(file(name), LARGEST).ok().flatten();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

fn write(pool: &Pool, name: &Name, notes: &Notes) -> Result<()> {
    if notes.is_empty() {
        return forget_all(pool, name);
    }
    let bytes = serde_json::to_vec(notes)
        .map_err(|error| Error::new(Kind::Internal, format!("cannot write notes: {error}")))?;
    Ok(pool.locks.replace_passing(&file(name), &bytes)?)
}
