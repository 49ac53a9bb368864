//! What a driver says it can, and which RPCs that unlocks.

use super::{Client, Refused};
use crate::shape::{Rpc, to_json};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt;
use tonic::Code;

/// What a driver says it can: the names of the capabilities, by the service that says so.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The plugin's services, such as `CONTROLLER_SERVICE`.
    pub plugin: BTreeSet<String>,
    /// When volumes can be expanded: `ONLINE`, `OFFLINE`.
    pub expansion: BTreeSet<String>,
    /// The controller's.
    pub controller: BTreeSet<String>,
    /// The group controller's.
    pub group: BTreeSet<String>,
    /// The node's.
    pub node: BTreeSet<String>,
}

/// What unlocks an RPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: every driver has it.
    Nothing,
    /// A service of the plugin.
    Plugin(&'static str),
    /// A capability of the controller.
    Controller(&'static str),
    /// A capability of the group controller.
    Group(&'static str),
    /// A capability of the node.
    Node(&'static str),
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Need::Nothing => f.write_str("-"),
            Need::Plugin(name) => write!(f, "plugin {name}"),
            Need::Controller(name) => write!(f, "controller {name}"),
            Need::Group(name) => write!(f, "group {name}"),
            Need::Node(name) => write!(f, "node {name}"),
        }
    }
}

/// What unlocks the RPC, by the specification.
pub fn need(rpc: &Rpc) -> Need {
    use Need::{Controller, Group, Node, Nothing, Plugin};
    match rpc.name() {
        "CreateVolume" | "DeleteVolume" => Controller("CREATE_DELETE_VOLUME"),
        "ControllerPublishVolume" | "ControllerUnpublishVolume" => {
            Controller("PUBLISH_UNPUBLISH_VOLUME")
        }
        "ListVolumes" => Controller("LIST_VOLUMES"),
        "ControllerListVolumeHealth" => Controller("LIST_VOLUME_HEALTH"),
        "ControllerGetVolumeHealth" => Controller("GET_VOLUME_HEALTH"),
        "GetCapacity" => Controller("GET_CAPACITY"),
        "CreateSnapshot" | "DeleteSnapshot" => Controller("CREATE_DELETE_SNAPSHOT"),
        "ListSnapshots" => Controller("LIST_SNAPSHOTS"),
        "GetSnapshot" => Controller("GET_SNAPSHOT"),
        "ControllerExpandVolume" => Controller("EXPAND_VOLUME"),
        "ControllerGetVolume" => Controller("GET_VOLUME"),
        "ControllerModifyVolume" => Controller("MODIFY_VOLUME"),
        "ValidateVolumeCapabilities" | "ControllerGetCapabilities" => Plugin("CONTROLLER_SERVICE"),
        "GroupControllerGetCapabilities" => Plugin("GROUP_CONTROLLER_SERVICE"),
        "CreateVolumeGroupSnapshot" | "DeleteVolumeGroupSnapshot" | "GetVolumeGroupSnapshot" => {
            Group("CREATE_DELETE_GET_VOLUME_GROUP_SNAPSHOT")
        }
        "GetMetadataAllocated" | "GetMetadataDelta" => Plugin("SNAPSHOT_METADATA_SERVICE"),
        "NodeStageVolume" | "NodeUnstageVolume" => Node("STAGE_UNSTAGE_VOLUME"),
        "NodeGetVolumeStats" => Node("GET_VOLUME_STATS"),
        "NodeGetVolumeHealth" => Node("GET_VOLUME_HEALTH"),
        "NodeGetStorageHealth" => Node("GET_STORAGE_HEALTH"),
        "NodeExpandVolume" => Node("EXPAND_VOLUME"),
        _ => Nothing,
    }
}

impl Capabilities {
    /// Asks a driver, whose controller and node may be at two endpoints or at one. A service that is not
    /// there (`UNIMPLEMENTED`) can nothing. Any other answer but OK is the error.
    pub fn read(controller: &Client, node: &Client) -> Result<Capabilities, Refused> {
        let plugin = ask(controller, "GetPluginCapabilities")?;
        let mut all = Capabilities {
            plugin: types(&plugin, "service"),
            expansion: types(&plugin, "volume_expansion"),
            ..Capabilities::default()
        };
        if all.plugin.contains("CONTROLLER_SERVICE") {
            all.controller = types(&ask(controller, "ControllerGetCapabilities")?, "rpc");
        }
        if all.plugin.contains("GROUP_CONTROLLER_SERVICE") {
            all.group = types(&ask(controller, "GroupControllerGetCapabilities")?, "rpc");
        }
        all.node = types(&ask(node, "NodeGetCapabilities")?, "rpc");
        Ok(all)
    }

    /// Whether the driver has what is needed.
    pub fn has(&self, need: Need) -> bool {
        match need {
            Need::Nothing => true,
            Need::Plugin(name) => self.plugin.contains(name),
            Need::Controller(name) => self.controller.contains(name),
            Need::Group(name) => self.group.contains(name),
            Need::Node(name) => self.node.contains(name),
        }
    }
}

/// The answer's list of capabilities.
fn ask(client: &Client, name: &str) -> Result<Vec<Value>, Refused> {
    let Ok(rpc) = Rpc::named(name) else {
        return Ok(Vec::new());
    };
    let answer = client.call(&rpc, &rpc.empty_request());
    match answer.outcome.status.code {
        Code::Ok => {
            let lists =
                answer.messages.iter().map(|message| to_json(message)["capabilities"].take());
            Ok(lists.flat_map(|list| list.as_array().cloned().unwrap_or_default()).collect())
        }
        Code::Unimplemented => Ok(Vec::new()),
        _ => Err(Refused { rpc: name.to_owned(), status: answer.outcome.status }),
    }
}

/// The names of the capabilities of one kind. What a later version adds is a number here, and is left
/// out.
fn types(list: &[Value], kind: &str) -> BTreeSet<String> {
    list.iter().filter_map(|one| Some(one[kind]["type"].as_str()?.to_owned())).collect()
}
