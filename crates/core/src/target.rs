//! Paths at which volumes are mounted, as a frontend was handed them.

use crate::error::shown;
use crate::{Error, Kind, Result};
use becket_sys::Errno;
use becket_sys::beneath::Dir;
use becket_sys::point::{self, Point};
use rustix::fs::FileType;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// A path beneath a root, both without `.` and `..`; opened beneath the root without following links.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Target {
    root: PathBuf,
    relative: PathBuf,
}

impl Target {
    /// Accepts `path` when it is absolute, normal and below `root`. `Invalid` otherwise.
    pub fn beneath(root: &Path, path: &Path) -> Result<Target> {
        let refuse = |reason: &str| {
            let shown = shown(&path.to_string_lossy());
            Err(Error::new(Kind::Invalid, format!("path `{shown}` is refused: {reason}")))
        };
        if !path.is_absolute() {
            return refuse("it is not absolute");
        }
        // `components` drops `.` inside and repeated slashes; comparing the text catches those too.
        let normal =
            path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        if !normal || path.as_os_str().as_encoded_bytes().contains(&0) {
            return refuse("it contains `.`, `..` or a NUL");
        }
        match path.strip_prefix(root) {
            Ok(relative) if relative.as_os_str().is_empty() => refuse("it is the root itself"),
            Ok(relative) => Ok(Target { root: root.to_owned(), relative: relative.to_owned() }),
            Err(_) => refuse(&format!("it is not below `{}`", root.display())),
        }
    }

    /// The whole path.
    pub fn path(&self) -> PathBuf {
        self.root.join(&self.relative)
    }

    /// What is there; `None` when nothing is. A link on the way is an error.
    pub fn look(&self) -> Result<Option<Point>> {
        match self.open()? {
            Some(place) => Ok(Some(point::look_at(place.as_fd(), &self.path())?)),
            None => Ok(None),
        }
    }

    /// A handle on what is there.
    pub fn open(&self) -> Result<Option<OwnedFd>> {
        let root = match Dir::open(&self.root) {
            Err(error) if error.errno == Errno::NOENT => return Ok(None),
            other => other?,
        };
        match root.open_place(&self.relative) {
            // A link in the last component would be opened as itself.
            Ok(place) => match point::look_at(place.as_fd(), &self.path())?.kind {
                FileType::Symlink => {
                    Err(self.refused(becket_sys::Error::new("open", "", Errno::LOOP)))
                }
                _ => Ok(Some(place)),
            },
            Err(error) if error.errno == Errno::NOENT => Ok(None),
            Err(error) => Err(self.refused(error)),
        }
    }

    /// A handle on the directory there, which is made (mode 0750) with its missing parents.
    pub fn ensure_dir(&self) -> Result<OwnedFd> {
        if let Some(place) = self.open()? {
            return Ok(place);
        }
        let mut dir = becket_sys::beneath::ensure_path(&self.root)?;
        for part in self.relative.components() {
            dir = dir.ensure_dir(part, 0o750).map_err(|error| self.refused(error))?;
        }
        dir.open_place(".").map_err(|error| self.refused(error))
    }

    /// Removes the empty directory there, if there is one.
    pub fn remove_dir(&self) -> Result<()> {
        let path = self.path();
        match std::fs::remove_dir(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::new(
                Kind::Internal,
                format!("cannot remove `{}`: {error}", path.display()),
            )),
            _ => Ok(()),
        }
    }

    /// Removes what a volume was published at: an empty directory or an empty file. Nothing there is
    /// fine; anything else stays, and is an error.
    pub fn remove(&self) -> Result<()> {
        let Some(point) = self.look()? else {
            return Ok(());
        };
        let path = self.path();
        let removed = match point.kind {
            FileType::Directory => std::fs::remove_dir(&path),
            FileType::RegularFile if point.size == 0 => std::fs::remove_file(&path),
            _ => {
                let held = "it holds something that is not ours";
                return Err(Error::new(
                    Kind::WrongState,
                    format!("`{}` is not removed: {held}", path.display()),
                ));
            }
        };
        match removed {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::new(
                Kind::WrongState,
                format!("cannot remove `{}`: {error}", path.display()),
            )),
            _ => Ok(()),
        }
    }

    fn refused(&self, error: becket_sys::Error) -> Error {
        match error.errno {
            Errno::LOOP | Errno::NOTDIR | Errno::XDEV => Error::new(
                Kind::Invalid,
                format!(
                    "path `{}` is refused: it leads through a link or a file",
                    self.path().display()
                ),
            ),
            _ => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_normal_absolute_paths_below_the_root_are_accepted() {
        let root = Path::new("/var/lib/kubelet");
        assert!(Target::beneath(root, Path::new("/var/lib/kubelet/pods/u/volumes/x/v")).is_ok());
        for bad in [
            "",
            "pods/u",
            "/var/lib/kubelet",
            "/var/lib/kubelet/",
            "/var/lib/kubelet/../etc",
            "/etc/x",
            "/var/lib/kubelet2/x",
            "/var/lib/kubelet/a/../../../x",
            "/var/lib/kubelet/a\0b",
        ] {
            assert_eq!(
                Target::beneath(root, Path::new(bad)).unwrap_err().kind(),
                Kind::Invalid,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_link_on_the_way_is_refused() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", place.path().join("link")).unwrap();
        for path in ["link/target", "link"] {
            let target = Target::beneath(place.path(), &place.path().join(path)).unwrap();
            assert_eq!(target.look().unwrap_err().kind(), Kind::Invalid, "{path}");
            assert_eq!(target.ensure_dir().unwrap_err().kind(), Kind::Invalid, "{path}");
        }
    }
}
