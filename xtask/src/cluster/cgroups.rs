//! The cgroups of a cluster: one at the top of each of the kernel's hierarchies, for its pods.

use crate::run::{Failed, Outcome, failed, made};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a cgroup whose last process has just ended is tried, and how long between.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// A hierarchy that is mounted here.
#[derive(Debug, PartialEq, Eq)]
struct Hierarchy {
    top: PathBuf,
    /// Of version 1, where each controller may have its own.
    first: bool,
}

/// Makes the cgroup at `path`, from the hierarchies' roots.
pub fn make(path: &str) -> Outcome {
    let all = hierarchies()?;
    // Beside hierarchies of version 1 the one of version 2 has no controllers, and the kubelet ignores it.
    let first = all.iter().any(|hierarchy| hierarchy.first);
    for hierarchy in all.iter().filter(|hierarchy| hierarchy.first == first) {
        let directory = below(&hierarchy.top, path);
        made(&directory)?;
        if !first {
            pass_controllers_on(&hierarchy.top)?;
        }
        // A new cgroup of version 1 may use no processor and no memory node until it is told.
        for name in ["cpuset.cpus", "cpuset.mems"].iter().filter(|_| hierarchy.first) {
            if let Ok(all) = fs::read(hierarchy.top.join(name)) {
                let file = directory.join(name);
                fs::write(&file, all).map_err(|error| failed("write", &file, &error))?;
            }
        }
    }
    Ok(())
}

/// Lets the cgroups below the top of a hierarchy of version 2 have all controllers that the top has.
fn pass_controllers_on(top: &Path) -> Outcome {
    let all = fs::read_to_string(top.join("cgroup.controllers")).unwrap_or_default();
    let file = top.join("cgroup.subtree_control");
    all.split_whitespace().try_for_each(|name| {
        fs::write(&file, format!("+{name}")).map_err(|error| failed("write", &file, &error))
    })
}

/// Removes the cgroup and those below it, in which no process is left.
pub fn remove(path: &str) -> Outcome {
    let tops = hierarchies()?.into_iter().map(|hierarchy| below(&hierarchy.top, path));
    for directory in tops.filter(|directory| directory.is_dir()) {
        let mut left = TRIES;
        while let Err(error) = remove_tree(&directory) {
            left -= 1;
            if left == 0 {
                return Err(failed("remove", &directory, &error));
            }
            std::thread::sleep(PAUSE);
        }
    }
    Ok(())
}

/// Innermost first; the kernel's files in them go with them.
fn remove_tree(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(directory)
}

fn hierarchies() -> Outcome<Vec<Hierarchy>> {
    let found = mounted(&fs::read_to_string("/proc/self/mounts").unwrap_or_default());
    if found.is_empty() {
        return Err(Failed::new("no cgroups are mounted here, and a kubelet needs them"));
    }
    Ok(found)
}

/// The hierarchies in a table of mounts, each once.
fn mounted(table: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in table.lines() {
        let mut fields = line.split(' ').skip(1);
        let (Some(top), Some(kind)) = (fields.next(), fields.next()) else { continue };
        let hierarchy = Hierarchy { top: top.into(), first: kind == "cgroup" };
        if top.starts_with("/sys/fs/cgroup")
            && ["cgroup", "cgroup2"].contains(&kind)
            && !found.contains(&hierarchy)
        {
            found.push(hierarchy);
        }
    }
    found
}

fn below(top: &Path, path: &str) -> PathBuf {
    top.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hierarchies_of_both_versions_are_found() {
        let table = "tmpfs /sys/fs/cgroup tmpfs ro 0 0\n\
                     cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
                     cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
                     cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n";
        let found = mounted(table);
        let shown: Vec<(&str, bool)> = found
            .iter()
            .map(|hierarchy| (hierarchy.top.to_str().unwrap(), hierarchy.first))
            .collect();
        let wanted = [("/sys/fs/cgroup/unified", false), ("/sys/fs/cgroup/cpu,cpuacct", true)];
        assert_eq!(shown, wanted);
    }
}
