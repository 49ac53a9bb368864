//! The node that everything happens on, and what is known of how it goes.

use crate::volume::Driver;
use becket_csi::endpoint::Endpoint;
use becket_tests::{Random, loop_files, mounts, until};
use rustix::mount::UnmountFlags;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::sync::RwLock;
use tonic::transport::Channel;

/// So many violations are enough to end the soak.
const ENOUGH: usize = 20;

/// The node.
pub(crate) struct World {
    root: PathBuf,
    becket: PathBuf,
    seed: u64,
    verbose: bool,
    started: Instant,
    /// Even while the server is up; it changes whenever the server goes and when it has come back.
    epoch: Cell<u64>,
    /// Callers are to come to their end.
    pub(crate) over: Cell<bool>,
    /// Callers hold it for reading while they act, so whoever holds it for writing sees an idle server.
    pub(crate) quiet: RwLock<()>,
    violations: Cell<usize>,
    /// Answers, by call and outcome.
    tally: RefCell<BTreeMap<(&'static str, String), u64>>,
    /// The slowest answer of each call.
    slowest: RefCell<BTreeMap<&'static str, Duration>>,
    /// Other things that happened.
    events: RefCell<BTreeMap<&'static str, u64>>,
    /// Lines of the summary.
    notes: RefCell<Vec<String>>,
    /// The longest that a workload waited for its volume.
    waited: Cell<Duration>,
}

impl World {
    /// A node in a directory of its own, for the program `becket`.
    ///
    /// `verbose`: its server says in its log what it was asked.
    pub(crate) fn new(becket: &Path, seed: u64, verbose: bool) -> Result<World, String> {
        let failed = |error| format!("cannot make a place: {error}");
        let place = tempfile::Builder::new().prefix("becket-soak-").tempdir().map_err(failed)?;
        let root = place.path().canonicalize().map_err(failed)?;
        // From here on it is removed by us, who look first.
        let _ = place.keep();
        for part in ["state", "plugins", "staging", "pods"] {
            std::fs::create_dir(root.join(part)).map_err(failed)?;
        }
        Ok(World {
            root,
            becket: becket.to_owned(),
            seed,
            verbose,
            started: Instant::now(),
            epoch: Cell::new(1),
            over: Cell::new(false),
            quiet: RwLock::new(()),
            violations: Cell::default(),
            tally: RefCell::default(),
            slowest: RefCell::default(),
            events: RefCell::default(),
            notes: RefCell::default(),
            waited: Cell::default(),
        })
    }

    /// A path of the node.
    pub(crate) fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.root.join(below)
    }

    /// A source of choices of its own.
    pub(crate) fn random(&self, whose: usize) -> Random {
        Random::new(self.seed.wrapping_mul(1000).wrapping_add(whose as u64))
    }

    /// The program with this node's state, and these arguments.
    pub(crate) fn becket(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.becket);
        command.args(arguments).env_clear().env("BECKET_STATE_DIR", self.path("state"));
        command
    }

    /// The server.
    pub(crate) fn server(&self) -> Command {
        let plugins = self.path("plugins").display().to_string();
        let mut command = self.becket(&["serve", "--node-id", "soak", "--plugin-dir", &plugins]);
        command.args(self.verbose.then_some("--verbose"));
        command
    }

    /// A driver's socket.
    pub(crate) fn socket(&self, driver: Driver) -> PathBuf {
        self.path("plugins").join(driver.name()).join("csi.sock")
    }

    /// A connection to a driver, which is made anew by itself when it is lost.
    pub(crate) async fn connect(&self, driver: Driver) -> Result<Channel, String> {
        let endpoint = Endpoint::Unix(self.socket(driver));
        endpoint.connect(Duration::from_secs(5)).await.map_err(|error| error.to_string())
    }

    /// The server is about to go, or has come back.
    pub(crate) fn turn(&self) {
        self.epoch.set(self.epoch.get() + 1);
    }

    /// Something to compare with a later one.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.get()
    }

    /// True when the server was away at some moment since `epoch`.
    pub(crate) fn was_away_since(&self, epoch: u64) -> bool {
        epoch % 2 == 1 || self.epoch.get() != epoch
    }

    /// Something is not as it must be.
    pub(crate) fn violation(&self, what: impl std::fmt::Display) {
        let after = self.started.elapsed().as_secs_f64();
        self.violations.set(self.violations.get() + 1);
        match self.enough() {
            true => self.over.set(true),
            // One thing that goes wrong makes many others wrong.
            false => crate::say(&format!("VIOLATION after {after:.3} s: {what}")),
        }
    }

    /// How many violations there were.
    pub(crate) fn violations(&self) -> usize {
        self.violations.get()
    }

    /// True when there were so many that more of them say nothing.
    pub(crate) fn enough(&self) -> bool {
        self.violations() >= ENOUGH
    }

    /// Counts an answer.
    pub(crate) fn count(&self, rpc: &'static str, outcome: String, took: Duration) {
        *self.tally.borrow_mut().entry((rpc, outcome)).or_default() += 1;
        let mut slowest = self.slowest.borrow_mut();
        let slowest = slowest.entry(rpc).or_default();
        *slowest = took.max(*slowest);
    }

    /// A workload waited so long for its volume.
    pub(crate) fn waited(&self, took: Duration) {
        self.waited.set(self.waited.get().max(took));
    }

    /// Counts something else.
    pub(crate) fn event(&self, what: &'static str) {
        *self.events.borrow_mut().entry(what).or_default() += 1;
    }

    /// A line for the summary.
    pub(crate) fn note(&self, words: String) {
        self.notes.borrow_mut().push(words);
    }

    /// How many calls were made.
    pub(crate) fn calls(&self) -> u64 {
        self.tally.borrow().values().sum()
    }

    /// What happened, for people.
    pub(crate) fn summary(&self) -> String {
        let mut lines = Vec::new();
        for (rpc, slowest) in self.slowest.borrow().iter() {
            let tally = self.tally.borrow();
            let outcomes = tally.iter().filter(|((of, _), _)| of == rpc);
            let outcomes: Vec<String> =
                outcomes.map(|((_, outcome), count)| format!("{outcome} {count}")).collect();
            let slowest = slowest.as_secs_f64();
            lines.push(format!("{rpc:26} {}; slowest {slowest:.2} s", outcomes.join(", ")));
        }
        let events = self.events.borrow();
        lines.extend(events.iter().map(|(what, count)| format!("{what}: {count}")));
        lines.extend(self.notes.borrow().iter().cloned());
        let waited = self.waited.get().as_secs_f64();
        lines.push(format!("a workload waited for its volume for at most {waited:.2} s"));
        let seconds = self.started.elapsed().as_secs_f64();
        let (calls, violations) = (self.calls(), self.violations());
        lines.push(format!("{calls} calls in {seconds:.0} s, {violations} violations"));
        lines.join("\n")
    }

    /// The server's log, put where it stays.
    pub(crate) fn keep_log(&self) -> Option<PathBuf> {
        let kept = std::env::temp_dir().join(format!("becket-soak-{}.log", self.seed));
        std::fs::copy(self.path("log"), &kept).ok().map(|_| kept)
    }

    /// Unmounts what is left, and removes the directory.
    pub(crate) fn clear(&self) -> Result<(), String> {
        for driver in Driver::ALL {
            // What is held still cannot be unmounted.
            let _ = self.becket(&["reconcile", "--pool", driver.pool()]).output();
        }
        for point in mounts(&self.root).iter().rev() {
            let _ = rustix::mount::unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        }
        until(|| loop_files(&self.root).is_empty());
        match mounts(&self.root).is_empty() {
            true => std::fs::remove_dir_all(&self.root).map_err(|error| error.to_string()),
            false => Err(format!("`{}` is still mounted on", self.root.display())),
        }
    }
}
