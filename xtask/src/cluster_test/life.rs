//! The life of one volume on a cluster, from its making to its end.

use super::duties::Duties;
use super::official::Official;
use super::waiting::{TIMEOUT, becomes};
use super::{Backend, Steps, lease};
use crate::cluster::{Cluster, NODE};
use crate::run::{Failed, Outcome};
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};

/// Manifests; `BACKEND` and `POOL` in them are the test's.
const CSI: &str = include_str!("csi.yaml");
const FLEXVOLUME: &str = include_str!("flexvolume.yaml");

/// What volumes in use are mounted at, all of it or a part.
const MOUNT_POINTS: [&str; 4] =
    ["/volumes/becket~", "/volumes/kubernetes.io~csi", "/globalmount", "/var/lib/becket/staged"];

/// Where the volume group of the test is, in the cluster.
const DISK: &str = "/run/cluster/disk";

/// A cluster, and what is tested on it.
pub struct Test {
    cluster: Cluster,
    binary: PathBuf,
    backend: Backend,
    /// `becket serve`, seen from here.
    served: Option<Child>,
}

impl Backend {
    fn name(self) -> &'static str {
        match self {
            Backend::Image => "image",
            Backend::Lvm => "lvm",
        }
    }

    fn pool(self) -> &'static str {
        match self {
            Backend::Image => "default",
            Backend::Lvm => "lvm",
        }
    }
}

impl Test {
    pub fn new(cluster: Cluster, binary: PathBuf, backend: Backend) -> Test {
        Test { cluster, binary, backend, served: None }
    }

    /// One volume from its making to its end.
    pub fn life(&mut self, steps: &mut Steps) -> Outcome {
        let (backend, pool) = (self.backend.name(), self.backend.pool());
        let device = match self.backend {
            Backend::Image => None,
            Backend::Lvm => Some(self.make_volume_group()?),
        };
        self.becket(&["volume", "create", "data", "--pool", pool, "--size", "64Mi"])?;
        self.serve()?;
        steps.done("volume made, CSI driver registered");
        self.apply(CSI)?;
        self.becomes_ready("csi")?;
        self.inside_pod(
            "csi",
            "grep -q ' /data ext4 ' /proc/mounts && echo precious > /data/file",
        )?;
        self.holds_what_was_written("csi")?;
        steps.done("pod with a claim on it, by CSI: written and read");
        self.kill_kubelet()?;
        self.delete_pod("csi")?;
        steps.done("kubelet killed; pod gone, volume unstaged");
        self.becket(&["install", "--flex", backend])?;
        self.apply(FLEXVOLUME)?;
        self.becomes_ready("flexvolume")?;
        self.holds_what_was_written("flexvolume")?;
        steps.done("pod with it inline, by FlexVolume: read");
        self.kill_kubelet()?;
        self.delete_pod("flexvolume")?;
        self.kubectl(&["delete", "pvc/data", "pv/data", TIMEOUT])?;
        self.becket(&["volume", "delete", "data", "--pool", pool])?;
        self.becket(&["uninstall", "--flex", backend])?;
        if let Some(device) = device {
            self.remove_volume_group(&device)?;
        }
        steps.done("kubelet killed; everything deleted");
        match self.backend {
            Backend::Image => {
                self.serve_official_sidecars(steps)?;
                lease::goes_on(&self.cluster, &self.binary)?;
                steps.done("two controllers: one was killed, the other one went on and ended");
                Ok(())
            }
            Backend::Lvm => Ok(()),
        }
    }

    /// The duties that Becket does itself with `--kubernetes on`, done by the official sidecars.
    fn serve_official_sidecars(&self, steps: &mut Steps) -> Outcome {
        let duties = Duties::on(&self.cluster)?;
        let sidecars = Official::beside(&self.cluster, "image.becket.dev")?;
        duties.life()?;
        drop((sidecars, duties));
        steps.done("official sidecars: a claim grown, modified, snapshots and copies, all deleted");
        Ok(())
    }

    /// Makes a pool on a disk of its own, and gives that.
    fn make_volume_group(&self) -> Outcome<String> {
        self.cluster.read("truncate", &["--size=1G", DISK])?;
        let device = self.cluster.read("losetup", &["--find", "--show", DISK])?.trim().to_owned();
        let group = ["pool", "create", "lvm", "--backend", "lvm", "--yes", "--device", &device];
        self.becket(&group)?;
        Ok(device)
    }

    fn remove_volume_group(&self, device: &str) -> Outcome {
        self.becket(&["trash", "empty", "--all", "--pool", "lvm"])?;
        self.becket(&["pool", "delete", "lvm"])?;
        self.cluster.read("vgremove", &["--yes", "becket-lvm"])?;
        self.cluster.read("losetup", &["--detach", device]).map(drop)
    }

    fn apply(&self, manifest: &str) -> Outcome {
        let manifest = manifest.replace("BACKEND", self.backend.name());
        self.cluster.apply(&manifest.replace("POOL", self.backend.pool()))
    }

    /// Starts the CSI driver as a process of the node, and waits until the kubelet has taken it.
    fn serve(&mut self) -> Outcome {
        let log = fs::File::create(self.cluster.log("becket"))
            .map_err(|error| Failed::new(format!("cannot make a log: {error}")))?;
        let mut serve = self.cluster.command(&self.binary)?;
        serve.args(["serve", "--drivers", self.backend.name(), "--registration-dir"]);
        serve.arg("/var/lib/kubelet/plugins_registry");
        let served = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.served =
            Some(served.map_err(|error| Failed::new(format!("cannot run becket: {error}")))?);
        let driver = format!("{}.becket.dev", self.backend.name());
        let registered = format!("--for=jsonpath={{.spec.drivers[0].name}}={driver}");
        self.kubectl(&["wait", &format!("csinode/{NODE}"), &registered, TIMEOUT]).map(drop)
    }

    fn becomes_ready(&self, pod: &str) -> Outcome {
        let pod = format!("pod/{pod}");
        self.kubectl(&["wait", &pod, "--for=condition=Ready", TIMEOUT]).map(drop)
    }

    fn holds_what_was_written(&self, pod: &str) -> Outcome {
        let found = self.inside_pod(pod, "cat /data/file")?;
        if found == "precious\n" {
            return Ok(());
        }
        Err(Failed::new(format!(
            "the pod `{pod}` reads `{}` and not what was written",
            found.trim()
        )))
    }

    /// Kills the kubelet. The one that is started after it finds out by itself what is mounted for whom.
    fn kill_kubelet(&self) -> Outcome {
        self.cluster.read("pkill", &["-KILL", "-x", "kubelet"]).map(drop)
    }

    /// Deletes a pod and waits until the node has let go of the volume, which the kubelet does afterwards.
    fn delete_pod(&self, pod: &str) -> Outcome {
        self.kubectl(&["delete", "pod", pod, TIMEOUT])?;
        becomes("end of the pod's mounts", || {
            let mounts = self.cluster.read("cat", &["/proc/mounts"])?;
            Ok(!MOUNT_POINTS.iter().any(|point| mounts.contains(point)))
        })
    }

    fn inside_pod(&self, pod: &str, script: &str) -> Outcome<String> {
        self.kubectl(&["exec", pod, "--", "sh", "-c", script])
    }

    fn kubectl(&self, arguments: &[&str]) -> Outcome<String> {
        self.cluster.read("kubectl", arguments)
    }

    fn becket(&self, arguments: &[&str]) -> Outcome<String> {
        self.cluster.read(&self.binary, arguments)
    }

    /// Shows what tells why something failed, while it is still there.
    pub fn explain(&self) {
        for words in [&["describe", "pods"][..], &["get", "events", "--sort-by=.lastTimestamp"]] {
            eprintln!("{}", self.kubectl(words).unwrap_or_else(|failed| failed.to_string()));
        }
        for part in Official::names().chain(["becket", "node"]) {
            let log = fs::read_to_string(self.cluster.log(part)).unwrap_or_default();
            eprintln!("-- the log of {part}\n{log}");
        }
    }

    /// Takes the cluster down.
    pub fn end(self) -> Outcome {
        drop(self.cluster);
        // It ended with its namespaces.
        self.served.map_or(Ok(()), |mut served| {
            served.wait().map(drop).map_err(|error| Failed::new(format!("becket is left: {error}")))
        })
    }
}
