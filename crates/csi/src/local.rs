//! The controller's calls of a driver, those of groups included, for others in its own process: no socket, and the same rules.

use crate::plugin::{NODE_SEGMENT, Plugin};
use crate::protocol::csi::controller_server::Controller;
use crate::protocol::csi::group_controller_server::GroupController;
use crate::protocol::csi::{
    ControllerExpandVolumeRequest, ControllerExpandVolumeResponse, ControllerGetVolumeRequest,
    ControllerGetVolumeResponse, ControllerListVolumeHealthRequest,
    ControllerListVolumeHealthResponse, ControllerModifyVolumeRequest,
    ControllerModifyVolumeResponse, CreateSnapshotRequest, CreateSnapshotResponse,
    CreateVolumeGroupSnapshotRequest, CreateVolumeGroupSnapshotResponse, CreateVolumeRequest,
    CreateVolumeResponse, DeleteSnapshotRequest, DeleteSnapshotResponse,
    DeleteVolumeGroupSnapshotRequest, DeleteVolumeGroupSnapshotResponse, DeleteVolumeRequest,
    DeleteVolumeResponse, GetCapacityRequest, GetCapacityResponse, GetSnapshotRequest,
    GetSnapshotResponse, GetVolumeGroupSnapshotRequest, GetVolumeGroupSnapshotResponse,
};
use crate::services::controller::ControllerService;
use crate::services::groups::GroupService;
use crate::work::Work;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use tonic::{Request, Response, Status};

/// What goes on until something else ends it.
pub type Going = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What is done beside a served driver, until the future that it is given ends.
pub type Beside<'a> = &'a dyn Fn(Local, Going) -> Going;

/// A driver of this process.
#[derive(Clone)]
pub struct Local {
    controller: ControllerService,
    groups: GroupService,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The number of gRPC's code.
    pub code: i32,
    /// Why.
    pub message: String,
}

impl Local {
    /// The driver whose work this is.
    pub(crate) fn new(work: &Work) -> Local {
        Local { controller: ControllerService(work.clone()), groups: GroupService(work.clone()) }
    }

    /// What is served.
    pub fn plugin(&self) -> &Plugin {
        self.controller.0.plugin()
    }

    /// The segments of this node's topology; none where volumes can be used on every node.
    pub fn segments(&self) -> BTreeMap<String, String> {
        let plugin = self.plugin();
        match plugin.driver.is_shared() {
            true => BTreeMap::new(),
            false => [(NODE_SEGMENT.to_owned(), plugin.node.clone())].into(),
        }
    }

    /// `CreateVolume`.
    pub async fn create_volume(
        &self,
        request: CreateVolumeRequest,
    ) -> Result<CreateVolumeResponse, Refused> {
        answer(self.controller.create_volume(Request::new(request)).await)
    }

    /// `DeleteVolume`.
    pub async fn delete_volume(
        &self,
        request: DeleteVolumeRequest,
    ) -> Result<DeleteVolumeResponse, Refused> {
        answer(self.controller.delete_volume(Request::new(request)).await)
    }

    /// `ControllerExpandVolume`.
    pub async fn expand_volume(
        &self,
        request: ControllerExpandVolumeRequest,
    ) -> Result<ControllerExpandVolumeResponse, Refused> {
        answer(self.controller.controller_expand_volume(Request::new(request)).await)
    }

    /// `ControllerModifyVolume`.
    pub async fn modify_volume(
        &self,
        request: ControllerModifyVolumeRequest,
    ) -> Result<ControllerModifyVolumeResponse, Refused> {
        answer(self.controller.controller_modify_volume(Request::new(request)).await)
    }

    /// `ControllerGetVolume`.
    pub async fn get_volume(
        &self,
        request: ControllerGetVolumeRequest,
    ) -> Result<ControllerGetVolumeResponse, Refused> {
        answer(self.controller.controller_get_volume(Request::new(request)).await)
    }

    /// `ControllerListVolumeHealth`.
    pub async fn list_health(
        &self,
        request: ControllerListVolumeHealthRequest,
    ) -> Result<ControllerListVolumeHealthResponse, Refused> {
        answer(self.controller.controller_list_volume_health(Request::new(request)).await)
    }

    /// `CreateSnapshot`.
    pub async fn create_snapshot(
        &self,
        request: CreateSnapshotRequest,
    ) -> Result<CreateSnapshotResponse, Refused> {
        answer(self.controller.create_snapshot(Request::new(request)).await)
    }

    /// `GetSnapshot`.
    pub async fn get_snapshot(
        &self,
        request: GetSnapshotRequest,
    ) -> Result<GetSnapshotResponse, Refused> {
        answer(self.controller.get_snapshot(Request::new(request)).await)
    }

    /// `DeleteSnapshot`.
    pub async fn delete_snapshot(
        &self,
        request: DeleteSnapshotRequest,
    ) -> Result<DeleteSnapshotResponse, Refused> {
        answer(self.controller.delete_snapshot(Request::new(request)).await)
    }

    /// `CreateVolumeGroupSnapshot`.
    pub async fn create_group_snapshot(
        &self,
        request: CreateVolumeGroupSnapshotRequest,
    ) -> Result<CreateVolumeGroupSnapshotResponse, Refused> {
        answer(self.groups.create_volume_group_snapshot(Request::new(request)).await)
    }

    /// `GetVolumeGroupSnapshot`.
    pub async fn get_group_snapshot(
        &self,
        request: GetVolumeGroupSnapshotRequest,
    ) -> Result<GetVolumeGroupSnapshotResponse, Refused> {
        answer(self.groups.get_volume_group_snapshot(Request::new(request)).await)
    }

    /// `DeleteVolumeGroupSnapshot`.
    pub async fn delete_group_snapshot(
        &self,
        request: DeleteVolumeGroupSnapshotRequest,
    ) -> Result<DeleteVolumeGroupSnapshotResponse, Refused> {
        answer(self.groups.delete_volume_group_snapshot(Request::new(request)).await)
    }

    /// `GetCapacity`.
    pub async fn get_capacity(
        &self,
        request: GetCapacityRequest,
    ) -> Result<GetCapacityResponse, Refused> {
        answer(self.controller.get_capacity(Request::new(request)).await)
    }
}

fn answer<T>(answered: Result<Response<T>, Status>) -> Result<T, Refused> {
    answered.map(Response::into_inner).map_err(|status| Refused {
        code: status.code() as i32,
        message: status.message().to_owned(),
    })
}
