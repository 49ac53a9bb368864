//! What the driver says about itself, asked once at the start of a run.

use super::ask::{self, Access};
use super::calls::Calls;
use super::options::{AccessTypes, Options};
use becket_core::{Error, Kind, Result};
use becket_csi::endpoint::Endpoint;
use becket_csi::protocol::csi::controller_service_capability::{self as controller, rpc as c};
use becket_csi::protocol::csi::node_service_capability::{self as node, rpc as n};
use becket_csi::protocol::csi::plugin_capability::{self as plugin, service, volume_expansion};
use becket_csi::protocol::csi::{self, group_controller_service_capability as group};
use std::collections::HashMap;
use tonic::Code;

/// The driver's own words, and what follows from them for the checks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Survey {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) plugin: Vec<service::Type>,
    pub(crate) expansion: Vec<volume_expansion::Type>,
    pub(crate) controller: Vec<c::Type>,
    pub(crate) node: Vec<n::Type>,
    /// Group snapshots are claimed.
    pub(crate) groups: bool,
    /// A node service answers.
    pub(crate) has_node: bool,
    /// Why there are no services of controllers here, where there are none.
    pub(crate) no_controller: Option<String>,
    pub(crate) node_id: String,
    pub(crate) max_volumes: i64,
    /// The node's segments; empty where it has none.
    pub(crate) topology: HashMap<String, String>,
    /// Why there are no mount volumes, where there are none.
    pub(crate) no_mount: Option<String>,
    /// Why there are no block volumes, where there are none.
    pub(crate) no_block: Option<String>,
    /// Why the node's paths cannot be looked at, where they cannot.
    pub(crate) not_here: Option<String>,
}

const NO_CONTROLLER: &str = "there is no controller service at the endpoint; where it has its own, \
                             give --controller-endpoint";

impl Survey {
    /// Asks everything. `Unavailable` when the driver does not even say its name.
    pub(crate) async fn take(calls: &Calls, options: &Options) -> Result<Survey> {
        let mut survey = Survey { not_here: not_here(options), ..Survey::default() };
        let info = calls.get_plugin_info(csi::GetPluginInfoRequest {}).await;
        let info = info.result.map_err(|status| {
            let words = super::answer::shown(&status);
            Error::new(Kind::Unavailable, format!("GetPluginInfo answered {words}"))
                .hint("check that a CSI driver listens at this endpoint")
        })?;
        (survey.name, survey.version) = (info.name, info.vendor_version);
        survey.ask_plugin(calls).await;
        survey.ask_controller(calls).await;
        survey.ask_node(calls).await;
        survey.try_access_types(calls, options).await;
        Ok(survey)
    }

    async fn ask_plugin(&mut self, calls: &Calls) {
        let request = csi::GetPluginCapabilitiesRequest {};
        for capability in all(calls.get_plugin_capabilities(request).await).capabilities {
            match capability.r#type {
                Some(plugin::Type::Service(service)) => self.plugin.push(service.r#type()),
                Some(plugin::Type::VolumeExpansion(how)) => self.expansion.push(how.r#type()),
                None => {}
            }
        }
    }

    async fn ask_controller(&mut self, calls: &Calls) {
        if self.plugin.contains(&service::Type::ControllerService) {
            let request = csi::ControllerGetCapabilitiesRequest {};
            let answer = calls.controller_get_capabilities(request).await;
            if answer.code() == Code::Unimplemented {
                // Halves of a driver claim what the whole has.
                self.no_controller = Some(NO_CONTROLLER.to_owned());
                return;
            }
            let claimed = all(answer).capabilities;
            let rpc = |capability: csi::ControllerServiceCapability| {
                capability.r#type.map(|controller::Type::Rpc(rpc)| rpc.r#type())
            };
            self.controller = claimed.into_iter().filter_map(rpc).collect();
        }
        if self.plugin.contains(&service::Type::GroupControllerService) {
            let request = csi::GroupControllerGetCapabilitiesRequest {};
            let claimed = all(calls.group_controller_get_capabilities(request).await).capabilities;
            self.groups = claimed.iter().any(|capability| match &capability.r#type {
                Some(group::Type::Rpc(rpc)) => {
                    rpc.r#type() == group::rpc::Type::CreateDeleteGetVolumeGroupSnapshot
                }
                None => false,
            });
        }
    }

    async fn ask_node(&mut self, calls: &Calls) {
        let answer = calls.node_get_capabilities(csi::NodeGetCapabilitiesRequest {}).await;
        self.has_node = answer.result.is_ok();
        let rpc = |capability: csi::NodeServiceCapability| {
            capability.r#type.map(|node::Type::Rpc(rpc)| rpc.r#type())
        };
        self.node = all(answer).capabilities.into_iter().filter_map(rpc).collect();
        let info = all(calls.node_get_info(csi::NodeGetInfoRequest {}).await);
        (self.node_id, self.max_volumes) = (info.node_id, info.max_volumes_per_node);
        self.topology = info.accessible_topology.unwrap_or_default().segments;
    }

    /// Makes one volume of each access type, and takes it away.
    async fn try_access_types(&mut self, calls: &Calls, options: &Options) {
        if !self.controller.contains(&c::Type::CreateDeleteVolume) {
            let unclaimed = || "the driver does not claim CREATE_DELETE_VOLUME".to_owned();
            let reason = self.no_controller.clone().unwrap_or_else(unclaimed);
            (self.no_mount, self.no_block) = (Some(reason.clone()), Some(reason));
            return;
        }
        self.no_mount = match options.access_types {
            AccessTypes::BlockOnly => Some("excluded by --block-only".to_owned()),
            _ => self.refusal(calls, options, Access::Mount).await,
        };
        self.no_block = match options.access_types {
            AccessTypes::MountOnly => Some("excluded by --mount-only".to_owned()),
            _ => self.refusal(calls, options, Access::Block).await,
        };
    }

    async fn refusal(&self, calls: &Calls, options: &Options, access: Access) -> Option<String> {
        let request = ask::create(ask::unique("survey"), access, options, self);
        let answer = calls.create_volume(request).await;
        let words = answer.shown();
        let Ok(made) = answer.result else {
            return Some(format!("the driver makes no {} volumes: {words}", access.word()));
        };
        let volume_id = made.volume.unwrap_or_default().volume_id;
        let request = csi::DeleteVolumeRequest { volume_id, ..Default::default() };
        // What stays is in the ledger.
        let _ = calls.delete_volume(request).await;
        None
    }

    /// True when modes 6 and 7 may be used for publishing.
    pub(crate) fn multi_writer(&self) -> bool {
        self.controller.contains(&c::Type::SingleNodeMultiWriter)
            && self.node.contains(&n::Type::SingleNodeMultiWriter)
    }
}

/// The answer, or an empty one: whether it had to be given is a check's question.
fn all<T: Default>(answer: super::answer::Answer<T>) -> T {
    answer.result.unwrap_or_default()
}

fn not_here(options: &Options) -> Option<String> {
    if options.remote {
        return Some("the driver is elsewhere (--remote)".to_owned());
    }
    if let Endpoint::Tcp(_) = options.endpoint {
        return Some(
            "the driver is reached over TCP, so its node is taken to be another".to_owned(),
        );
    }
    let root = rustix::process::geteuid().is_root();
    (!root).then(|| "looking at what is mounted needs root".to_owned())
}
