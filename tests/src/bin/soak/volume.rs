//! What the callers work on: kinds of volumes, their names, and who may do what to them.

use becket_csi::protocol::csi::VolumeCapability;
use becket_tests::{MIB, requests};

/// What a volume gives its workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
    Btrfs,
    Block,
    Directory,
}

/// Which of the two drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Driver {
    Image,
    Directory,
}

impl Driver {
    /// Both.
    pub(crate) const ALL: [Driver; 2] = [Driver::Image, Driver::Directory];

    /// Its name, which is its socket's directory.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Driver::Image => "image.becket.dev",
            Driver::Directory => "directory.becket.dev",
        }
    }

    /// Its default pool.
    pub(crate) fn pool(self) -> &'static str {
        match self {
            Driver::Image => "default",
            Driver::Directory => "directory",
        }
    }

    /// Its backend.
    pub(crate) fn backend(self) -> &'static str {
        match self {
            Driver::Image => "image",
            Driver::Directory => "directory",
        }
    }
}

impl Kind {
    /// Whose volumes are of this kind.
    pub(crate) fn driver(self) -> Driver {
        match self {
            Kind::Directory => Driver::Directory,
            _ => Driver::Image,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Kind::Ext4 => "ext4",
            Kind::Xfs => "xfs",
            Kind::Btrfs => "btrfs",
            Kind::Block => "block",
            Kind::Directory => "directory",
        }
    }

    /// How it is asked for.
    pub(crate) fn capability(self) -> VolumeCapability {
        requests::capability(match self {
            Kind::Directory => "",
            other => other.word(),
        })
    }

    /// The class of such volumes: here the directory pool's filesystem has no project quotas.
    pub(crate) fn class(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Kind::Directory => &[("limit", "none")],
            _ => &[],
        }
    }

    /// The size they are made with: about the smallest that can grow.
    pub(crate) fn size(self) -> u64 {
        match self {
            Kind::Xfs | Kind::Btrfs => 300 * MIB,
            _ => 8 * MIB,
        }
    }

    /// True when a volume in use can be held still for a copy.
    pub(crate) fn copies_in_use(self) -> bool {
        matches!(self, Kind::Ext4 | Kind::Xfs | Kind::Btrfs)
    }

    /// True when a workload sees files.
    pub(crate) fn has_files(self) -> bool {
        self != Kind::Block
    }
}

/// Who may do what to a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Its caller's own: nobody else is in the way.
    Own,
    /// Used by all, deleted by none.
    Kept,
    /// Made, changed and deleted by all.
    Contested,
}

/// A volume that may be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) kind: Kind,
    pub(crate) scope: Scope,
    pub(crate) name: String,
}

impl Volume {
    /// A volume of a caller's own.
    pub(crate) fn own(kind: Kind, name: impl Into<String>) -> Volume {
        Volume { kind, scope: Scope::Own, name: name.into() }
    }

    /// The id that its driver gives it.
    pub(crate) fn id(&self) -> String {
        id(self.kind, &self.name)
    }
}

/// The id of a volume or snapshot.
pub(crate) fn id(kind: Kind, name: &str) -> String {
    format!("{}/{name}", kind.driver().pool())
}

/// How many contested volumes there are of each kind, how many that are kept, and how many names of
/// contested snapshots.
const NUMBERS: [(Kind, usize, usize, usize); 5] = [
    (Kind::Ext4, 8, 4, 4),
    (Kind::Xfs, 1, 1, 1),
    (Kind::Btrfs, 1, 1, 1),
    (Kind::Block, 2, 1, 1),
    (Kind::Directory, 3, 2, 2),
];

/// All shared volumes of one scope.
pub(crate) fn shared(scope: Scope) -> Vec<Volume> {
    let mut volumes = Vec::new();
    for (kind, contested, kept, _) in NUMBERS {
        let (word, count) = match scope {
            Scope::Kept => ("kept", kept),
            _ => ("some", contested),
        };
        for number in 0..count {
            let name = format!("{word}-{}-{number}", kind.word());
            volumes.push(Volume { kind, scope, name });
        }
    }
    volumes
}

/// The names of all contested snapshots.
pub(crate) fn snapshots() -> Vec<(Kind, String)> {
    let names = NUMBERS.iter().flat_map(|(kind, _, _, count)| {
        (0..*count).map(|number| (*kind, format!("moment-{}-{number}", kind.word())))
    });
    names.collect()
}
