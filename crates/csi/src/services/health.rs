//! What is wrong with volumes and with the storage below them.

use crate::plugin::Plugin;
use crate::protocol::csi::{
    ControllerGetVolumeHealthRequest, ControllerGetVolumeHealthResponse,
    ControllerListVolumeHealthRequest, ControllerListVolumeHealthResponse,
    NodeGetStorageHealthRequest, NodeGetStorageHealthResponse, NodeGetVolumeHealthRequest,
    NodeGetVolumeHealthResponse,
};
use crate::work::unclaimed;
use becket_core::Result;

/// `ControllerGetVolumeHealth`.
pub fn of_volume(
    _: &Plugin,
    _: ControllerGetVolumeHealthRequest,
) -> Result<ControllerGetVolumeHealthResponse> {
    unclaimed("ControllerGetVolumeHealth")
}

/// `ControllerListVolumeHealth`.
pub fn list(
    _: &Plugin,
    _: ControllerListVolumeHealthRequest,
) -> Result<ControllerListVolumeHealthResponse> {
    unclaimed("ControllerListVolumeHealth")
}

/// `NodeGetVolumeHealth`.
pub fn of_volume_on_node(
    _: &Plugin,
    _: NodeGetVolumeHealthRequest,
) -> Result<NodeGetVolumeHealthResponse> {
    unclaimed("NodeGetVolumeHealth")
}

/// `NodeGetStorageHealth`.
pub fn of_storage(
    _: &Plugin,
    _: NodeGetStorageHealthRequest,
) -> Result<NodeGetStorageHealthResponse> {
    unclaimed("NodeGetStorageHealth")
}
