//! The paths of a run on the node: staging directories and parents of targets, which the
//! orchestrator has to make. All are below directories of the run's own and are removed by plain
//! `rmdir`.

use becket_core::{Error, Kind, Result};
use becket_sys::{mount, mountinfo};
use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};

/// Files that checks write into published volumes.
const OWN_FILES: [&str; 5] = ["content", "counter", "filling", "must-not-be", "new"];

/// Directories made for the driver.
pub(crate) struct Places {
    staging: PathBuf,
    targets: PathBuf,
    made: RefCell<Vec<PathBuf>>,
    count: Cell<u64>,
}

impl Places {
    /// Places below `staging` and `targets`, or below a new temporary directory.
    pub(crate) fn new(staging: Option<&Path>, targets: Option<&Path>) -> Result<Places> {
        let run = super::ask::unique("run");
        let below = |given: Option<&Path>, leaf: &str| match given {
            Some(directory) => directory.join(&run),
            None => std::env::temp_dir().join(&run).join(leaf),
        };
        let places = Places {
            staging: below(staging, "staging"),
            targets: below(targets, "targets"),
            made: RefCell::default(),
            count: Cell::new(0),
        };
        for root in [&places.staging, &places.targets] {
            for directory in [root.parent(), Some(root)].into_iter().flatten() {
                if !directory.exists() {
                    places.make(directory)?;
                }
            }
        }
        Ok(places)
    }

    fn make(&self, directory: &Path) -> Result<()> {
        std::fs::create_dir(directory).map_err(|error| {
            let path = directory.display();
            Error::new(Kind::Internal, format!("cannot make directory `{path}`: {error}"))
        })?;
        self.made.borrow_mut().push(directory.to_owned());
        Ok(())
    }

    fn next(&self) -> String {
        self.count.set(self.count.get() + 1);
        self.count.get().to_string()
    }

    /// A new staging directory.
    pub(crate) fn staging(&self) -> Result<String> {
        let directory = self.staging.join(self.next());
        self.make(&directory)?;
        Ok(directory.display().to_string())
    }

    /// A new target path: its parent exists, it does not.
    pub(crate) fn target(&self) -> Result<String> {
        let parent = self.targets.join(self.next());
        self.make(&parent)?;
        Ok(parent.join("target").display().to_string())
    }

    /// Every mount below the places, innermost last.
    pub(crate) fn mounts(&self) -> Result<Vec<PathBuf>> {
        let below =
            |point: &Path| point.starts_with(&self.staging) || point.starts_with(&self.targets);
        let entries = mountinfo::read()?.into_iter().map(|entry| entry.point);
        Ok(entries.filter(|point| below(point)).collect())
    }

    /// Removes what was made since the start, except for the roots; gives what the driver left
    /// there.
    pub(crate) fn clear(&self) -> Vec<String> {
        let mut left = Vec::new();
        for point in self.mounts().unwrap_or_default().iter().rev() {
            left.push(format!("`{}` was still mounted", point.display()));
            // The run's own directory: nobody else's mounts can be there.
            let _ = mount::unmount(point);
        }
        let roots = |path: &Path| self.staging.starts_with(path) || self.targets.starts_with(path);
        let (stay, go): (Vec<_>, Vec<_>) =
            self.made.take().into_iter().partition(|path| roots(path));
        *self.made.borrow_mut() = stay;
        for directory in go {
            left.extend(remove(&directory));
        }
        left
    }

    /// Removes the roots too.
    pub(crate) fn end(&self) -> Vec<String> {
        let mut left = self.clear();
        let mut roots = self.made.take();
        roots.reverse();
        left.extend(roots.iter().filter_map(|root| remove(root)));
        left
    }
}

/// Removes a directory of ours. What the driver left in it is told, and goes too where it is empty.
fn remove(directory: &Path) -> Option<String> {
    let mut left = Vec::new();
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        left.push(format!("`{}` was left behind", path.display()));
        // A driver that mounted nothing had its target written into all the same.
        for own in OWN_FILES {
            let _ = std::fs::remove_file(path.join(own));
        }
        let empty = entry.metadata().is_ok_and(|found| found.len() == 0);
        let _ = match empty {
            true => std::fs::remove_file(&path),
            false => std::fs::remove_dir(&path),
        };
    }
    match std::fs::remove_dir(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            left.push(format!("`{}` cannot be removed: {error}", directory.display()));
        }
        _ => {}
    }
    (!left.is_empty()).then(|| left.join(", "))
}
