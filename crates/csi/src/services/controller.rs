//! Controller: the wiring of its RPCs, and what of them the driver claims.

use super::{attach, capacity, create, expand, health, service, snapshots, volumes};
use crate::plugin::Plugin;
use crate::protocol::csi::controller_server::Controller;
use crate::protocol::csi::controller_service_capability::rpc::Type as Can;
use crate::protocol::csi::controller_service_capability::{Rpc, Type};
use crate::protocol::csi::{
    ControllerGetCapabilitiesRequest, ControllerGetCapabilitiesResponse,
    ControllerServiceCapability,
};
use becket_core::Result;

service! {
    /// The Controller service.
    ControllerService: Controller {
        create_volume(CreateVolumeRequest) -> CreateVolumeResponse, Controller, create::create;
        delete_volume(DeleteVolumeRequest) -> DeleteVolumeResponse, Controller, volumes::delete;
        controller_publish_volume(ControllerPublishVolumeRequest)
            -> ControllerPublishVolumeResponse, Node, attach::attach;
        controller_unpublish_volume(ControllerUnpublishVolumeRequest)
            -> ControllerUnpublishVolumeResponse, Node, attach::detach;
        validate_volume_capabilities(ValidateVolumeCapabilitiesRequest)
            -> ValidateVolumeCapabilitiesResponse, Question, volumes::validate;
        list_volumes(ListVolumesRequest) -> ListVolumesResponse, Question, volumes::list;
        controller_get_volume(ControllerGetVolumeRequest) -> ControllerGetVolumeResponse,
            Question, volumes::get;
        get_capacity(GetCapacityRequest) -> GetCapacityResponse, Question, capacity::capacity;
        controller_get_capabilities(ControllerGetCapabilitiesRequest)
            -> ControllerGetCapabilitiesResponse, Question, capabilities;
        create_snapshot(CreateSnapshotRequest) -> CreateSnapshotResponse, Controller,
            snapshots::create;
        delete_snapshot(DeleteSnapshotRequest) -> DeleteSnapshotResponse, Controller,
            snapshots::delete;
        list_snapshots(ListSnapshotsRequest) -> ListSnapshotsResponse, Question, snapshots::list;
        get_snapshot(GetSnapshotRequest) -> GetSnapshotResponse, Question, snapshots::get;
        controller_expand_volume(ControllerExpandVolumeRequest) -> ControllerExpandVolumeResponse,
            Controller, expand::expand;
        controller_modify_volume(ControllerModifyVolumeRequest) -> ControllerModifyVolumeResponse,
            Controller, volumes::modify;
        controller_get_volume_health(ControllerGetVolumeHealthRequest)
            -> ControllerGetVolumeHealthResponse, Question, health::of_volume;
        controller_list_volume_health(ControllerListVolumeHealthRequest)
            -> ControllerListVolumeHealthResponse, Question, health::list;
    }
}

fn capabilities(
    plugin: &Plugin,
    _: ControllerGetCapabilitiesRequest,
) -> Result<ControllerGetCapabilitiesResponse> {
    let always = [
        Can::CreateDeleteVolume,
        Can::ListVolumes,
        Can::GetCapacity,
        Can::CreateDeleteSnapshot,
        Can::ListSnapshots,
        Can::GetSnapshot,
        Can::CloneVolume,
        Can::ExpandVolume,
        Can::GetVolume,
        Can::SingleNodeMultiWriter,
        Can::ModifyVolume,
        Can::GetVolumeHealth,
        Can::ListVolumeHealth,
    ];
    let attached =
        [Can::PublishUnpublishVolume, Can::PublishReadonly, Can::ListVolumesPublishedNodes];
    let all = always.into_iter().chain(attached.into_iter().filter(|_| plugin.attach));
    let capability = |can: Can| ControllerServiceCapability {
        r#type: Some(Type::Rpc(Rpc { r#type: can as i32 })),
    };
    Ok(ControllerGetCapabilitiesResponse { capabilities: all.map(capability).collect() })
}
