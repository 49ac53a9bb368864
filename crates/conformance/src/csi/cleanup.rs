//! Undoing what a check made, by the opposite calls, whatever became of the check.

use super::answer;
use super::ground::Ground;
use super::ledger::{Thing, Unresolved};
use becket_csi::protocol::csi;
use std::time::{Duration, Instant};
use tonic::{Code, Status};

impl Ground {
    /// Undoes everything in the ledger. What could not be undone is said, and tried again next
    /// time.
    pub(crate) async fn clean(&self) -> Vec<String> {
        self.resolve().await;
        let mut troubles = Vec::new();
        // Again and again for a moment, as an orchestrator would: a volume may only go after
        // another that was made of it, and a device may be let go of a little later.
        for pause in [0, 50, 100, 200, 400, 800] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            troubles.clear();
            let things = self.calls.ledger.borrow().things();
            for thing in things {
                troubles.extend(self.undo(&thing).await);
            }
            if troubles.is_empty() {
                break;
            }
        }
        if self.survey.not_here.is_none() {
            troubles.extend(self.places.clear());
        }
        troubles
    }

    /// Finds out what became of creations whose answer never came, by asking for them again until it
    /// does: a driver that is still at it says so, and leaves something once it is done.
    async fn resolve(&self) {
        const ENOUGH: Duration = Duration::from_secs(10);
        let started = Instant::now();
        loop {
            let unresolved = self.calls.ledger.borrow_mut().take_unresolved();
            if unresolved.is_empty() || started.elapsed() > ENOUGH {
                return;
            }
            for creation in unresolved {
                match creation {
                    Unresolved::Volume(request) => drop(self.calls.create_volume(request).await),
                    Unresolved::Snapshot(request) => {
                        drop(self.calls.create_snapshot(request).await);
                    }
                    Unresolved::Group(request) => {
                        drop(self.calls.create_volume_group_snapshot(request).await);
                    }
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn undo(&self, thing: &Thing) -> Option<String> {
        let (what, status) = match thing.clone() {
            Thing::Published { volume, target } => {
                let request = csi::NodeUnpublishVolumeRequest {
                    volume_id: volume.clone(),
                    target_path: target,
                };
                let answer = self.calls.node_unpublish_volume(request).await;
                (format!("NodeUnpublishVolume of `{volume}`"), answer.result.err())
            }
            Thing::Staged { volume, staging } => {
                let request = csi::NodeUnstageVolumeRequest {
                    volume_id: volume.clone(),
                    staging_target_path: staging,
                };
                let answer = self.calls.node_unstage_volume(request).await;
                (format!("NodeUnstageVolume of `{volume}`"), answer.result.err())
            }
            Thing::Attached { volume, node } => {
                let request = csi::ControllerUnpublishVolumeRequest {
                    volume_id: volume.clone(),
                    node_id: node,
                    ..Default::default()
                };
                let answer = self.calls.controller_unpublish_volume(request).await;
                (format!("ControllerUnpublishVolume of `{volume}`"), answer.result.err())
            }
            Thing::Group { id, snapshots } => {
                let request = csi::DeleteVolumeGroupSnapshotRequest {
                    group_snapshot_id: id.clone(),
                    snapshot_ids: snapshots,
                    ..Default::default()
                };
                let answer = self.calls.delete_volume_group_snapshot(request).await;
                (format!("DeleteVolumeGroupSnapshot of `{id}`"), answer.result.err())
            }
            Thing::Snapshot { id } => {
                let request =
                    csi::DeleteSnapshotRequest { snapshot_id: id.clone(), ..Default::default() };
                let answer = self.calls.delete_snapshot(request).await;
                (format!("DeleteSnapshot of `{id}`"), answer.result.err())
            }
            Thing::Volume { id } => {
                let request =
                    csi::DeleteVolumeRequest { volume_id: id.clone(), ..Default::default() };
                let answer = self.calls.delete_volume(request).await;
                (format!("DeleteVolume of `{id}`"), answer.result.err())
            }
        };
        let status = status?;
        if never_there(thing, &status) {
            self.calls.ledger.borrow_mut().forget(thing);
            return None;
        }
        Some(format!("{what} answered {}", answer::shown(&status)))
    }
}

/// Undoing what may not have happened may say so; checks make calls that fail, also with nonsense.
fn never_there(thing: &Thing, status: &Status) -> bool {
    let on_node = matches!(thing, Thing::Published { .. } | Thing::Staged { .. });
    match status.code() {
        Code::NotFound => on_node || matches!(thing, Thing::Attached { .. }),
        Code::InvalidArgument => on_node || matches!(thing, Thing::Attached { .. }),
        Code::Unimplemented => true,
        _ => false,
    }
}
