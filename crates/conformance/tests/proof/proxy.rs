//! A CSI driver that is right, and wrong in one way: it passes every call on to a real driver, and
//! what a fault says goes before and after.

use becket_csi::endpoint::Endpoint;
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::controller_client::ControllerClient;
use becket_csi::protocol::csi::controller_server::{Controller, ControllerServer};
use becket_csi::protocol::csi::group_controller_client::GroupControllerClient;
use becket_csi::protocol::csi::group_controller_server::{GroupController, GroupControllerServer};
use becket_csi::protocol::csi::identity_client::IdentityClient;
use becket_csi::protocol::csi::identity_server::{Identity, IdentityServer};
use becket_csi::protocol::csi::node_client::NodeClient;
use becket_csi::protocol::csi::node_server::{Node, NodeServer};
use becket_csi::protocol::csi::snapshot_metadata_client::SnapshotMetadataClient;
use becket_csi::protocol::csi::snapshot_metadata_server::{
    SnapshotMetadata, SnapshotMetadataServer,
};
use std::any::Any;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::UnixListener;
use tonic::codegen::tokio_stream::Stream;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

/// An answer whose type the fault knows.
pub type Message = Box<dyn Any + Send>;

/// A call that is under way.
pub type Calling = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// What goes wrong with one RPC.
pub struct Rule {
    pub rpc: &'static str,
    pub effect: Effect,
}

/// An answer, or an error.
pub type Answer = Result<Message, Status>;

type Asks = dyn Fn(&mut dyn Any) + Send + Sync;
type Answers = dyn Fn(&dyn Any) -> Option<Answer> + Send + Sync;
type Calls = dyn Fn(Channel, Message) -> Calling + Send + Sync;
type Tells = dyn Fn(&dyn Any, &mut Answer) + Send + Sync;

/// Where it goes wrong.
pub enum Effect {
    /// The driver is asked something else.
    Request(Box<Asks>),
    /// The driver is not asked, where this gives an answer.
    Instead(Box<Answers>),
    /// Something else is done in place of the call.
    Call(Box<Calls>),
    /// Something else is answered.
    Answer(Box<Tells>),
}

/// The driver in the middle.
#[derive(Clone)]
pub struct Proxy {
    channel: Channel,
    rules: Arc<Vec<Rule>>,
}

impl Proxy {
    /// Serves at `socket` what the driver at `driver` answers, changed by `rules`, for ever.
    pub async fn serve(socket: &Path, driver: &Path, rules: Vec<Rule>) {
        let endpoint = Endpoint::Unix(driver.to_owned());
        let channel = loop {
            match endpoint.connect(Duration::from_secs(1)).await {
                Ok(channel) => break channel,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let proxy = Proxy { channel, rules: Arc::new(rules) };
        let _ = std::fs::remove_file(socket);
        let listener = UnixListener::bind(socket).unwrap();
        Server::builder()
            .add_service(IdentityServer::new(proxy.clone()))
            .add_service(ControllerServer::new(proxy.clone()))
            .add_service(GroupControllerServer::new(proxy.clone()))
            .add_service(SnapshotMetadataServer::new(proxy.clone()))
            .add_service(NodeServer::new(proxy))
            .serve_with_incoming(Incoming(listener))
            .await
            .unwrap();
    }

    async fn through<Q: Any + Clone + Send, A: Any + Send>(
        &self,
        rpc: &str,
        mut request: Q,
        call: impl AsyncFnOnce(Q) -> Result<A, Status>,
    ) -> Result<A, Status> {
        let asked = request.clone();
        let of = || self.rules.iter().filter(|rule| rule.rpc == rpc || rule.rpc == "*");
        let mut early = None;
        for rule in of() {
            match &rule.effect {
                Effect::Request(change) => change(&mut request),
                Effect::Instead(answer) => early = early.or_else(|| answer(&asked)),
                Effect::Call(_) | Effect::Answer(_) => {}
            }
        }
        let other = of().find_map(|rule| match &rule.effect {
            Effect::Call(other) => Some(other),
            _ => None,
        });
        let mut answer = match (early, other) {
            (Some(answer), _) => answer,
            (None, Some(other)) => other(self.channel.clone(), Box::new(request)).await,
            (None, None) => call(request).await.map(|message| Box::new(message) as Message),
        };
        for rule in of() {
            if let Effect::Answer(change) = &rule.effect {
                change(&asked, &mut answer);
            }
        }
        answer.map(|message| *message.downcast::<A>().unwrap())
    }
}

/// `METHOD RPC REQUEST RESPONSE;` of one service.
macro_rules! forward {
    ($service:ident by $client:ident {
        $($method:ident $rpc:literal $request:ident $response:ident;)*
    } $($more:item)*) => {
        #[tonic::async_trait]
        impl $service for Proxy {
            $(async fn $method(
                &self,
                request: Request<csi::$request>,
            ) -> Result<Response<csi::$response>, Status> {
                let mut client = $client::new(self.channel.clone());
                let call = async move |request| {
                    client.$method(request).await.map(Response::into_inner)
                };
                self.through($rpc, request.into_inner(), call).await.map(Response::new)
            })*
            $($more)*
        }
    };
}

forward! { Identity by IdentityClient {
    get_plugin_info "GetPluginInfo"
        GetPluginInfoRequest GetPluginInfoResponse;
    get_plugin_capabilities "GetPluginCapabilities"
        GetPluginCapabilitiesRequest GetPluginCapabilitiesResponse;
    probe "Probe"
        ProbeRequest ProbeResponse;
} }

forward! { Controller by ControllerClient {
    create_volume "CreateVolume"
        CreateVolumeRequest CreateVolumeResponse;
    delete_volume "DeleteVolume"
        DeleteVolumeRequest DeleteVolumeResponse;
    controller_publish_volume "ControllerPublishVolume"
        ControllerPublishVolumeRequest ControllerPublishVolumeResponse;
    controller_unpublish_volume "ControllerUnpublishVolume"
        ControllerUnpublishVolumeRequest ControllerUnpublishVolumeResponse;
    validate_volume_capabilities "ValidateVolumeCapabilities"
        ValidateVolumeCapabilitiesRequest ValidateVolumeCapabilitiesResponse;
    list_volumes "ListVolumes"
        ListVolumesRequest ListVolumesResponse;
    controller_list_volume_health "ControllerListVolumeHealth"
        ControllerListVolumeHealthRequest ControllerListVolumeHealthResponse;
    controller_get_volume_health "ControllerGetVolumeHealth"
        ControllerGetVolumeHealthRequest ControllerGetVolumeHealthResponse;
    get_capacity "GetCapacity"
        GetCapacityRequest GetCapacityResponse;
    controller_get_capabilities "ControllerGetCapabilities"
        ControllerGetCapabilitiesRequest ControllerGetCapabilitiesResponse;
    create_snapshot "CreateSnapshot"
        CreateSnapshotRequest CreateSnapshotResponse;
    delete_snapshot "DeleteSnapshot"
        DeleteSnapshotRequest DeleteSnapshotResponse;
    list_snapshots "ListSnapshots"
        ListSnapshotsRequest ListSnapshotsResponse;
    get_snapshot "GetSnapshot"
        GetSnapshotRequest GetSnapshotResponse;
    controller_expand_volume "ControllerExpandVolume"
        ControllerExpandVolumeRequest ControllerExpandVolumeResponse;
    controller_get_volume "ControllerGetVolume"
        ControllerGetVolumeRequest ControllerGetVolumeResponse;
    controller_modify_volume "ControllerModifyVolume"
        ControllerModifyVolumeRequest ControllerModifyVolumeResponse;
} }

forward! { GroupController by GroupControllerClient {
    group_controller_get_capabilities "GroupControllerGetCapabilities"
        GroupControllerGetCapabilitiesRequest GroupControllerGetCapabilitiesResponse;
    create_volume_group_snapshot "CreateVolumeGroupSnapshot"
        CreateVolumeGroupSnapshotRequest CreateVolumeGroupSnapshotResponse;
    delete_volume_group_snapshot "DeleteVolumeGroupSnapshot"
        DeleteVolumeGroupSnapshotRequest DeleteVolumeGroupSnapshotResponse;
    get_volume_group_snapshot "GetVolumeGroupSnapshot"
        GetVolumeGroupSnapshotRequest GetVolumeGroupSnapshotResponse;
} }

forward! { Node by NodeClient {
    node_stage_volume "NodeStageVolume"
        NodeStageVolumeRequest NodeStageVolumeResponse;
    node_unstage_volume "NodeUnstageVolume"
        NodeUnstageVolumeRequest NodeUnstageVolumeResponse;
    node_publish_volume "NodePublishVolume"
        NodePublishVolumeRequest NodePublishVolumeResponse;
    node_unpublish_volume "NodeUnpublishVolume"
        NodeUnpublishVolumeRequest NodeUnpublishVolumeResponse;
    node_get_volume_stats "NodeGetVolumeStats"
        NodeGetVolumeStatsRequest NodeGetVolumeStatsResponse;
    node_get_volume_health "NodeGetVolumeHealth"
        NodeGetVolumeHealthRequest NodeGetVolumeHealthResponse;
    node_get_storage_health "NodeGetStorageHealth"
        NodeGetStorageHealthRequest NodeGetStorageHealthResponse;
    node_expand_volume "NodeExpandVolume"
        NodeExpandVolumeRequest NodeExpandVolumeResponse;
    node_get_capabilities "NodeGetCapabilities"
        NodeGetCapabilitiesRequest NodeGetCapabilitiesResponse;
    node_get_info "NodeGetInfo"
        NodeGetInfoRequest NodeGetInfoResponse;
} }

/// A whole stream, told at once.
pub struct Told<T>(std::vec::IntoIter<T>);

impl<T: Unpin> Stream for Told<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.next().map(Ok))
    }
}

async fn collected<T>(stream: Response<tonic::Streaming<T>>) -> Result<Vec<T>, Status> {
    let (mut stream, mut messages) = (stream.into_inner(), Vec::new());
    while let Some(message) = stream.message().await? {
        messages.push(message);
    }
    Ok(messages)
}

#[tonic::async_trait]
impl SnapshotMetadata for Proxy {
    type GetMetadataAllocatedStream = Told<csi::GetMetadataAllocatedResponse>;
    type GetMetadataDeltaStream = Told<csi::GetMetadataDeltaResponse>;

    async fn get_metadata_allocated(
        &self,
        request: Request<csi::GetMetadataAllocatedRequest>,
    ) -> Result<Response<Self::GetMetadataAllocatedStream>, Status> {
        let mut client = SnapshotMetadataClient::new(self.channel.clone());
        let call =
            async move |request| collected(client.get_metadata_allocated(request).await?).await;
        let told = self.through("GetMetadataAllocated", request.into_inner(), call).await?;
        Ok(Response::new(Told(told.into_iter())))
    }

    async fn get_metadata_delta(
        &self,
        request: Request<csi::GetMetadataDeltaRequest>,
    ) -> Result<Response<Self::GetMetadataDeltaStream>, Status> {
        let mut client = SnapshotMetadataClient::new(self.channel.clone());
        let call = async move |request| collected(client.get_metadata_delta(request).await?).await;
        let told = self.through("GetMetadataDelta", request.into_inner(), call).await?;
        Ok(Response::new(Told(told.into_iter())))
    }
}

/// Connections to the proxy.
struct Incoming(UnixListener);

impl Stream for Incoming {
    type Item = std::io::Result<tokio::net::UnixStream>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_accept(context).map(|accepted| Some(accepted.map(|(stream, _)| stream)))
    }
}

/// Runs `future` on a thread of its own until the test ends it.
pub fn on_own_thread(future: impl Future<Output = ()> + Send + 'static) {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(future);
    });
}
