//! The cluster's network, in a namespace of its own: one node, its pods on a bridge that a plugin makes, and
//! nothing beyond. The API server is at the service address itself, so there is no kube-proxy.

use crate::failure::{Doing, Result};
use std::io::Write;
use std::process::{Command, Stdio};

/// The node's name.
pub(crate) const NODE: &str = "node1";
/// The node's address, which may not be a loopback one.
pub(crate) const ADDRESS: &str = "192.168.200.1";
/// The first address of the services, which pods take the API server for.
pub(crate) const API: &str = "10.96.0.1";
/// The services' addresses.
pub(crate) const SERVICES: &str = "10.96.0.0/16";
/// The pods' addresses.
pub(crate) const PODS: &str = "10.244.0.0/24";

/// Makes the interfaces and names the node.
pub(crate) fn make() -> Result {
    rustix::system::sethostname(NODE.as_bytes()).doing(|| "name the node")?;
    // Both ends of the pair stay here: `dummy` would be plainer, but fewer kernels have it.
    let commands = format!(
        "link set lo up\n\
         link add eth0 type veth peer name eth0-end\n\
         address add {ADDRESS}/24 dev eth0\n\
         address add {API}/32 dev lo\n\
         link set eth0-end up\n\
         link set eth0 up\n\
         route add default dev eth0\n"
    );
    let mut ip = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .doing(|| "run `ip`")?;
    if let Some(mut stdin) = ip.stdin.take() {
        stdin.write_all(commands.as_bytes()).doing(|| "tell `ip` what to make")?;
    }
    let ended = ip.wait().doing(|| "wait for `ip`")?;
    if !ended.success() {
        return Err(format!("cannot make the node's network: `ip` ended with {ended}").into());
    }
    let forwarding = "/proc/sys/net/ipv4/ip_forward";
    std::fs::write(forwarding, "1").doing(|| format!("write `{forwarding}`"))
}
