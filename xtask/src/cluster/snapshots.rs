//! The cluster's own part of snapshots, which is no driver's: their definitions, and the snapshot controller.

use super::{Cluster, KUBECONFIG, programs};
use crate::kept::Kept;
use crate::run::{Outcome, failed};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Stdio};

/// A cluster's snapshot controller, which runs as long as this value is there.
pub struct Snapshots {
    controller: Child,
    /// Its program, for as long as it runs.
    _programs: Kept,
}

impl Snapshots {
    /// Lets the cluster know snapshots.
    pub fn on(cluster: &Cluster) -> Outcome<Snapshots> {
        for definition in programs::snapshot_definitions()? {
            let text = fs::read_to_string(&definition);
            cluster.apply(&text.map_err(|error| failed("read", &definition, &error))?)?;
        }
        let programs = programs::sidecars()?;
        let log = cluster.log("snapshot-controller");
        let log = File::create(&log).map_err(|error| failed("make", &log, &error))?;
        let mut controller = cluster.command(programs.path.join("snapshot-controller"))?;
        controller.arg(format!("--kubeconfig={KUBECONFIG}"));
        // As it is, it asks for so little in a second that a hundred snapshots take minutes.
        controller.args(["--kube-api-qps=100", "--kube-api-burst=200"]);
        controller.arg("--feature-gates=CSIVolumeGroupSnapshot=true");
        let controller = controller.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let cannot = |error| failed("run", Path::new("snapshot-controller"), &error);
        Ok(Snapshots { controller: controller.map_err(cannot)?, _programs: programs })
    }
}

impl Drop for Snapshots {
    fn drop(&mut self) {
        // It is a process of ours, and ends with the cluster at the latest.
        let _ = self.controller.kill();
        let _ = self.controller.wait();
    }
}
