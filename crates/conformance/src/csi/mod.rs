//! Checks of a CSI driver against version 1.13.0 of the specification.

mod answer;
mod areas;
mod ask;
pub(crate) mod calls;
pub mod check;
mod cleanup;
mod content;
mod driver;
mod ground;
mod ledger;
mod need;
mod on_node;
mod options;
mod places;
mod run;
mod survey;
mod together;

pub use calls::Call;
pub use options::{AccessTypes, Options};
pub use run::{Watch, run};

use check::{Area, Severity};
use serde::Serialize;

/// Version of the specification.
pub const SPECIFICATION: &str = "1.13.0";

/// What there is to know of a check without running it.
#[derive(Debug, Clone, Serialize)]
pub struct Description {
    /// Its id.
    pub id: &'static str,
    /// Its area.
    pub area: Area,
    /// How binding its clause is.
    pub severity: Severity,
    /// The clause it tests.
    pub clause: &'static str,
    /// What unlocks it; it is skipped where one of these is not there.
    pub needs: Vec<String>,
}

/// All checks, in the order in which they run.
pub fn descriptions() -> Vec<Description> {
    let describe = |(area, check): (Area, &check::Check)| Description {
        id: check.id,
        area,
        severity: check.severity,
        clause: check.clause,
        needs: check.needs.iter().map(|need| need.word()).collect(),
    };
    areas::all().map(describe).collect()
}

#[cfg(test)]
mod tests {
    use super::descriptions;
    use std::collections::BTreeSet;

    #[test]
    fn every_check_has_an_id_of_its_own_and_says_its_clause() {
        let mut ids = BTreeSet::new();
        for check in descriptions() {
            let kebab = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
            assert!(check.id.split('-').all(|word| !word.is_empty() && word.chars().all(kebab)));
            assert!(ids.insert(check.id), "`{}` is there twice", check.id);
            let (rpc, rule) = check.clause.split_once(": ").unwrap_or_default();
            assert!(!rpc.is_empty() && rule.len() > 10, "`{}` has no clause", check.id);
        }
    }
}
