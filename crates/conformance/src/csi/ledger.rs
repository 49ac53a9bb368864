//! What a run made and has not undone yet. Every call passes by, so nothing is forgotten, also when
//! the check that made it failed, was interrupted or never saw the answer.

use becket_csi::protocol::csi;
use std::any::Any;
use std::fmt;
use tonic::{Code, Status};

/// A call whose outcome is not known yet.
#[derive(Debug, Clone)]
enum Pending {
    Volume(csi::CreateVolumeRequest),
    Snapshot(csi::CreateSnapshotRequest),
    Group(csi::CreateVolumeGroupSnapshotRequest),
    Undo(Thing),
}

/// Something to undo, by the opposite call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Thing {
    Published { volume: String, target: String },
    Staged { volume: String, staging: String },
    Attached { volume: String, node: String },
    Group { id: String, snapshots: Vec<String> },
    Snapshot { id: String },
    Volume { id: String },
}

impl fmt::Display for Thing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Thing::Published { volume, target } => {
                write!(f, "volume `{volume}` published at `{target}`")
            }
            Thing::Staged { volume, staging } => {
                write!(f, "volume `{volume}` staged at `{staging}`")
            }
            Thing::Attached { volume, node } => {
                write!(f, "volume `{volume}` attached to node `{node}`")
            }
            Thing::Group { id, .. } => write!(f, "group snapshot `{id}`"),
            Thing::Snapshot { id } => write!(f, "snapshot `{id}`"),
            Thing::Volume { id } => write!(f, "volume `{id}`"),
        }
    }
}

/// A creation that may have happened, to be found out by asking for it again.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Unresolved {
    Volume(csi::CreateVolumeRequest),
    Snapshot(csi::CreateSnapshotRequest),
    Group(csi::CreateVolumeGroupSnapshotRequest),
}

/// The ledger.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    things: Vec<Thing>,
    pending: Vec<(u64, Pending)>,
    calls: u64,
}

impl Ledger {
    /// Notes that this request is on its way, and gives the number of its entry.
    pub(crate) fn begins(&mut self, request: &dyn Any) -> u64 {
        self.calls += 1;
        if let Some(pending) = self.pending_of(request) {
            self.pending.push((self.calls, pending));
        }
        self.calls
    }

    fn pending_of(&mut self, request: &dyn Any) -> Option<Pending> {
        if let Some(request) = request.downcast_ref::<csi::CreateVolumeRequest>() {
            return Some(Pending::Volume(request.clone()));
        }
        if let Some(request) = request.downcast_ref::<csi::CreateSnapshotRequest>() {
            return Some(Pending::Snapshot(request.clone()));
        }
        if let Some(request) = request.downcast_ref::<csi::CreateVolumeGroupSnapshotRequest>() {
            return Some(Pending::Group(request.clone()));
        }
        // What happens on a node may be undone whether or not it happened.
        if let Some(thing) = done_by(request) {
            self.remember(thing);
            return None;
        }
        undone_by(request).map(Pending::Undo)
    }

    /// Notes the answer of entry `call`.
    pub(crate) fn ends<T: Any>(&mut self, call: u64, result: &Result<T, Status>) {
        let Some(index) = self.pending.iter().position(|(number, _)| *number == call) else {
            return;
        };
        match (&self.pending[index].1, result) {
            (Pending::Undo(thing), Ok(_)) => {
                let thing = thing.clone();
                self.things.retain(|other| !undoes(&thing, other));
            }
            (Pending::Undo(_), Err(_)) => {}
            (_, Ok(answer)) => {
                if let Some(thing) = made(answer) {
                    self.remember(thing);
                }
            }
            (_, Err(status)) if open(status) => return,
            (_, Err(_)) => {}
        }
        self.pending.remove(index);
    }

    /// What is to be undone, in the order in which that works: the newest of each kind first.
    pub(crate) fn things(&self) -> Vec<Thing> {
        let mut things: Vec<Thing> = self.things.iter().rev().cloned().collect();
        things.sort_by_key(|thing| match thing {
            Thing::Published { .. } => 0,
            Thing::Staged { .. } => 1,
            Thing::Attached { .. } => 2,
            Thing::Group { .. } => 3,
            Thing::Snapshot { .. } => 4,
            Thing::Volume { .. } => 5,
        });
        things
    }

    /// Forgets `thing`: it turned out not to be there.
    pub(crate) fn forget(&mut self, thing: &Thing) {
        self.things.retain(|other| other != thing);
    }

    fn remember(&mut self, thing: Thing) {
        let named = match &thing {
            Thing::Group { id, .. } | Thing::Snapshot { id } | Thing::Volume { id } => id,
            Thing::Published { volume, .. } => volume,
            Thing::Staged { volume, .. } | Thing::Attached { volume, .. } => volume,
        };
        if !named.is_empty() && !self.things.contains(&thing) {
            self.things.push(thing);
        }
    }

    /// Creations whose answer never came, each once; they are taken out.
    pub(crate) fn take_unresolved(&mut self) -> Vec<Unresolved> {
        let pending = std::mem::take(&mut self.pending);
        let mut unresolved: Vec<Unresolved> = Vec::new();
        for (_, pending) in pending {
            let one = match pending {
                Pending::Volume(request) => Unresolved::Volume(request),
                Pending::Snapshot(request) => Unresolved::Snapshot(request),
                Pending::Group(request) => Unresolved::Group(request),
                Pending::Undo(_) => continue,
            };
            if !unresolved.contains(&one) {
                unresolved.push(one);
            }
        }
        unresolved
    }
}

/// True when the driver may still be at it, or the answer was lost.
fn open(status: &Status) -> bool {
    use std::error::Error as _;
    matches!(
        status.code(),
        Code::Aborted | Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled
    ) || status.source().is_some()
}

fn done_by(request: &dyn Any) -> Option<Thing> {
    let thing = if let Some(request) = request.downcast_ref::<csi::NodeStageVolumeRequest>() {
        let (volume, staging) = (&request.volume_id, &request.staging_target_path);
        Thing::Staged { volume: volume.clone(), staging: staging.clone() }
    } else if let Some(request) = request.downcast_ref::<csi::NodePublishVolumeRequest>() {
        let (volume, target) = (&request.volume_id, &request.target_path);
        Thing::Published { volume: volume.clone(), target: target.clone() }
    } else {
        let request = request.downcast_ref::<csi::ControllerPublishVolumeRequest>()?;
        let (volume, node) = (&request.volume_id, &request.node_id);
        Thing::Attached { volume: volume.clone(), node: node.clone() }
    };
    let place = match &thing {
        Thing::Staged { staging, .. } => staging,
        Thing::Published { target, .. } => target,
        Thing::Attached { node, .. } => node,
        _ => return None,
    };
    (!place.is_empty()).then_some(thing)
}

fn undone_by(request: &dyn Any) -> Option<Thing> {
    if let Some(request) = request.downcast_ref::<csi::NodeUnpublishVolumeRequest>() {
        let (volume, target) = (request.volume_id.clone(), request.target_path.clone());
        return Some(Thing::Published { volume, target });
    }
    if let Some(request) = request.downcast_ref::<csi::NodeUnstageVolumeRequest>() {
        let (volume, staging) = (request.volume_id.clone(), request.staging_target_path.clone());
        return Some(Thing::Staged { volume, staging });
    }
    if let Some(request) = request.downcast_ref::<csi::ControllerUnpublishVolumeRequest>() {
        let (volume, node) = (request.volume_id.clone(), request.node_id.clone());
        return Some(Thing::Attached { volume, node });
    }
    if let Some(request) = request.downcast_ref::<csi::DeleteVolumeGroupSnapshotRequest>() {
        let (id, snapshots) = (request.group_snapshot_id.clone(), request.snapshot_ids.clone());
        return Some(Thing::Group { id, snapshots });
    }
    if let Some(request) = request.downcast_ref::<csi::DeleteSnapshotRequest>() {
        return Some(Thing::Snapshot { id: request.snapshot_id.clone() });
    }
    let request = request.downcast_ref::<csi::DeleteVolumeRequest>()?;
    Some(Thing::Volume { id: request.volume_id.clone() })
}

/// Groups go with their id, and detaching without a node is from all nodes.
fn undoes(undone: &Thing, thing: &Thing) -> bool {
    match (undone, thing) {
        (Thing::Group { id, .. }, Thing::Group { id: other, .. }) => id == other,
        (Thing::Attached { volume, node }, Thing::Attached { volume: other, .. })
            if node.is_empty() =>
        {
            volume == other
        }
        _ => undone == thing,
    }
}

fn made(answer: &dyn Any) -> Option<Thing> {
    if let Some(answer) = answer.downcast_ref::<csi::CreateVolumeResponse>() {
        return Some(Thing::Volume { id: answer.volume.clone()?.volume_id });
    }
    if let Some(answer) = answer.downcast_ref::<csi::CreateSnapshotResponse>() {
        return Some(Thing::Snapshot { id: answer.snapshot.clone()?.snapshot_id });
    }
    let answer = answer.downcast_ref::<csi::CreateVolumeGroupSnapshotResponse>()?;
    let group = answer.group_snapshot.clone()?;
    let snapshots = group.snapshots.into_iter().map(|snapshot| snapshot.snapshot_id).collect();
    Some(Thing::Group { id: group.group_snapshot_id, snapshots })
}
