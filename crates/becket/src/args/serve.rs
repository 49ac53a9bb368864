//! The words of `becket serve`.

use super::export::NfsPool;
use super::install::vendor;
use becket_csi::driver::Driver;
use becket_csi::endpoint::Endpoint;
use becket_csi::plugin::Mode;
use clap::{Args, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The node's id, which is its name in Kubernetes
    #[arg(long, value_name = "NAME", env = "NODE_NAME", value_parser = node_id)]
    pub(crate) node_id: String,
    /// The drivers: image, directory, lvm, nfs
    #[arg(long, value_name = "DRIVERS", value_delimiter = ',', default_value = "image,directory")]
    #[arg(value_parser = driver)]
    pub(crate) drivers: Vec<Driver>,
    /// Which half of the drivers
    #[arg(long, value_name = "HALF", default_value = "all")]
    pub(crate) mode: Half,
    /// The socket of the only driver, such as unix:///csi/csi.sock
    #[arg(long, value_name = "ENDPOINT", env = "CSI_ENDPOINT", conflicts_with = "plugin_dir")]
    pub(crate) endpoint: Option<Endpoint>,
    /// Where each driver has a directory with its socket: DIR/NAME/csi.sock
    /// [default: /var/lib/kubelet/plugins]
    #[arg(long, value_name = "DIR")]
    pub(crate) plugin_dir: Option<PathBuf>,
    /// Register the drivers with the kubelet that watches this directory, such as
    /// /var/lib/kubelet/plugins_registry
    #[arg(long, value_name = "DIR")]
    pub(crate) registration_dir: Option<PathBuf>,
    /// Answer /livez, /healthz and /metrics at this address, such as 127.0.0.1:9808
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<SocketAddr>,
    /// Attach volumes to the node before they are staged: all drivers, or those named
    #[arg(long, value_name = "DRIVERS", value_delimiter = ',', num_args = 0..=1)]
    #[arg(default_missing_value = "image,directory,lvm,nfs", require_equals = true, value_parser = driver)]
    pub(crate) attach: Vec<Driver>,
    /// How many volumes of each driver the node takes [default: no limit]
    #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
    pub(crate) max_volumes_per_node: u32,
    /// Do in this process what the sidecars of a driver do: make volumes for claims and delete them. The
    /// API server is that of the cluster that the process runs in, or of KUBECONFIG
    #[arg(long, value_name = "WHETHER", default_value = "off")]
    pub(crate) kubernetes: Switch,
    /// With --kubernetes on, also make the volumes of classes of the provisioner becket.dev/flexvolume, which
    /// pods reach through the FlexVolume drivers of this vendor
    #[arg(long, value_name = "VENDOR", value_parser = vendor, num_args = 0..=1)]
    #[arg(default_missing_value = "becket", require_equals = true)]
    pub(crate) flexvolume: Option<String>,
    /// With --kubernetes on, take the taint DRIVER/agent-not-ready, such as
    /// image.becket.dev/agent-not-ready, off this node as soon as the kubelet knows the driver
    #[arg(long)]
    pub(crate) remove_taint: bool,
    /// Make this pool of the backend nfs known here, also later when its server does not answer yet
    #[arg(long = "nfs-pool", value_name = "NAME=SERVER:/SHARE", value_parser = NfsPool::parse)]
    pub(crate) nfs_pools: Vec<NfsPool>,
    /// Tell clients such as grpcurl what the messages are made of
    #[arg(long)]
    pub(crate) reflection: bool,
}

/// Whether something is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// It is
    On,
    /// It is not; others do it
    Off,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Half {
    /// Everything
    All,
    /// What runs on each node: staging and publishing
    Node,
    /// What provisions: creating, deleting, snapshots
    Controller,
}

impl From<Half> for Mode {
    fn from(half: Half) -> Mode {
        match half {
            Half::All => Mode::All,
            Half::Node => Mode::Node,
            Half::Controller => Mode::Controller,
        }
    }
}

pub(super) fn driver(text: &str) -> Result<Driver, String> {
    Driver::of_backend(text).ok_or_else(|| {
        let known: Vec<&str> = Driver::ALL.iter().map(|driver| driver.backend()).collect();
        format!("the drivers are {}", known.join(", "))
    })
}

/// A node's id is the value of a topology segment too (message `Topology`), so it is as short as one.
fn node_id(text: &str) -> Result<String, String> {
    const LONGEST: usize = 63;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    let bytes = text.as_bytes();
    let good = bytes.len() <= LONGEST
        && bytes.iter().copied().all(plain)
        && ends(bytes.first().copied())
        && ends(bytes.last().copied());
    match good {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "it is to be 1 to {LONGEST} of A-Z a-z 0-9 - _ . and to start and end with a letter or digit"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};
    use clap::Parser;

    #[test]
    fn attach_alone_means_all_drivers() {
        let words = ["becket", "serve", "--node-id", "n1", "--attach"];
        let Command::Serve(serve) = Args::try_parse_from(words).unwrap().command else { panic!() };
        assert_eq!(serve.attach, Driver::ALL);
    }
}
