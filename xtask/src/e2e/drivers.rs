//! The drivers that are tested, what of the tests this machine cannot do, and what is expected of the rest.

use super::outcome::Tests;
use crate::run::{Failed, Outcome};
use std::fs;
use std::path::Path;

/// A driver, and what its tests are to come to.
#[derive(Debug, PartialEq, Eq)]
pub struct Driver {
    /// As `becket serve --drivers` has it.
    pub name: &'static str,
    /// What the tests are told of it.
    pub definition: &'static str,
    /// The class in the definition, and the one to use where the filesystem of that cannot be grown.
    pub other_class: Option<(&'static str, &'static str)>,
    /// Tests that do not suit it, and why.
    unsuited: &'static [(&'static str, &'static str)],
    /// So many pass at least where all is run: a definition that claims nothing would have none that fails.
    passed: usize,
}

pub const ALL: [Driver; 2] = [
    Driver {
        name: "image",
        definition: include_str!("../../e2e/image.yaml"),
        other_class: Some((
            "StorageClass: {FromExistingClassName: e2e-image}",
            "StorageClass: {FromExistingClassName: e2e-image-xfs}",
        )),
        unsuited: &[],
        passed: 115,
    },
    Driver {
        name: "directory",
        definition: include_str!("../../e2e/directory.yaml"),
        other_class: None,
        unsuited: &[(
            "concurrently access the volume and its clone",
            "it starts a pod of the origin before the clone is made, and a directory in use is not copied",
        )],
        passed: 65,
    },
];

/// Why tests are left out where the kernel does not let this process grow a mounted ext4.
pub const NO_GROWTH: &str = "this machine lacks CAP_SYS_RESOURCE, so it cannot grow a mounted ext4";

/// Tests that grow a volume of the default filesystem while a pod has it.
const GROWTH: [&str; 2] = [
    r"default fs.*resize volume when PVC is edited",
    r"default fs.*support expansion of pvcs created for ephemeral",
];

/// Tests that no machine of this project can do.
const NOWHERE: [(&str, &str); 2] = [
    (r"\[Disruptive\]", "it stops the kubelet by ssh, which the node does not have"),
    (r"any volume data source", "it takes two images of others, and none is pulled"),
];

/// The driver of this name.
pub fn of(name: &str) -> Outcome<&'static Driver> {
    let found = ALL.iter().find(|driver| driver.name == name);
    found.ok_or_else(|| Failed::new(format!("`{name}` is no driver that is tested so")))
}

impl Driver {
    /// Regular expressions of tests, and why they are left out on this machine.
    pub fn left_out(&self) -> Vec<(&'static str, &'static str)> {
        let mut all = [&NOWHERE, self.unsuited].concat();
        if self.other_class.is_some() && !may_grow_mounted_ext4() {
            all.extend(GROWTH.map(|tests| (tests, NO_GROWTH)));
        }
        if !Path::new("/sys/fs/selinux/enforce").exists() {
            all.push((r"\[Feature:SELinux\]", "this machine's kernel has no SELinux"));
        }
        all
    }

    /// What is not as it is expected; with `whole`, nothing was left out by the command line.
    pub fn wrong(&self, tests: &Tests, whole: bool) -> Option<String> {
        let (passed, failed) = (tests.passed(), tests.failed());
        match (failed, passed) {
            (0, passed) if !whole || passed >= self.passed => None,
            (0, passed) => {
                Some(format!("{}: {passed} tests passed, {} are expected", self.name, self.passed))
            }
            (failed, _) => Some(format!("{}: {failed} tests failed", self.name)),
        }
    }
}

/// True for a process with CAP_SYS_RESOURCE, which the containers' processes have no more than this one.
fn may_grow_mounted_ext4() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = effective.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    bits.is_some_and(|bits| bits & 1 << 24 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_with_another_class_names_the_one_that_it_replaces() {
        for driver in &ALL {
            if let Some((from, to)) = driver.other_class {
                let other = driver.definition.replace(from, to);
                assert!(other != driver.definition, "{}", driver.name);
            }
        }
    }

    #[test]
    fn a_failed_test_and_too_few_that_pass_are_wrong() {
        let driver = Driver { passed: 2, ..*of("image").unwrap() };
        let tests = |text: &str| Tests::read(text).unwrap();
        assert!(driver.wrong(&tests("passed\ta\t\npassed\tb\t\n"), true).is_none());
        assert!(driver.wrong(&tests("passed\ta\t\n"), false).is_none());
        assert!(driver.wrong(&tests("passed\ta\t\n"), true).unwrap().contains("2 are expected"));
        let failed = tests("passed\ta\t\npassed\tb\t\nfailed\tc\twhy\n");
        assert!(driver.wrong(&failed, false).unwrap().contains("1 tests failed"));
    }
}
