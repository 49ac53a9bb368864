//! Ids: which pool and which name in it. They say where to look, so nothing has to be remembered.

use crate::driver::Driver;
use becket_core::error::shown;
use becket_core::{Error, Kind, Name, Result};
use std::fmt;
use uuid::Uuid;

/// The most bytes of an id: a string has 128 (size limits of the specification), and the token of a page
/// is an id with a word in front.
const LONGEST: usize = 120;

/// Names of volumes and snapshots that are made of one that cannot be a name of ours.
const MADE_UP: &str = "csi.";

/// The id of a volume, a snapshot or a group of snapshots: `pool/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identifier {
    /// The pool.
    pub pool: Name,
    /// The name in it.
    pub name: Name,
}

impl Identifier {
    /// The id as it was given out. `None` for what was never an id of ours, so that nothing goes by it.
    pub fn parse(text: &str) -> Option<Identifier> {
        let (pool, name) = text.split_once('/')?;
        Some(Identifier { pool: Name::new(pool).ok()?, name: Name::new(name).ok()? })
    }

    /// The same, where something must go by it. `Invalid` when it is empty, `NotFound` when it is none.
    pub fn expect(text: &str, what: &str) -> Result<Identifier> {
        if text.is_empty() {
            return Err(Error::new(Kind::Invalid, format!("the {what}'s id is missing")));
        }
        Identifier::parse(text).ok_or_else(|| {
            let shown = shown(text);
            Error::new(Kind::NotFound, format!("{what} `{shown}` does not exist"))
        })
    }

    /// Where the thing goes that a request calls `wanted`, which may be any text: under that name if it
    /// is a name of ours, else under one made of it. The same text always gives the same name.
    pub fn of(pool: Name, wanted: &str) -> Identifier {
        let room = LONGEST.saturating_sub(pool.as_str().len() + 1);
        let own = Name::new(wanted)
            .ok()
            .filter(|name| name.as_str().len() <= room && !name.as_str().starts_with(MADE_UP));
        let name = own.unwrap_or_else(|| made_of(wanted));
        Identifier { pool, name }
    }
}

/// Volumes are few and texts are many, so the hash is one that does not collide.
fn made_of(wanted: &str) -> Name {
    let hash = Uuid::new_v5(&Uuid::NAMESPACE_URL, format!("becket.dev/csi/{wanted}").as_bytes());
    let text = format!("{MADE_UP}{}", hash.simple());
    // It is made of letters, digits and one dot.
    Name::new(text).unwrap_or_else(|_| unreachable!("a hash is a name"))
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.pool, self.name)
    }
}

/// The pool that `text` names, or else the driver's own. `Invalid` for what is no name, and for one so
/// long that ids would be too long.
pub fn pool(driver: Driver, text: Option<&str>) -> Result<Name> {
    const LONGEST_POOL: usize = 64;
    let name = Name::new(text.unwrap_or(driver.default_pool()))?;
    match name.as_str().len() {
        0..=LONGEST_POOL => Ok(name),
        _ => Err(Error::new(Kind::Invalid, format!("pool `{name}` has too long a name for CSI"))
            .hint(format!("{LONGEST_POOL} bytes are the most, because the pool is part of ids"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(wanted: &str) -> String {
        Identifier::of(Name::new("default").unwrap(), wanted).to_string()
    }

    #[test]
    fn a_plain_name_is_kept_and_any_other_text_becomes_one() {
        assert_eq!(id("pvc-1"), "default/pvc-1");
        let long = "x".repeat(128);
        let odd = ["", "a/b", "Ünïcode", ".hidden", "a b", "..", &long, "csi.x"];
        for text in odd {
            let made = id(text);
            assert!(made.len() <= LONGEST && made.starts_with("default/csi."), "{made}");
            assert_eq!(Identifier::parse(&made).unwrap().to_string(), made);
        }
        let all: std::collections::BTreeSet<String> = odd.iter().map(|text| id(text)).collect();
        assert_eq!(all.len(), odd.len());
        // What it would be called is no way to get at it.
        assert_ne!(id(id("a/b").trim_start_matches("default/")), id("a/b"));
    }

    #[test]
    fn what_was_never_given_out_is_no_id() {
        for text in ["fake-vol-id", "/", "a/", "/a", "../x", "a/b/c", "a/..", "a/b\0"] {
            assert_eq!(Identifier::parse(text), None, "{text:?}");
            let kind = Identifier::expect(text, "volume").unwrap_err().kind();
            assert_eq!(kind, Kind::NotFound);
        }
        assert_eq!(Identifier::expect("", "volume").unwrap_err().kind(), Kind::Invalid);
    }
}
