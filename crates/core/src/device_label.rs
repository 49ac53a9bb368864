//! What is written on the devices of raw block volumes: whose they are, and whether they are staged.
//!
//! The kernel counts no user of such a device, and keeps what is written on it as long as it is attached.
//! So the kernel alone tells who needs it, also when the record of the volume or its pool cannot be read.

use crate::Name;
use becket_sys::point::DeviceNumber;
use uuid::Uuid;

const UNSTAGED: &str = "becket-unstaged-";

/// What tells a node's state directory from every other on this kernel: its filesystem and its inode.
/// Nodes that are containers share a kernel and its devices, but no state directory.
pub type StateIdentity = (DeviceNumber, u64);

/// The label of one volume's devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceLabel {
    id: Uuid,
}

impl DeviceLabel {
    /// The label of the volume `name` of a node's `pool`.
    pub fn new(state: StateIdentity, pool: &Name, name: &Name) -> DeviceLabel {
        let ((major, minor), inode) = state;
        let whose = format!("{major}:{minor}:{inode}/{pool}/{name}");
        DeviceLabel { id: Uuid::new_v5(&Uuid::NAMESPACE_OID, whose.as_bytes()) }
    }

    /// On a device that is needed until its volume is unstaged.
    pub fn staged(&self) -> String {
        format!("becket-staged-{}", self.id)
    }

    /// On a device that is needed by what is published of it alone.
    pub fn unstaged(&self) -> String {
        format!("{UNSTAGED}{}", self.id)
    }

    /// True for the label of an unstaged volume, whichever it is.
    pub fn says_unstaged(label: &str) -> bool {
        label.starts_with(UNSTAGED)
    }
}
