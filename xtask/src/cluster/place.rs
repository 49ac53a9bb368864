//! Where a cluster is on this machine, and whether it lives.

use crate::run::{Failed, Outcome, command, failed, made};
use crate::setup;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

/// The variable that names a directory for the clusters' own directories.
pub const DIRECTORY: &str = "BECKET_CLUSTERS";

/// What clusters keep on this machine.
pub fn cache() -> Outcome<PathBuf> {
    Ok(setup::cache()?.join("cluster"))
}

/// The directory of a cluster, which is there as long as anything of the cluster is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub name: String,
    pub directory: PathBuf,
}

impl Place {
    /// Where the cluster of this name is, or would be.
    pub fn of(name: &str) -> Outcome<Place> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if name.is_empty() || name.len() > 30 || !name.bytes().all(plain) || name.starts_with('-') {
            return Err(Failed::new(format!(
                "`{name}` is no name of a cluster: at most 30 small letters, digits and dashes"
            )));
        }
        Ok(Place { name: name.to_owned(), directory: all()?.join(name) })
    }

    /// Every cluster that is here, living or not.
    pub fn every() -> Outcome<Vec<Place>> {
        let all = all()?;
        let entries = fs::read_dir(&all).map_err(|error| failed("list", &all, &error))?;
        let names = entries.flatten().map(|entry| entry.file_name());
        names.map(|name| Place::of(&name.to_string_lossy())).collect()
    }

    /// True while any process of the cluster lives.
    pub fn lives(&self) -> Outcome<bool> {
        let Ok(lock) = File::open(self.lock_file()) else { return Ok(false) };
        match lock.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(failed("lock", &self.lock_file(), &error)),
        }
    }

    /// Waits until no process of the cluster lives.
    pub fn wait_for_its_end(&self) -> Outcome {
        let Ok(lock) = File::open(self.lock_file()) else { return Ok(()) };
        lock.lock_shared().map_err(|error| failed("lock", &self.lock_file(), &error))
    }

    /// The lock that says that the cluster lives, made and taken. It goes to the process that waits for the
    /// cluster's first one, so it is released when all others have ended, too.
    pub fn lock(&self) -> Outcome<File> {
        let path = self.lock_file();
        let lock = File::create(&path).map_err(|error| failed("make", &path, &error))?;
        lock.lock().map_err(|error| failed("lock", &path, &error))?;
        Ok(lock)
    }

    /// The id of the cluster's first process, which it has written itself. It is right while the cluster
    /// lives.
    pub fn first_process(&self) -> Outcome<String> {
        if !self.lives()? {
            return Err(Failed::new(format!(
                "there is no cluster `{}`: make it with `cargo xtask cluster up --name {}`",
                self.name, self.name
            )));
        }
        let path = self.directory.join("pid");
        fs::read_to_string(&path).map_err(|error| failed("read", &path, &error))
    }

    /// The path of the log of one part of the cluster.
    pub fn log(&self, part: &str) -> PathBuf {
        self.directory.join("log").join(format!("{part}.log"))
    }

    /// The cluster's cgroup, in every hierarchy, from its root.
    pub fn cgroup(&self) -> String {
        format!("/becket-{}", self.name)
    }

    fn lock_file(&self) -> PathBuf {
        self.directory.join("lock")
    }
}

/// Held by the one who makes or removes clusters on this machine: one at a time.
pub fn turn() -> Outcome<File> {
    let all = all()?;
    let turn = File::open(&all).map_err(|error| failed("open", &all, &error))?;
    turn.lock().map_err(|error| failed("lock", &all, &error))?;
    Ok(turn)
}

/// The directory of all clusters' directories: what [`DIRECTORY`] says, or one in the cache.
fn all() -> Outcome<PathBuf> {
    let all = match std::env::var_os(DIRECTORY) {
        Some(directory) => std::path::absolute(&directory)
            .map_err(|error| failed("use", directory.as_ref(), &error))?,
        None => cache()?.join("run"),
    };
    made(&all)?;
    Ok(all)
}

/// Fails where containers cannot have their files.
pub fn check_filesystem() -> Outcome {
    let all = all()?;
    let kind = command("stat").args(&["--file-system", "--format=%T"]).arg(&all).read();
    if kind.is_some_and(|kind| kind.trim() == "overlayfs") {
        return Err(Failed::new(format!(
            "`{}` is on an overlay filesystem, and those of containers cannot be on another one: \
             name a directory on a disk or in memory with {DIRECTORY}",
            all.display()
        )));
    }
    Ok(())
}

/// True when something is mounted below a directory, seen from here.
pub fn has_mounts(directory: &Path) -> bool {
    // Bytes that would break its lines are written in octal there; ours have none.
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut points = table.lines().filter_map(|line| line.split(' ').nth(1));
    points.any(|point| Path::new(point).starts_with(directory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_can_be_that_of_a_directory_and_of_a_cgroup() {
        for wrong in ["", ".", "..", "a/b", "A", "-a", "a b", "0123456789012345678901234567890"] {
            assert!(Place::of(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Place::of("a-1").unwrap().cgroup(), "/becket-a-1");
    }

    #[test]
    fn a_cluster_lives_as_long_as_its_lock_is_held() {
        let directory = std::env::temp_dir().join(format!("becket-place-{}", std::process::id()));
        let place = Place { name: "x".into(), directory: directory.clone() };
        assert!(!place.lives().unwrap());
        assert!(place.first_process().is_err());
        made(&directory).unwrap();
        let lock = place.lock().unwrap();
        fs::write(directory.join("pid"), "7").unwrap();
        assert!(place.lives().unwrap());
        assert_eq!(place.first_process().unwrap(), "7");
        drop(lock);
        assert!(!place.lives().unwrap());
        place.wait_for_its_end().unwrap();
        fs::remove_dir_all(&directory).unwrap();
    }
}
