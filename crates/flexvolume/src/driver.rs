//! The drivers Becket is, and what was decided when they were installed.

use crate::reply::Capabilities;
use becket_core::pool::{DEFAULT_POOL, DEFAULT_STATE, STATE_VARIABLE};
use becket_core::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The vendor part of the drivers' names where nobody says otherwise: `becket/image`.
pub const VENDOR: &str = "becket";

/// The root directory of a kubelet that was not told otherwise.
pub const DEFAULT_KUBELET_ROOT: &str = "/var/lib/kubelet";

/// The environment variable that names another kubelet root.
pub const KUBELET_ROOT_VARIABLE: &str = "BECKET_KUBELET_ROOT";

/// The file beside the installed executable that says how it was installed. The prober ignores
/// names that start with a dot.
pub const INSTALL_RECORD: &str = ".install.json";

/// A FlexVolume driver of ours, one for each backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// `becket/image`
    Image,
    /// `becket/directory`
    Directory,
    /// `becket/lvm`
    Lvm,
    /// `becket/nfs`
    Nfs,
}

impl Driver {
    /// All of them.
    pub const ALL: [Driver; 4] = [Driver::Image, Driver::Directory, Driver::Lvm, Driver::Nfs];

    /// The driver's own name, which is its backend's and its executable's too.
    pub fn name(self) -> &'static str {
        match self {
            Driver::Image => "image",
            Driver::Directory => "directory",
            Driver::Lvm => "lvm",
            Driver::Nfs => "nfs",
        }
    }

    /// The driver whose executable has this name.
    pub fn named(name: &str) -> Option<Driver> {
        Driver::ALL.into_iter().find(|driver| driver.name() == name)
    }

    /// The directory of a vendor's driver in a plugin directory: `becket~image`.
    pub fn directory_name(self, vendor: &str) -> String {
        format!("{vendor}~{}", self.name())
    }

    /// The pool of a volume whose options name none.
    pub fn default_pool(self) -> &'static str {
        match self {
            Driver::Image => DEFAULT_POOL,
            Driver::Directory => "directory",
            Driver::Lvm => "lvm",
            Driver::Nfs => "nfs",
        }
    }

    /// The options that a volume of this driver may have.
    pub fn options(self) -> &'static [&'static str] {
        match self {
            Driver::Image => &["name", "pool", "size", "provisioning"],
            Driver::Directory => &["name", "pool", "size", "limit", "template", "onUnmount"],
            Driver::Nfs => &[
                "name",
                "pool",
                "size",
                "limit",
                "subdirectory",
                "onDelete",
                // A share as it is, with the words of Kubernetes' own example of an NFS driver.
                "server",
                "share",
                "version",
                "mountOptions",
            ],
            Driver::Lvm => &[
                "name",
                "pool",
                "size",
                "provisioning",
                "lvcreateOptions",
                "wipe",
                "encryption",
                // The words of Kubernetes' own example of an LVM driver.
                "volumeID",
                "volumegroup",
            ],
        }
    }

    /// True for drivers that can be installed with attach and device callouts.
    pub fn can_attach(self) -> bool {
        matches!(self, Driver::Image | Driver::Lvm)
    }

    /// What the driver tells of itself.
    pub fn capabilities(self, settings: &Settings) -> Capabilities {
        Capabilities {
            attach: settings.attachable && self.can_attach(),
            selinux_relabel: true,
            supports_metrics: true,
            fs_group: true,
            // Without it the kubelet never calls `expandfs`, the only callout that can expand.
            requires_fs_resize: true,
        }
    }
}

/// What was decided at installation, as the file beside the executable holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// The state directory.
    pub state_dir: PathBuf,
    /// The kubelet's root directory: every target lies below it.
    pub kubelet_root: PathBuf,
    /// The vendor part of the driver's name.
    #[serde(default = "usual_vendor")]
    pub vendor: String,
    /// The attach and device callouts are used.
    #[serde(default)]
    pub attachable: bool,
    /// Log lines go to this file too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            state_dir: DEFAULT_STATE.into(),
            kubelet_root: DEFAULT_KUBELET_ROOT.into(),
            vendor: usual_vendor(),
            attachable: false,
            log_file: None,
        }
    }
}

fn usual_vendor() -> String {
    VENDOR.to_owned()
}

impl Settings {
    /// The settings of the driver installed in `directory`; the defaults where none is. The
    /// environment goes before both.
    pub fn load(directory: Option<&Path>) -> Result<Settings> {
        let mut settings = match directory {
            Some(directory) => Settings::installed(directory)?.unwrap_or_default(),
            None => Settings::default(),
        };
        let variable = |name: &str| {
            std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
        };
        settings.state_dir = variable(STATE_VARIABLE).unwrap_or(settings.state_dir);
        settings.kubelet_root = variable(KUBELET_ROOT_VARIABLE).unwrap_or(settings.kubelet_root);
        Ok(settings)
    }

    /// What the installer left in `directory`; `None` when it left nothing.
    pub fn installed(directory: &Path) -> Result<Option<Settings>> {
        let path = directory.join(INSTALL_RECORD);
        let damaged = |reason: String| {
            Error::new(Kind::WrongState, format!("`{}` cannot be read: {reason}", path.display()))
                .hint("run `becket install` again")
        };
        match std::fs::read(&path) {
            Ok(bytes) => {
                serde_json::from_slice(&bytes).map(Some).map_err(|error| damaged(error.to_string()))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(damaged(error.to_string())),
        }
    }
}
