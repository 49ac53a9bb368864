//! FlexVolume drivers by the Helm chart: installed, lost and found, used by pods and by claims, removed.

use super::chart::Release;
use super::waiting::{TIMEOUT, becomes};
use crate::run::{Failed, Outcome};

const INLINE: &str = include_str!("flexvolume-inline.yaml");
const CLAIM: &str = include_str!("flexvolume-claim.yaml");
const IDENTITY: &str = include_str!("flexvolume-identity.yaml");

/// Where the node's kubelet looks for FlexVolume drivers: it is told so in `xtask/node`.
const PLUGINS: &str = "/var/lib/kubelet/volumeplugins";

/// Where the directories of pods are, on the node.
const DIRECTORIES: &str = "/var/lib/becket/pools/directory";

/// What makes a class whose volumes are reached by FlexVolume, in a filesystem that every kernel grows while it
/// is mounted.
const CLASS: [&str; 3] = [
    "storageClasses.flexvolume.driver=image",
    "storageClasses.flexvolume.interface=flexvolume",
    "storageClasses.flexvolume.parameters.csi\\.storage\\.k8s\\.io/fstype=xfs",
];

impl Release {
    /// From their installation to the last trace.
    pub(super) fn flexvolume_life(&self) -> Outcome {
        let directory = format!("flexvolume.pluginDirectory={PLUGINS}");
        self.upgrade(&[&["flexvolume.action=install", &directory], &CLASS[..]].concat())?;
        self.plugins_are("becket~directory\nbecket~image\n")?;
        self.cluster.apply(INLINE)?;
        self.is_ready("flexvolume")?;
        self.inside("flexvolume", "grep -q ' /data ext4 ' /proc/mounts && echo x > /data/file")?;
        self.claim_life()?;
        self.pods_have_their_own()?;
        self.upgrade(&["flexvolume.refresh=1s"])?;
        // Again where something was put into it meanwhile.
        let lose = format!("until rm -r {PLUGINS}/becket~image; do :; done");
        self.cluster.read("sh", &["-c", &lose])?;
        self.plugins_are("becket~directory\nbecket~image\n")?;
        // The driver of a mounted volume stays.
        self.upgrade(&["flexvolume.refresh=", "flexvolume.action=remove"])?;
        self.plugins_are("becket~image\n")?;
        self.kubectl(&["delete", "pod/flexvolume", TIMEOUT])?;
        becomes("end of its mounts", || {
            let mounts = self.cluster.read("cat", &["/proc/mounts"])?;
            Ok(!mounts.contains("/volumes/becket~"))
        })?;
        self.of_becket(&["rollout", "restart", "daemonset/becket"])?;
        self.rolled_out()?;
        self.plugins_are("")?;
        self.becket(&["volume", "delete", "inline"]).map(drop)
    }

    /// A claim whose volume is made for it, grows by `expandfs`, and goes with it.
    fn claim_life(&self) -> Outcome {
        self.cluster.apply(CLAIM)?;
        self.is_ready("claimed")?;
        let write = "grep -q ' /data xfs ' /proc/mounts && echo precious > /data/file && sync";
        self.inside("claimed", write)?;
        let grow = r#"{"spec":{"resources":{"requests":{"storage":"400Mi"}}}}"#;
        self.kubectl(&["patch", "pvc/claimed", "--patch", grow])?;
        let grown = "--for=jsonpath={.status.capacity.storage}=400Mi";
        self.kubectl(&["wait", "pvc/claimed", grown, TIMEOUT])?;
        self.kubectl(&["delete", "pod/claimed", TIMEOUT])?;
        self.cluster.apply(&CLAIM.replace("320Mi", "400Mi"))?;
        self.is_ready("claimed")?;
        let found = self.inside("claimed", "cat /data/file; df -m /data | tail -n 1")?;
        let size = found.split_whitespace().nth(2).and_then(|word| word.parse::<u32>().ok());
        if !found.starts_with("precious\n") || size.is_none_or(|size| size <= 320) {
            return Err(Failed::new(format!("the pod with the grown claim sees `{found}`")));
        }
        let named = ["get", "pvc/claimed", "-o=jsonpath={.spec.volumeName}"];
        let volume = self.kubectl(&named)?;
        let is_there = || Ok(self.becket(&["volume", "list", "-o", "json"])?.contains(&volume));
        if !is_there()? {
            return Err(Failed::new(format!(
                "the pool does not know the claim's volume `{volume}`"
            )));
        }
        self.kubectl(&["delete", "pod/claimed", "pvc/claimed", TIMEOUT])?;
        becomes("end of the claim's volume", || {
            let left = self.kubectl(&["get", "pv", "-o=jsonpath={.items[*].metadata.name}"])?;
            Ok(!left.contains(&volume))
        })?;
        match is_there()? {
            true => Err(Failed::new(format!("the pool still holds the claim's volume `{volume}`"))),
            false => Ok(()),
        }
    }

    /// Pods of a Deployment and a DaemonSet with a directory each, by the pod's identity, as long as they live.
    fn pods_have_their_own(&self) -> Outcome {
        self.cluster.apply(IDENTITY)?;
        for set in ["deployment/own", "daemonset/own"] {
            self.kubectl(&["rollout", "status", set, TIMEOUT])?;
        }
        let each = "-o=jsonpath={range .items[*]}{.metadata.name}/{.metadata.uid}{\"\\n\"}{end}";
        let pods = self.kubectl(&["get", "pods", "-l", "app=own", each])?;
        let found = self.cluster.read("find", &[DIRECTORIES, "-name", "mine"])?;
        for pod in pods.lines() {
            let file = found.lines().find(|path| path.ends_with(&format!("/default/{pod}/mine")));
            let Some(file) = file else {
                return Err(Failed::new(format!("the pod {pod} has no directory in:\n{found}")));
            };
            let says = self.cluster.read("cat", &[file])?;
            if pod.split('/').next() != Some(says.trim()) {
                return Err(Failed::new(format!("the directory of {pod} holds `{says}`")));
            }
        }
        if pods.lines().count() != 3 {
            return Err(Failed::new(format!("there are not three pods but:\n{pods}")));
        }
        self.kubectl(&["delete", "deployment/own", "daemonset/own", TIMEOUT])?;
        becomes("end of the pods' directories", || {
            Ok(self.cluster.read("find", &[DIRECTORIES, "-name", "mine"])?.is_empty())
        })?;
        self.becket(&["volume", "delete", "own", "--pool", "directory"]).map(drop)
    }

    fn is_ready(&self, pod: &str) -> Outcome {
        let pod = format!("pod/{pod}");
        self.kubectl(&["wait", &pod, "--for=condition=Ready", TIMEOUT]).map(drop)
    }

    fn plugins_are(&self, wanted: &str) -> Outcome {
        let what = format!("plugin directory with these alone: {}", wanted.replace('\n', " "));
        becomes(&what, || Ok(self.cluster.read("ls", &["-A", PLUGINS])? == wanted))
    }
}
