//! Paths that a caller names: where volumes are staged and published.

use becket_core::error::shown;
use becket_core::target::Target;
use becket_core::{Error, Kind, Result};
use std::io::ErrorKind;
use std::path::Path;

/// The place that a field names. `Invalid` when it is missing or no absolute path without `.` and `..`,
/// `WrongState` when the directory it is to be in does not exist.
///
/// The caller is to be trusted with where that directory is, so links on the way to it are followed (a
/// kubelet's root may be one); the place itself must be none.
pub fn read(path: &str, what: &str) -> Result<Target> {
    if path.is_empty() {
        return Err(Error::new(Kind::Invalid, format!("the {what} path is missing")));
    }
    let path = Path::new(path);
    let root = Path::new("/");
    Target::beneath(root, path)?;
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Error::new(Kind::Invalid, format!("the {what} path is no place for a volume")));
    };
    let real = parent.canonicalize().map_err(|error| {
        let shown = shown(&parent.to_string_lossy());
        // Only these say that nothing can be there.
        let kind = match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => Kind::WrongState,
            _ => Kind::Unavailable,
        };
        Error::new(kind, format!("`{shown}` is no directory to publish in: {error}"))
    })?;
    Target::beneath(root, &real.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_through_a_linked_root_and_is_no_link_itself() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", root.path().join("link")).unwrap();
        let path = root.path().join("link/target");
        let place = read(path.to_str().unwrap(), "target").unwrap();
        let real = root.path().canonicalize().unwrap().join("real/target");
        assert_eq!(place.path(), real);
        std::os::unix::fs::symlink("/", real).unwrap();
        assert_eq!(place.look().unwrap_err().kind(), Kind::Invalid);
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for path in ["", "some/path", "/", "/a/../b"] {
            assert_eq!(read(path, "target").unwrap_err().kind(), Kind::Invalid, "{path}");
        }
        assert_eq!(read("/no/such/place", "target").unwrap_err().kind(), Kind::WrongState);
    }
}
