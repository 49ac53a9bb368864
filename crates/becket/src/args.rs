//! The command line's words. What they do is in [`crate::commands`].

pub(crate) mod check;
pub(crate) mod controller;
mod csi;
mod export;
mod install;
mod lvm_ground;
pub(crate) mod serve;

use export::Export;
pub(crate) use install::{DriversAndPlace, InstallArgs, UninstallArgs};
pub(crate) use lvm_ground::LvmGround;

pub(crate) use csi::{CsiArgs, CsiCommand, LifecycleArgs, Reach};

use crate::output::Form;
use becket_core::pool::{DEFAULT_POOL, DEFAULT_STATE, STATE_VARIABLE};
use becket_core::record::Content;
use becket_core::{Name, size};
use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

/// Kubernetes volumes from what a node already has
#[derive(Debug, Parser)]
#[command(name = "becket", version, max_term_width = 100, propagate_version = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Where pools, locks and stages are
    #[arg(long, global = true, value_name = "DIR", default_value = DEFAULT_STATE)]
    #[arg(env = STATE_VARIABLE, hide_env_values = true)]
    pub(crate) state_dir: PathBuf,
    /// Form of the output: columns for people or JSON for programs
    #[arg(short, long, global = true, value_name = "FORM", default_value = "table")]
    pub(crate) output: Form,
    /// Also say what is done, not only what is wrong
    #[arg(short, long, global = true)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole life of a volume on this machine, on a throw-away pool
    ///
    /// It needs root, makes its own temporary state directory, and removes it whatever happens;
    /// --state-dir is not used.
    Demo,
    /// Be the CSI drivers of this node, until a signal ends it
    Serve(serve::ServeArgs),
    /// Make the volumes that are for all nodes, for the claims of a cluster, until a signal ends it
    ///
    /// Of all such processes only the one that has the driver's Lease is at work; the others wait for that.
    Controller(controller::ControllerArgs),
    /// Check a storage plugin against its specification
    #[command(subcommand)]
    Check(check::CheckCommand),
    /// Make, list, look at and delete pools
    #[command(subcommand)]
    Pool(PoolCommand),
    /// Make, list, look at, grow, release and delete volumes
    #[command(subcommand)]
    Volume(VolumeCommand),
    /// Take, list, look at and delete snapshots
    #[command(subcommand)]
    Snapshot(SnapshotCommand),
    /// List, restore and empty what was deleted
    #[command(subcommand)]
    Trash(TrashCommand),
    /// Find what was left over or is strange in a pool, and put right what is safe to
    ///
    /// Exit status 1 says that something is left for a person to look at, or that it failed.
    Reconcile(InPool),
    /// Call a CSI driver, any driver: every RPC of the specification 1.13
    Csi(Box<CsiArgs>),
    /// Answer one FlexVolume callout, as the installed driver does
    ///
    /// Writes exactly one JSON object to stdout. `becket flex image init` shows the driver's
    /// capabilities. It is the mount-only driver, with the kubelet's root that BECKET_KUBELET_ROOT
    /// names, or /var/lib/kubelet.
    Flex(FlexArgs),
    /// Install FlexVolume drivers into the kubelet's plugin directory
    Install(InstallArgs),
    /// Remove FlexVolume drivers that no pod uses
    Uninstall(UninstallArgs),
    /// Write a completion script to stdout
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages into a directory
    Man {
        /// The directory
        directory: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PoolCommand {
    /// Make a pool, or adopt the one that is at the path
    Create(Box<PoolCreate>),
    /// List this node's pools
    List,
    /// Show one pool with its capacity
    Show {
        /// The pool
        name: Name,
    },
    /// Delete an empty pool
    Delete {
        /// The pool
        name: Name,
        /// Only forget where it is: for a pool with a path whose disk is gone, or moves on
        #[arg(long)]
        forget: bool,
    },
}

// `--version` is the version of NFS here.
#[derive(Debug, ClapArgs)]
#[command(disable_version_flag = true)]
pub(crate) struct PoolCreate {
    /// The pool's name on this node
    pub(crate) name: Name,
    /// The backend of its volumes: image, directory, lvm or nfs
    #[arg(long, value_name = "BACKEND")]
    pub(crate) backend: String,
    /// Its directory [default: pools/NAME in the state directory]
    #[arg(long, value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
    /// Bytes that may be promised for each byte there is [default: 1, or what an existing pool has]
    #[arg(long, value_name = "RATIO")]
    pub(crate) overcommit: Option<f64>,
    /// How long deleted volumes and snapshots stay in the trash [default: 24h, or what an existing
    /// pool has]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) trash_retention: Option<Duration>,
    #[command(flatten)]
    pub(crate) lvm: LvmGround,
    #[command(flatten)]
    pub(crate) export: Export,
}

#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct InPool {
    /// The pool
    #[arg(long, value_name = "NAME", default_value = DEFAULT_POOL)]
    pub(crate) pool: Name,
}

#[derive(Debug, Subcommand)]
pub(crate) enum VolumeCommand {
    /// Make a volume: empty, from a snapshot, or as a clone
    Create(VolumeCreate),
    /// List a pool's volumes
    List(InPool),
    /// Show one volume
    Show {
        /// The volume
        name: Name,
        #[command(flatten)]
        at: InPool,
    },
    /// Grow a volume, and its filesystem where that is mounted
    Expand {
        /// The volume
        name: Name,
        #[command(flatten)]
        at: InPool,
        /// The new size, such as 10Gi
        #[arg(long, value_parser = size::parse)]
        size: u64,
    },
    /// Take back the claim of a node that is gone and will not give it back itself
    ///
    /// A CSI driver that serves with --attach claims a volume for a node and keeps that with the
    /// volume. Make sure that nothing on the node still writes to the volume: another node may have
    /// it then. What is mounted stays mounted.
    Release {
        /// The volume
        name: Name,
        #[command(flatten)]
        at: InPool,
        /// The node, as `volume show` names it
        #[arg(long)]
        node: String,
    },
    /// Delete a volume that nothing uses; it goes to the trash
    Delete {
        /// The volume
        name: Name,
        #[command(flatten)]
        at: InPool,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct VolumeCreate {
    /// The volume's name
    pub(crate) name: Name,
    #[command(flatten)]
    pub(crate) at: InPool,
    /// Its size, such as 10Gi; a copy may be larger than its origin
    #[arg(long, value_parser = size::parse)]
    pub(crate) size: Option<u64>,
    /// Its filesystem [default: ext4, or the origin's]
    #[arg(long, value_name = "KIND", conflicts_with = "block")]
    pub(crate) filesystem: Option<FilesystemName>,
    /// Raw block instead of a filesystem
    #[arg(long)]
    pub(crate) block: bool,
    /// Take all its space from the pool at once
    #[arg(long)]
    pub(crate) thick: bool,
    /// Start with the content of this snapshot
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "from_volume")]
    pub(crate) from_snapshot: Option<Name>,
    /// Start with the content of this volume
    #[arg(long, value_name = "VOLUME")]
    pub(crate) from_volume: Option<Name>,
    /// A parameter of the backend, such as limit=none; may be repeated
    #[arg(long = "parameter", value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) parameters: Vec<(String, String)>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FilesystemName {
    Ext4,
    Xfs,
    Btrfs,
}

impl From<FilesystemName> for Content {
    fn from(name: FilesystemName) -> Content {
        match name {
            FilesystemName::Ext4 => Content::Ext4,
            FilesystemName::Xfs => Content::Xfs,
            FilesystemName::Btrfs => Content::Btrfs,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum SnapshotCommand {
    /// Take a snapshot of a volume, in use or not
    Create {
        /// The snapshot's name
        name: Name,
        /// The volume
        #[arg(long, value_name = "NAME")]
        volume: Name,
        #[command(flatten)]
        at: InPool,
    },
    /// List a pool's snapshots
    List(InPool),
    /// Show one snapshot
    Show {
        /// The snapshot
        name: Name,
        #[command(flatten)]
        at: InPool,
    },
    /// Delete a snapshot; it goes to the trash
    Delete {
        /// The snapshot
        name: Name,
        #[command(flatten)]
        at: InPool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TrashCommand {
    /// List what was deleted
    List(InPool),
    /// Bring something back under its old name
    Restore {
        /// Its id, from `trash list`
        id: Uuid,
        #[command(flatten)]
        at: InPool,
    },
    /// Remove for good what has been there for the pool's retention time
    Empty {
        /// Remove everything in it
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        at: InPool,
    },
}

#[derive(Debug, ClapArgs)]
pub(crate) struct FlexArgs {
    /// The driver: image or directory
    pub(crate) driver: String,
    /// The callout and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) arguments: Vec<std::ffi::OsString>,
}

fn key_value(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it has no `=`")?;
    Ok((key.to_owned(), value.to_owned()))
}
