//! Where a pool of the backend `nfs` is: `becket pool create --server … --share …`.

use becket_backends::nfs::{OPTIONS, SERVER, SHARE, VERSION};
use clap::Args as ClapArgs;
use std::collections::BTreeMap;

#[derive(Debug, ClapArgs)]
#[command(next_help_heading = "For the backend nfs")]
pub(crate) struct Export {
    /// The file server's name or address
    #[arg(long, value_name = "HOST", requires = "share")]
    server: Option<String>,
    /// The exported path, or a directory below it; every node that names the same has the same pool
    #[arg(long, value_name = "PATH", requires = "server")]
    share: Option<String>,
    /// The protocol's version: 4.2, 4.1, 4.0 or 3 [default: the newest that the server has]
    #[arg(long, value_name = "VERSION", requires = "server")]
    version: Option<String>,
    /// Words for all mounts, such as hard,nconnect=4
    #[arg(long, value_name = "WORDS", requires = "server")]
    mount_options: Option<String>,
}

impl Export {
    /// The same, as a pool's parameters.
    pub(crate) fn parameters(&self) -> BTreeMap<String, String> {
        let given = [
            (SERVER, &self.server),
            (SHARE, &self.share),
            (VERSION, &self.version),
            (OPTIONS, &self.mount_options),
        ];
        let given = given.into_iter().filter_map(|(key, value)| Some((key, value.clone()?)));
        given.map(|(key, value)| (key.to_owned(), value)).collect()
    }
}
