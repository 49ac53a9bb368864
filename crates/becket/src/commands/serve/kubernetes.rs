//! The duties of Becket's own drivers: what becket-kubernetes asks, as calls of the CSI services.

mod messages;

use crate::args::serve::ServeArgs;
use becket_csi::driver::Driver as Csi;
use becket_csi::local::{Going, Local};
use becket_csi::protocol::csi::{
    CapacityRange, ControllerExpandVolumeRequest, ControllerGetVolumeRequest,
    ControllerListVolumeHealthRequest, ControllerModifyVolumeRequest, CreateSnapshotRequest,
    CreateVolumeGroupSnapshotRequest, CreateVolumeRequest, DeleteSnapshotRequest,
    DeleteVolumeGroupSnapshotRequest, DeleteVolumeRequest, GetCapacityRequest, GetSnapshotRequest,
    GetVolumeGroupSnapshotRequest, Topology, TopologyRequirement, VolumeHealth,
};
use becket_kubernetes::driver::{
    Cut, Driver, Group, GroupToCut, Grown, Made, Refusal, Secrets, ToCut, Wanted, Words,
};
use becket_kubernetes::duties;
use becket_kubernetes::interface::{self, FLEXVOLUME, Interface};
use futures::FutureExt;
use messages::{capability, content, cut, group, made, refusal, some, there};
use std::collections::HashMap;
use std::sync::Arc;

/// Does the duties of a served driver until `end`; with the vendor of FlexVolume drivers among the arguments, also
/// for claims whose volumes are to be reached through those.
pub(in crate::commands) fn duties(local: Local, arguments: &ServeArgs, end: Going) -> Going {
    let plugin = local.plugin();
    if plugin.driver.is_shared() {
        let name = plugin.driver.name();
        log::info!("claims of `{name}` are served by `becket controller`");
        return end;
    }
    let node = plugin.node.clone();
    let end = end.shared();
    let csi =
        Own { local: local.clone(), interface: Interface::Csi, has_taint: arguments.remove_taint };
    let csi = duties::keep(Arc::new(csi), Some(node.clone()), end.clone());
    let Some(vendor) = &arguments.flexvolume else {
        return Box::pin(csi);
    };
    let driver = format!("{vendor}/{}", plugin.driver.backend());
    let interface = Interface::FlexVolume(driver);
    let flexvolume = Own { local, interface, has_taint: false };
    let flexvolume = duties::keep(Arc::new(flexvolume), Some(node), end);
    Box::pin(futures::future::join(csi, flexvolume).map(drop))
}

/// Does the duties of a driver whose volumes are for all nodes, while this process has its lease, until `end`.
pub(in crate::commands) fn shared_duties(local: Local, end: Going) -> Going {
    let driver = Own { local, interface: Interface::Csi, has_taint: false };
    Box::pin(duties::keep(Arc::new(driver), None, end))
}

/// A driver of ours.
struct Own {
    local: Local,
    /// Through which its volumes are reached.
    interface: Interface,
    has_taint: bool,
}

impl Driver for Own {
    fn name(&self) -> &str {
        match self.interface {
            Interface::Csi => self.csi().name(),
            Interface::FlexVolume(_) => FLEXVOLUME,
        }
    }

    fn interface(&self) -> &Interface {
        &self.interface
    }

    fn segments(&self) -> Words {
        self.local.segments()
    }

    fn filesystem(&self) -> Option<&str> {
        let default = self.csi().filesystems()[0];
        default.filesystem().map(|kind| kind.name())
    }

    fn attaches(&self) -> bool {
        self.local.plugin().attach
    }

    fn has_taint(&self) -> bool {
        self.has_taint
    }

    async fn room(&self, wanted: &Wanted) -> Result<u64, Refusal> {
        let request = GetCapacityRequest {
            volume_capabilities: wanted.uses.iter().map(capability).collect(),
            parameters: self.parameters(wanted.parameters.clone()),
            accessible_topology: self.topology(),
        };
        let room = self.local.get_capacity(request).await.map_err(refusal)?;
        let largest = room.maximum_volume_size.unwrap_or(room.available_capacity);
        Ok(u64::try_from(largest).unwrap_or(0))
    }

    async fn create(&self, wanted: Wanted) -> Result<Made, Refusal> {
        let bytes = i64::try_from(wanted.bytes).unwrap_or(i64::MAX);
        let here: Vec<Topology> = self.topology().into_iter().collect();
        let request = CreateVolumeRequest {
            name: wanted.name,
            capacity_range: Some(CapacityRange { required_bytes: bytes, limit_bytes: 0 }),
            volume_capabilities: wanted.uses.iter().map(capability).collect(),
            parameters: self.parameters(wanted.parameters),
            secrets: wanted.secrets.0.into_iter().collect(),
            volume_content_source: wanted.source.map(content),
            accessibility_requirements: (!here.is_empty())
                .then(|| TopologyRequirement { requisite: here.clone(), preferred: here }),
            mutable_parameters: wanted.attributes.into_iter().collect(),
        };
        let answer = self.local.create_volume(request).await.map_err(refusal)?;
        some(answer.volume.map(made), "volume")
    }

    async fn expand(&self, id: &str, bytes: u64, secrets: Secrets) -> Result<Grown, Refusal> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        let request = ControllerExpandVolumeRequest {
            volume_id: id.to_owned(),
            capacity_range: Some(CapacityRange { required_bytes: bytes, limit_bytes: 0 }),
            secrets: secrets.0.into_iter().collect(),
            volume_capability: None,
        };
        let answer = self.local.expand_volume(request).await.map_err(refusal)?;
        Ok(Grown {
            bytes: u64::try_from(answer.capacity_bytes).unwrap_or(0),
            node_is_next: answer.node_expansion_required,
        })
    }

    async fn modify(&self, id: &str, attributes: Words, secrets: Secrets) -> Result<(), Refusal> {
        let request = ControllerModifyVolumeRequest {
            volume_id: id.to_owned(),
            secrets: secrets.0.into_iter().collect(),
            mutable_parameters: attributes.into_iter().collect(),
        };
        self.local.modify_volume(request).await.map(drop).map_err(refusal)
    }

    async fn knows(&self, id: &str) -> Result<bool, Refusal> {
        let request = ControllerGetVolumeRequest { volume_id: id.to_owned() };
        there(self.local.get_volume(request).await).map(|found| found.is_some())
    }

    async fn complaints(&self) -> Result<Words, Refusal> {
        let request = ControllerListVolumeHealthRequest::default();
        let answer = self.local.list_health(request).await.map_err(refusal)?;
        let words = |of: VolumeHealth| {
            let each = of.health_statuses.into_iter().map(|it| it.message);
            (of.volume_id, each.collect::<Vec<_>>().join("; "))
        };
        Ok(answer.entries.into_iter().map(words).collect())
    }

    async fn cut(&self, wanted: ToCut) -> Result<Cut, Refusal> {
        let request = CreateSnapshotRequest {
            source_volume_id: wanted.volume,
            name: wanted.name,
            secrets: wanted.secrets.0.into_iter().collect(),
            parameters: wanted.parameters.into_iter().collect(),
            ..CreateSnapshotRequest::default()
        };
        let answer = self.local.create_snapshot(request).await.map_err(refusal)?;
        some(answer.snapshot.map(cut), "snapshot")
    }

    async fn snapshot(&self, id: &str) -> Result<Option<Cut>, Refusal> {
        let request =
            GetSnapshotRequest { snapshot_id: id.to_owned(), ..GetSnapshotRequest::default() };
        let found = there(self.local.get_snapshot(request).await)?;
        Ok(found.and_then(|answer| answer.snapshot).map(cut))
    }

    async fn delete_snapshot(&self, id: &str, secrets: Secrets) -> Result<(), Refusal> {
        let secrets = secrets.0.into_iter().collect();
        let request = DeleteSnapshotRequest { snapshot_id: id.to_owned(), secrets };
        self.local.delete_snapshot(request).await.map(drop).map_err(refusal)
    }

    async fn cut_group(&self, wanted: GroupToCut) -> Result<Group, Refusal> {
        let request = CreateVolumeGroupSnapshotRequest {
            name: wanted.name,
            source_volume_ids: wanted.volumes,
            secrets: wanted.secrets.0.into_iter().collect(),
            parameters: wanted.parameters.into_iter().collect(),
        };
        let answer = self.local.create_group_snapshot(request).await.map_err(refusal)?;
        some(answer.group_snapshot.map(group), "group snapshot")
    }

    async fn group(&self, id: &str, members: &[String]) -> Result<Option<Group>, Refusal> {
        let request = GetVolumeGroupSnapshotRequest {
            group_snapshot_id: id.to_owned(),
            snapshot_ids: members.to_owned(),
            ..GetVolumeGroupSnapshotRequest::default()
        };
        let found = there(self.local.get_group_snapshot(request).await)?;
        Ok(found.and_then(|answer| answer.group_snapshot).map(group))
    }

    async fn delete_group(
        &self,
        id: &str,
        members: &[String],
        secrets: Secrets,
    ) -> Result<(), Refusal> {
        let request = DeleteVolumeGroupSnapshotRequest {
            group_snapshot_id: id.to_owned(),
            snapshot_ids: members.to_owned(),
            secrets: secrets.0.into_iter().collect(),
        };
        self.local.delete_group_snapshot(request).await.map(drop).map_err(refusal)
    }

    async fn delete(&self, id: &str, secrets: Secrets) -> Result<(), Refusal> {
        let secrets = secrets.0.into_iter().collect();
        let request = DeleteVolumeRequest { volume_id: id.to_owned(), secrets };
        self.local.delete_volume(request).await.map(drop).map_err(refusal)
    }
}

impl Own {
    fn csi(&self) -> Csi {
        self.local.plugin().driver
    }

    /// Those of a class that are the backend's.
    fn parameters(&self, mut parameters: Words) -> HashMap<String, String> {
        if self.interface != Interface::Csi {
            parameters.remove(interface::DRIVER);
        }
        parameters.into_iter().collect()
    }

    fn topology(&self) -> Option<Topology> {
        let segments = self.local.segments();
        (!segments.is_empty()).then(|| Topology { segments: segments.into_iter().collect() })
    }
}
