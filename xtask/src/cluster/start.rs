//! Starting a cluster: the first process of its namespaces, and what it says until it is ready.

use super::place::Place;
use super::{cgroups, packages, programs};
use crate::kept::Kept;
use crate::run::{Failed, Outcome, cargo, failed, made, root};
use crate::setup;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A node is ready in seconds; on a machine that is very busy it is given this long.
const LONGEST: Duration = Duration::from_secs(300);

/// A cluster that lives at most as long as this process, until it is told to stay.
#[derive(Debug)]
pub struct Started {
    socket: UnixStream,
    /// What waits for the cluster's first process.
    child: Child,
}

impl Started {
    /// From now on the cluster lives until somebody ends it.
    pub fn stay(mut self) -> Outcome {
        self.socket
            .write_all(b"stay")
            .map_err(|error| Failed::new(format!("cannot let the cluster stay: {error}")))
    }

    /// Takes note of the cluster's end, which is another's work.
    pub fn ended(mut self) {
        let _ = self.child.wait();
    }
}

/// What a cluster is made of. Nobody removes it from the cache as long as this value or the cluster is there.
pub struct Parts {
    programs: Kept,
    packages: Kept,
    /// The program that becomes the cluster's first process.
    node: PathBuf,
}

/// Makes ready what clusters are made of; the first time that takes minutes.
pub fn parts() -> Outcome<Parts> {
    let (programs, packages) = (programs::hyper()?, packages::ready()?);
    let node = setup::target_directory().join("debug/becket-cluster-node");
    if !is_read_only(&node) {
        cargo(&["build", "--quiet", "--package", "becket-cluster-node"]).run_quietly()?;
    }
    Ok(Parts { programs, packages, node })
}

/// True for a file that is there and cannot be made anew: in a guest, which sees what was built outside.
fn is_read_only(file: &Path) -> bool {
    let opened = File::options().append(true).open(file);
    opened.is_err_and(|error| error.kind() == ErrorKind::ReadOnlyFilesystem)
}

/// Starts the cluster at a place where there is none, and waits until it is ready. After a failure some
/// of it may live.
pub fn start(place: &Place, parts: &Parts) -> Outcome<Started> {
    made(&place.directory.join("log"))?;
    cgroups::make(&place.cgroup())?;
    let broken = |error| Failed::new(format!("cannot start the cluster: {error}"));
    let (ours, theirs) = UnixStream::pair().map_err(broken)?;
    let log = place.log("node");
    let log = File::create(&log).map_err(|error| failed("make", &log, &error))?;
    // Not in this terminal's session: what ends a command that runs there must not end the cluster.
    let mut unshare = Command::new("setsid");
    unshare
        .args(["unshare", "--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child"])
        .arg(&parts.node)
        .arg(place.cgroup())
        .args([&place.directory, &parts.programs.path, &parts.packages.path])
        .args(
            [root(), setup::target_directory(), setup::cache()?]
                .iter()
                .filter(|path| path.is_dir()),
        )
        .current_dir("/")
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(place.lock()?)
        .stderr(log);
    let child = unshare.spawn().map_err(broken)?;
    // Its end of the socket and its lock are here, too, as long as this is.
    drop(unshare);
    let started = Started { socket: ours, child };
    match word(&started.socket) {
        Ok(word) if word == "ready" => Ok(started),
        Ok(word) => {
            drop(started.socket);
            let reason = word.strip_prefix("failed ").unwrap_or("it ended without a word");
            Err(reasoned(place, reason))
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Err(reasoned(place, &format!("it is not ready after {} s", LONGEST.as_secs())))
        }
        Err(error) => Err(broken(error)),
    }
}

/// The line that the first process says when it is ready or has failed; empty if it ends without one.
fn word(socket: &UnixStream) -> std::io::Result<String> {
    socket.set_read_timeout(Some(LONGEST))?;
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

fn reasoned(place: &Place, reason: &str) -> Failed {
    let logs = place.directory.join("log");
    Failed::new(format!("the cluster `{}` failed: {reason}; see `{}`", place.name, logs.display()))
}
