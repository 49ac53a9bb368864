//! A CSI driver as the duties ask it: calls with plain values, whose rules are those of the CSI
//! specification.

use crate::interface::Interface;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;

/// Words by key.
pub type Words = BTreeMap<String, String>;

/// What is asked of a driver, which runs in this process.
pub trait Driver: Send + Sync + 'static {
    /// Its name, such as `image.becket.dev`.
    fn name(&self) -> &str;

    /// Through which interface nodes reach its volumes.
    fn interface(&self) -> &Interface;

    /// The segments of this node's topology; empty where volumes can be used on every node.
    fn segments(&self) -> Words;

    /// The filesystem of a volume that does not say; `None` where volumes have no filesystem of their own.
    fn filesystem(&self) -> Option<&str>;

    /// True when volumes are attached to a node before they are staged.
    fn attaches(&self) -> bool;

    /// True when a taint keeps pods off new nodes until the kubelet knows the driver.
    fn has_taint(&self) -> bool;

    /// `GetCapacity`: the largest volume like this that there is room for, in bytes.
    fn room(&self, wanted: &Wanted) -> impl Future<Output = Result<u64, Refusal>> + Send;

    /// `CreateVolume`.
    fn create(&self, wanted: Wanted) -> impl Future<Output = Result<Made, Refusal>> + Send;

    /// `ControllerExpandVolume`: to at least this many bytes.
    fn expand(
        &self,
        id: &str,
        bytes: u64,
        secrets: Secrets,
    ) -> impl Future<Output = Result<Grown, Refusal>> + Send;

    /// `ControllerModifyVolume`: all of these attributes, or none.
    fn modify(
        &self,
        id: &str,
        attributes: Words,
        secrets: Secrets,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// `ControllerGetVolume`: true when there is a volume of this id.
    fn knows(&self, id: &str) -> impl Future<Output = Result<bool, Refusal>> + Send;

    /// `ControllerListVolumeHealth`: what is wrong with volumes, in words, by their ids.
    fn complaints(&self) -> impl Future<Output = Result<Words, Refusal>> + Send;

    /// `CreateSnapshot`.
    fn cut(&self, wanted: ToCut) -> impl Future<Output = Result<Cut, Refusal>> + Send;

    /// `GetSnapshot`; `None` when there is none of this id.
    fn snapshot(&self, id: &str) -> impl Future<Output = Result<Option<Cut>, Refusal>> + Send;

    /// `DeleteSnapshot`.
    fn delete_snapshot(
        &self,
        id: &str,
        secrets: Secrets,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// `CreateVolumeGroupSnapshot`.
    fn cut_group(&self, wanted: GroupToCut) -> impl Future<Output = Result<Group, Refusal>> + Send;

    /// `GetVolumeGroupSnapshot`; `None` when there is none of this id. `members` are the ids of its snapshots.
    fn group(
        &self,
        id: &str,
        members: &[String],
    ) -> impl Future<Output = Result<Option<Group>, Refusal>> + Send;

    /// `DeleteVolumeGroupSnapshot`, with the ids of its snapshots.
    fn delete_group(
        &self,
        id: &str,
        members: &[String],
        secrets: Secrets,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// `DeleteVolume`.
    fn delete(
        &self,
        id: &str,
        secrets: Secrets,
    ) -> impl Future<Output = Result<(), Refusal>> + Send;
}

/// A volume that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The same name is the same volume.
    pub name: String,
    /// At least this many bytes.
    pub bytes: u64,
    /// How it is going to be used.
    pub uses: Vec<Use>,
    /// What its class says to the driver.
    pub parameters: Words,
    /// What its class of attributes says, which can be changed later.
    pub attributes: Words,
    /// Its secrets.
    pub secrets: Secrets,
    /// Where its first data is.
    pub source: Option<Source>,
}

/// One way to use a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// As what.
    pub form: Form,
    /// By whom.
    pub mode: Mode,
}

/// As what a volume is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// As a raw block device.
    Block,
    /// As a mounted filesystem.
    Mounted {
        /// Its type; empty for the driver's default.
        filesystem: String,
        /// Words for the mount.
        flags: Vec<String>,
    },
}

/// By whom a volume is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By all pods of one node.
    OneNode,
    /// By one pod.
    OnePod,
    /// By many nodes, which only read.
    ReadByMany,
    /// By many nodes.
    WrittenByMany,
}

/// Where the first data of a volume is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// In the snapshot of this id.
    Snapshot(String),
    /// In the volume of this id.
    Volume(String),
}

/// A volume that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Its id.
    pub id: String,
    /// Its size; 0 for as much as was asked for.
    pub bytes: u64,
    /// What the driver wants to be told of it again.
    pub context: Words,
    /// The segments of each topology that it can be used in; none for everywhere.
    pub topologies: Vec<Words>,
    /// Where its first data came from.
    pub source: Option<Source>,
}

/// A volume that has grown, or was as large already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grown {
    /// Its size.
    pub bytes: u64,
    /// What is in it still has to, on its node.
    pub node_is_next: bool,
}

/// A snapshot that is to be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToCut {
    /// The same name is the same snapshot.
    pub name: String,
    /// The id of the volume that it is of.
    pub volume: String,
    /// What its class says to the driver.
    pub parameters: Words,
    /// Its secrets.
    pub secrets: Secrets,
}

/// A snapshot that was cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    /// Its id.
    pub id: String,
    /// The least size of a volume made from it; 0 where that is not known.
    pub bytes: i64,
    /// When it was cut, since 1970.
    pub nanoseconds: i64,
    /// A volume can be made from it.
    pub is_ready: bool,
    /// The id of the group that it was cut with.
    pub group: Option<String>,
}

/// Snapshots of several volumes that are to be cut at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupToCut {
    /// The same name is the same group.
    pub name: String,
    /// The ids of the volumes.
    pub volumes: Vec<String>,
    /// What its class says to the driver.
    pub parameters: Words,
    /// Its secrets.
    pub secrets: Secrets,
}

/// Snapshots that were cut at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: String,
    /// When they were cut, since 1970.
    pub nanoseconds: i64,
    /// Volumes can be made from all of them.
    pub is_ready: bool,
    /// Each with the id of its volume.
    pub members: Vec<(String, Cut)>,
}

/// Secrets by their keys. They are in no text of ours.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secrets(pub Words);

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.0.len())
    }
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Why, as the specification sorts it.
    pub code: Code,
    /// Why, in words.
    pub message: String,
}

/// The codes of gRPC, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Code(pub i32);

impl Code {
    /// Cancelled by the caller.
    pub const CANCELLED: Code = Code(1);
    /// A wrong request.
    pub const INVALID: Code = Code(3);
    /// Not done in time.
    pub const TIMEOUT: Code = Code(4);
    /// There is no such volume.
    pub const NOT_FOUND: Code = Code(5);
    /// No room.
    pub const EXHAUSTED: Code = Code(8);
    /// Another call for the same volume is at work.
    pub const ABORTED: Code = Code(10);
    /// More or less than can be.
    pub const OUT_OF_RANGE: Code = Code(11);
    /// A mistake of the driver's.
    pub const INTERNAL: Code = Code(13);
    /// Not reached.
    pub const UNAVAILABLE: Code = Code(14);

    /// True when the driver may still be at work, or may have done what was asked.
    pub fn may_go_on(self) -> bool {
        [Code::CANCELLED, Code::TIMEOUT, Code::ABORTED, Code::UNAVAILABLE].contains(&self)
    }

    /// True when the same request will fail again until somebody changes something.
    pub fn is_hopeless(self) -> bool {
        [Code::INVALID, Code::NOT_FOUND, Code::OUT_OF_RANGE].contains(&self)
    }

    /// Its name, as the official sidecars write it.
    pub fn name(self) -> &'static str {
        usize::try_from(self.0).ok().and_then(|number| NAMES.get(number)).unwrap_or(&"Unknown")
    }

    /// The code of this name.
    pub fn named(name: &str) -> Option<Code> {
        let number = NAMES.iter().position(|known| *known == name)?;
        i32::try_from(number).ok().map(Code)
    }
}

/// By their numbers.
const NAMES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code.name(), self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_in_no_text() {
        let secrets = Secrets(Words::from([("password".to_owned(), "hunter2".to_owned())]));
        let text = format!("{secrets:?}");
        assert!(!text.contains("hunter2") && !text.contains("password"), "{text}");
    }

    #[test]
    fn codes_have_the_names_that_the_official_sidecars_show() {
        assert_eq!(Code::EXHAUSTED.name(), "ResourceExhausted");
        assert_eq!(Code(16).name(), "Unauthenticated");
        assert_eq!((Code::named("Aborted"), Code::named("Gone")), (Some(Code::ABORTED), None));
        assert_eq!((Code(17).name(), Code(-1).name()), ("Unknown", "Unknown"));
    }
}
