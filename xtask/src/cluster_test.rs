//! `cargo xtask test-cluster`: a backend on a real Kubernetes, from `becket install` and `becket serve` to pods
//! that write and read one volume through both of the kubelet's plugin interfaces.

mod chart;
mod duties;
mod flexvolume;
mod lease;
mod life;
mod memory;
mod official;
mod shared;
mod waiting;

use crate::chart::Helm;
use crate::cluster::{self, Options};
use crate::guest::{self, Output};
use crate::guest_tests;
use crate::run::{Failed, Outcome};
use chart::Release;
use life::Test;
use shared::Shared;
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// A backend, by what is different about it here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Image,
    /// In a volume group on a loop device.
    Lvm,
}

/// How long a guest is given: Kubernetes takes a minute in it, and this is for machines that are very busy.
const LONGEST_GUEST: Duration = Duration::from_secs(30 * 60);

/// Runs it, if this machine can; that it cannot is said, and no failure.
pub fn run(backend: Backend) -> Outcome {
    if is_impossible() {
        return Ok(());
    }
    let binary = cluster::binary()?;
    let name = format!("test-{}", std::process::id());
    let mut steps = Steps { since: Instant::now() };
    let cluster = cluster::up(&Options { name: name.clone() })?;
    steps.done("node Ready");
    let namespaces = cluster.namespaces()?;
    let mut test = Test::new(cluster, binary, backend);
    if let Err(failed) = test.life(&mut steps) {
        test.explain();
        return Err(failed);
    }
    test.end()?;
    nothing_is_left(&name, &namespaces)?;
    steps.done("cluster gone, nothing left");
    Ok(())
}

/// Runs the Helm chart, if this machine can.
pub fn run_chart() -> Outcome {
    if is_impossible() {
        return Ok(());
    }
    let helm = Helm::ready()?;
    let binary = cluster::binary()?;
    let name = format!("chart-test-{}", std::process::id());
    let mut steps = Steps { since: Instant::now() };
    let cluster = cluster::up(&Options { name: name.clone() })?;
    let namespaces = cluster.namespaces()?;
    cluster.load_image(&binary)?;
    steps.done("node Ready, image loaded");
    let test = Release::new(cluster, helm);
    if let Err(failed) = test.life(&mut steps) {
        test.explain();
        return Err(failed);
    }
    drop(test);
    nothing_is_left(&name, &namespaces)?;
    steps.done("cluster gone, nothing left");
    Ok(())
}

/// Runs volumes of a file server, which this machine has beside the cluster.
pub fn run_shared() -> Outcome {
    if is_impossible() {
        return Ok(());
    }
    let binary = cluster::binary()?;
    let name = format!("shared-test-{}", std::process::id());
    let mut steps = Steps { since: Instant::now() };
    let cluster = cluster::up(&Options { name: name.clone() })?;
    steps.done("node Ready");
    let namespaces = cluster.namespaces()?;
    let mut test = Shared::new(cluster, binary);
    if let Err(failed) = test.life(&mut steps) {
        test.explain();
        return Err(failed);
    }
    test.end()?;
    nothing_is_left(&name, &namespaces)?;
    steps.done("cluster gone, nothing left");
    Ok(())
}

/// Runs it on logical volumes, in a guest: that has a device mapper, and what is left of a volume group when
/// a test fails goes with it.
pub fn run_lvm_in_guest() -> Outcome {
    run_in_guest("--lvm-here", false)
}

/// Runs volumes of a file server in a guest, which has one.
pub fn run_shared_in_guest() -> Outcome {
    run_in_guest("--nfs-here", true)
}

fn run_in_guest(word: &str, nfs_server: bool) -> Outcome {
    if is_impossible() || !guest_tests::possible()? {
        return Ok(());
    }
    let binary = cluster::binary()?;
    // Built here, kept as long as the guest has it, and found by the guest in the same cache.
    let _parts = cluster::parts()?;
    let failed = |reason: &dyn std::fmt::Display| Failed::new(reason.to_string());
    let own = std::env::current_exe().map_err(|error| failed(&error))?;
    let mut variables: Vec<(OsString, OsString)> = ["PATH", "HOME", "XDG_CACHE_HOME"]
        .into_iter()
        .filter_map(|name| Some((name.into(), std::env::var_os(name)?)))
        .collect();
    variables.push(("BECKET".into(), binary.into()));
    variables.push((cluster::DIRECTORY.into(), "/tmp/clusters".into()));
    let options = guest::Options {
        memory: "6G".to_owned(),
        variables,
        nfs_server,
        timeout: LONGEST_GUEST,
        ..guest::Options::default()
    };
    let command = vec![own.into(), "test-cluster".into(), word.into()];
    let command = if nfs_server { guest::export::around(command) } else { command };
    let ended = guest::run(&options, &command, Output::Shown).map_err(|reason| failed(&reason))?;
    match ended.status {
        0 => Ok(()),
        status => Err(Failed::new(format!("the cluster's test in a guest ended with {status}"))),
    }
}

fn is_impossible() -> bool {
    let reason = cluster::impossible();
    if let Some(reason) = &reason {
        eprintln!("\n!! NOT RUN: the tests on a real Kubernetes: {reason}.\n");
    }
    reason.is_some()
}

/// Shows what is done, and how long that took.
struct Steps {
    since: Instant,
}

impl Steps {
    fn done(&mut self, what: &str) {
        eprintln!("{:6.1} s  {what}", self.since.elapsed().as_secs_f64());
        self.since = Instant::now();
    }
}

/// Fails if the cluster of this name, whose first process was in these namespaces, left anything that can be
/// seen on the machine.
fn nothing_is_left(name: &str, namespaces: &Path) -> Outcome {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let in_them =
        |process: &Path| fs::read_link(process.join("ns/pid")).is_ok_and(|is| is == namespaces);
    let mut left: Vec<String> = processes
        .map(|entry| entry.path())
        .filter(|process| in_them(process))
        .map(|process| process.display().to_string())
        .collect();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    left.extend(mounts.lines().filter(|line| line.contains(name)).map(str::to_owned));
    let cgroups = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let cgroup = format!("becket-{name}");
    let paths = cgroups.map(|entry| entry.path().join(&cgroup));
    left.extend(paths.filter(|path| path.exists()).map(|path| path.display().to_string()));
    left.extend(cluster::directory(name)?.map(|directory| directory.display().to_string()));
    match left.as_slice() {
        [] => Ok(()),
        left => Err(Failed::new(format!("the cluster left `{}`", left.join("`, `")))),
    }
}
