//! A process as the kernel shows it: its memory, its threads, its children (proc(5)).

use std::path::PathBuf;

/// What a process holds at one moment, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Memory {
    /// Resident, pages shared with others counted whole (`VmRSS`).
    pub resident: u64,
    /// The same, shared pages counted in parts (`Pss`).
    pub share: u64,
    /// Threads.
    pub threads: u64,
}

/// Looks at the process `pid`. An error when it is gone.
pub fn memory(pid: u32) -> std::io::Result<Memory> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
    let gone = || std::io::Error::other(format!("process {pid} is gone"));
    Ok(Memory {
        resident: field(&status, "VmRSS:").ok_or_else(gone)? * 1024,
        share: field(&rollup, "Pss:").ok_or_else(gone)? * 1024,
        threads: field(&status, "Threads:").ok_or_else(gone)?,
    })
}

fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// How many files the process `pid` has open, and other things that are no sockets.
pub fn descriptors(pid: u32) -> std::io::Result<usize> {
    let all = std::fs::read_dir(format!("/proc/{pid}/fd"))?.flatten();
    let targets = all.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    Ok(targets.filter(|target| !target.to_string_lossy().starts_with("socket:")).count())
}

/// The children of the process `pid`, with their names; those that ended and were not waited for are
/// among them.
pub fn children(pid: u32) -> Vec<(u32, String)> {
    let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let of_parent = numbers.filter_map(|number| {
        let path = PathBuf::from(format!("/proc/{number}/stat"));
        let (name, parent) = name_and_parent(&std::fs::read_to_string(path).ok()?)?;
        (parent == pid).then_some((number, name))
    });
    of_parent.collect()
}

/// From `PID (NAME) STATE PARENT …`, where the name may hold anything.
fn name_and_parent(stat: &str) -> Option<(String, u32)> {
    let (before, after) = stat.rsplit_once(')')?;
    let (_, name) = before.split_once('(')?;
    Some((name.to_owned(), after.split_whitespace().nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_threads_and_its_parent_has_it() {
        let own = std::process::id();
        let memory = memory(own).unwrap();
        assert!(memory.threads >= 1 && memory.resident >= memory.share && memory.share > 4096);
        let parent = std::os::unix::process::parent_id();
        assert!(children(parent).iter().any(|(child, _)| *child == own));
    }

    #[test]
    fn a_name_with_a_bracket_is_read_whole() {
        let found = name_and_parent("7 (a) S 1 b) S 42 7 7").unwrap();
        assert_eq!(found, ("a) S 1 b".to_owned(), 42));
    }
}
