//! The drivers that are measured, as programs that are started.

use crate::Outcome;
use crate::measure::{command, refuse_when_interrupted};
use crate::place::Place;
use becket_tests::Served;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tonic::transport::Channel;

/// A driver may take this long until it answers.
const PATIENCE: Duration = Duration::from_secs(10);

/// Becket's name for both drivers of one process, and for the one that is measured.
pub(crate) const BOTH: &str = "image,directory";
pub(crate) const IMAGE: &str = "image";

/// A program that serves a driver.
pub(crate) struct Program {
    path: PathBuf,
    /// Its own directory, for its log and for where volumes are mounted.
    root: PathBuf,
    state: PathBuf,
    becket: bool,
}

impl Program {
    /// Becket, on the state directory of the place.
    pub(crate) fn becket(place: &Place) -> Outcome<Program> {
        let (root, state) = (place.directory("csi/becket")?, place.root().join("state"));
        Ok(Program { path: place.becket().to_owned(), root, state, becket: true })
    }

    /// A driver that takes the flags of csi-driver-host-path.
    pub(crate) fn peer(place: &Place, path: PathBuf) -> Outcome<Program> {
        let (root, state) = (place.directory("csi/peer")?, place.directory("csi/peer-state")?);
        Ok(Program { path, root, state, becket: false })
    }

    /// Where its volumes are mounted.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Starts it with all Becket's drivers in `drivers`, and waits until the first of them answers.
    pub(crate) async fn start(&self, drivers: &str) -> Outcome<(Served, Channel)> {
        refuse_when_interrupted()?;
        let socket = self.socket(drivers);
        // A socket that was left would be taken for one of the new process.
        match std::fs::remove_file(&socket) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        let log = self.root.join("log");
        let mut served = Served::start(self.command(drivers), &log)?;
        let ready = served.ready(&socket, PATIENCE).await;
        let channel = ready.map_err(|error| {
            let words = std::fs::read_to_string(&log).unwrap_or_default();
            format!("`{}`: {error}: {}", self.path.display(), words.trim())
        })?;
        Ok((served, channel))
    }

    fn socket(&self, drivers: &str) -> PathBuf {
        match drivers {
            BOTH => self.root.join("image.becket.dev/csi.sock"),
            _ => self.root.join("csi.sock"),
        }
    }

    fn command(&self, drivers: &str) -> Command {
        let endpoint = format!("unix://{}", self.socket(drivers).display());
        let (root, state) = (self.root.display().to_string(), self.state.display().to_string());
        let words: &[&str] = match (self.becket, drivers) {
            (false, _) => &["-endpoint", &endpoint, "-nodeid", "bench", "-statedir", &state],
            (true, BOTH) => &["serve", "--plugin-dir", &root],
            (true, _) => &["serve", "--endpoint", &endpoint],
        };
        let mut command = command(&self.path, words);
        if self.becket {
            command.args(["--node-id", "bench", "--drivers", drivers, "--state-dir", &state]);
        }
        command
    }
}
