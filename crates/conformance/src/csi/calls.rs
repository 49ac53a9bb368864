//! Every RPC of CSI 1.13, each with a deadline, the caller's secrets, an entry in the record of
//! calls and one in the ledger of what has to be cleaned up.

use super::answer::{self, Answer};
use super::ledger::Ledger;
use super::options::Options;
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::controller_client::ControllerClient;
use becket_csi::protocol::csi::group_controller_client::GroupControllerClient;
use becket_csi::protocol::csi::identity_client::IdentityClient;
use becket_csi::protocol::csi::node_client::NodeClient;
use becket_csi::protocol::csi::snapshot_metadata_client::SnapshotMetadataClient;
use serde::Serialize;
use std::cell::RefCell;
use std::error::Error as _;
use std::future::Future;
use std::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Response, Status, Streaming};

/// One call that was made, for reports.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    /// The RPC's name.
    pub rpc: &'static str,
    /// The code of the answer, as the specification writes it.
    pub code: &'static str,
    /// The message of an error.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// How long it took.
    pub milliseconds: f64,
}

/// What is to be seen on any error, whatever it is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Errors {
    pub(crate) seen: usize,
    /// Errors that had no message.
    pub(crate) silent: Vec<String>,
    /// Errors that had details.
    pub(crate) detailed: Vec<String>,
    /// Errors whose message had the value of a secret in it.
    pub(crate) leaking: Vec<String>,
}

/// The driver's services.
pub(crate) struct Calls {
    node: Channel,
    controller: Channel,
    options: Options,
    record: RefCell<Vec<Call>>,
    errors: RefCell<Errors>,
    pub(crate) ledger: RefCell<Ledger>,
}

/// The RPCs of one service: `METHOD(RPC, FIELD OF SECRETS): REQUEST -> RESPONSE;`
macro_rules! calls {
    ($client:ident at $channel:ident:
        $($method:ident($rpc:literal $(, $secrets:ident)?): $request:ident -> $response:ident;)*
    ) => {
        impl Calls {$(
            #[allow(unused_mut)]
            pub(crate) async fn $method(
                &self,
                mut request: csi::$request,
            ) -> Answer<csi::$response> {
                $(request.$secrets = self.options.secrets_of($rpc);)?
                let entry = self.ledger.borrow_mut().begins(&request);
                let mut client = $client::new(self.$channel.clone());
                let call = async { client.$method(request).await.map(Response::into_inner) };
                let result = self.timed($rpc, call).await;
                self.ledger.borrow_mut().ends(entry, &result);
                Answer::new($rpc, result)
            }
        )*}
    };
}

calls! { IdentityClient at node:
    get_plugin_info("GetPluginInfo"): GetPluginInfoRequest -> GetPluginInfoResponse;
    get_plugin_capabilities("GetPluginCapabilities"):
        GetPluginCapabilitiesRequest -> GetPluginCapabilitiesResponse;
    probe("Probe"): ProbeRequest -> ProbeResponse;
}

calls! { ControllerClient at controller:
    create_volume("CreateVolume", secrets): CreateVolumeRequest -> CreateVolumeResponse;
    delete_volume("DeleteVolume", secrets): DeleteVolumeRequest -> DeleteVolumeResponse;
    controller_publish_volume("ControllerPublishVolume", secrets):
        ControllerPublishVolumeRequest -> ControllerPublishVolumeResponse;
    controller_unpublish_volume("ControllerUnpublishVolume", secrets):
        ControllerUnpublishVolumeRequest -> ControllerUnpublishVolumeResponse;
    validate_volume_capabilities("ValidateVolumeCapabilities", secrets):
        ValidateVolumeCapabilitiesRequest -> ValidateVolumeCapabilitiesResponse;
    list_volumes("ListVolumes"): ListVolumesRequest -> ListVolumesResponse;
    controller_list_volume_health("ControllerListVolumeHealth", secrets):
        ControllerListVolumeHealthRequest -> ControllerListVolumeHealthResponse;
    controller_get_volume_health("ControllerGetVolumeHealth", secrets):
        ControllerGetVolumeHealthRequest -> ControllerGetVolumeHealthResponse;
    get_capacity("GetCapacity"): GetCapacityRequest -> GetCapacityResponse;
    controller_get_capabilities("ControllerGetCapabilities"):
        ControllerGetCapabilitiesRequest -> ControllerGetCapabilitiesResponse;
    create_snapshot("CreateSnapshot", secrets): CreateSnapshotRequest -> CreateSnapshotResponse;
    delete_snapshot("DeleteSnapshot", secrets): DeleteSnapshotRequest -> DeleteSnapshotResponse;
    list_snapshots("ListSnapshots", secrets): ListSnapshotsRequest -> ListSnapshotsResponse;
    get_snapshot("GetSnapshot", secrets): GetSnapshotRequest -> GetSnapshotResponse;
    controller_expand_volume("ControllerExpandVolume", secrets):
        ControllerExpandVolumeRequest -> ControllerExpandVolumeResponse;
    controller_get_volume("ControllerGetVolume"):
        ControllerGetVolumeRequest -> ControllerGetVolumeResponse;
    controller_modify_volume("ControllerModifyVolume", secrets):
        ControllerModifyVolumeRequest -> ControllerModifyVolumeResponse;
}

calls! { GroupControllerClient at controller:
    group_controller_get_capabilities("GroupControllerGetCapabilities"):
        GroupControllerGetCapabilitiesRequest -> GroupControllerGetCapabilitiesResponse;
    create_volume_group_snapshot("CreateVolumeGroupSnapshot", secrets):
        CreateVolumeGroupSnapshotRequest -> CreateVolumeGroupSnapshotResponse;
    delete_volume_group_snapshot("DeleteVolumeGroupSnapshot", secrets):
        DeleteVolumeGroupSnapshotRequest -> DeleteVolumeGroupSnapshotResponse;
    get_volume_group_snapshot("GetVolumeGroupSnapshot", secrets):
        GetVolumeGroupSnapshotRequest -> GetVolumeGroupSnapshotResponse;
}

calls! { NodeClient at node:
    node_stage_volume("NodeStageVolume", secrets):
        NodeStageVolumeRequest -> NodeStageVolumeResponse;
    node_unstage_volume("NodeUnstageVolume"): NodeUnstageVolumeRequest -> NodeUnstageVolumeResponse;
    node_publish_volume("NodePublishVolume", secrets):
        NodePublishVolumeRequest -> NodePublishVolumeResponse;
    node_unpublish_volume("NodeUnpublishVolume"):
        NodeUnpublishVolumeRequest -> NodeUnpublishVolumeResponse;
    node_get_volume_stats("NodeGetVolumeStats"):
        NodeGetVolumeStatsRequest -> NodeGetVolumeStatsResponse;
    node_get_volume_health("NodeGetVolumeHealth"):
        NodeGetVolumeHealthRequest -> NodeGetVolumeHealthResponse;
    node_get_storage_health("NodeGetStorageHealth", secrets):
        NodeGetStorageHealthRequest -> NodeGetStorageHealthResponse;
    node_expand_volume("NodeExpandVolume", secrets):
        NodeExpandVolumeRequest -> NodeExpandVolumeResponse;
    node_get_capabilities("NodeGetCapabilities"):
        NodeGetCapabilitiesRequest -> NodeGetCapabilitiesResponse;
    node_get_info("NodeGetInfo"): NodeGetInfoRequest -> NodeGetInfoResponse;
}

impl Calls {
    /// Calls to a driver whose node and controller services are behind these channels.
    pub(crate) fn new(node: Channel, controller: Channel, options: &Options) -> Calls {
        Calls {
            node,
            controller,
            options: options.clone(),
            record: RefCell::default(),
            errors: RefCell::default(),
            ledger: RefCell::default(),
        }
    }

    /// The capabilities that the controller's endpoint gives for the whole plugin.
    pub(crate) async fn controller_plugin_capabilities(
        &self,
    ) -> Answer<csi::GetPluginCapabilitiesResponse> {
        let mut client = IdentityClient::new(self.controller.clone());
        let request = csi::GetPluginCapabilitiesRequest {};
        let call =
            async { client.get_plugin_capabilities(request).await.map(Response::into_inner) };
        Answer::new("GetPluginCapabilities", self.timed("GetPluginCapabilities", call).await)
    }

    /// The whole stream of allocated blocks.
    pub(crate) async fn get_metadata_allocated(
        &self,
        mut request: csi::GetMetadataAllocatedRequest,
    ) -> Answer<Vec<csi::GetMetadataAllocatedResponse>> {
        request.secrets = self.options.secrets_of("GetMetadataAllocated");
        let mut client = SnapshotMetadataClient::new(self.controller.clone());
        let call = async { collect(client.get_metadata_allocated(request).await?).await };
        Answer::new("GetMetadataAllocated", self.timed("GetMetadataAllocated", call).await)
    }

    /// The whole stream of changed blocks.
    pub(crate) async fn get_metadata_delta(
        &self,
        mut request: csi::GetMetadataDeltaRequest,
    ) -> Answer<Vec<csi::GetMetadataDeltaResponse>> {
        request.secrets = self.options.secrets_of("GetMetadataDelta");
        let mut client = SnapshotMetadataClient::new(self.controller.clone());
        let call = async { collect(client.get_metadata_delta(request).await?).await };
        Answer::new("GetMetadataDelta", self.timed("GetMetadataDelta", call).await)
    }

    /// The calls since the last time this was asked.
    pub(crate) fn take_record(&self) -> Vec<Call> {
        self.record.take()
    }

    /// What was seen on the errors of the whole run.
    pub(crate) fn errors(&self) -> Errors {
        self.errors.borrow().clone()
    }

    async fn timed<T>(
        &self,
        rpc: &'static str,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Status> {
        let started = Instant::now();
        let result = match tokio::time::timeout(self.options.deadline, call).await {
            Ok(Err(status)) => {
                self.observe(rpc, &status);
                Err(self.without_secrets(status))
            }
            Ok(answered) => answered,
            Err(_) => {
                let waited = self.options.deadline.as_secs();
                Err(Status::deadline_exceeded(format!("no answer within {waited} s")))
            }
        };
        let status = result.as_ref().err();
        self.record.borrow_mut().push(Call {
            rpc,
            code: answer::name(status.map_or(Code::Ok, Status::code)),
            message: status.map(|status| status.message().to_owned()).unwrap_or_default(),
            milliseconds: (started.elapsed().as_secs_f64() * 10_000.0).round() / 10.0,
        });
        result
    }

    /// Errors of the connection are not the driver's answers.
    fn observe(&self, rpc: &str, status: &Status) {
        if status.source().is_some() {
            return;
        }
        let mut errors = self.errors.borrow_mut();
        errors.seen += 1;
        if status.message().trim().is_empty() {
            errors.silent.push(format!("{rpc}: {}", answer::name(status.code())));
        }
        if !status.details().is_empty() {
            errors.detailed.push(format!("{rpc}: {}", answer::name(status.code())));
        }
        if self.options.secret_values().iter().any(|value| status.message().contains(value)) {
            errors.leaking.push(format!("{rpc}: {}", answer::name(status.code())));
        }
    }

    /// The status as a report may show it.
    fn without_secrets(&self, status: Status) -> Status {
        let strip = |text: String, value: &String| text.replace(value, "<stripped>");
        let message = status.message().to_owned();
        let stripped = self.options.secret_values().iter().fold(message.clone(), strip);
        match stripped == message {
            true => status,
            false => Status::new(status.code(), stripped),
        }
    }
}

async fn collect<T>(stream: Response<Streaming<T>>) -> Result<Vec<T>, Status> {
    let mut stream = stream.into_inner();
    let mut messages = Vec::new();
    while let Some(message) = stream.message().await? {
        messages.push(message);
    }
    Ok(messages)
}
