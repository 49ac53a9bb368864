//! The files that the node's parts read.

use crate::failure::{Doing, Result};
use crate::ground::{CLUSTER, made};
use crate::network::{ADDRESS, NODE, PODS};
use std::path::Path;

/// The kubelet's configuration.
pub(crate) const KUBELET: &str = "/etc/kubernetes/kubelet.yaml";
/// Where the kubelet and the controller-manager look for FlexVolume drivers.
pub(crate) const FLEX_VOLUMES: &str = "/var/lib/kubelet/volumeplugins";
/// Where keys and certificates are.
pub(crate) const KEYS: &str = "/run/cluster/keys";
/// Where containerd listens.
pub(crate) const CONTAINERD: &str = "/run/containerd/containerd.sock";

/// containerd and its CRI plugin. Its score may not be lowered below what this process has, for that takes
/// CAP_SYS_RESOURCE. Its state is in memory: `/run/containerd`.
const CONTAINERD_CONFIGURATION: &str = r#"
version = 2
root = "/run/cluster/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "local/busybox:1"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/etc/cni/net.d"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
"#;

/// Writes all of them. `cgroup` is the cluster's, which pods have theirs in.
pub(crate) fn write(cgroup: &str) -> Result {
    for directory in [KEYS, FLEX_VOLUMES, "/run/cluster/log"] {
        made(Path::new(directory))?;
    }
    file("/etc/hosts", &format!("127.0.0.1 localhost\n{ADDRESS} {NODE}\n"))?;
    // There is nobody to ask.
    file("/etc/resolv.conf", "")?;
    file("/etc/containerd/config.toml", CONTAINERD_CONFIGURATION)?;
    file("/etc/cni/net.d/10-bridge.conflist", &network())?;
    file(KUBELET, &kubelet(cgroup))
}

fn network() -> String {
    format!(
        r#"{{"cniVersion": "1.0.0", "name": "pods", "plugins": [{{
  "type": "bridge", "bridge": "pods", "isDefaultGateway": true, "hairpinMode": true,
  "ipam": {{"type": "host-local", "dataDir": "{CLUSTER}/addresses", "ranges": [[{{"subnet": "{PODS}"}}]]}}
}}]}}
"#
    )
}

/// The kubelet's own defaults, but for what lets it run beside others on a machine, without
/// CAP_SYS_RESOURCE and with cgroups of version 1, and for what would let a test wait: volumes are looked
/// after every five seconds, not every minute. An image that it collected could not be pulled again.
fn kubelet(cgroup: &str) -> String {
    format!(
        "\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication:
  anonymous: {{enabled: false}}
  x509: {{clientCAFile: {KEYS}/ca.crt}}
authorization: {{mode: Webhook}}
containerRuntimeEndpoint: unix://{CONTAINERD}
volumePluginDir: {FLEX_VOLUMES}
cgroupDriver: cgroupfs
cgroupRoot: {cgroup}
failCgroupV1: false
enforceNodeAllocatable: []
failSwapOn: false
oomScoreAdj: 0
resolvConf: \"\"
syncFrequency: 5s
nodeStatusUpdateFrequency: 2s
imageGCHighThresholdPercent: 100
evictionHard: {{memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%}}
"
    )
}

/// Writes a file of this node. What is there may be a link out of the node's own layers, so it goes first.
fn file(path: &str, text: &str) -> Result {
    let path = Path::new(path);
    if let Some(directory) = path.parent() {
        made(directory)?;
    }
    let _ = std::fs::remove_file(path);
    std::fs::write(path, text).doing(|| format!("write `{}`", path.display()))
}
