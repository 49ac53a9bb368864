//! The first process of a test cluster, in namespaces of its own: it makes a Kubernetes node there and
//! keeps it up. When it ends, the kernel ends every other process of the cluster. `cargo xtask cluster`
//! starts it; nobody else does.
//!
//! Stdin is a socket to the one who started it. A word on it from here says that the cluster is ready, or
//! why not; `stay` from there makes the cluster outlive that process, and without it the socket's end is
//! the cluster's.

mod configuration;
#[path = "../../guest/src/failure.rs"]
mod failure;
mod ground;
mod life;
mod network;
mod parts;
mod sysctls;

use failure::{Doing, Result};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

/// What `xtask/src/cluster/start.rs` says on the command line, in this order.
struct Settings {
    /// The cluster's cgroup, in every hierarchy, from its root.
    cgroup: String,
    /// The cluster's own directory on the host.
    run: PathBuf,
    /// The directory of `hyper` and of links to it with its parts' names.
    programs: PathBuf,
    /// Unpacked Debian packages, `root`, and an image archive, `busybox.tar`.
    packages: PathBuf,
    /// Directories of the host that stay as they are, whatever is laid over those above them.
    kept: Vec<PathBuf>,
}

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    let settings = || {
        Some(Settings {
            cgroup: words.next()?.into_string().ok()?,
            run: words.next()?.into(),
            programs: words.next()?.into(),
            packages: words.next()?.into(),
            kept: words.map(PathBuf::from).collect(),
        })
    };
    let settings = (std::process::id() == 1).then(settings).flatten();
    let Some(settings) = settings else {
        eprintln!("this is started by `cargo xtask cluster`");
        return ExitCode::from(2);
    };
    match node(&settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            let told = starter().and_then(|mut starter| {
                writeln!(starter, "failed {failure}").doing(|| "say why the cluster failed")
            });
            if let Err(failure) = told {
                eprintln!("{failure}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Makes the node and keeps it up. It returns only with a failure.
fn node(settings: &Settings) -> Result {
    write_identity(settings)?;
    let _kept = lock(settings)?;
    std::thread::spawn(end_with_starter);
    ground::lay(settings)?;
    sysctls::hide()?;
    configuration::write(&settings.cgroup)?;
    network::make()?;
    life::lead(|| writeln!(starter()?, "ready").doing(|| "say that the cluster is ready"))
}

/// Writes this process's id on the host, which the host's `/proc` shows as long as it is mounted here.
fn write_identity(settings: &Settings) -> Result {
    let number = std::fs::read_link("/proc/self").doing(|| "read this process's id")?;
    let file = settings.run.join("pid");
    std::fs::write(&file, number.as_os_str().as_encoded_bytes())
        .doing(|| format!("write `{}`", file.display()))
}

/// Locks what others may remove from the cache once nobody uses it.
fn lock(settings: &Settings) -> Result<[File; 2]> {
    let shared = |path: &PathBuf| {
        let file = File::open(path).doing(|| format!("open `{}`", path.display()))?;
        file.lock_shared().doing(|| format!("lock `{}`", path.display()))?;
        Ok::<_, failure::Failure>(file)
    };
    Ok([shared(&settings.programs)?, shared(&settings.packages)?])
}

/// The socket to the one who started this.
fn starter() -> Result<File> {
    std::io::stdin().as_fd().try_clone_to_owned().map(File::from).doing(|| "share the socket")
}

/// Waits for `stay`, or ends the cluster together with its starter.
fn end_with_starter() {
    let mut said = String::new();
    let read = starter().and_then(|mut starter| {
        starter.read_to_string(&mut said).doing(|| "hear from the starter")
    });
    if read.is_err() || said.trim_end() != "stay" {
        eprintln!("the one who started this cluster is gone");
        std::process::exit(1);
    }
}
