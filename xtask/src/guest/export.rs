//! What the NFS server of a guest exports, for tests and measurements of the nfs backend.

use std::ffi::OsString;

/// Makes a filesystem, exports it as the server's root to the guest itself, and then runs what is behind it,
/// which finds the directory in `BECKET_NFS_EXPORT`. xfs shares blocks, as servers do that can copy at once.
const EXPORTING: &str = "truncate -s 4G /tmp/export && mkfs.xfs -q /tmp/export \
    && mount -o loop /tmp/export /srv \
    && exportfs -o rw,no_root_squash,no_subtree_check,fsid=0 127.0.0.1:/srv \
    && export BECKET_NFS_EXPORT=/srv && exec \"$@\"";

/// The command, run once the server has an export. It takes a guest with `nfs_server`.
pub fn around(command: Vec<OsString>) -> Vec<OsString> {
    ["sh", "-c", EXPORTING, "sh"].map(OsString::from).into_iter().chain(command).collect()
}
