//! The life of one volume, call by call: over a driver's socket, or as bare system calls.

use super::program::Program;
use crate::bare::Bare;
use crate::place::SIZE;
use crate::{Fault, Outcome};
use becket_csi::protocol::csi::DeleteSnapshotRequest;
use becket_csi::protocol::csi::DeleteVolumeRequest;
use becket_csi::protocol::csi::controller_client::ControllerClient;
use becket_csi::protocol::csi::node_client::NodeClient;
use becket_tests::requests;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tonic::Status;
use tonic::transport::Channel;

/// The calls of a life, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Create,
    Stage,
    Publish,
    Snapshot,
    Unpublish,
    Unstage,
    Delete,
}

impl Step {
    /// All of them.
    pub(crate) const ALL: [Step; 7] = [
        Step::Create,
        Step::Stage,
        Step::Publish,
        Step::Snapshot,
        Step::Unpublish,
        Step::Unstage,
        Step::Delete,
    ];

    /// The call's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Step::Create => "CreateVolume",
            Step::Stage => "NodeStageVolume",
            Step::Publish => "NodePublishVolume",
            Step::Snapshot => "CreateSnapshot, in use",
            Step::Unpublish => "NodeUnpublishVolume",
            Step::Unstage => "NodeUnstageVolume",
            Step::Delete => "DeleteVolume",
        }
    }
}

/// Who gives volumes their lives.
#[derive(Clone)]
pub(crate) enum Contestant {
    /// A driver.
    Driver(Box<Driver>),
    /// System calls, below this directory.
    Bare(PathBuf),
}

/// A driver's socket, and the class of its volumes.
#[derive(Clone)]
pub(crate) struct Driver {
    controller: ControllerClient<Channel>,
    node: NodeClient<Channel>,
    root: PathBuf,
    pool: Option<&'static str>,
}

impl Contestant {
    /// A driver whose volumes are of the class with the pool `pool`, where the driver has pools.
    pub(crate) fn driver(
        program: &Program,
        channel: Channel,
        pool: Option<&'static str>,
    ) -> Contestant {
        Contestant::Driver(Box::new(Driver {
            controller: ControllerClient::new(channel.clone()),
            node: NodeClient::new(channel),
            root: program.root().to_owned(),
            pool,
        }))
    }
}

/// A volume's life so far.
pub(crate) struct Life {
    contestant: Contestant,
    name: String,
    id: String,
    context: HashMap<String, String>,
    snapshot: String,
    staging: PathBuf,
    target: PathBuf,
    bare: Option<Bare>,
}

impl Life {
    /// The life of the volume `name`, with the directories that the kubelet makes.
    pub(crate) fn new(contestant: &Contestant, name: &str) -> Outcome<Life> {
        let (root, bare) = match contestant {
            Contestant::Driver(driver) => (&driver.root, None),
            Contestant::Bare(root) => (root, Some(Bare::new(root, name)?)),
        };
        let [staging, pod] = ["staging", "pods"].map(|part| root.join(part).join(name));
        if bare.is_none() {
            std::fs::create_dir_all(&staging)?;
            std::fs::create_dir_all(&pod)?;
        }
        Ok(Life {
            contestant: contestant.clone(),
            name: name.to_owned(),
            id: String::new(),
            context: HashMap::new(),
            snapshot: String::new(),
            staging,
            target: pod.join("mount"),
            bare,
        })
    }

    /// Takes one step, and says how long that took.
    pub(crate) async fn take(&mut self, step: Step) -> Outcome<Duration> {
        let failed = |error: Fault| format!("{} of `{}`: {error}", step.name(), self.name);
        match (self.contestant.clone(), &self.bare) {
            (Contestant::Driver(driver), _) => {
                let started = Instant::now();
                let done = self.ask(driver, step).await;
                let took = started.elapsed();
                done.map_err(|status| {
                    Fault::from(format!("{} of `{}`: {status}", step.name(), self.name))
                })?;
                Ok(took)
            }
            (Contestant::Bare(_), Some(bare)) => {
                let bare = bare.clone();
                let work = tokio::task::spawn_blocking(move || {
                    let started = Instant::now();
                    let done = by_system_calls(&bare, step);
                    done.map(|()| started.elapsed())
                });
                Ok(work.await?.map_err(failed)?)
            }
            (Contestant::Bare(_), None) => unreachable!("a bare life has a bare volume"),
        }
    }

    async fn ask(&mut self, driver: Box<Driver>, step: Step) -> Result<(), Status> {
        let Driver { mut controller, mut node, .. } = *driver;
        let (id, staging, target) = (&self.id, &self.staging, &self.target);
        let ext4 = requests::capability("ext4");
        match step {
            Step::Create => {
                let class: Vec<_> = driver.pool.iter().map(|pool| ("pool", *pool)).collect();
                let request = requests::create(&self.name, SIZE, ext4, &class);
                let answer = controller.create_volume(request).await?.into_inner();
                let volume = answer.volume.unwrap_or_default();
                (self.id, self.context) = (volume.volume_id, volume.volume_context);
            }
            Step::Stage => {
                let mut request = requests::stage(id, staging, ext4);
                request.volume_context = self.context.clone();
                node.node_stage_volume(request).await?;
            }
            Step::Publish => {
                let mut request = requests::publish(id, staging, target, ext4);
                request.volume_context = self.context.clone();
                node.node_publish_volume(request).await?;
            }
            Step::Snapshot => {
                let request = requests::snapshot(&format!("of-{}", self.name), id);
                let answer = controller.create_snapshot(request).await?.into_inner();
                self.snapshot = answer.snapshot.unwrap_or_default().snapshot_id;
            }
            Step::Unpublish => {
                node.node_unpublish_volume(requests::unpublish(id, target)).await?;
            }
            Step::Unstage => {
                node.node_unstage_volume(requests::unstage(id, staging)).await?;
            }
            Step::Delete => {
                let volume_id = id.clone();
                let request = DeleteVolumeRequest { volume_id, ..Default::default() };
                controller.delete_volume(request).await?;
            }
        }
        Ok(())
    }

    /// Deletes the snapshot and the kubelet's directories, outside of any clock.
    pub(crate) async fn forget(self) -> Outcome {
        match (self.contestant, self.bare) {
            (Contestant::Driver(mut driver), _) => {
                let snapshot_id = self.snapshot;
                let request = DeleteSnapshotRequest { snapshot_id, ..Default::default() };
                driver.controller.delete_snapshot(request).await?;
                std::fs::remove_dir(&self.staging)?;
                Ok(std::fs::remove_dir(self.target.parent().unwrap_or(&self.target))?)
            }
            (Contestant::Bare(_), bare) => bare.map_or(Ok(()), |bare| bare.forget()),
        }
    }
}

fn by_system_calls(bare: &Bare, step: Step) -> Outcome {
    match step {
        Step::Create => bare.create(),
        Step::Stage => bare.stage(),
        Step::Publish => bare.publish(),
        Step::Snapshot => bare.snapshot(),
        Step::Unpublish => bare.unpublish(),
        Step::Unstage => bare.unstage(),
        Step::Delete => bare.delete(),
    }
}
