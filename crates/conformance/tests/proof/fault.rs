//! A fault: what is wrong, and which checks must find it.

use crate::proxy::Rule;
use becket_conformance::csi::Options;

type Rules = Box<dyn Fn() -> Vec<Rule>>;

/// One way of being wrong.
pub struct Fault {
    pub name: &'static str,
    /// What is wrong.
    pub rules: Rules,
    /// What the driver needs to have for these checks and has not: right, with the fault or
    /// without.
    pub base: Option<Rules>,
    /// Checks that must fail; with `:N`, for at least that many reasons.
    pub checks: &'static [&'static str],
    /// Checks that run too, so that there is something to find.
    pub beside: &'static [&'static str],
    pub with: fn(&mut Options),
    /// The fault begins with the driver's second start: for checks that kill it.
    pub after_restart: bool,
}

/// A fault of a driver that is right otherwise.
pub fn fault(
    name: &'static str,
    rules: impl Fn() -> Vec<Rule> + 'static,
    checks: &'static [&'static str],
) -> Fault {
    let rules: Rules = Box::new(rules);
    Fault { name, rules, base: None, checks, beside: &[], with: |_| {}, after_restart: false }
}

impl Fault {
    pub fn base(self, base: impl Fn() -> Vec<Rule> + 'static) -> Fault {
        Fault { base: Some(Box::new(base)), ..self }
    }

    pub fn beside(self, beside: &'static [&'static str]) -> Fault {
        Fault { beside, ..self }
    }

    pub fn with(self, with: fn(&mut Options)) -> Fault {
        Fault { with, ..self }
    }

    pub fn after_restart(self) -> Fault {
        Fault { after_restart: true, ..self }
    }

    /// The checks with the least number of findings of each.
    pub fn wanted(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.checks.iter().map(|word| match word.split_once(':') {
            Some((id, count)) => (id, count.parse().unwrap()),
            None => (*word, 1),
        })
    }
}
