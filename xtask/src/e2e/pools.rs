//! The disk of the pools: an xfs on the node, as somebody has who wants snapshots of what is in use. Blocks can be
//! shared there, also where this machine's own filesystem cannot do that, and without it some tests cannot
//! pass: nobody else can copy a raw block device at one moment while a pod writes to it.

use crate::cluster::{self, Cluster};
use crate::run::{Failed, Outcome};

/// Much more than this machine has to have: files are sparse.
const SIZE: &str = "64G";

/// Where the pools are on the node: the chart's default.
const STATE: &str = "/var/lib/becket";

/// Mounts it, in the node's own mount namespace. It goes with the cluster of this name.
pub fn mount(cluster: &Cluster, name: &str) -> Outcome {
    let directory = cluster::directory(name)?;
    let directory = directory.ok_or_else(|| Failed::new("the cluster has no directory"))?;
    let disk = directory.join("pools.img").display().to_string();
    cluster.read("truncate", &["--size", SIZE, &disk])?;
    cluster.read("mkfs.xfs", &["-q", "-m", "reflink=1", &disk])?;
    cluster.read("mount", &["-o", "loop", &disk, STATE]).map(drop)
}
