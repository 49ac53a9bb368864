//! The life of the Helm chart on a cluster: installed with no value set, used, killed, upgraded, uninstalled.

use super::duties::Duties;
use super::waiting::{TIMEOUT, becomes};
use super::{Steps, memory};
use crate::chart::{CHART, Helm, NAMESPACE, RELEASE};
use crate::cluster::{Cluster, NODE};
use crate::run::{Failed, Outcome, cargo};
use crate::setup;

const CLAIMS: &str = include_str!("chart.yaml");

/// Where the pools are on the node.
const POOLS: &str = "/var/lib/becket/pools";

/// What tells the chart's objects from others.
const OURS: &str = "app.kubernetes.io/name=becket";
/// Objects of the whole cluster that a chart can leave.
const KINDS: &str =
    "csidrivers,storageclasses,volumesnapshotclasses,clusterroles,clusterrolebindings";

/// A cluster that has the image, and a release of the chart on it.
pub struct Release {
    pub(super) cluster: Cluster,
    helm: Helm,
}

impl Release {
    pub fn new(cluster: Cluster, helm: Helm) -> Release {
        Release { cluster, helm }
    }

    /// From the first installation to the last trace.
    pub fn life(&self, steps: &mut Steps) -> Outcome {
        let duties = Duties::on(&self.cluster)?;
        steps.done("snapshots known to the cluster");
        self.helm(&["install", RELEASE, CHART, "--create-namespace", "--wait", TIMEOUT])?;
        self.kubectl(&["get", "volumesnapshotclass", "becket-image", "becket-directory"])?;
        steps.done("helm install, with no value set");
        self.helm(&["test", RELEASE, TIMEOUT])?;
        self.is_gone("pv,pvc", &["-A"])?;
        steps.done("helm test");
        self.cluster.apply(CLAIMS)?;
        self.kubectl(&["wait", "pod/user", "--for=condition=Ready", TIMEOUT])?;
        let write = "grep -q ' /image ext4 ' /proc/mounts && \
                     for of in image directory; do echo precious-$of > /$of/file; done; sync";
        self.inside("user", write)?;
        let bound = "--for=jsonpath={.status.phase}=Bound";
        self.kubectl(&["wait", "pvc/immediate", bound, TIMEOUT])?;
        self.holds("user")?;
        steps.done("claims of the default class and of becket-directory: written and read");
        self.told_the_cluster()?;
        let lost = self.lose_data_of("immediate")?;
        duties.life()?;
        self.tells_what_is_lost("immediate", &lost)?;
        steps
            .done("a claim grown and modified, snapshots, copies and raw devices made and deleted");
        self.has_its_rights()?;
        memory::tell(&self.cluster)?;
        self.kill_becket()?;
        self.holds("user")?;
        self.renew_user()?;
        steps.done("becket killed; read by that pod and by a new one");
        self.upgrade_to_another_build()?;
        steps.done("helm upgrade to another build; read by that pod and by a new one");
        self.helm(&["uninstall", RELEASE, "--wait", TIMEOUT])?;
        self.holds("user")?;
        self.helm(&["install", RELEASE, CHART, "--wait", TIMEOUT])?;
        self.renew_user()?;
        steps.done(
            "uninstalled while in use, and installed again; read by that pod and by a new one",
        );
        self.loses_its_taint()?;
        self.flexvolume_life()?;
        self.holds("user")?;
        self.renew_user()?;
        steps.done("helm upgrade: FlexVolume drivers installed, used, lost, found and removed");
        self.delete_all()?;
        steps.done("pods and claims deleted, nothing left of their volumes");
        self.helm(&["uninstall", RELEASE, "--wait", TIMEOUT])?;
        self.nothing_is_left()?;
        steps.done("helm uninstall, nothing left of the chart");
        Ok(())
    }

    /// Makes the pod anew, with the same claims.
    fn renew_user(&self) -> Outcome {
        self.kubectl(&["delete", "pod/user", TIMEOUT])?;
        self.cluster.apply(CLAIMS)?;
        self.kubectl(&["wait", "pod/user", "--for=condition=Ready", TIMEOUT])?;
        self.holds("user")
    }

    /// The same sources, otherwise compiled: not static and without optimisation.
    fn upgrade_to_another_build(&self) -> Outcome {
        cargo(&["build", "--package", "becket"]).run()?;
        let other = setup::target_directory().join("debug/becket");
        self.cluster.load_image_as(&other, "localhost/becket:other")?;
        self.upgrade(&["image.tag=other"])?;
        self.holds("user")?;
        self.renew_user()
    }

    /// Kills the process in its container, which the kubelet starts again.
    fn kill_becket(&self) -> Outcome {
        let restarts = || {
            let count = "-o=jsonpath={.items[*].status.containerStatuses[0].restartCount}";
            self.of_becket(&["get", "pods", "-l", OURS, count])
        };
        let before = restarts()?;
        self.cluster.read("pkill", &["-KILL", "-x", "becket"])?;
        becomes("container that was started again", || Ok(restarts()? != before))?;
        self.rolled_out()
    }

    /// A node that is registered with the taint of a driver gets pods once the driver is there.
    fn loses_its_taint(&self) -> Outcome {
        let taint = ["taint", "node", NODE, "image.becket.dev/agent-not-ready=:NoSchedule"];
        self.kubectl(&taint)?;
        self.upgrade(&["node.startUpTaint=true"])?;
        becomes("node without the taint", || {
            let taints = "-o=jsonpath={.spec.taints}";
            Ok(!self.kubectl(&["get", "node", NODE, taints])?.contains("becket"))
        })
    }

    /// Events and capacities: what is written beside the volumes, for which the chart has to give the rights.
    fn told_the_cluster(&self) -> Outcome {
        let events =
            ["get", "events", "--field-selector=reason=ProvisioningSucceeded", "-o", "name"];
        becomes("event for each claim", || Ok(self.kubectl(&events)?.lines().count() == 3))?;
        let room = ["get", "csistoragecapacities", "-o=jsonpath={.items[*].storageClassName}"];
        becomes("capacity of each class", || {
            let room = self.of_becket(&room)?;
            Ok(["becket-image", "becket-directory"].iter().all(|class| room.contains(class)))
        })
    }

    /// Takes the image of a claim's volume away, which nobody uses, and gives its path.
    fn lose_data_of(&self, claim: &str) -> Outcome<String> {
        let volume = ["get", &format!("pvc/{claim}"), "-o=jsonpath={.spec.volumeName}"];
        let volume = self.kubectl(&volume)?;
        let image = format!("*/{volume}/data");
        let found = self.cluster.read("find", &[POOLS, "-path", &image])?;
        let path = found.trim();
        self.cluster.read("mv", &[path, &format!("{path}.away")])?;
        Ok(path.to_owned())
    }

    /// Waits until somebody says that the volume of the claim is not well, and brings its image back.
    fn tells_what_is_lost(&self, claim: &str, path: &str) -> Outcome {
        let about =
            format!("--field-selector=reason=VolumeConditionAbnormal,involvedObject.name={claim}");
        becomes("event about the lost image", || {
            Ok(!self.kubectl(&["get", "events", &about, "-o", "name"])?.is_empty())
        })?;
        self.cluster.read("mv", &[&format!("{path}.away"), path]).map(drop)
    }

    /// Fails if Becket tried what its roles do not let it do.
    fn has_its_rights(&self) -> Outcome {
        let log = self.of_becket(&["logs", "daemonset/becket"])?;
        match log.lines().find(|line| line.contains("forbidden")) {
            None => Ok(()),
            Some(line) => Err(Failed::new(format!("the chart gives too few rights: {line}"))),
        }
    }

    /// Sets more values.
    pub(super) fn upgrade(&self, values: &[&str]) -> Outcome {
        let words = ["upgrade", RELEASE, CHART, "--reuse-values", "--wait", TIMEOUT];
        let sets: Vec<&str> = values.iter().flat_map(|value| ["--set", *value]).collect();
        self.helm(&[&words[..], &sets].concat())
    }

    fn delete_all(&self) -> Outcome {
        self.kubectl(&["delete", "pods,pvc", "--all", TIMEOUT])?;
        self.is_gone("pv", &[])?;
        for pool in ["default", "directory"] {
            let volumes = self.becket(&["volume", "list", "--pool", pool, "-o", "json"])?;
            if volumes.trim() != "[]" {
                return Err(Failed::new(format!("the pool `{pool}` still holds {volumes}")));
            }
            self.becket(&["trash", "empty", "--all", "--pool", pool])?;
        }
        let records = [POOLS, "-name", "volume.json", "-o", "-name", "trash.json"];
        let left = self.cluster.read("find", &records)?;
        if !left.is_empty() {
            return Err(Failed::new(format!("of deleted volumes there still is {left}")));
        }
        let mounts = self.cluster.read("cat", &["/proc/mounts"])?;
        let ours = ["globalmount", "/volumes/kubernetes.io~csi", "/var/lib/becket/staged"];
        match mounts.lines().find(|line| ours.iter().any(|word| line.contains(word))) {
            None => Ok(()),
            Some(line) => Err(Failed::new(format!("a volume is still mounted: {line}"))),
        }
    }

    /// What the chart made, and what its pods made in the API and in the kubelet's directories.
    fn nothing_is_left(&self) -> Outcome {
        self.is_gone(KINDS, &["-l", OURS])?;
        let kinds =
            "pods,daemonsets,controllerrevisions,roles,rolebindings,csistoragecapacities,secrets";
        self.is_gone(kinds, &["--namespace", NAMESPACE])?;
        let registered = "-o=jsonpath={.spec.drivers[*].name}";
        becomes("end of the registration", || {
            Ok(self.kubectl(&["get", "csinode", NODE, registered])?.is_empty())
        })
    }

    fn is_gone(&self, kinds: &str, more: &[&str]) -> Outcome {
        becomes(&format!("end of all {kinds}"), || {
            Ok(self.kubectl(&[&["get", kinds, "-o", "name"], more].concat())?.is_empty())
        })
    }

    fn holds(&self, pod: &str) -> Outcome {
        let found = self.inside(pod, "cat /image/file /directory/file")?;
        match found == "precious-image\nprecious-directory\n" {
            true => Ok(()),
            false => Err(Failed::new(format!("the pod `{pod}` reads `{found}`"))),
        }
    }

    pub(super) fn rolled_out(&self) -> Outcome {
        self.of_becket(&["rollout", "status", "daemonset/becket", TIMEOUT]).map(drop)
    }

    pub(super) fn inside(&self, pod: &str, script: &str) -> Outcome<String> {
        self.kubectl(&["exec", pod, "--", "sh", "-c", script])
    }

    /// Becket's own command line, where people have it in a cluster.
    pub(super) fn becket(&self, arguments: &[&str]) -> Outcome<String> {
        let words = ["exec", "daemonset/becket", "-c", "becket", "--", "becket"];
        self.of_becket(&[&words, arguments].concat())
    }

    pub(super) fn of_becket(&self, arguments: &[&str]) -> Outcome<String> {
        self.kubectl(&[&["--namespace", NAMESPACE], arguments].concat())
    }

    pub(super) fn kubectl(&self, arguments: &[&str]) -> Outcome<String> {
        self.cluster.read("kubectl", arguments)
    }

    fn helm(&self, arguments: &[&str]) -> Outcome {
        self.helm.on(&self.cluster, arguments)
    }

    /// Shows what tells why something failed, while it is still there.
    pub fn explain(&self) {
        let log = [
            "logs",
            "--namespace",
            NAMESPACE,
            "-l",
            OURS,
            "--tail=60",
            "--prefix",
            "--all-containers",
        ];
        for words in [
            &["get", "pods,pvc,pv,csistoragecapacities", "-A", "-o", "wide"][..],
            &["get", "events", "-A", "--sort-by=.lastTimestamp"],
            &log,
        ] {
            eprintln!("{}", self.kubectl(words).unwrap_or_else(|failed| failed.to_string()));
        }
    }
}
