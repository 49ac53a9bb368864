//! A served CSI driver on a node, and requests to it.

use crate::node::Node;
use crate::until;
use becket_csi::endpoint::Endpoint;
use becket_csi::protocol::csi::controller_client::ControllerClient;
use becket_csi::protocol::csi::group_controller_client::GroupControllerClient;
use becket_csi::protocol::csi::identity_client::IdentityClient;
use becket_csi::protocol::csi::node_client::NodeClient;
use becket_csi::protocol::csi::snapshot_metadata_client::SnapshotMetadataClient;
use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use becket_csi::protocol::csi::volume_capability::{
    AccessMode, AccessType, BlockVolume, MountVolume,
};
use becket_csi::protocol::csi::{
    CapacityRange, CreateVolumeRequest, ListVolumesRequest, NodePublishVolumeRequest,
    NodeStageVolumeRequest, NodeUnpublishVolumeRequest, NodeUnstageVolumeRequest, Volume,
    VolumeCapability,
};
use rustix::process::{Pid, Signal, kill_process};
use std::future::Future;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;
use tokio::runtime::Runtime;
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

/// A `becket serve` of one driver; it is ended by SIGTERM when dropped.
pub struct CsiDriver {
    child: Child,
    runtime: Runtime,
    channel: Channel,
    /// Its socket.
    pub socket: PathBuf,
    log: PathBuf,
}

impl CsiDriver {
    /// Serves `driver` on the node, with more arguments, and connects.
    pub fn start(node: &Node, driver: &str, more: &[&str]) -> CsiDriver {
        let directory = node.path("csi");
        let socket = directory.join(format!("{driver}.sock"));
        let log = node.path(format!("{driver}.log"));
        let stderr = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut command = node.command();
        command.args(["serve", "--node-id", "node-1", "--drivers", driver, "--verbose"]);
        command.args(["--endpoint", &format!("unix://{}", socket.display())]).args(more);
        // Whoever runs the tests may have a cluster, which is none of theirs.
        command.env("KUBECONFIG", node.path("no-cluster")).env_remove("KUBERNETES_SERVICE_HOST");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(stderr);
        let child = command.spawn().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let endpoint = Endpoint::Unix(socket.clone());
        let mut channel = None;
        until(|| {
            let connect = endpoint.connect(Duration::from_secs(1));
            channel = runtime.block_on(connect).ok();
            channel.is_some()
        });
        let said = || std::fs::read_to_string(&log).unwrap_or_default();
        let channel = channel.unwrap_or_else(|| panic!("nobody serves: {}", said()));
        CsiDriver { child, runtime, channel, socket, log }
    }

    /// Waits for an answer.
    pub fn ask<A>(
        &self,
        call: impl Future<Output = Result<Response<A>, Status>>,
    ) -> Result<A, Status> {
        self.runtime.block_on(call).map(Response::into_inner)
    }

    /// Runs any future where the calls run.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// A client of the Identity service.
    pub fn identity(&self) -> IdentityClient<Channel> {
        IdentityClient::new(self.channel.clone())
    }

    /// A client of the Controller service.
    pub fn controller(&self) -> ControllerClient<Channel> {
        ControllerClient::new(self.channel.clone())
    }

    /// A client of the GroupController service.
    pub fn groups(&self) -> GroupControllerClient<Channel> {
        GroupControllerClient::new(self.channel.clone())
    }

    /// A client of the SnapshotMetadata service.
    pub fn metadata(&self) -> SnapshotMetadataClient<Channel> {
        SnapshotMetadataClient::new(self.channel.clone())
    }

    /// A client of the Node service.
    pub fn node(&self) -> NodeClient<Channel> {
        NodeClient::new(self.channel.clone())
    }

    /// The process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Everything it has logged.
    pub fn logged(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Makes a volume; that it can be made is part of the test.
    pub fn create(&self, request: CreateVolumeRequest) -> Volume {
        let created = self.ask(self.controller().create_volume(request));
        created.unwrap_or_else(|status| panic!("no volume: {status}")).volume.unwrap()
    }

    /// The ids of all volumes.
    pub fn volumes(&self) -> Vec<String> {
        let listed = self.ask(self.controller().list_volumes(ListVolumesRequest::default()));
        let entries = listed.unwrap().entries.into_iter();
        entries.map(|entry| entry.volume.unwrap().volume_id).collect()
    }

    /// Stages and publishes a volume at `target`, below the node's directory, and gives that path.
    pub fn mount(&self, node: &Node, volume: &Volume, target: &str) -> PathBuf {
        let staging = node.path("staging").join(volume.volume_id.replace('/', "-"));
        std::fs::create_dir_all(&staging).unwrap();
        let target = node.path(target);
        self.ask(self.node().node_stage_volume(NodeStageVolumeRequest {
            volume_id: volume.volume_id.clone(),
            staging_target_path: staging.display().to_string(),
            volume_capability: Some(mounted(Mode::SingleNodeMultiWriter)),
            ..Default::default()
        }))
        .unwrap();
        self.ask(self.node().node_publish_volume(NodePublishVolumeRequest {
            volume_id: volume.volume_id.clone(),
            staging_target_path: staging.display().to_string(),
            target_path: target.display().to_string(),
            volume_capability: Some(mounted(Mode::SingleNodeMultiWriter)),
            ..Default::default()
        }))
        .unwrap();
        target
    }

    /// Undoes [`CsiDriver::mount`].
    pub fn unmount(&self, node: &Node, volume: &Volume, target: &str) {
        let staging = node.path("staging").join(volume.volume_id.replace('/', "-"));
        self.ask(self.node().node_unpublish_volume(NodeUnpublishVolumeRequest {
            volume_id: volume.volume_id.clone(),
            target_path: node.text(target),
        }))
        .unwrap();
        self.ask(self.node().node_unstage_volume(NodeUnstageVolumeRequest {
            volume_id: volume.volume_id.clone(),
            staging_target_path: staging.display().to_string(),
        }))
        .unwrap();
    }

    /// Sends a signal and waits for the end. Gives the exit status as a shell shows it.
    pub fn end(mut self, signal: Signal) -> i32 {
        kill_process(self.pid(), signal).unwrap();
        crate::run::status_of(self.child.wait().unwrap())
    }
}

impl Drop for CsiDriver {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(self.pid(), Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

/// A capability of a mounted volume.
pub fn mounted(mode: Mode) -> VolumeCapability {
    with(AccessType::Mount(MountVolume::default()), mode)
}

/// A capability of a raw block volume.
pub fn block(mode: Mode) -> VolumeCapability {
    with(AccessType::Block(BlockVolume {}), mode)
}

fn with(access: AccessType, mode: Mode) -> VolumeCapability {
    let access_mode = Some(AccessMode { mode: mode as i32 });
    VolumeCapability { access_type: Some(access), access_mode }
}

/// A request for a mounted volume of this many bytes.
pub fn wanted(name: &str, bytes: u64) -> CreateVolumeRequest {
    CreateVolumeRequest {
        name: name.to_owned(),
        capacity_range: Some(CapacityRange { required_bytes: bytes as i64, limit_bytes: 0 }),
        volume_capabilities: vec![mounted(Mode::SingleNodeMultiWriter)],
        ..Default::default()
    }
}

/// Asserts that a call was refused with `code`, by a status that has a message and no details.
#[track_caller]
pub fn refused<A: std::fmt::Debug>(answer: Result<A, Status>, code: Code, what: &str) -> Status {
    match answer {
        Ok(answer) => panic!("{what} was not refused: {answer:?}"),
        Err(status) => {
            assert_eq!(status.code(), code, "{what}: {}", status.message());
            assert!(!status.message().is_empty() && status.details().is_empty(), "{what}");
            status
        }
    }
}
