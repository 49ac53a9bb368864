//! A rename that never replaces anything, also on filesystems whose rename knows no flags.

use rustix::fs::{AtFlags, FileType, RenameFlags};
use rustix::io::Errno;
use std::os::fd::BorrowedFd;
use std::path::Path;

/// Renames `name` of the directory `from` to `new_name` in `to`; `EXIST` when something is there.
///
/// renameat2(2) with `RENAME_NOREPLACE`, and where the filesystem does not know that (NFS answers
/// `EINVAL`): a file is linked under its new name, which never replaces anything, and then loses its
/// old one; a directory is renamed plainly, which the server refuses where the new name is a file or a
/// directory with something in it. An empty directory may be replaced by that, and nothing is lost.
pub(super) fn without_replacing(
    from: BorrowedFd<'_>,
    name: &Path,
    to: BorrowedFd<'_>,
    new_name: &Path,
) -> rustix::io::Result<()> {
    match rustix::fs::renameat_with(from, name, to, new_name, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL) => {}
        other => return other,
    }
    let stat = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        rustix::fs::linkat(from, name, to, new_name, AtFlags::empty())?;
        return rustix::fs::unlinkat(from, name, AtFlags::empty());
    }
    match rustix::fs::renameat(from, name, to, new_name) {
        Err(Errno::NOTEMPTY | Errno::NOTDIR) => Err(Errno::EXIST),
        other => other,
    }
}
