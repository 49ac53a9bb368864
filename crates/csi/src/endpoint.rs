//! Where a driver listens, as `CSI_ENDPOINT` and the command line name it.

use becket_core::error::shown;
use becket_core::{Error, Kind, Result};
use hyper_util::rt::TokioIo;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint as Transport, Uri};
use tower::service_fn;

/// A Unix socket, or, for clients of drivers that offer one, a TCP port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// The absolute path of a Unix socket.
    Unix(PathBuf),
    /// `host:port`, without encryption.
    Tcp(String),
}

impl Endpoint {
    /// The socket's path, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Endpoint::Unix(path) => Some(path),
            Endpoint::Tcp(_) => None,
        }
    }

    /// Connects within `wait`. `Unavailable` when nobody listens.
    ///
    /// The authority is `localhost`, as Kubernetes' own clients send it over a socket.
    pub async fn connect(&self, wait: Duration) -> Result<Channel> {
        let connected = match self {
            Endpoint::Tcp(address) => {
                let uri = format!("http://{address}");
                let transport = Transport::from_shared(uri).map_err(|error| self.refused(error))?;
                transport.connect_timeout(wait).connect().await
            }
            Endpoint::Unix(path) => {
                let path = path.clone();
                let dial = service_fn(move |_: Uri| {
                    let path = path.clone();
                    async move { UnixStream::connect(path).await.map(TokioIo::new) }
                });
                let transport = Transport::from_static("http://localhost").connect_timeout(wait);
                transport.connect_with_connector(dial).await
            }
        };
        connected.map_err(|error| self.refused(error))
    }

    fn refused(&self, error: tonic::transport::Error) -> Error {
        let mut reason = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(inner) = source {
            reason = inner.to_string();
            source = inner.source();
        }
        Error::new(Kind::Unavailable, format!("cannot connect to `{self}`: {reason}"))
            .hint("check that the driver runs and that this is its socket")
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    /// Reads `unix:///path`, `unix:/path`, `/path`, `tcp://host:port` or `host:port`. `Invalid` otherwise.
    fn from_str(text: &str) -> Result<Endpoint> {
        let unix = text.strip_prefix("unix://").or_else(|| text.strip_prefix("unix:"));
        let path = unix.unwrap_or(text);
        if path.starts_with('/') && path.len() > 1 {
            return Ok(Endpoint::Unix(path.into()));
        }
        let address = text.strip_prefix("tcp://").unwrap_or(text);
        let port =
            address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
        match (unix, port) {
            (None, Some((host, port))) if !host.is_empty() && !host.contains('/') => {
                let _: u16 = port;
                Ok(Endpoint::Tcp(address.to_owned()))
            }
            _ => {
                let shown = shown(text);
                Err(Error::new(Kind::Invalid, format!("`{shown}` is not an endpoint"))
                    .hint("write unix:///path/to/csi.sock, with an absolute path"))
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Unix(path) => write!(f, "unix://{}", path.display()),
            Endpoint::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_read_in_every_spelling_and_nothing_else_is_one() {
        for text in ["unix:///run/csi.sock", "unix:/run/csi.sock", "/run/csi.sock"] {
            assert_eq!(text.parse::<Endpoint>().unwrap(), Endpoint::Unix("/run/csi.sock".into()));
        }
        for text in ["tcp://[::1]:9000", "[::1]:9000"] {
            assert_eq!(text.parse::<Endpoint>().unwrap(), Endpoint::Tcp("[::1]:9000".into()));
        }
        for text in
            ["", "/", "csi.sock", "unix://csi.sock", "unix:", "tcp://:1", "a:b", "http://a:1"]
        {
            assert_eq!(text.parse::<Endpoint>().unwrap_err().kind(), Kind::Invalid, "{text}");
        }
    }
}
