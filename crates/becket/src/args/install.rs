//! The words of `becket install` and `becket uninstall`.

use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Clone, Args)]
pub(crate) struct DriversAndPlace {
    /// The drivers, such as image,directory
    #[arg(long = "flex", value_name = "DRIVERS", value_delimiter = ',', required = true)]
    pub(crate) drivers: Vec<String>,
    /// The kubelet's plugin directory [default: the running kubelet's]
    #[arg(long, value_name = "DIR")]
    pub(crate) plugin_dir: Option<PathBuf>,
    /// The vendor part of the drivers' names, for manifests that have another one: with kubernetes.io, lvm
    /// is kubernetes.io/lvm
    #[arg(long, value_name = "NAME", default_value = "becket", value_parser = vendor)]
    pub(crate) vendor: String,
}

#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    #[command(flatten)]
    pub(crate) what: DriversAndPlace,
    /// Use the attach and device callouts, which need the driver beside the controller manager too
    #[arg(long)]
    pub(crate) attachable: bool,
    /// The kubelet's root directory [default: the running kubelet's, or /var/lib/kubelet]
    #[arg(long, value_name = "DIR")]
    pub(crate) kubelet_root: Option<PathBuf>,
    /// Write the callouts' log lines to this file too
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    /// Stay, and touch the drivers' files this often so that a kubelet that lost them finds them again
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) refresh: Option<Duration>,
}

#[derive(Debug, Args)]
pub(crate) struct UninstallArgs {
    #[command(flatten)]
    pub(crate) what: DriversAndPlace,
}

/// The kubelet takes vendor and driver from a directory's name, with a `~` between them.
pub(super) fn vendor(text: &str) -> Result<String, String> {
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    let good = (1..=63).contains(&text.len())
        && text.bytes().all(plain)
        && text.starts_with(|letter: char| letter.is_ascii_alphanumeric());
    match good {
        true => Ok(text.to_owned()),
        false => {
            Err("it is to be 1 to 63 of a-z 0-9 - . and to start with a letter or digit".into())
        }
    }
}
