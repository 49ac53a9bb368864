//! Where a pool of the backend `nfs` is: `becket pool create --server … --share …`.

use becket_backends::nfs::{OPTIONS, SERVER, SHARE, VERSION};
use becket_core::Name;
use becket_core::engine::NewPool;
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

/// A pool of the backend `nfs`, in one word: `NAME=SERVER:/SHARE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NfsPool {
    name: Name,
    server: String,
    share: String,
}

impl NfsPool {
    /// Reads the word; an error says how it is written.
    pub(crate) fn parse(text: &str) -> Result<NfsPool, String> {
        let parts = || {
            let (name, place) = text.split_once('=')?;
            // An address of IPv6 has colons, too, and none of them is before a slash.
            let (server, share) = place.split_once(":/")?;
            let name = Name::new(name).ok()?;
            (!server.is_empty()).then(|| NfsPool {
                name,
                server: server.to_owned(),
                share: format!("/{share}"),
            })
        };
        parts().ok_or_else(|| "it is written NAME=SERVER:/SHARE".to_owned())
    }

    /// What the engine makes of it.
    pub(crate) fn pool(&self) -> NewPool {
        let parameters = [(SERVER, &self.server), (SHARE, &self.share)];
        let parameters = parameters.map(|(key, value)| (key.to_owned(), value.clone()));
        NewPool { parameters: parameters.into(), ..NewPool::new(self.name.clone(), "nfs") }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_of_a_share_is_one_word() {
        for (text, server, share) in [
            ("shared=nfs.example:/export/becket", "nfs.example", "/export/becket"),
            ("shared=[fd00::1]:/", "[fd00::1]", "/"),
        ] {
            let pool = NfsPool::parse(text).unwrap().pool();
            assert_eq!((pool.name.as_str(), &*pool.backend), ("shared", "nfs"));
            assert_eq!((&*pool.parameters[SERVER], &*pool.parameters[SHARE]), (server, share));
        }
        for wrong in ["shared", "shared=server", "=server:/a", "shared=:/a", "a b=server:/a"] {
            assert!(NfsPool::parse(wrong).is_err(), "{wrong}");
        }
    }
}
