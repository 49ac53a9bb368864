//! The RPCs, found by the names that people and programs give them.

use super::{PACKAGE, descriptors, marked};
use becket_core::error::shown;
use becket_core::{Error, Kind, Result};
use prost_reflect::{DynamicMessage, MessageDescriptor, MethodDescriptor};

/// The services of CSI, in the order of the specification.
pub const SERVICES: [&str; 5] =
    ["Identity", "Controller", "GroupController", "Node", "SnapshotMetadata"];

/// One RPC of CSI.
#[derive(Debug, Clone)]
pub struct Rpc {
    method: MethodDescriptor,
}

impl Rpc {
    /// Every RPC, service by service as in [`SERVICES`].
    pub fn all() -> impl Iterator<Item = Rpc> {
        SERVICES
            .iter()
            .filter_map(|name| descriptors().get_service_by_name(&format!("{PACKAGE}.{name}")))
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .map(|method| Rpc { method })
    }

    /// The RPC of this name: `NodeStageVolume`, `node-stage-volume`, in any case, also behind its
    /// service as in `Node.NodeStageVolume`. `Invalid` when there is none.
    pub fn named(text: &str) -> Result<Rpc> {
        let plain = |name: &str| name.replace(['-', '_'], "").to_lowercase();
        let (service, name) = match text.rsplit_once(['.', '/']) {
            Some((service, name)) => (Some(plain(service)), plain(name)),
            None => (None, plain(text)),
        };
        let fits = |rpc: &Rpc| {
            let full = format!("{PACKAGE}.{}", rpc.service()).to_lowercase();
            let service = service.as_ref();
            plain(rpc.name()) == name
                && service.is_none_or(|service| {
                    *service == rpc.service().to_lowercase() || service.trim_matches('/') == full
                })
        };
        Rpc::all().find(fits).ok_or_else(|| unknown(text, &name))
    }

    /// Its name, such as `NodeStageVolume`.
    pub fn name(&self) -> &str {
        self.method.name()
    }

    /// The short name of its service, such as `Node`.
    pub fn service(&self) -> String {
        self.method.parent_service().name().to_owned()
    }

    /// The path of its calls, such as `/csi.v1.Node/NodeStageVolume`.
    pub fn path(&self) -> String {
        format!("/{}/{}", self.method.parent_service().full_name(), self.method.name())
    }

    /// Whether it answers with a stream of messages.
    pub fn streams(&self) -> bool {
        self.method.is_server_streaming()
    }

    /// Whether the specification marks it, or its service, as alpha.
    pub fn alpha(&self) -> bool {
        marked(self.method.options(), "alpha_method")
            || marked(self.method.parent_service().options(), "alpha_service")
    }

    /// What it is asked with.
    pub fn request(&self) -> MessageDescriptor {
        self.method.input()
    }

    /// What it answers.
    pub fn answer(&self) -> MessageDescriptor {
        self.method.output()
    }

    /// A request with nothing in it.
    pub fn empty_request(&self) -> DynamicMessage {
        DynamicMessage::new(self.request())
    }
}

/// Says that there is no such RPC, and which ones may have been meant.
fn unknown(text: &str, plain: &str) -> Error {
    let alike: Vec<String> = Rpc::all()
        .filter(|rpc| plain.len() > 2 && rpc.name().to_lowercase().contains(plain))
        .map(|rpc| rpc.name().to_owned())
        .collect();
    let hint = match alike.is_empty() {
        true => "`becket csi list` shows all RPCs".to_owned(),
        false => format!("names like it: {}", alike.join(", ")),
    };
    Error::new(Kind::Invalid, format!("CSI has no RPC `{}`", shown(text))).hint(hint)
}
