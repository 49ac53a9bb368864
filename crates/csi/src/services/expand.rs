//! Growing: the storage first, by the controller; then the filesystem, on the node.

use crate::capability::Capability;
use crate::identifier::Identifier;
use crate::plugin::Plugin;
use crate::protocol::csi::{
    ControllerExpandVolumeRequest, ControllerExpandVolumeResponse, NodeExpandVolumeRequest,
    NodeExpandVolumeResponse,
};
use crate::range::Range;
use crate::services::stage;
use becket_core::encryption::{PASSPHRASE, Passphrase};
use becket_core::record::{Content, VolumeRecord};
use becket_core::{Error, Kind, Result};

/// `ControllerExpandVolume`: the storage, in use or not. A volume that is large enough stays as it is.
pub fn expand(
    plugin: &Plugin,
    request: ControllerExpandVolumeRequest,
) -> Result<ControllerExpandVolumeResponse> {
    if request.volume_id.is_empty() {
        return Err(Error::new(Kind::Invalid, "the volume's id is missing"));
    }
    let range = Range::expect(request.capacity_range.as_ref())?;
    let (id, record) = plugin.volume(&request.volume_id)?;
    judge(plugin, &record, request.volume_capability.as_ref())?;
    let record =
        plugin.engine.expand_storage(&id.pool, &id.name, size(plugin, &id, &range, &record)?)?;
    Ok(ControllerExpandVolumeResponse {
        capacity_bytes: i64::try_from(record.size).unwrap_or(i64::MAX),
        node_expansion_required: record.content != Content::Directory,
    })
}

/// The size to grow to, or the one that the volume has already.
fn size(plugin: &Plugin, id: &Identifier, range: &Range, record: &VolumeRecord) -> Result<u64> {
    if range.holds(record.size) {
        return Ok(record.size);
    }
    if record.size > range.limit {
        return Err(Error::new(
            Kind::OutOfRange,
            format!("volume `{}` is larger than that, and none shrinks", record.name),
        ));
    }
    range.choose(record.size, plugin.engine.granularity(&id.pool, &record.parameters)?)
}

fn judge(
    plugin: &Plugin,
    record: &VolumeRecord,
    given: Option<&crate::protocol::csi::VolumeCapability>,
) -> Result<()> {
    let Some(given) = given else {
        return Ok(());
    };
    Capability::read(Some(given))?
        .fits(plugin.driver, record.content)
        .map_err(|error| Error::new(Kind::Invalid, error.message()))
}

/// `NodeExpandVolume`: what is left of the growth, where the volume is mounted. Without a range, to all
/// that its storage has.
pub fn expand_on_node(
    plugin: &Plugin,
    mut request: NodeExpandVolumeRequest,
) -> Result<NodeExpandVolumeResponse> {
    if request.volume_id.is_empty() {
        return Err(Error::new(Kind::Invalid, "the volume's id is missing"));
    }
    if request.volume_path.is_empty() {
        return Err(Error::new(Kind::Invalid, "the volume's path is missing"));
    }
    let (id, record) = plugin.volume(&request.volume_id)?;
    let range = Range::read(request.capacity_range.as_ref())?;
    judge(plugin, &record, request.volume_capability.as_ref())?;
    stage::expect_at(plugin, &id, &request.volume_path)?;
    let passphrase = Passphrase::take(&mut request.secrets)?;
    let size = size(plugin, &id, &range, &record)?;
    let grown = plugin.engine.expand_unlocked(&id.pool, &id.name, size, passphrase.as_ref());
    let record = grown.map_err(|error| match error.kind() {
        // This process may not grow it while it is mounted, which its next staging will make good.
        // It is the passphrase that was not taken.
        Kind::Denied if error.message().contains(PASSPHRASE) => error,
        Kind::Denied => Error::new(Kind::WrongState, error.message())
            .hint(error.advice().unwrap_or("it is grown when it is staged next").to_owned()),
        _ => error,
    })?;
    Ok(NodeExpandVolumeResponse { capacity_bytes: i64::try_from(record.size).unwrap_or(i64::MAX) })
}
