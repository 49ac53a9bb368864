//! What the protocol's messages look like, known at run time: for log lines without secrets, for a
//! client that knows every RPC, and for telling people what a message is made of.
//!
//! All of it stands on the descriptors, which are decoded by the first call that needs them. Nothing
//! of this costs a process that never asks, such as a FlexVolume callout.

mod columns;
mod describe;
mod input;
mod json;
mod line;
mod rpc;
mod secrets;
#[cfg(test)]
mod tests;

pub use columns::{Columns, columns, printable};
pub use describe::{FieldShape, fields};
pub use input::assign;
pub use json::{merge_json, to_json};
pub use line::{line, line_of, line_of_bytes};
pub use prost_reflect::{DynamicMessage, MessageDescriptor};
pub use rpc::{Rpc, SERVICES};
pub use secrets::{fill_secrets, has_secrets, numbered, secret_texts};

use crate::protocol::DESCRIPTORS;
use becket_core::{Error, Kind, Result};
use prost_reflect::{DescriptorPool, FieldDescriptor, ReflectMessage};
use std::sync::OnceLock;

/// The package of CSI's own names.
const PACKAGE: &str = "csi.v1";

/// What a secret is shown as, everywhere.
pub const STRIPPED: &str = "<stripped>";

/// The descriptors of the protocols, decoded once.
pub fn descriptors() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| {
        DescriptorPool::decode(DESCRIPTORS).expect("the descriptors are built with this program")
    })
}

/// The message type of this full name, such as `csi.v1.NodeStageVolumeRequest`. `Invalid` when the
/// protocols have none.
pub fn message(full_name: &str) -> Result<MessageDescriptor> {
    descriptors().get_message_by_name(full_name).ok_or_else(|| {
        Error::new(Kind::Invalid, format!("the protocol has no message `{full_name}`"))
    })
}

/// Whether the specification marks the field as a secret (`csi_secret`).
pub(crate) fn is_secret(field: &FieldDescriptor) -> bool {
    marked(field.options(), "csi_secret")
}

/// Whether `options` has the specification's own mark of this name.
fn marked(options: DynamicMessage, mark: &str) -> bool {
    let descriptor = options.descriptor();
    let extension = descriptor.parent_pool().get_extension_by_name(&format!("{PACKAGE}.{mark}"));
    extension.is_some_and(|extension| options.get_extension(&extension).as_bool() == Some(true))
}
