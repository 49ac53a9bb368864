//! What the host must have, checked once where a person or the kubelet reads the answer.

use crate::{Error, Kind, Result};
use becket_sys::kernel::{OLDEST, version};

/// `WrongState`, with what is wrong, when this kernel is too old for Becket.
///
/// A version that cannot be read is let through: the call that is missing will say so.
pub fn kernel() -> Result<()> {
    match version() {
        Some(found) if found < OLDEST => Err(Error::new(
            Kind::WrongState,
            format!(
                "this kernel is Linux {}.{}, and becket needs {}.{} or newer",
                found.0, found.1, OLDEST.0, OLDEST.1
            ),
        )
        .hint("without `mount_setattr` a read-only mount would be writable for a moment")),
        _ => Ok(()),
    }
}
