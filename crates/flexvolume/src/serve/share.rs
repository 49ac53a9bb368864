//! A share of a file server, mounted as it is: the options of Kubernetes' own example of an NFS driver.

use crate::driver::Driver;
use crate::options::Options;
use becket_backends::nfs::{SERVER, SHARE, VERSION};
use becket_core::engine::{Publication, Share};
use becket_core::mount_flags::MountFlags;
use becket_core::record::Content;
use becket_core::{Error, Kind, Result};

/// The share that the options name, and how it is to be mounted; `None` where they name a volume.
pub(super) fn read(driver: Driver, options: &Options) -> Result<Option<(Share, Publication)>> {
    if driver != Driver::Nfs {
        return Ok(None);
    }
    let (server, share) = match (options.own(SERVER), options.own(SHARE)) {
        (None, None) => return Ok(None),
        (Some(server), Some(share)) => (server.to_owned(), share.to_owned()),
        _ => {
            return Err(Error::new(
                Kind::Invalid,
                format!("options `{SERVER}` and `{SHARE}` go together"),
            ));
        }
    };
    options.allow(driver.options())?;
    if options.own("name").is_some() {
        return Err(Error::new(
            Kind::Invalid,
            format!("option `name` is of a volume in a pool, and `{SERVER}` of a share as it is"),
        )
        .hint("leave one of them out"));
    }
    let words: Vec<String> =
        options.own("mountOptions").unwrap_or_default().split(',').map(str::to_owned).collect();
    let words: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
    let publication = Publication {
        readonly: options.readonly()?,
        group: options.group()?,
        flags: MountFlags::read(&words, Content::Directory)?,
        ..Publication::default()
    };
    let version = options.own(VERSION).map(str::to_owned);
    Ok(Some((Share { server, share, version }, publication)))
}
