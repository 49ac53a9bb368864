//! A processor for each guest: on two, one guest is slower than on one.

use crate::run::{Failed, Outcome};
use std::fs::File;
use std::path::Path;

/// A processor that no other guest has while this is kept.
pub struct Processor {
    pub number: usize,
    /// Locked; `None` when every processor has a guest already.
    _lock: Option<File>,
}

/// Takes a free processor, or any if all have guests; lock files are kept in `directory`.
pub fn take(directory: &Path) -> Outcome<Processor> {
    let allowed = allowed()?;
    for number in &allowed {
        let path = directory.join(format!("processor-{number}"));
        let file = File::create(&path)
            .map_err(|error| Failed::new(format!("cannot make `{}`: {error}", path.display())))?;
        if file.try_lock().is_ok() {
            return Ok(Processor { number: *number, _lock: Some(file) });
        }
    }
    // As good as chance: one after the other starts with one after the other number.
    let any = std::process::id() as usize % allowed.len();
    Ok(Processor { number: allowed[any], _lock: None })
}

/// The processors that this process may run on, never none.
fn allowed() -> Outcome<Vec<usize>> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let numbers = list.map(|list| numbers(list.trim())).unwrap_or_default();
    if numbers.is_empty() {
        return Err(Failed::new("`/proc/self/status` names no processor"));
    }
    Ok(numbers)
}

/// The numbers of a list such as `0-3,8`.
fn numbers(list: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_processors_is_read_with_its_ranges() {
        assert_eq!(numbers("0-2,5,7-8"), [0, 1, 2, 5, 7, 8]);
        assert_eq!(numbers("3"), [3]);
    }
}
