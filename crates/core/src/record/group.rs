//! What the record of a snapshot says of the group it was taken with.

use crate::Name;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What makes snapshots one group: they were cut at one moment, and are deleted together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMembership {
    /// The group's name in the pool.
    pub name: Name,
    /// The identity of this one cut: a later group of the same name is another one.
    pub uuid: Uuid,
    /// The names of all its snapshots. The group exists while all of them are there.
    pub members: Vec<Name>,
}
