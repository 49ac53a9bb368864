//! The life of a node: its parts are started as what they need comes to be, and again when they end.

use crate::configuration::CONTAINERD;
use crate::failure::{Doing, Failure, Result};
use crate::parts::{PARTS, Part};
use rustix::process::{WaitOptions, wait};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

/// What makes the cluster ready: pods can be made and run.
const READY: [&str; 2] = ["node", "account"];
/// How often a part may end before the cluster was ready. containerd answers a little before its plugins
/// do, so that some end once is ordinary.
const PATIENCE: usize = 5;
/// Between the end of a part and its next start.
const PAUSE: Duration = Duration::from_millis(300);
/// How often containerd is called before it answers.
const OFTEN: Duration = Duration::from_millis(20);

enum Event {
    /// Something has come to be.
    Fact(String),
    /// A process has ended: a part, or one that somebody left behind.
    Ended(i32, String, bool),
}

/// Leads the life. It says once that the cluster is ready, and returns only with a failure.
pub(crate) fn lead(ready: impl FnOnce() -> Result) -> Result {
    let (sender, events) = channel();
    let mut node =
        Node { sender, facts: BTreeSet::new(), running: BTreeMap::new(), ended: BTreeMap::new() };
    let mut ready = Some(ready);
    node.start_what_can()?;
    std::thread::spawn({
        let sender = node.sender.clone();
        move || reap(&sender)
    });
    loop {
        // It cannot end: `node` has a sender.
        match events.recv().doing(|| "wait for the node's parts")? {
            Event::Fact(word) => drop(node.facts.insert(word)),
            Event::Ended(number, how, well) => {
                node.take_end(number, &how, well, ready.is_some())?
            }
        }
        node.start_what_can()?;
        if READY.iter().all(|fact| node.facts.contains(*fact))
            && let Some(ready) = ready.take()
        {
            ready()?;
        }
    }
}

struct Node {
    sender: Sender<Event>,
    facts: BTreeSet<String>,
    /// By process id.
    running: BTreeMap<i32, &'static Part>,
    /// How often each has ended when it should not have.
    ended: BTreeMap<&'static str, usize>,
}

impl Node {
    /// Starts each part that does not run, has not done its one thing, and has what it needs.
    fn start_what_can(&mut self) -> Result {
        for part in &PARTS {
            let runs = self.running.values().any(|running| running.name == part.name);
            let done = part.once && self.facts.contains(part.name);
            if !runs && !done && part.after.iter().all(|fact| self.facts.contains(*fact)) {
                self.start(part)?;
            }
        }
        Ok(())
    }

    fn start(&mut self, part: &'static Part) -> Result {
        let path = log(part.name);
        let log = File::options().create(true).append(true).open(&path);
        let log = log.doing(|| format!("write `{}`", path.display()))?;
        let mut command = part.command();
        command.stdin(Stdio::null()).stderr(log.try_clone().doing(|| "share a log")?);
        match part.name {
            "await" => command.stdout(Stdio::piped()),
            _ => command.stdout(log),
        };
        let mut child = command.spawn().doing(|| format!("start `{}`", part.name))?;
        // Who waits for children is `reap`.
        self.running.insert(child.id() as i32, part);
        let sender = self.sender.clone();
        match (part.name, child.stdout.take()) {
            (_, Some(words)) => drop(std::thread::spawn(move || pass_on(words, &sender))),
            ("containerd", _) if !self.facts.contains("containerd") => {
                drop(std::thread::spawn(move || call_containerd(&sender)));
            }
            _ => {}
        }
        Ok(())
    }

    /// A process has ended; `early` while the cluster is not ready yet.
    fn take_end(&mut self, number: i32, how: &str, well: bool, early: bool) -> Result {
        let Some(part) = self.running.remove(&number) else { return Ok(()) };
        if part.once && well {
            self.facts.insert(part.name.to_owned());
            return Ok(());
        }
        eprintln!("`{}` ended: {how}", part.name);
        let times = self.ended.entry(part.name).or_default();
        *times += 1;
        if early && *times >= PATIENCE {
            return Err(gave_up(part, how));
        }
        // Meanwhile the others live; only news of them has to wait.
        std::thread::sleep(PAUSE);
        Ok(())
    }
}

fn gave_up(part: &Part, how: &str) -> Failure {
    let text = std::fs::read_to_string(log(part.name)).unwrap_or_default();
    let last = text.lines().last().unwrap_or("its log is empty");
    format!("`{}` keeps ending: {how}; {last}", part.name).into()
}

fn log(name: &str) -> PathBuf {
    Path::new("/run/cluster/log").join(format!("{name}.log"))
}

/// Waits for every process that ends: those of pods whose parents are gone become children of this one.
fn reap(sender: &Sender<Event>) {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((number, status))) => {
                let how = match (status.exit_status(), status.terminating_signal()) {
                    (Some(code), _) => format!("exit status {code}"),
                    (None, Some(signal)) => format!("signal {signal}"),
                    (None, None) => continue,
                };
                let well = status.exit_status() == Some(0);
                let ended = Event::Ended(number.as_raw_nonzero().get(), how, well);
                if sender.send(ended).is_err() {
                    return;
                }
            }
            Ok(None) => {}
            // Nobody is there between the end of the last part and its next start.
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// Each line that a part writes is something that has come to be.
fn pass_on(words: ChildStdout, sender: &Sender<Event>) {
    for word in BufReader::new(words).lines().map_while(std::io::Result::ok) {
        let _ = sender.send(Event::Fact(word));
    }
}

fn call_containerd(sender: &Sender<Event>) {
    while UnixStream::connect(CONTAINERD).is_err() {
        std::thread::sleep(OFTEN);
    }
    let _ = sender.send(Event::Fact("containerd".to_owned()));
}
