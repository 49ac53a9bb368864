//! What checks stand on: the driver, what it said about itself, and volumes made and brought to
//! where a check needs them. Everything made here is undone after the check.

use super::ask::{self, Access};
use super::calls::Calls;
use super::check::{Stop, Verdict, cannot_run};
use super::driver::Driver;
use super::need::Need;
use super::options::Options;
use super::places::Places;
use super::survey::Survey;
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use std::collections::HashMap;

pub(crate) struct Ground {
    pub(crate) calls: Calls,
    pub(crate) survey: Survey,
    pub(crate) options: Options,
    pub(crate) places: Places,
    /// The driver's process, where `--restart-command` starts it.
    pub(crate) driver: Option<Driver>,
    /// What could not be undone after the checks so far.
    pub(crate) troubles: std::cell::RefCell<Vec<String>>,
}

/// A volume that was made.
#[derive(Debug, Clone)]
pub(crate) struct Volume {
    pub(crate) id: String,
    pub(crate) context: HashMap<String, String>,
    pub(crate) capacity: i64,
    pub(crate) access: Access,
    pub(crate) capability: csi::VolumeCapability,
    /// How it was asked for.
    pub(crate) request: csi::CreateVolumeRequest,
}

impl Ground {
    /// Why this need is not met, or nothing when it is.
    pub(crate) fn missing(&self, need: Need) -> Option<String> {
        need.missing(&self.survey, &self.options)
    }

    pub(crate) fn has(&self, need: Need) -> bool {
        self.missing(need).is_none()
    }

    /// The access type that most checks use: mount, where the driver has it.
    pub(crate) fn access(&self) -> Access {
        match self.has(Need::Mount) {
            true => Access::Mount,
            false => Access::Block,
        }
    }

    /// The access types there are.
    pub(crate) fn access_types(&self) -> Vec<Access> {
        let there = [(Need::Mount, Access::Mount), (Need::Block, Access::Block)];
        there.into_iter().filter(|(need, _)| self.has(*need)).map(|(_, access)| access).collect()
    }

    /// A request for a new volume, as an orchestrator would make it.
    pub(crate) fn create_request(&self, access: Access) -> csi::CreateVolumeRequest {
        ask::create(ask::unique("volume"), access, &self.options, &self.survey)
    }

    /// A capability with the run's filesystem.
    pub(crate) fn capability(&self, access: Access) -> csi::VolumeCapability {
        self.with_mode(access, Mode::SingleNodeWriter)
    }

    pub(crate) fn with_mode(&self, access: Access, mode: Mode) -> csi::VolumeCapability {
        ask::with_mode(access, ask::fs_type(access, &self.options), mode)
    }

    /// Makes a volume.
    pub(crate) async fn volume(&self, access: Access) -> Verdict<Volume> {
        self.volume_as(self.create_request(access)).await
    }

    /// Makes the volume that `request` asks for; it must be possible.
    pub(crate) async fn volume_as(&self, request: csi::CreateVolumeRequest) -> Verdict<Volume> {
        let answer = self.calls.create_volume(request.clone()).await.prepared()?;
        made(request, answer)
    }

    /// A snapshot request for `volume`.
    pub(crate) fn snapshot_request(&self, volume: &Volume) -> csi::CreateSnapshotRequest {
        csi::CreateSnapshotRequest {
            source_volume_id: volume.id.clone(),
            name: ask::unique("snapshot"),
            ..Default::default()
        }
    }

    /// Takes a snapshot and waits until it can be used.
    pub(crate) async fn snapshot(&self, volume: &Volume) -> Verdict<csi::Snapshot> {
        self.snapshot_as(self.snapshot_request(volume)).await
    }

    /// Takes the snapshot that `request` asks for, and repeats the call until it can be used.
    pub(crate) async fn snapshot_as(
        &self,
        request: csi::CreateSnapshotRequest,
    ) -> Verdict<csi::Snapshot> {
        let started = std::time::Instant::now();
        loop {
            let answer = self.calls.create_snapshot(request.clone()).await.prepared()?;
            let snapshot = answer.snapshot.unwrap_or_default();
            if snapshot.ready_to_use {
                return Ok(snapshot);
            }
            if started.elapsed() > self.options.deadline {
                return Err(cannot_run("the snapshot did not become ready to use"));
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    /// Deletes a volume that a check no longer needs.
    pub(crate) async fn delete(&self, volume: &Volume) -> Verdict {
        let request =
            csi::DeleteVolumeRequest { volume_id: volume.id.clone(), ..Default::default() };
        self.calls.delete_volume(request).await.prepared().map(drop)
    }
}

/// The volume of an answer to `request`.
pub(crate) fn made(
    request: csi::CreateVolumeRequest,
    answer: csi::CreateVolumeResponse,
) -> Verdict<Volume> {
    let nothing = || cannot_run("CreateVolume answered OK without a volume");
    let volume = answer.volume.ok_or_else(nothing)?;
    let capability = request.volume_capabilities.first().cloned().ok_or_else(nothing)?;
    let access = match capability.access_type {
        Some(csi::volume_capability::AccessType::Block(_)) => Access::Block,
        _ => Access::Mount,
    };
    Ok(Volume {
        id: volume.volume_id,
        context: volume.volume_context,
        capacity: volume.capacity_bytes,
        access,
        capability,
        request,
    })
}

impl From<becket_core::Error> for Stop {
    /// What fails on the checker's own side is no finding about the driver.
    fn from(error: becket_core::Error) -> Stop {
        cannot_run(error.to_string())
    }
}
