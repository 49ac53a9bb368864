//! Mounting in the guest, with words for what goes wrong.

use crate::failure::{Doing, Result};
use rustix::mount::{MountFlags, mount};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Mounts a file system of `kind` at `path`, which is made if it is not there.
pub(crate) fn at(path: &str, kind: &str, flags: MountFlags, data: &str) -> Result {
    std::fs::create_dir_all(path).doing(|| format!("make `{path}`"))?;
    let data = CString::new(data).doing(|| "read mount options")?;
    mount(kind, path, kind, flags, data.as_c_str()).doing(|| format!("mount {kind} at `{path}`"))
}

/// Shows the directory `source` of the host at `path`, which must be there.
///
/// No set-user-ID programs: without root on the host its files belong to nobody in here.
pub(crate) fn from_host(source: &Path, path: &Path, flags: MountFlags) -> Result {
    let data = CString::new(source.as_os_str().as_bytes()).doing(|| "read a path")?;
    mount("none", path, "hostfs", flags | MountFlags::NOSUID, data.as_c_str())
        .doing(|| format!("show `{}` of the host at `{}`", source.display(), path.display()))
}
