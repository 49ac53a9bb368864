//! The calls, each with the codes that other callers may be the cause of.

use crate::call::{Answer, Caller};
use crate::volume::{Driver, Kind, Scope, Volume, id};
use becket_csi::protocol::csi::{
    self, ControllerExpandVolumeResponse, ControllerGetVolumeRequest, ControllerGetVolumeResponse,
    CreateVolumeResponse, DeleteSnapshotRequest, DeleteSnapshotResponse, DeleteVolumeRequest,
    DeleteVolumeResponse, ListSnapshotsRequest, ListSnapshotsResponse, ListVolumesRequest,
    ListVolumesResponse, NodeExpandVolumeResponse, NodeGetVolumeStatsRequest,
    NodeGetVolumeStatsResponse, NodePublishVolumeResponse, NodeStageVolumeResponse,
    NodeUnpublishVolumeResponse, NodeUnstageVolumeResponse, VolumeContentSource,
};
use becket_tests::requests::{self, text};
use std::path::{Path, PathBuf};
use tonic::Code::{self, AlreadyExists, FailedPrecondition, NotFound, OutOfRange};

/// `codes` where others may have been at work, else none.
fn contested(scope: Scope, codes: &'static [Code]) -> &'static [Code] {
    match scope {
        Scope::Contested => codes,
        Scope::Own | Scope::Kept => &[],
    }
}

impl Caller {
    /// Where the volume is staged, by all callers.
    pub(crate) fn staging(&self, volume: &Volume) -> PathBuf {
        self.world.path("staging").join(&volume.name)
    }

    /// The volume, of its kind's size; or of at least `source`'s, which comes with it.
    pub(crate) async fn create(
        &mut self,
        volume: &Volume,
        source: Option<(VolumeContentSource, u64)>,
    ) -> Answer<CreateVolumeResponse> {
        let Volume { kind, scope, name } = volume;
        let copied = source.is_some();
        let (source, bytes) = source.unzip();
        let bytes = bytes.unwrap_or(0).max(kind.size());
        let mut request = requests::create(name, bytes, kind.capability(), kind.class());
        request.volume_content_source = source.clone();
        let allowed = match copied {
            false => contested(*scope, &[AlreadyExists]),
            true => contested(*scope, &[AlreadyExists, NotFound, FailedPrecondition, OutOfRange]),
        };
        let rpc = ("CreateVolume", kind.driver(), name.as_str());
        let answer = self
            .ask(rpc, request, allowed, async |mut clients, request| {
                clients.controller.create_volume(request).await
            })
            .await;
        if let Answer::Done(done) = &answer {
            self.expect_made(volume, source.as_ref(), &done.volume.clone().unwrap_or_default());
        }
        answer
    }

    fn expect_made(
        &self,
        volume: &Volume,
        source: Option<&VolumeContentSource>,
        made: &csi::Volume,
    ) {
        let large =
            u64::try_from(made.capacity_bytes).is_ok_and(|bytes| bytes >= volume.kind.size());
        let large = large || volume.kind == Kind::Directory;
        if made.volume_id != volume.id() || !large || made.content_source.as_ref() != source {
            self.world.violation(format!("CreateVolume of `{}` answered {made:?}", volume.name));
        }
    }

    pub(crate) async fn delete(&mut self, volume: &Volume) -> Answer<DeleteVolumeResponse> {
        let request = DeleteVolumeRequest { volume_id: volume.id(), ..Default::default() };
        let allowed = contested(volume.scope, &[FailedPrecondition]);
        let rpc = ("DeleteVolume", volume.kind.driver(), volume.name.as_str());
        self.ask(rpc, request, allowed, async |mut clients, request| {
            clients.controller.delete_volume(request).await
        })
        .await
    }

    pub(crate) async fn stage(&mut self, volume: &Volume) -> Answer<NodeStageVolumeResponse> {
        let Volume { kind, scope, name } = volume;
        let request = requests::stage(&volume.id(), &self.staging(volume), kind.capability());
        let allowed = contested(*scope, &[NotFound]);
        self.ask(
            ("NodeStageVolume", kind.driver(), name),
            request,
            allowed,
            async |mut clients, request| clients.node.node_stage_volume(request).await,
        )
        .await
    }

    pub(crate) async fn unstage(&mut self, volume: &Volume) -> Answer<NodeUnstageVolumeResponse> {
        let request = requests::unstage(&volume.id(), &self.staging(volume));
        let rpc = ("NodeUnstageVolume", volume.kind.driver(), volume.name.as_str());
        self.ask(rpc, request, &[], async |mut clients, request| {
            clients.node.node_unstage_volume(request).await
        })
        .await
    }

    /// Others may have unstaged it, unless it is the caller's own.
    pub(crate) async fn publish(
        &mut self,
        volume: &Volume,
        target: &Path,
        readonly: bool,
    ) -> Answer<NodePublishVolumeResponse> {
        let Volume { kind, scope, name } = volume;
        let staging = self.staging(volume);
        let mut request = requests::publish(&volume.id(), &staging, target, kind.capability());
        request.readonly = readonly;
        let allowed: &[Code] = match scope {
            Scope::Own => &[],
            Scope::Kept => &[FailedPrecondition],
            Scope::Contested => &[FailedPrecondition, NotFound],
        };
        self.ask(
            ("NodePublishVolume", kind.driver(), name),
            request,
            allowed,
            async |mut clients, request| clients.node.node_publish_volume(request).await,
        )
        .await
    }

    pub(crate) async fn unpublish(
        &mut self,
        volume: &Volume,
        target: &Path,
    ) -> Answer<NodeUnpublishVolumeResponse> {
        let request = requests::unpublish(&volume.id(), target);
        let rpc = ("NodeUnpublishVolume", volume.kind.driver(), volume.name.as_str());
        self.ask(rpc, request, &[], async |mut clients, request| {
            clients.node.node_unpublish_volume(request).await
        })
        .await
    }

    /// `idle`: nobody uses the volume, so there is nothing that cannot be held still.
    pub(crate) async fn snapshot(
        &mut self,
        volume: &Volume,
        name: &str,
        idle: bool,
    ) -> Answer<csi::Snapshot> {
        let refused = !volume.kind.copies_in_use() && !idle;
        let allowed: &[Code] = match (volume.scope, refused) {
            (Scope::Contested, true) => &[NotFound, AlreadyExists, FailedPrecondition],
            (Scope::Contested, false) => &[NotFound, AlreadyExists],
            (_, true) => &[FailedPrecondition],
            (_, false) => &[],
        };
        let rpc = ("CreateSnapshot", volume.kind.driver(), volume.name.as_str());
        let request = requests::snapshot(name, &volume.id());
        let answer = self
            .ask(rpc, request, allowed, async |mut clients, request| {
                clients.controller.create_snapshot(request).await
            })
            .await;
        match answer {
            Answer::Done(done) => {
                let made = done.snapshot.unwrap_or_default();
                let id = id(volume.kind, name);
                if made.snapshot_id != id
                    || made.source_volume_id != volume.id()
                    || !made.ready_to_use
                {
                    self.world.violation(format!("CreateSnapshot of `{name}` answered {made:?}"));
                }
                Answer::Done(made)
            }
            Answer::Refused(code) => Answer::Refused(code),
            Answer::Open => Answer::Open,
        }
    }

    pub(crate) async fn delete_snapshot(
        &mut self,
        kind: Kind,
        name: &str,
    ) -> Answer<DeleteSnapshotResponse> {
        let snapshot_id = id(kind, name);
        let request = DeleteSnapshotRequest { snapshot_id, ..Default::default() };
        self.ask(
            ("DeleteSnapshot", kind.driver(), name),
            request,
            &[],
            async |mut clients, request| clients.controller.delete_snapshot(request).await,
        )
        .await
    }

    pub(crate) async fn expand(
        &mut self,
        volume: &Volume,
        bytes: u64,
    ) -> Answer<ControllerExpandVolumeResponse> {
        let request = requests::expand(&volume.id(), bytes, volume.kind.capability());
        let allowed = contested(volume.scope, &[NotFound]);
        let rpc = ("ControllerExpandVolume", volume.kind.driver(), volume.name.as_str());
        let answer = self
            .ask(rpc, request, allowed, async |mut clients, request| {
                clients.controller.controller_expand_volume(request).await
            })
            .await;
        if let Answer::Done(done) = &answer
            && u64::try_from(done.capacity_bytes).is_ok_and(|has| has < bytes)
        {
            self.world.violation(format!("`{}` was expanded to {bytes}: {done:?}", volume.name));
        }
        answer
    }

    /// A mounted ext4 may not be grown everywhere, and is then grown when it is staged next.
    pub(crate) async fn expand_on_node(
        &mut self,
        volume: &Volume,
        path: &Path,
    ) -> Answer<NodeExpandVolumeResponse> {
        let request = requests::expand_on_node(&volume.id(), path, volume.kind.capability());
        let allowed: &[Code] = match volume.scope {
            Scope::Contested => &[FailedPrecondition, NotFound],
            _ => &[FailedPrecondition],
        };
        let rpc = ("NodeExpandVolume", volume.kind.driver(), volume.name.as_str());
        self.ask(rpc, request, allowed, async |mut clients, request| {
            clients.node.node_expand_volume(request).await
        })
        .await
    }

    /// `published`: at the path, by this caller, so it must be found.
    pub(crate) async fn stats(
        &mut self,
        volume: &Volume,
        path: &Path,
        published: bool,
    ) -> Answer<NodeGetVolumeStatsResponse> {
        let (volume_id, volume_path) = (volume.id(), text(path));
        let request = NodeGetVolumeStatsRequest { volume_id, volume_path, ..Default::default() };
        let allowed: &[Code] = if published { &[] } else { &[NotFound] };
        let rpc = ("NodeGetVolumeStats", volume.kind.driver(), volume.name.as_str());
        self.ask(rpc, request, allowed, async |mut clients, request| {
            clients.node.node_get_volume_stats(request).await
        })
        .await
    }

    /// `there`: it must be found.
    pub(crate) async fn get(
        &mut self,
        volume: &Volume,
        there: bool,
    ) -> Answer<ControllerGetVolumeResponse> {
        let request = ControllerGetVolumeRequest { volume_id: volume.id() };
        let allowed: &[Code] = if there { &[] } else { &[NotFound] };
        let rpc = ("ControllerGetVolume", volume.kind.driver(), volume.name.as_str());
        self.ask(rpc, request, allowed, async |mut clients, request| {
            clients.controller.controller_get_volume(request).await
        })
        .await
    }

    pub(crate) async fn volumes(
        &mut self,
        driver: Driver,
        most: i32,
        token: &str,
    ) -> Answer<ListVolumesResponse> {
        let request = ListVolumesRequest { max_entries: most, starting_token: token.to_owned() };
        self.ask(("ListVolumes", driver, token), request, &[], async |mut clients, request| {
            clients.controller.list_volumes(request).await
        })
        .await
    }

    pub(crate) async fn snapshots(
        &mut self,
        driver: Driver,
        most: i32,
        token: &str,
    ) -> Answer<ListSnapshotsResponse> {
        let starting_token = token.to_owned();
        let request =
            ListSnapshotsRequest { max_entries: most, starting_token, ..Default::default() };
        self.ask(("ListSnapshots", driver, token), request, &[], async |mut clients, request| {
            clients.controller.list_snapshots(request).await
        })
        .await
    }
}
