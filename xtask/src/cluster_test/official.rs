//! The official sidecars beside a driver of ours that does none of their duties itself.

use crate::cluster::{self, Cluster, KUBECONFIG, NODE};
use crate::kept::Kept;
use crate::run::{Outcome, failed};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};

/// Their programs, and what they are told beside where the driver and the API server are.
const SIDECARS: [(&str, &[&str]); 3] = [
    // As on a real node: each makes the volumes of its own.
    ("csi-provisioner", &["--node-deployment", "--extra-create-metadata"]),
    ("csi-resizer", &[]),
    ("csi-snapshotter", &["--feature-gates=CSIVolumeGroupSnapshot=true"]),
];

/// Sidecars that run as processes of the cluster's node, as long as this value is there.
pub struct Official {
    running: Vec<Child>,
    /// Their programs, for as long as they run.
    programs: Kept,
}

impl Official {
    /// Starts them beside the driver of this name.
    pub fn beside(cluster: &Cluster, driver: &str) -> Outcome<Official> {
        let programs = cluster::sidecars()?;
        let mut official = Official { running: Vec::new(), programs };
        for (name, words) in SIDECARS {
            let log = cluster.log(name);
            let log = File::create(&log).map_err(|error| failed("make", &log, &error))?;
            let mut sidecar = cluster.command(official.programs.path.join(name))?;
            sidecar.arg(format!("--csi-address=/var/lib/kubelet/plugins/{driver}/csi.sock"));
            sidecar.arg(format!("--kubeconfig={KUBECONFIG}")).args(words).env("NODE_NAME", NODE);
            let started = sidecar.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
            let cannot = |error| failed("run", Path::new(name), &error);
            official.running.push(started.map_err(cannot)?);
        }
        Ok(official)
    }

    /// What each of them has logged is in a file of this name.
    pub fn names() -> impl Iterator<Item = &'static str> {
        SIDECARS.into_iter().map(|(name, _)| name)
    }
}

impl Drop for Official {
    fn drop(&mut self) {
        for sidecar in &mut self.running {
            // They are processes of ours, and end with the cluster at the latest.
            let _ = sidecar.kill();
            let _ = sidecar.wait();
        }
    }
}
