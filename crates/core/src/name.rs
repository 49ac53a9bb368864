//! Names of volumes, snapshots and pools: one path component, safe everywhere it is put.

use crate::error::shown;
use crate::{Error, Kind};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A validated name: 1 to 128 characters of `A-Z a-z 0-9 . _ -`, the first one a letter or digit.
///
/// So it is never `.` or `..`, never hidden, has no slash, space or control character, is no option
/// of a host program, and leaves room for a suffix within the 255 bytes of a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// The most characters a name may have.
pub const LONGEST: usize = 128;

impl Name {
    /// Validates `text`.
    pub fn new(text: impl Into<String>) -> Result<Name, Error> {
        let text = text.into();
        let wrong = if text.is_empty() {
            "it is empty".to_owned()
        } else if text.len() > LONGEST {
            format!("it is {} bytes long, and {LONGEST} is the most", text.len())
        } else if !text.starts_with(|first: char| first.is_ascii_alphanumeric()) {
            "it does not start with a letter or a digit".to_owned()
        } else if let Some(bad) = text.chars().find(|letter| !allowed(*letter)) {
            format!("it contains {bad:?}")
        } else {
            return Ok(Name(text));
        };
        let shown = shown(&text);
        Err(Error::new(Kind::Invalid, format!("`{shown}` is not a name: {wrong}"))
            .hint("names are 1 to 128 of A-Z a-z 0-9 . _ -, starting with a letter or a digit"))
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn allowed(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-')
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<std::path::Path> for Name {
    fn as_ref(&self) -> &std::path::Path {
        self.0.as_ref()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.0
    }
}

impl TryFrom<String> for Name {
    type Error = Error;
    fn try_from(text: String) -> Result<Name, Error> {
        Name::new(text)
    }
}

impl std::str::FromStr for Name {
    type Err = Error;
    fn from_str(text: &str) -> Result<Name, Error> {
        Name::new(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_safe_path_component() {
        for good in ["a", "pvc-0f3c", "A.b_c-9", &"x".repeat(LONGEST)] {
            assert!(Name::new(good).is_ok(), "{good}");
        }
        let long = "x".repeat(LONGEST + 1);
        for bad in ["", ".", "..", ".hidden", "-flag", "a/b", "/a", "a b", "a\n", "a\0", "é", &long]
        {
            let error = Name::new(bad).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{bad:?}");

            assert!(!error.message().contains(['\n', '\0']));
        }
    }
}
