//! What a volume on a file server may be asked to be.

use crate::medium;
use becket_core::error::shown;
use becket_core::record::{Content, Provisioning, VolumeRecord};
use becket_core::{Error, Kind, Result};

/// The parameter that says whether a size is enforced: `none`, for a directory, which a server limits to
/// nothing, or [`HARD`].
pub(super) const LIMIT: &str = "limit";
/// The volume is an image file, with a filesystem of its own, for one node at a time. See `limit`.
pub const HARD: &str = "hard";

/// The parameter that says where the data lies below the share: a path of `{claim}`, `{namespace}`,
/// `{name}` and plain words.
pub const SUBDIRECTORY: &str = "subdirectory";

/// The parameters that say whose volume it is, for the subdirectory's sake.
pub const CLAIM: &str = "claim";
/// See [`CLAIM`].
pub const NAMESPACE: &str = "namespace";

/// The parameter that says what becomes of the data when the volume is deleted: `delete`, by way of the
/// trash; [`RETAIN`], it stays where it is; [`ARCHIVE`], it is moved aside, its record with it.
pub const ON_DELETE: &str = "onDelete";
/// See [`ON_DELETE`].
pub(super) const RETAIN: &str = "retain";
/// See [`ON_DELETE`].
pub(super) const ARCHIVE: &str = "archive";

/// Refuses a volume that no pool of this backend could make.
pub(super) fn check(volume: &VolumeRecord) -> Result<()> {
    let hard = volume.parameters.get(LIMIT).is_some_and(|limit| limit == HARD);
    if hard {
        check_image(volume)?;
    } else if volume.content != Content::Directory {
        return Err(Error::new(
            Kind::Invalid,
            format!("an nfs volume cannot be {}", volume.content.name()),
        )
        .hint("ask for `limit: hard`, or use the image or the lvm backend"));
    }
    if volume.provisioning == Provisioning::Thick {
        return Err(Error::new(Kind::Invalid, "an nfs volume cannot be thick"));
    }
    for (key, value) in &volume.parameters {
        match (key.as_str(), value.as_str()) {
            (LIMIT, "none" | HARD) | (ON_DELETE, "delete" | RETAIN | ARCHIVE) => {}
            // Looked at where the subdirectory is made of them.
            (SUBDIRECTORY | CLAIM | NAMESPACE, _) => {}
            (LIMIT | ON_DELETE, other) => {
                return Err(Error::new(
                    Kind::Invalid,
                    format!("parameter `{key}` cannot be `{}`", shown(other)),
                )
                .hint("limit is none or hard, onDelete is delete, retain or archive"));
            }
            _ => {
                return Err(Error::new(
                    Kind::Invalid,
                    format!("nfs volumes know no parameter `{}`", shown(key)),
                )
                .hint(
                    "they know limit, onDelete and subdirectory, with claim and namespace for it",
                ));
            }
        }
    }
    match volume.size > 0 && !volume.parameters.contains_key(LIMIT) {
        true => Err(no_limit(volume)),
        false => Ok(()),
    }
}

fn no_limit(volume: &VolumeRecord) -> Error {
    Error::new(
        Kind::WrongState,
        format!("volume `{}` cannot be limited: a file server limits no directory", volume.name),
    )
    .hint("ask for `limit: hard`, which is an image file for one node, or for `limit: none`")
}

/// Refuses an image that cannot be.
fn check_image(volume: &VolumeRecord) -> Result<()> {
    let refuse = |what: &str| {
        let name = &volume.name;
        Err(Error::new(Kind::Invalid, format!("volume `{name}` with `limit: hard` {what}")))
    };
    if volume.content == Content::Block {
        return refuse("cannot be raw block");
    }
    if volume.parameters.contains_key(SUBDIRECTORY) {
        return refuse("is an image file and has no subdirectory");
    }
    medium::check_content(volume)
}
