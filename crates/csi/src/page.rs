//! Lists in pages: a token says after which entry the next page begins, so it stays good whatever is
//! made or deleted between two pages.

use crate::identifier::Identifier;
use becket_core::error::shown;
use becket_core::{Error, Kind, Result};

/// What a token starts with.
const AFTER: &str = "after:";

/// Entries of one page: more of them would be a message larger than clients take (4 MiB).
const LARGEST: usize = 4096;

/// The part of a list that is asked for, and the token of the next part, empty at the end.
///
/// `entries` are in the order of their ids. `Invalid` for a negative number of entries; `Busy`, which is
/// `ABORTED`, for a token that is none: the caller is to begin again.
pub fn page<T>(
    entries: Vec<(Identifier, T)>,
    most: i32,
    token: &str,
) -> Result<(Vec<(Identifier, T)>, String)> {
    let most = usize::try_from(most)
        .map_err(|_| Error::new(Kind::Invalid, format!("max_entries is negative: {most}")))?;
    let most = if most == 0 { LARGEST } else { most.min(LARGEST) };
    let after = match token {
        "" => None,
        token => Some(read(token)?),
    };
    let mut rest = entries.into_iter().filter(|(id, _)| after.as_ref().is_none_or(|at| id > at));
    let page: Vec<_> = rest.by_ref().take(most).collect();
    let next = match (rest.next(), page.last()) {
        (Some(_), Some((last, _))) => format!("{AFTER}{last}"),
        _ => String::new(),
    };
    Ok((page, next))
}

fn read(token: &str) -> Result<Identifier> {
    token.strip_prefix(AFTER).and_then(Identifier::parse).ok_or_else(|| {
        let shown = shown(token);
        Error::new(Kind::Busy, format!("`{shown}` is no starting token of this driver"))
            .hint("begin the list again without one")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(names: &str) -> Vec<(Identifier, ())> {
        let id = |name: char| Identifier::parse(&format!("pool/{name}")).unwrap();
        names.chars().map(|name| (id(name), ())).collect()
    }

    fn names(page: &[(Identifier, ())]) -> String {
        page.iter().map(|(id, ())| id.name.as_str()).collect()
    }

    #[test]
    fn pages_cover_all_once_whatever_changes_meanwhile() {
        let (first, token) = page(entries("abcde"), 2, "").unwrap();
        assert_eq!(names(&first), "ab");
        // The last entry of the page is deleted, and others come before and behind it.
        let (second, token) = page(entries("aaacdef"), 2, &token).unwrap();
        assert_eq!(names(&second), "cd");
        let (third, token) = page(entries("aef"), 2, &token).unwrap();
        assert_eq!((names(&third).as_str(), token.as_str()), ("ef", ""));
        assert_eq!(names(&page(entries("ab"), 0, "").unwrap().0), "ab");
        let (all, token) = page(entries(&"a".repeat(LARGEST + 1)), 0, "").unwrap();
        assert!(all.len() == LARGEST && !token.is_empty());
    }

    #[test]
    fn what_is_no_token_begins_again_and_negative_numbers_are_refused() {
        for token in ["invalid-token", "after:", "after:x", "after:a/../b"] {
            assert_eq!(page(entries("a"), 0, token).unwrap_err().kind(), Kind::Busy, "{token}");
        }
        assert_eq!(page(entries("a"), -1, "").unwrap_err().kind(), Kind::Invalid);
    }
}
