//! A volume on its way to a workload, one call after the other as the kubelet makes them.

use super::answer::Answer;
use super::ask::Access;
use super::check::{Verdict, cannot_run};
use super::ground::{Ground, Volume};
use super::need::{ATTACH, STAGE};
use becket_csi::protocol::csi;
use std::collections::HashMap;

/// A volume with its paths on the node.
#[derive(Debug, Clone)]
pub(crate) struct OnNode {
    pub(crate) volume: Volume,
    pub(crate) publish_context: HashMap<String, String>,
    /// Empty where the driver does not stage.
    pub(crate) staging: String,
    pub(crate) target: String,
}

impl OnNode {
    /// The request that stages it.
    pub(crate) fn stage_request(&self) -> csi::NodeStageVolumeRequest {
        csi::NodeStageVolumeRequest {
            volume_id: self.volume.id.clone(),
            publish_context: self.publish_context.clone(),
            staging_target_path: self.staging.clone(),
            volume_capability: Some(self.volume.capability.clone()),
            volume_context: self.volume.context.clone(),
            ..Default::default()
        }
    }

    /// The request that publishes it for writing.
    pub(crate) fn publish_request(&self) -> csi::NodePublishVolumeRequest {
        csi::NodePublishVolumeRequest {
            volume_id: self.volume.id.clone(),
            publish_context: self.publish_context.clone(),
            staging_target_path: self.staging.clone(),
            target_path: self.target.clone(),
            volume_capability: Some(self.volume.capability.clone()),
            volume_context: self.volume.context.clone(),
            ..Default::default()
        }
    }

    /// The same, for reading only.
    pub(crate) fn readonly_request(&self) -> csi::NodePublishVolumeRequest {
        csi::NodePublishVolumeRequest { readonly: true, ..self.publish_request() }
    }

    pub(crate) fn unpublish_request(&self) -> csi::NodeUnpublishVolumeRequest {
        csi::NodeUnpublishVolumeRequest {
            volume_id: self.volume.id.clone(),
            target_path: self.target.clone(),
        }
    }

    pub(crate) fn unstage_request(&self) -> csi::NodeUnstageVolumeRequest {
        csi::NodeUnstageVolumeRequest {
            volume_id: self.volume.id.clone(),
            staging_target_path: self.staging.clone(),
        }
    }
}

impl Ground {
    /// Attached where the driver attaches, with paths, and not staged yet.
    pub(crate) async fn attached(&self, volume: Volume) -> Verdict<OnNode> {
        let publish_context = match self.has(ATTACH) {
            true => {
                let answer = self.attach(&volume, false).await;
                answer.prepared()?.publish_context
            }
            false => HashMap::new(),
        };
        let staging = match self.has(STAGE) {
            true => self.places.staging()?,
            false => String::new(),
        };
        let target = self.places.target()?;
        Ok(OnNode { volume, publish_context, staging, target })
    }

    pub(crate) async fn attach(
        &self,
        volume: &Volume,
        readonly: bool,
    ) -> Answer<csi::ControllerPublishVolumeResponse> {
        self.calls.controller_publish_volume(self.attach_request(volume, readonly)).await
    }

    pub(crate) fn attach_request(
        &self,
        volume: &Volume,
        readonly: bool,
    ) -> csi::ControllerPublishVolumeRequest {
        csi::ControllerPublishVolumeRequest {
            volume_id: volume.id.clone(),
            node_id: self.survey.node_id.clone(),
            volume_capability: Some(volume.capability.clone()),
            readonly,
            volume_context: volume.context.clone(),
            ..Default::default()
        }
    }

    /// Attached and staged, where the driver does that; published nowhere.
    pub(crate) async fn staged(&self, volume: Volume) -> Verdict<OnNode> {
        let here = self.attached(volume).await?;
        if self.has(STAGE) {
            self.calls.node_stage_volume(here.stage_request()).await.prepared()?;
        }
        Ok(here)
    }

    /// Published for writing.
    pub(crate) async fn published(&self, volume: Volume) -> Verdict<OnNode> {
        let here = self.staged(volume).await?;
        self.calls.node_publish_volume(here.publish_request()).await.prepared()?;
        Ok(here)
    }

    /// A new volume, published for writing.
    pub(crate) async fn new_published(&self, access: Access) -> Verdict<OnNode> {
        let volume = self.volume(access).await?;
        self.published(volume).await
    }

    /// Unpublished, unstaged and detached again, which must work.
    pub(crate) async fn take_down(&self, here: &OnNode) -> Verdict {
        self.calls.node_unpublish_volume(here.unpublish_request()).await.prepared()?;
        self.leave(here).await
    }

    /// Unstaged and detached.
    pub(crate) async fn leave(&self, here: &OnNode) -> Verdict {
        if self.has(STAGE) {
            self.calls.node_unstage_volume(here.unstage_request()).await.prepared()?;
        }
        if self.has(ATTACH) {
            let request = csi::ControllerUnpublishVolumeRequest {
                volume_id: here.volume.id.clone(),
                node_id: self.survey.node_id.clone(),
                ..Default::default()
            };
            self.calls.controller_unpublish_volume(request).await.prepared()?;
        }
        Ok(())
    }

    /// The same volume at another target path.
    pub(crate) fn elsewhere(&self, here: &OnNode) -> Verdict<OnNode> {
        Ok(OnNode { target: self.places.target()?, ..here.clone() })
    }
}

/// For steps on the checker's own side.
pub(crate) fn own<T>(result: std::io::Result<T>, what: &str) -> Verdict<T> {
    result.map_err(|error| cannot_run(format!("cannot {what}: {error}")))
}
