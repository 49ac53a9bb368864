//! The words of `becket pool create --backend lvm`.

use clap::Args as ClapArgs;
use std::path::PathBuf;

/// What a pool of logical volumes stands on.
#[derive(Debug, Default, PartialEq, Eq, ClapArgs)]
#[command(next_help_heading = "With --backend lvm")]
pub(crate) struct LvmGround {
    /// The volume group [default with --device: becket-NAME]
    #[arg(long, value_name = "NAME")]
    pub(crate) vg: Option<String>,
    /// Make the volume group on this device; may be repeated. What a device holds is shown, and it
    /// takes a yes to destroy it
    #[arg(long, value_name = "DEV")]
    pub(crate) device: Vec<PathBuf>,
    /// Make thin volumes, in a thin pool that is made in the group
    #[arg(long)]
    pub(crate) thin: bool,
    /// Make thin volumes, in the group's thin pool of this name [default with --thin: becket-thin]
    #[arg(long, value_name = "NAME")]
    pub(crate) thin_pool: Option<String>,
    /// Do not ask
    #[arg(long)]
    pub(crate) yes: bool,
}
