//! Two `becket controller` on a cluster: one is at work, and the other one takes over.

use super::waiting::{TIMEOUT, comes};
use crate::cluster::{Cluster, KUBECONFIG};
use crate::run::{Failed, Outcome, failed};
use std::fs::File;
use std::path::Path;
use std::process::{Child, Stdio};

const CLAIM: &str = include_str!("lease.yaml");

/// The lease has the name that the official provisioner gives its own.
const LEASE: &str = "lease/nfs-becket-dev";

/// Lets one be killed and the other one end.
pub fn goes_on(cluster: &Cluster, binary: &Path) -> Outcome {
    cluster.apply(CLAIM)?;
    let mut both = vec![Controller::start(cluster, binary, "one")?];
    both.push(Controller::start(cluster, binary, "two")?);
    let first = comes("holder of the lease", || holder(cluster))?;
    let at = both.iter().position(|it| first.starts_with(it.name)).unwrap_or_default();
    let mut killed = both.swap_remove(at);
    // What it cannot do it says, so it is at work.
    comes("event about the claim", || {
        let about = "--field-selector=reason=ProvisioningFailed,involvedObject.name=shared";
        let found = cluster.read("kubectl", &["get", "events", about, "-o", "name"])?;
        Ok(Some(found).filter(|found| !found.is_empty()))
    })?;
    killed.end(cluster, "-KILL")?;
    let other = |found: &String| !found.starts_with(killed.name);
    comes("other holder after the first was killed", || Ok(holder(cluster)?.filter(other)))?;
    for mut last in both {
        last.end(cluster, "-TERM")?;
    }
    match holder(cluster)? {
        None => {}
        Some(left) => {
            return Err(Failed::new(format!("`{left}` ended and did not give the lease back")));
        }
    }
    cluster.read("kubectl", &["delete", "pvc/shared", "storageclass/shared", TIMEOUT]).map(drop)
}

/// Who holds the lease, if anybody does.
fn holder(cluster: &Cluster) -> Outcome<Option<String>> {
    let holder = ["get", LEASE, "--ignore-not-found", "-o=jsonpath={.spec.holderIdentity}"];
    Ok(Some(cluster.read("kubectl", &holder)?).filter(|holder| !holder.is_empty()))
}

/// A process of the cluster's node, seen from here.
struct Controller {
    name: &'static str,
    process: Child,
}

impl Controller {
    fn start(cluster: &Cluster, binary: &Path, name: &'static str) -> Outcome<Controller> {
        let log = cluster.log(&format!("controller-{name}"));
        let log = File::create(&log).map_err(|error| failed("make", &log, &error))?;
        let mut command = cluster.command(binary)?;
        command.args(["controller", &state(name)]);
        command.env("KUBECONFIG", KUBECONFIG).env("POD_NAME", name);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        let process = process.map_err(|error| failed("run", binary, &error))?;
        Ok(Controller { name, process })
    }

    /// Ends it with a signal, and waits until it has ended.
    fn end(&mut self, cluster: &Cluster, signal: &str) -> Outcome {
        cluster.read("pkill", &[signal, "-f", "--", &state(self.name)])?;
        let ended = self.process.wait().map(drop);
        ended.map_err(|error| {
            Failed::new(format!("the controller `{}` is not ended: {error}", self.name))
        })
    }
}

/// Its state directory, by which its process is found.
fn state(name: &str) -> String {
    format!("--state-dir=/run/controller-{name}")
}

impl Drop for Controller {
    fn drop(&mut self) {
        // It is a process of ours, and ends with the cluster at the latest.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
