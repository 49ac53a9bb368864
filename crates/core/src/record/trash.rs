//! What a pool's trash knows of what lies in it.

use super::GroupMembership;
use crate::Name;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// `trash.json`: what lies in one place of the trash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TrashRecord {
    /// [`super::FORMAT`].
    pub format: u32,
    /// Its place in the trash.
    pub id: Uuid,
    /// What it was.
    pub kind: TrashKind,
    /// What it was called.
    pub name: Name,
    /// Its promised bytes.
    pub size: u64,
    /// Second of its deletion, RFC 3339.
    pub deleted: String,
    /// When it may be emptied, RFC 3339.
    pub until: String,
    /// The group that a snapshot belongs to: its members come back together or not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupMembership>,
}

/// What can be in the trash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrashKind {
    /// A volume.
    Volume,
    /// A snapshot.
    Snapshot,
}
