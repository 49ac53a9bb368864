//! How a directory of a file server is mounted.

use crate::mount_flags::MountFlags;
use crate::{Error, Kind, Result};
use becket_sys::Errno;
use becket_sys::mount::{self, Attributes, Detached};
use std::path::Path;

/// A directory of a file server, with everything the kernel has to be told to mount it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteMount {
    /// The filesystem's type.
    pub kind: &'static str,
    /// Server and path, as the mount table will show them.
    pub source: String,
    /// What the filesystem is mounted with; of a key that stands here twice the last counts.
    pub options: Vec<RemoteOption>,
    /// Versions of the protocol, each with what it takes, in the order in which they are tried: the next
    /// where the server does not have the one before, or not there.
    pub versions: Vec<Vec<RemoteOption>>,
}

/// A word of a mount, with its value if it has one.
pub type RemoteOption = (String, Option<String>);

impl RemoteMount {
    /// Mounts it, attached nowhere yet. Set-user-id programs and device files in it are dead: whoever
    /// else writes to the server decides about them. May take as long as the server likes, so this is
    /// for expendable processes.
    pub fn mount(&self, flags: &MountFlags) -> Result<Detached> {
        let detached = self.newest(flags).map_err(explained)?;
        let mut safe = Attributes::default();
        for word in ["nosuid", "nodev"] {
            safe.add(word);
        }
        detached.set(safe)?;
        Ok(detached)
    }

    /// Mounts it with the first version that the server has; the error is the first one's.
    fn newest(&self, flags: &MountFlags) -> becket_sys::Result<Detached> {
        let mut first = None;
        for version in &self.versions {
            let words = version.iter().chain(&self.options);
            let mut options: Vec<mount::FilesystemOption<'_>> =
                words.map(|(key, value)| (key.as_str(), value.as_deref())).collect();
            options.extend(flags.options());
            match mount::filesystem(self.kind, Path::new(&self.source), &options) {
                Ok(detached) => return Ok(detached),
                Err(error) if matches!(error.errno, Errno::PROTONOSUPPORT | Errno::NOENT) => {
                    first.get_or_insert(error);
                }
                Err(error) => return Err(first.unwrap_or(error)),
            }
        }
        let none = || becket_sys::Error::new("mount", &*self.source, Errno::INVAL);
        Err(first.unwrap_or_else(none))
    }
}

/// What a failed mount means.
fn explained(error: becket_sys::Error) -> Error {
    let (kind, hint) = match error.errno {
        Errno::PROTONOSUPPORT => (
            Kind::WrongState,
            "the server does not serve this version; name another, or none for the newest it has",
        ),
        Errno::NOENT => (Kind::Unavailable, "the server exports no such path"),
        Errno::ACCESS | Errno::PERM => (Kind::Denied, "is the path exported to this node?"),
        Errno::INVAL => (Kind::Invalid, "this kernel does not take one of the mount options"),
        Errno::NODEV => (Kind::WrongState, "this kernel has no such client; is its module there?"),
        _ => (Kind::Unavailable, "look at the server's log and at the node's kernel log"),
    };
    Error::new(kind, error.to_string()).hint(hint)
}
