//! The kernel's NFS server, exporting nothing yet: `exportfs` adds exports to it.

use crate::failure::{Doing, Result};
use crate::mounts::at;
use crate::programs::run;
use rustix::mount::MountFlags;

/// Starts it with its daemons, and ends the time in which it would wait for clients to reclaim locks:
/// there are none. `CONTRIBUTING.md` has the same steps for a shell.
pub(crate) fn start() -> Result {
    run("modprobe", &["nfsd"])?;
    at("/proc/fs/nfsd", "nfsd", MountFlags::empty(), "")?;
    at("/var/lib/nfs/rpc_pipefs", "rpc_pipefs", MountFlags::empty(), "")?;
    run("rpcbind", &["-w"])?;
    run("rpc.statd", &[])?;
    run("nfsdcld", &[])?;
    run("rpc.nfsd", &[])?;
    run("rpc.mountd", &[])?;
    std::fs::write("/proc/fs/lockd/nlm_end_grace", "Y").doing(|| "end the grace period")?;
    // Busy means that it is over.
    let _ = std::fs::write("/proc/fs/nfsd/v4_end_grace", "Y");
    Ok(())
}
