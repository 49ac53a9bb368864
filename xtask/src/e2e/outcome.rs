//! What became of each test, and how it is shown.

use crate::run::{Failed, Outcome};
use std::collections::BTreeMap;
use std::fmt;

/// Letters of what is shown of a failure: some hold a whole pod, which is to be read in the file.
const LONGEST_REASON: usize = 300;

/// Tests that were run or skipped.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Tests {
    all: Vec<Test>,
}

#[derive(Debug, PartialEq, Eq)]
struct Test {
    state: State,
    name: String,
    /// Empty for one that passed.
    why: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Passed,
    Skipped,
    /// Also one that never ended, or that was never begun because of another's failure.
    Failed,
}

impl Tests {
    /// Reads the lines that `xtask/e2e/outcome_test.go` writes.
    pub fn read(text: &str) -> Outcome<Tests> {
        let read = |line: &str| {
            let mut parts = line.splitn(3, '\t').map(str::to_owned);
            let (Some(state), Some(name), Some(why)) = (parts.next(), parts.next(), parts.next())
            else {
                return Err(Failed::new(format!("`{line}` tells nothing of a test")));
            };
            let state = match state.as_str() {
                "passed" => State::Passed,
                "skipped" => State::Skipped,
                _ => State::Failed,
            };
            Ok(Test { state, name, why })
        };
        Ok(Tests { all: text.lines().map(read).collect::<Outcome<_>>()? })
    }

    pub fn passed(&self) -> usize {
        self.of(State::Passed).count()
    }

    pub fn failed(&self) -> usize {
        self.of(State::Failed).count()
    }

    /// The names of those that were skipped for this reason.
    pub fn skipped_because(&self, reason: &str) -> Vec<String> {
        let skipped = self.of(State::Skipped).filter(|test| test.why == reason);
        skipped.map(|test| test.name.clone()).collect()
    }

    /// These, but what became later of those that are in `later`, too.
    pub fn with(mut self, later: Tests) -> Tests {
        self.all.retain(|test| later.all.iter().all(|again| again.name != test.name));
        self.all.extend(later.all);
        self
    }

    fn of(&self, state: State) -> impl Iterator<Item = &Test> {
        self.all.iter().filter(move |test| test.state == state)
    }
}

/// The numbers, each reason for which tests were skipped, and each test that failed.
impl fmt::Display for Tests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for test in self.of(State::Skipped) {
            *reasons.entry(&test.why).or_default() += 1;
        }
        let skipped: usize = reasons.values().sum();
        write!(f, "{} passed, {} failed, {skipped} skipped", self.passed(), self.failed())?;
        for (reason, number) in reasons {
            write!(f, "\n{number:6}  {reason}")?;
        }
        for test in self.of(State::Failed) {
            let why: String = test.why.chars().take(LONGEST_REASON).collect();
            write!(f, "\nFAILED  {}\n        {why}", test.name)?;
        }
        Ok(())
    }
}

/// A regular expression of these names and those that end with them: Ginkgo puts the suite's name in front.
pub fn ending_with(names: &[String]) -> String {
    let quoted = |name: &String| {
        let plain = |letter: char| letter.is_alphanumeric() || letter == ' ' || letter == '/';
        let quote = |letter| if plain(letter) { vec![letter] } else { vec!['\\', letter] };
        name.chars().flat_map(quote).collect::<String>()
    };
    format!("({})$", names.iter().map(quoted).collect::<Vec<_>>().join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "passed\tone\t\nskipped\ttwo\tno xfs\nskipped\tthree\tno xfs\n\
                         skipped\tfour\tno time\nfailed\tfive\twrong\ninterrupted\tsix\t\n";

    #[test]
    fn tests_are_counted_and_each_reason_is_said_once() {
        let tests = Tests::read(LINES).unwrap();
        assert_eq!((tests.passed(), tests.failed()), (1, 2));
        assert_eq!(
            tests.to_string(),
            "1 passed, 2 failed, 3 skipped\n     1  no time\n     2  no xfs\n\
             FAILED  five\n        wrong\nFAILED  six\n        "
        );
        assert!(Tests::read("passed\n").is_err());
    }

    #[test]
    fn what_was_run_later_takes_the_place_of_what_was_skipped() {
        let tests = Tests::read(LINES).unwrap();
        assert_eq!(tests.skipped_because("no xfs"), ["two", "three"]);
        let tests = tests.with(Tests::read("passed\ttwo\t\npassed\tthree\t\n").unwrap());
        assert_eq!((tests.passed(), tests.failed()), (3, 2));
        assert!(tests.skipped_because("no xfs").is_empty());
    }

    #[test]
    fn names_are_quoted_in_a_regular_expression() {
        let names = ["[Driver: a.b] (x)".to_owned(), "y".to_owned()];
        assert_eq!(ending_with(&names), r"(\[Driver\: a\.b\] \(x\)|y)$");
    }
}
