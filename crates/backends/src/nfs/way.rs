//! The way to an export: server, path, version and options, from a pool's parameters or a static share.

use becket_core::engine::Share;
use becket_core::error::shown;
use becket_core::mount_flags::MountFlags;
use becket_core::record::Content;
use becket_core::remote_mount::{RemoteMount, RemoteOption};
use becket_core::{Error, Kind, Result};
use becket_sys::rpc::{self, Silence};
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::time::Duration;

/// The parameter that names the server.
pub const SERVER: &str = "server";

/// The parameter that names the exported path, or a directory below it.
pub const SHARE: &str = "share";

/// The parameter that names the protocol's version: `4.2`, `4.1`, `4.0`, `4`, `3`.
pub const VERSION: &str = "version";

/// The parameter with words for all mounts, commas between them.
pub const OPTIONS: &str = "options";

/// How long the server may take to say that it is there.
const SOON: Duration = Duration::from_secs(5);

/// Where an export is, checked.
#[derive(Debug, Clone)]
pub(super) struct Way {
    server: String,
    share: String,
    version: Option<String>,
    flags: MountFlags,
}

impl Way {
    /// From a pool's parameters.
    pub(super) fn of_pool(parameters: &BTreeMap<String, String>) -> Result<Way> {
        let known = [SERVER, SHARE, VERSION, OPTIONS];
        if let Some(key) = parameters.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(Error::new(
                Kind::Invalid,
                format!("nfs pools know no parameter `{}`", shown(key)),
            )
            .hint("they know server, share, version and options"));
        }
        let words: Vec<&str> = parameters.get(OPTIONS).map(String::as_str).into_iter().collect();
        Way::new(
            parameters.get(SERVER).map_or("", String::as_str),
            parameters.get(SHARE).map_or("", String::as_str),
            parameters.get(VERSION).map(String::as_str),
            &words,
        )
    }

    /// To a share that is no pool's.
    pub(super) fn of_share(share: &Share) -> Result<Way> {
        Way::new(&share.server, &share.share, share.version.as_deref(), &[])
    }

    fn new(server: &str, share: &str, version: Option<&str>, words: &[&str]) -> Result<Way> {
        check_server(server)?;
        let share = normal_share(share)?;
        let known = ["4.2", "4.1", "4.0", "4", "3"];
        if let Some(version) = version.filter(|version| !known.contains(version)) {
            let shown = shown(version);
            return Err(Error::new(Kind::Invalid, format!("NFS version `{shown}` is not known"))
                .hint("use 4.2, 4.1, 4.0 or 3"));
        }
        Ok(Way {
            server: server.to_owned(),
            share,
            version: version.map(str::to_owned),
            flags: MountFlags::read(words, Content::Directory)?,
        })
    }

    /// Server and path as the mount table shows them, `below` behind them.
    pub(super) fn source(&self, below: &str) -> String {
        let server = match self.server.contains(':') {
            true => format!("[{}]", self.server),
            false => self.server.clone(),
        };
        match (self.share.as_str(), below) {
            (share, "") => format!("{server}:{share}"),
            ("/", below) => format!("{server}:/{below}"),
            (share, below) => format!("{server}:{share}/{below}"),
        }
    }

    /// Finds the server and hears that it is there. `Unavailable`, with what is the matter, when not.
    pub(super) fn probe(&self) -> Result<IpAddr> {
        let mut last = None;
        let addresses = (self.server.as_str(), rpc::NFS_PORT)
            .to_socket_addrs()
            .map_err(|error| self.unavailable(&format!("its name is not known here: {error}")))?;
        let versions: &[u32] = match self.version.as_deref() {
            Some("3") => &[3],
            Some(_) => &[4],
            None => &[4, 3],
        };
        for address in addresses {
            for version in versions {
                match rpc::call_null(address, rpc::NFS, *version, SOON) {
                    Ok(()) => return Ok(address.ip()),
                    Err(silence) => {
                        let other = matches!(silence, Silence::Version(_));
                        last = Some((address, silence));
                        if !other {
                            break;
                        }
                    }
                }
            }
        }
        let Some((address, silence)) = last else {
            return Err(self.unavailable("its name has no address"));
        };
        Err(self.silent(address, silence))
    }

    fn silent(&self, address: SocketAddr, silence: Silence) -> Error {
        let seconds = SOON.as_secs();
        let (reason, hint) = match silence {
            Silence::Refused => {
                (format!("`{address}` refuses the connection"), "is the NFS server running?")
            }
            Silence::Unreachable(reason) => (
                format!("there is no way to `{address}`: {reason}"),
                "is the node's network up, and is the address right?",
            ),
            Silence::NoConnection => (
                format!("`{address}` did not take the connection within {seconds} s"),
                "is the server up, and does a firewall drop port 2049?",
            ),
            Silence::NoAnswer => (
                format!("`{address}` took the connection and did not answer within {seconds} s"),
                "the server is overloaded, or hangs on its own storage",
            ),
            Silence::Strange(reason) => {
                (format!("`{address}` is no NFS server: {reason}"), "is it the right port?")
            }
            Silence::Version(reason) => {
                return Error::new(
                    Kind::WrongState,
                    format!("server `{}` cannot be used: {reason}", self.server),
                )
                .hint("name a version that it has with `--version`");
            }
        };
        self.unavailable(&reason).hint(hint)
    }

    fn unavailable(&self, reason: &str) -> Error {
        Error::new(Kind::Unavailable, format!("`{}` is not reachable: {reason}", self.source("")))
    }

    /// How the directory `below` of the export is mounted for workloads: it waits for the server, however
    /// long that takes, unless the pool says otherwise, because what gives up loses data.
    pub(super) fn mount_of(&self, below: &str, address: IpAddr) -> RemoteMount {
        let mut options = vec![word("addr", &address.to_string())];
        options.extend(owned(&self.flags));
        self.mount(below, options, address)
    }

    /// How the export is mounted for our own work: it gives up in time, and believes nothing that another
    /// node may have changed.
    pub(super) fn mount_of_ours(&self, address: IpAddr) -> RemoteMount {
        let mut options = self.unbelieving(address);
        options.push(("softerr".to_owned(), None));
        // Tenths of a second until a request is sent again, and how often that is done.
        options.extend([word("timeo", "50"), word("retrans", "2")]);
        self.mount("", options, address)
    }

    /// How the export is mounted for images, whose filesystems would be damaged by what gives up. Only a
    /// server that keeps locks itself, and takes no more from who has lost one, can keep an image on one
    /// node: `WrongState` for others.
    pub(super) fn mount_of_images(&self, address: IpAddr) -> Result<RemoteMount> {
        let own = |(key, _): &(&str, Option<&str>)| matches!(*key, "nolock" | "local_lock");
        if self.version.as_deref() == Some("3") || self.flags.options().iter().any(own) {
            return Err(Error::new(
                Kind::WrongState,
                format!("`{}` cannot keep an image on one node", self.source("")),
            )
            .hint("`limit: hard` takes NFS 4 with the server's own locks"));
        }
        let mut options = self.unbelieving(address);
        options.push(("hard".to_owned(), None));
        let mut mount = self.mount("", options, address);
        mount.versions.retain(|version| !version.contains(&word("vers", "3")));
        Ok(mount)
    }

    /// What a mount takes that believes nothing that another node may have changed.
    fn unbelieving(&self, address: IpAddr) -> Vec<RemoteOption> {
        let kept = [
            "nolock",
            "lock",
            "local_lock",
            "resvport",
            "noresvport",
            "proto",
            "mountproto",
            "sec",
        ];
        let mut options = vec![word("addr", &address.to_string())];
        options.extend(owned(&self.flags).filter(|(key, _)| kept.contains(&key.as_str())));
        options.extend([word("actimeo", "0"), word("lookupcache", "none")]);
        options
    }

    fn mount(&self, below: &str, options: Vec<RemoteOption>, address: IpAddr) -> RemoteMount {
        let versions = match &self.version {
            Some(version) => vec![version.as_str()],
            None => vec!["4.2", "4.1", "4.0", "3"],
        };
        let versions = versions.into_iter().map(|version| {
            let mut options = vec![word("vers", version)];
            if version == "3" {
                // Its mount daemon is where the server is, and is asked over the same protocol.
                options.push(word("mountproto", "tcp"));
                options.push(word("mountaddr", &address.to_string()));
            }
            options
        });
        RemoteMount {
            kind: "nfs",
            source: self.source(below),
            options,
            versions: versions.collect(),
        }
    }
}

fn word(key: &str, value: &str) -> RemoteOption {
    (key.to_owned(), Some(value.to_owned()))
}

fn owned(flags: &MountFlags) -> impl Iterator<Item = RemoteOption> {
    let options: Vec<_> = flags
        .options()
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value.map(str::to_owned)))
        .collect();
    options.into_iter()
}

fn check_server(server: &str) -> Result<()> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    let fine = !server.is_empty()
        && server.len() <= 253
        && !server.starts_with('-')
        && (server.bytes().all(plain) || server.parse::<IpAddr>().is_ok());
    match fine {
        true => Ok(()),
        false => Err(Error::new(Kind::Invalid, format!("`{}` is no server", shown(server)))
            .hint("name a host or an address in `server`")),
    }
}

/// The path without empty components and a slash at its end.
fn normal_share(share: &str) -> Result<String> {
    let refuse = || {
        Err(Error::new(Kind::Invalid, format!("`{}` is no exported path", shown(share)))
            .hint("name an absolute path without `.` and `..` in `share`"))
    };
    if !share.starts_with('/') || share.len() > 1024 || share.chars().any(char::is_control) {
        return refuse();
    }
    let parts: Vec<&str> = share.split('/').filter(|part| !part.is_empty()).collect();
    if parts.iter().any(|part| matches!(*part, "." | "..")) {
        return refuse();
    }
    Ok(format!("/{}", parts.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(server: &str, share: &str, version: Option<&str>) -> Result<Way> {
        Way::new(server, share, version, &["hard,nconnect=4"])
    }

    #[test]
    fn a_way_is_shown_as_the_mount_table_shows_it() {
        for (server, share, below, source) in [
            ("nas", "/export/", "volumes/v/data", "nas:/export/volumes/v/data"),
            ("10.0.0.1", "/", "v", "10.0.0.1:/v"),
            ("10.0.0.1", "/", "", "10.0.0.1:/"),
            ("fd00::1", "/a//b", "v", "[fd00::1]:/a/b/v"),
        ] {
            assert_eq!(way(server, share, None).unwrap().source(below), source);
        }
    }

    #[test]
    fn what_leads_elsewhere_is_refused() {
        for (server, share, version) in [
            ("", "/x", None),
            ("a,addr=1.2.3.4", "/x", None),
            ("a:b", "/x", None),
            ("-a", "/x", None),
            ("nas", "x", None),
            ("nas", "/x/../y", None),
            ("nas", "/x\n", None),
            ("nas", "/x", Some("2")),
        ] {
            let error = way(server, share, version).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{server} {share}");
        }
        let address = Way::new("nas", "/x", None, &["addr=1.2.3.4"]).unwrap_err();
        assert_eq!(address.kind(), Kind::Invalid);
    }
}
