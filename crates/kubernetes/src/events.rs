//! Events: what people see of a duty with `kubectl describe`.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

/// Reasons, as the official sidecars name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// A volume is being made.
    Provisioning,
    /// It was.
    ProvisioningSucceeded,
    /// It was not.
    ProvisioningFailed,
    /// It was not deleted.
    VolumeFailedDelete,
    /// It is growing.
    Resizing,
    /// What is in it has to grow next.
    FileSystemResizeRequired,
    /// It has grown.
    Resized,
    /// It has not.
    ResizeFailed,
    /// A volume is getting other attributes.
    VolumeModify,
    /// It has got them.
    VolumeModifySuccessful,
    /// It has not.
    VolumeModifyFailed,
    /// Nobody asks for them any more.
    VolumeModifyCanceled,
    /// Something is wrong with a volume.
    VolumeConditionAbnormal,
    /// Nothing is any more.
    VolumeConditionNormal,
    /// A snapshot was not cut.
    SnapshotCreationFailed,
    /// One that is said to be there was not found.
    SnapshotLookUpFailed,
    /// One was not deleted.
    SnapshotDeleteError,
    /// The snapshots of a group were not cut.
    GroupSnapshotCreationFailed,
    /// A group that is said to be there was not found.
    GroupSnapshotLookUpFailed,
    /// One was not deleted.
    GroupSnapshotDeleteError,
}

impl Reason {
    fn words(self) -> (EventType, &'static str, &'static str) {
        match self {
            Reason::Provisioning => (EventType::Normal, "Provisioning", "Provision"),
            Reason::ProvisioningSucceeded => {
                (EventType::Normal, "ProvisioningSucceeded", "Provision")
            }
            Reason::ProvisioningFailed => (EventType::Warning, "ProvisioningFailed", "Provision"),
            Reason::VolumeFailedDelete => (EventType::Warning, "VolumeFailedDelete", "Delete"),
            Reason::Resizing => (EventType::Normal, "Resizing", "Resize"),
            Reason::FileSystemResizeRequired => {
                (EventType::Normal, "FileSystemResizeRequired", "Resize")
            }
            Reason::Resized => (EventType::Normal, "VolumeResizeSuccessful", "Resize"),
            Reason::ResizeFailed => (EventType::Warning, "VolumeResizeFailed", "Resize"),
            Reason::VolumeModify => (EventType::Normal, "VolumeModify", "Modify"),
            Reason::VolumeModifySuccessful => {
                (EventType::Normal, "VolumeModifySuccessful", "Modify")
            }
            Reason::VolumeModifyFailed => (EventType::Warning, "VolumeModifyFailed", "Modify"),
            Reason::VolumeModifyCanceled => (EventType::Normal, "VolumeModifyCanceled", "Modify"),
            Reason::VolumeConditionAbnormal => {
                (EventType::Warning, "VolumeConditionAbnormal", "Watch")
            }
            Reason::VolumeConditionNormal => (EventType::Normal, "VolumeConditionNormal", "Watch"),
            Reason::SnapshotCreationFailed => {
                (EventType::Warning, "SnapshotCreationFailed", "Snapshot")
            }
            Reason::SnapshotLookUpFailed => {
                (EventType::Warning, "SnapshotContentCheckandUpdateFailed", "Snapshot")
            }
            Reason::SnapshotDeleteError => (EventType::Warning, "SnapshotDeleteError", "Snapshot"),
            Reason::GroupSnapshotCreationFailed => {
                (EventType::Warning, "GroupSnapshotCreationFailed", "Snapshot")
            }
            Reason::GroupSnapshotLookUpFailed => {
                (EventType::Warning, "GroupSnapshotContentCheckandUpdateFailed", "Snapshot")
            }
            Reason::GroupSnapshotDeleteError => {
                (EventType::Warning, "GroupSnapshotDeleteError", "Snapshot")
            }
        }
    }
}

impl Reason {
    /// True where something was not deleted.
    pub(crate) fn is_of_deletion(self) -> bool {
        use Reason::{GroupSnapshotDeleteError, SnapshotDeleteError, VolumeFailedDelete};
        matches!(self, VolumeFailedDelete | SnapshotDeleteError | GroupSnapshotDeleteError)
    }

    /// What is said of a snapshot that failed for this reason.
    pub(crate) fn about_snapshot(self, failure: &str) -> String {
        match self {
            Reason::SnapshotDeleteError => format!("Failed to delete snapshot: {failure}"),
            Reason::SnapshotLookUpFailed => {
                format!("Failed to check and update snapshot content: {failure}")
            }
            Reason::GroupSnapshotDeleteError => {
                format!("Failed to delete group snapshot: {failure}")
            }
            Reason::GroupSnapshotLookUpFailed => {
                format!("Failed to check and update group snapshot content: {failure}")
            }
            Reason::GroupSnapshotCreationFailed => {
                format!("Failed to create group snapshot: {failure}")
            }
            _ => format!("Failed to create snapshot: {failure}"),
        }
    }
}

/// Whoever tells them.
pub(crate) struct Events(Recorder);

/// The API server takes no longer note.
const LONGEST: usize = 1024;

impl Events {
    /// For the driver, on the node.
    pub(crate) fn new(client: Client, driver: &str, node: Option<&str>) -> Events {
        let controller = match node {
            Some(node) => format!("{driver}_{node}"),
            None => driver.to_owned(),
        };
        Events(Recorder::new(client, Reporter { controller, instance: None }))
    }

    /// Tells of `about`. That it could not be told is no failure of the duty.
    pub(crate) async fn tell(&self, reason: Reason, about: &ObjectReference, words: String) {
        let (type_, reason, action) = reason.words();
        let note: String = words.chars().take(LONGEST / 4).collect();
        let note = if words.len() <= LONGEST { words } else { note };
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: action.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.0.publish(&event, about).await {
            log::debug!("event `{reason}` could not be told: {error}");
        }
    }
}
