//! The words of `becket csi`.

use super::key_value;
use becket_core::size;
use becket_csi::endpoint::Endpoint;
use clap::{Args as ClapArgs, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, ClapArgs)]
#[command(override_usage = "becket csi [OPTIONS] <RPC> [INPUT]...
       becket csi [OPTIONS] <list|describe|lifecycle> ...")]
#[command(after_help = "\
INPUT is any mix of a JSON object, @FILE with one, - for one from stdin, and PATH=VALUE:
  name=v capacity_range.required_bytes=1Gi volume_capabilities.0.mount.fs_type=xfs
`becket csi describe RPC` shows the paths. Later inputs fill up and replace earlier ones.

Exit status: 0 for OK; the gRPC code (1 to 16) that the driver answered, 14 also when it cannot be
reached; 64 for wrong use; 65 when `lifecycle` finds something wrong; 70 when becket itself fails.")]
pub(crate) struct CsiArgs {
    #[command(subcommand)]
    pub(crate) command: Option<CsiCommand>,
    /// The RPC, such as NodeStageVolume or node-stage-volume
    pub(crate) rpc: Option<String>,
    /// What it is asked with
    pub(crate) input: Vec<String>,
    #[command(flatten)]
    pub(crate) reach: Reach,
    /// File with the secrets of the request: a JSON object, or csi-sanity's YAML
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets: Option<PathBuf>,
    /// Make as many calls and show what they took; an n in braces becomes the number of the call
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) repeat: Option<u64>,
    /// With --repeat: calls that run at the same time
    #[arg(long, value_name = "N", default_value = "1", requires = "repeat")]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) concurrency: u64,
}

/// Where the driver is, and how long it may take.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Reach {
    /// Where the driver listens, such as unix:///csi/csi.sock
    #[arg(long, global = true, env = "CSI_ENDPOINT", hide_env_values = true)]
    pub(crate) endpoint: Option<Endpoint>,
    /// How long one call may take
    #[arg(long, global = true, value_name = "TIME", default_value = "1m")]
    #[arg(value_parser = humantime::parse_duration)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CsiCommand {
    /// List all RPCs, and which of them the driver's capabilities unlock
    List,
    /// Show what an RPC is asked with and what it answers
    Describe {
        /// The RPC
        rpc: String,
    },
    /// Run the whole life of a volume against a driver
    ///
    /// It makes a volume, uses it, snapshots, expands, restores and clones it, as far as the driver's
    /// capabilities go, compares contents, and removes what it made, also when something fails.
    Lifecycle(LifecycleArgs),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct LifecycleArgs {
    /// The controller's endpoint, where it is another one
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) controller_endpoint: Option<Endpoint>,
    /// The node's endpoint, where it is another one
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) node_endpoint: Option<Endpoint>,
    /// The volume's name, with which the names of the others begin [default: a new one]
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// The volume's size
    #[arg(long, value_parser = size::parse, default_value = "1Gi")]
    pub(crate) size: u64,
    /// Raw block instead of a filesystem
    #[arg(long, conflicts_with = "fs_type")]
    pub(crate) block: bool,
    /// The filesystem [default: the driver's]
    #[arg(long, value_name = "TYPE")]
    pub(crate) fs_type: Option<String>,
    /// A parameter of the volumes; may be repeated
    #[arg(long = "parameter", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) parameters: Vec<(String, String)>,
    /// Where to stage, as the driver and this host see it [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) staging_dir: Option<PathBuf>,
    /// Where to publish, as the driver and this host see it [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) target_dir: Option<PathBuf>,
    /// File with the secrets of the requests: a JSON object, or csi-sanity's YAML
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets: Option<PathBuf>,
    /// Leave everything as it is at the end
    #[arg(long)]
    pub(crate) keep: bool,
}
