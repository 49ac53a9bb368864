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
