//! The words of `becket check`.

use becket_core::size;
use becket_csi::endpoint::Endpoint;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Subcommand)]
pub(crate) enum CheckCommand {
    /// Check any CSI driver against the specification, on itself and on what it leaves on the node
    ///
    /// It makes volumes and snapshots, stages, publishes and deletes them, and cleans up after
    /// itself. Run nothing else against the driver meanwhile. Exit status 1 says that the driver
    /// breaks a clause that is a must or a should, 2 that something could not be checked.
    Csi(Box<CheckCsi>),
}

#[derive(Debug, Args)]
pub(crate) struct CheckCsi {
    /// The driver's socket, such as unix:///csi/csi.sock
    #[arg(env = "CSI_ENDPOINT", required_unless_present = "list")]
    pub(crate) endpoint: Option<Endpoint>,
    /// The controller's socket, where it has its own
    #[arg(long, value_name = "ENDPOINT")]
    pub(crate) controller_endpoint: Option<Endpoint>,
    /// Show all checks with the clauses they test, and what unlocks them
    #[arg(long)]
    pub(crate) list: bool,
    /// Run only these checks or areas
    #[arg(long, value_name = "ID", num_args = 1.., value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Size of volumes; small, because volumes are filled to their end
    #[arg(long, default_value = "64Mi", value_parser = size::parse)]
    pub(crate) size: u64,
    /// Size to which volumes are grown [default: twice as much]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    pub(crate) expand_size: Option<u64>,
    /// Filesystem of mount volumes [default: the driver's]
    #[arg(long, value_name = "KIND", default_value = "", hide_default_value = true)]
    pub(crate) fs_type: String,
    /// A size is no limit, as the class says: the checks of limits are skipped
    #[arg(long)]
    pub(crate) no_limit: bool,
    /// No raw block volumes
    #[arg(long, conflicts_with = "block_only")]
    pub(crate) mount_only: bool,
    /// Only raw block volumes
    #[arg(long)]
    pub(crate) block_only: bool,
    /// A parameter of every volume; may be repeated
    #[arg(long = "parameter", value_name = "KEY=VALUE", value_parser = super::key_value)]
    pub(crate) parameters: Vec<(String, String)>,
    /// A parameter that makes another volume than the ones above; may be repeated
    #[arg(long = "other-parameter", value_name = "KEY=VALUE", value_parser = super::key_value)]
    pub(crate) other_parameters: Vec<(String, String)>,
    /// A mutable parameter that the driver accepts; may be repeated
    #[arg(long = "mutable-parameter", value_name = "KEY=VALUE", value_parser = super::key_value)]
    pub(crate) mutable_parameters: Vec<(String, String)>,
    /// Check inline ephemeral volumes too, with these attributes
    #[arg(long, value_name = "KEY=VALUE", num_args = 1.., value_parser = super::key_value)]
    pub(crate) ephemeral: Vec<(String, String)>,
    /// File with the secrets of the requests: a JSON object, or csi-sanity's YAML
    #[arg(long, value_name = "FILE")]
    pub(crate) secrets: Option<PathBuf>,
    /// Make staging directories below this [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) staging_dir: Option<PathBuf>,
    /// Publish below this [default: a temporary directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) target_dir: Option<PathBuf>,
    /// The driver's paths are not those of this machine: stage and publish nothing
    #[arg(long)]
    pub(crate) remote: bool,
    /// Starts the driver, in the foreground; it is then killed and started again during operations
    #[arg(long, value_name = "COMMAND")]
    pub(crate) restart_command: Option<String>,
    /// Moments at which it is killed during each operation
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    pub(crate) crash_moments: u32,
    /// How long one call may take
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = humantime::parse_duration)]
    pub(crate) deadline: Duration,
    /// Write the result to this file too, as JUnit XML
    #[arg(long, value_name = "FILE")]
    pub(crate) junit: Option<PathBuf>,
}
