//! What a pod writes, and what must be true of what it finds.

use becket_tests::{Node, Random, pattern};
use std::collections::BTreeMap;
use std::path::Path;

/// A pod, which is in one place at a time.
pub(crate) struct Pod {
    pub(crate) name: String,
    written: u64,
    /// The number in its file where it is now.
    here: Option<u64>,
    /// The number that it synced last to each volume: by the identity of the volume's filesystem,
    /// which a copy of it does not share.
    synced: BTreeMap<String, u64>,
}

impl Pod {
    pub(crate) fn new(name: &str) -> Pod {
        Pod { name: name.to_owned(), written: 0, here: None, synced: BTreeMap::new() }
    }

    pub(crate) fn path(&self, node: &Node, driver: &str) -> String {
        node.pod_of(driver, &self.name)
    }

    /// A name for what is of this moment alone.
    pub(crate) fn moment(&self) -> String {
        format!("{}-{}", self.name, self.written)
    }

    /// The number that this pod wrote last where it is now; `None` when there was no room for it.
    pub(crate) fn written(&self) -> Option<u64> {
        self.here
    }

    /// The number of this pod in the volume at `path`.
    pub(crate) fn found(&self, path: &str) -> Option<u64> {
        number_in(&Path::new(path).join(&self.name))
    }

    /// Looks at what is there, writes more, and looks again.
    pub(crate) fn work(&mut self, random: &mut Random, path: &str, kept: bool) {
        let mine = Path::new(path).join(&self.name);
        let identity = identity_of(path);
        let found = number_in(&mine);
        self.here = found;
        match self.synced.get(&identity) {
            Some(synced) if kept => {
                assert!(found >= Some(*synced), "`{path}` had {synced} and has {found:?}");
            }
            _ if !kept => assert_eq!(found, None, "`{path}` was to be removed"),
            _ => {}
        }
        look(path, path);
        self.written += 1;
        let written = pattern::write(Path::new(path), &self.name, self.written);
        if !written.unwrap_or_else(|error| panic!("{error}")) {
            return;
        }
        self.here = Some(self.written);
        if kept && !identity.is_empty() {
            self.synced.insert(identity, self.written);
        }
        if random.below(2) == 0 {
            std::thread::sleep(std::time::Duration::from_millis(random.below(20)));
        }
        assert_eq!(number_in(&mine), Some(self.written), "`{path}` lost what was just written");
    }
}

/// The number in a file; it is whole or the test ends.
fn number_in(path: &Path) -> Option<u64> {
    pattern::number_in(path).unwrap_or_else(|torn| panic!("{torn}"))
}

/// No file of any pod is torn.
pub(crate) fn look(path: &str, what: &str) {
    pattern::look(Path::new(path)).unwrap_or_else(|torn| panic!("{what}: {torn}"));
}

/// The UUID of the filesystem as ext4 shows it, by which a volume can be told from a later one of the
/// same name; empty where that cannot be told.
fn identity_of(path: &str) -> String {
    let found = rustix::fs::statfs(path).unwrap();
    let bytes = format!("{:?}", found.f_fsid);
    if found.f_type == 0xEF53 { bytes } else { String::new() }
}
