//! The CSI drivers Becket is, one for each backend, and what each of them can do.

use becket_core::pool::DEFAULT_POOL;
use becket_core::record::Content;

/// A CSI driver of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Driver {
    /// `image.becket.dev`
    Image,
    /// `directory.becket.dev`
    Directory,
    /// `lvm.becket.dev`
    Lvm,
    /// `nfs.becket.dev`
    Nfs,
}

impl Driver {
    /// All of them.
    pub const ALL: [Driver; 4] = [Driver::Image, Driver::Directory, Driver::Lvm, Driver::Nfs];

    /// The name that Kubernetes knows it by.
    pub fn name(self) -> &'static str {
        match self {
            Driver::Image => "image.becket.dev",
            Driver::Directory => "directory.becket.dev",
            Driver::Lvm => "lvm.becket.dev",
            Driver::Nfs => "nfs.becket.dev",
        }
    }

    /// The backend of its pools, which is also how the command line names the driver.
    pub fn backend(self) -> &'static str {
        match self {
            Driver::Image => "image",
            Driver::Directory => "directory",
            Driver::Lvm => "lvm",
            Driver::Nfs => "nfs",
        }
    }

    /// The driver of a backend.
    pub fn of_backend(name: &str) -> Option<Driver> {
        Driver::ALL.into_iter().find(|driver| driver.backend() == name)
    }

    /// The pool of a volume whose class names none.
    pub fn default_pool(self) -> &'static str {
        match self {
            Driver::Image => DEFAULT_POOL,
            Driver::Directory => "directory",
            Driver::Lvm => "lvm",
            Driver::Nfs => "nfs",
        }
    }

    /// What its volumes can hold as filesystems; the first is the default.
    pub fn filesystems(self) -> &'static [Content] {
        match self {
            Driver::Image | Driver::Lvm => &[Content::Ext4, Content::Xfs, Content::Btrfs],
            Driver::Directory => &[Content::Directory],
            // Those with a filesystem of their own are images, for which a class asks by a hard limit.
            Driver::Nfs => &[Content::Directory, Content::Ext4, Content::Xfs, Content::Btrfs],
        }
    }

    /// True where volumes can be raw block.
    pub fn has_block(self) -> bool {
        matches!(self, Driver::Image | Driver::Lvm)
    }

    /// True where every node reaches every volume.
    pub fn is_shared(self) -> bool {
        self == Driver::Nfs
    }

    /// True where the default pool can be made of nothing: no group of disks and no server is needed.
    pub fn makes_its_pool(self) -> bool {
        matches!(self, Driver::Image | Driver::Directory)
    }

    /// True where several volumes can be cut at one moment.
    pub fn has_groups(self) -> bool {
        self == Driver::Image
    }

    /// True where a volume is bytes, so that it can be told which of them a snapshot changed.
    pub fn has_metadata(self) -> bool {
        self == Driver::Image
    }

    /// Programs of the host that it cannot do without.
    pub fn programs(self) -> &'static [&'static str] {
        match self {
            Driver::Image => &["mkfs.ext4"],
            Driver::Directory | Driver::Nfs => &[],
            Driver::Lvm => &["lvm", "mkfs.ext4"],
        }
    }
}
