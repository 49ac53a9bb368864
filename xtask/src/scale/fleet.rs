//! The processes of Becket, one for each node, all on this machine.

use crate::chart::NAMESPACE;
use crate::cluster::{Cluster, KUBECONFIG};
use crate::run::{Failed, Outcome, command, failed};
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Where the nodes' pools are, in the cluster.
const STATE: &str = "/var/lib/becket/scale";

/// The kubeconfig of the account that the chart gives them, in the cluster.
const ACCOUNT: &str = "/run/cluster/becket.kubeconfig";

/// The clock of `/proc`, which is the same on all machines that Rust knows Linux on.
const TICKS: u64 = 100;

/// Processes, and the end of each with the cluster.
pub struct Fleet<'a> {
    cluster: &'a Cluster,
    binary: &'a Path,
    logs: &'a Path,
    processes: Vec<Process>,
}

struct Process {
    /// What entered the cluster's namespaces and waits there.
    outer: Child,
    /// Becket's own id.
    id: String,
}

/// What processes have of memory, in KiB.
#[derive(Debug, PartialEq, Eq)]
pub struct Memory {
    least: u64,
    median: u64,
    most: u64,
    /// With the pages of the program, which all processes share.
    resident: u64,
}

impl<'a> Fleet<'a> {
    /// No process yet. The logs of earlier ones are removed.
    pub fn new(cluster: &'a Cluster, binary: &'a Path, logs: &'a Path) -> Outcome<Fleet<'a>> {
        for entry in fs::read_dir(logs).into_iter().flatten().flatten() {
            fs::remove_file(entry.path())
                .map_err(|error| failed("remove", &entry.path(), &error))?;
        }
        let token = ["create", "token", "becket", "--namespace", NAMESPACE, "--duration=24h"];
        let token = cluster.read("kubectl", &token)?;
        cluster.read("cp", &[KUBECONFIG, ACCOUNT])?;
        let file = format!("--kubeconfig={ACCOUNT}");
        let token = format!("--token={}", token.trim());
        cluster.read("kubectl", &["config", &file, "set-credentials", "becket", &token])?;
        let ours = ["config", &file, "set-context", "--current", "--user=becket"];
        cluster.read("kubectl", &ours)?;
        Ok(Fleet { cluster, binary, logs, processes: Vec::new() })
    }

    /// Starts processes until there are so many.
    pub fn grow(&mut self, number: usize) -> Outcome {
        let first = self.processes.len();
        let outer: Vec<Child> =
            (first..number).map(|node| self.start(node)).collect::<Outcome<_>>()?;
        for outer in outer {
            let id = inner(outer.id())?;
            self.processes.push(Process { outer, id });
        }
        Ok(())
    }

    fn start(&self, node: usize) -> Outcome<Child> {
        let log = self.logs.join(format!("scale-{node}.log"));
        let log = File::create(&log).map_err(|error| failed("make", &log, &error))?;
        let (name, state) = (format!("scale-{node}"), state(node));
        let sockets = format!("{state}/plugins");
        self.cluster.read("mkdir", &["--parents", &sockets])?;
        let mut serve = self.cluster.command(self.binary)?;
        serve.args(["serve", "--kubernetes=on", "--drivers=image", "--plugin-dir"]);
        serve.arg(sockets);
        serve.env("KUBECONFIG", ACCOUNT).env("BECKET_STATE_DIR", state);
        serve.env("NODE_NAME", &name).env("POD_NAME", &name).env("POD_NAMESPACE", NAMESPACE);
        let started = serve.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        started.map_err(|error| failed("run", self.binary, &error))
    }

    /// Lets the process of this node do nothing.
    pub fn stop(&self, node: usize) -> Outcome {
        command("kill").args(&["-STOP", &self.processes[node].id]).run_quietly()
    }

    /// Lets it go on, and what waits for it, which stopped when it did.
    pub fn go_on(&self, node: usize) -> Outcome {
        let process = &self.processes[node];
        let outer = process.outer.id().to_string();
        command("kill").args(&["-CONT", &process.id, &outer]).run_quietly()
    }

    /// The time that all have had of processors.
    pub fn processor(&self) -> Outcome<Duration> {
        let times = self.processes.iter().map(|process| {
            let stat = process.read("stat")?;
            // Fields 14 and 15 of proc_pid_stat(5); the second one may have spaces in its parentheses.
            let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
            Ok(fields.filter_map(|field| field.parse::<u64>().ok()).sum::<u64>())
        });
        let ticks = times.sum::<Outcome<u64>>()?;
        Ok(Duration::from_millis(ticks * 1000 / TICKS))
    }

    /// The memory of all.
    pub fn memory(&self) -> Outcome<Memory> {
        let (mut own, mut resident) = (Vec::new(), Vec::new());
        for process in &self.processes {
            let status = process.read("status")?;
            own.push(kibibytes(&status, "RssAnon:")?);
            resident.push(kibibytes(&status, "VmRSS:")?);
        }
        own.sort_unstable();
        resident.sort_unstable();
        let of = |sorted: &[u64], place: usize| sorted.get(place).copied().unwrap_or_default();
        let (middle, last) = (own.len() / 2, own.len().saturating_sub(1));
        Ok(Memory {
            least: of(&own, 0),
            median: of(&own, middle),
            most: of(&own, last),
            resident: of(&resident, middle),
        })
    }

    /// How many warnings and errors they have logged.
    pub fn warnings(&self) -> Outcome<usize> {
        let mut warnings = 0;
        for node in 0..self.processes.len() {
            let log = self.logs.join(format!("scale-{node}.log"));
            let text = fs::read_to_string(&log).map_err(|error| failed("read", &log, &error))?;
            let is_one =
                |line: &&str| ["level=warn", "level=error"].iter().any(|it| line.contains(it));
            warnings += text.lines().filter(is_one).count();
        }
        Ok(warnings)
    }

    /// Fails if a node still has a volume.
    pub fn has_no_volumes(&self) -> Outcome {
        for node in 0..self.processes.len() {
            let list = ["volume", "list", "--output=json", "--state-dir", &state(node)];
            let said = self.cluster.read(self.binary, &list)?;
            if said.contains("\"name\"") {
                return Err(Failed::new(format!("the node scale-{node} still has {said}")));
            }
        }
        Ok(())
    }
}

impl Process {
    fn read(&self, what: &str) -> Outcome<String> {
        let file = PathBuf::from("/proc").join(&self.id).join(what);
        fs::read_to_string(&file).map_err(|error| {
            Failed::new(format!("a process of Becket has ended: `{}`: {error}", file.display()))
        })
    }
}

impl Drop for Fleet<'_> {
    fn drop(&mut self) {
        for process in &mut self.processes {
            // They are ours, and none is left when the cluster ends.
            let _ = command("kill").args(&["-KILL", &process.id]).run_quietly();
            let _ = process.outer.wait();
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Memory { least, median, most, resident } = self;
        write!(formatter, "{least:>6}  {median:>6}  {most:>6} KiB  {resident:>6} KiB")
    }
}

fn state(node: usize) -> String {
    format!("{STATE}/{node}")
}

/// The id of the process that this one has started, as soon as it has.
fn inner(outer: u32) -> Outcome<String> {
    let file = PathBuf::from(format!("/proc/{outer}/task/{outer}/children"));
    let since = Instant::now();
    while since.elapsed() < Duration::from_secs(60) {
        let children = fs::read_to_string(&file).map_err(|error| failed("read", &file, &error))?;
        if let Some(id) = children.split_whitespace().next() {
            return Ok(id.to_owned());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(Failed::new("a process of Becket did not start"))
}

/// A field of `proc_pid_status(5)`.
fn kibibytes(status: &str, field: &str) -> Outcome<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| Failed::new(format!("a process has no `{field}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_status_of_a_process() {
        let status = "VmRSS:\t   13100 kB\nRssAnon:\t    3300 kB\n";
        assert_eq!(kibibytes(status, "RssAnon:").unwrap(), 3300);
        assert_eq!(kibibytes(status, "VmRSS:").unwrap(), 13100);
        assert!(kibibytes(status, "VmSwap:").is_err());
    }
}
