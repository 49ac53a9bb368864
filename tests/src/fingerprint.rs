//! Everything on a node that an operation could have changed, in a form that can be compared.

use crate::kernel::{loop_files, mounts};
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files up to this size are compared by content too; images are large, and their times tell.
const SMALL: u64 = 64 * 1024;

/// All entries below a directory, the mounts there, and the loop devices of files there.
///
/// Not compared: locks and what is noted beside them, and the times of directories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(BTreeMap<String, String>);

impl Fingerprint {
    /// Looks at everything below `root`.
    pub fn of(root: &Path) -> Fingerprint {
        let points = mounts(root);
        let mut found = BTreeMap::new();
        for (index, point) in points.iter().enumerate() {
            found.insert(format!("mount {index} {}", point.display()), String::new());
        }
        for file in loop_files(root) {
            found.insert(format!("loop device of {}", file.display()), String::new());
        }
        walk(root, &points, &mut found);
        Fingerprint(found)
    }

    /// One line for each difference.
    pub fn changes(&self, later: &Fingerprint) -> Vec<String> {
        let gone = self.0.keys().filter(|key| !later.0.contains_key(*key));
        let mut changes: Vec<String> = gone.map(|key| format!("gone: {key}")).collect();
        for (key, now) in &later.0 {
            match self.0.get(key) {
                None => changes.push(format!("new: {key}")),
                Some(before) if before != now => {
                    changes.push(format!("changed: {key}\n    from {before}\n    to   {now}"));
                }
                Some(_) => {}
            }
        }
        changes
    }
}

fn walk(directory: &Path, points: &[PathBuf], found: &mut BTreeMap<String, String>) {
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        // What is mounted belongs to a volume, and may change with it.
        if points.contains(&path) || (path.ends_with("locks") && directory.ends_with("state")) {
            continue;
        }
        let Ok(about) = path.symlink_metadata() else { continue };
        let owner = (about.uid(), about.gid());
        let mut words = format!("mode {:o}, owner {owner:?}", about.mode());
        if about.is_symlink() {
            words += &format!(", to {:?}", std::fs::read_link(&path).unwrap());
        } else if !about.is_dir() {
            let (size, blocks, time) = (about.size(), about.blocks(), about.mtime_nsec());
            words += &format!(", {size} bytes, {blocks} blocks, {}.{time:09}", about.mtime());
        }
        if about.is_file() && about.size() <= SMALL {
            let mut hasher = DefaultHasher::new();
            std::fs::read(&path).unwrap().hash(&mut hasher);
            words += &format!(", content {:x}", hasher.finish());
        }
        found.insert(path.display().to_string(), words);
        if about.is_dir() {
            walk(&path, points, found);
        }
    }
}
