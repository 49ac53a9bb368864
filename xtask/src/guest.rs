//! `cargo xtask guest`: a command run as root under a guest kernel that has what the host's may lack:
//! device-mapper, NFS client and server, project quotas, the right to grow a mounted ext4.
//!
//! The kernel is Debian's `user-mode-linux`: a program like any other, which needs neither KVM nor root. It
//! is that of a newer release than the host's where that can be had, for speed: see `guest/packages.rs`.
//! The guest's root is memory over the packages that its tests call over the host's own root: all files
//! of the host are there, and what is written is gone afterwards.

mod arguments;
mod boot;
pub mod export;
mod host;
mod packages;
mod processor;
mod settings;
mod tree;

use crate::run::{Failed, Outcome, cargo, root};
use crate::setup;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Exit statuses of `cargo xtask guest` that are its own; every other one is the command's.
const TIMED_OUT: u8 = 124;
const BROKEN: u8 = 125;
const IMPOSSIBLE: u8 = 77;

/// How long a guest may take that does nothing.
const BOOT: Duration = Duration::from_secs(60);

/// How a guest is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its memory, as the kernel's `mem=` has it. The host gives it as it is touched.
    pub memory: String,
    /// Directories of the host that are written through.
    pub writable: Vec<PathBuf>,
    /// Directories of the host to show that would be hidden, because they are below `/tmp`, `/run`,
    /// `/dev`, `/proc` or `/sys`, which the guest has of its own.
    pub readable: Vec<PathBuf>,
    /// Variables of the command; it gets few others.
    pub variables: Vec<(OsString, OsString)>,
    /// Run systemd-udevd, as real nodes do; LVM then takes twice as long.
    pub udev: bool,
    /// Start the kernel's NFS server before the command, with no exports.
    pub nfs_server: bool,
    /// How long the guest may take from boot to power-off.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            memory: "2G".to_owned(),
            writable: Vec::new(),
            readable: Vec::new(),
            variables: Vec::new(),
            udev: false,
            nfs_server: false,
            timeout: Duration::from_secs(600),
        }
    }
}

/// Where the command's output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// To stdout and stderr of this process, while it comes.
    Shown,
    /// Into [`Ended`].
    Kept,
}

/// How a command in a guest ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; 128 and the signal's number when a signal ended it.
    pub status: u8,
    /// What it wrote, if that was to be kept.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr, if that was to be kept.
    pub stderr: Vec<u8>,
}

/// Why there is no [`Ended`].
#[derive(Debug)]
pub enum NoGuest {
    /// This machine cannot have one, and why.
    Impossible(String),
    /// The time was over.
    TimedOut(Duration),
    /// Anything else: no network for the packages, or the guest's kernel died.
    Broken(String),
}

impl fmt::Display for NoGuest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoGuest::Impossible(reason) => write!(f, "no guest is possible here: {reason}"),
            NoGuest::TimedOut(limit) => {
                write!(f, "the guest was ended after {} s", limit.as_secs())
            }
            NoGuest::Broken(reason) => f.write_str(reason),
        }
    }
}

impl From<Failed> for NoGuest {
    fn from(failed: Failed) -> NoGuest {
        NoGuest::Broken(failed.to_string())
    }
}

/// Runs `command` as root in a guest, in this process's working directory, and waits for its end.
///
/// The first guest of a machine takes a while and the network: Debian packages are fetched into a cache.
pub fn run(options: &Options, command: &[OsString], output: Output) -> Result<Ended, NoGuest> {
    host::check()?;
    let program = program()?;
    let tree = tree::ready(|tree| boots(&program, tree))?;
    let settings = settings::text(options, command, &program, &tree.path)?;
    boot::run(&program, &settings, options.timeout, output)
}

/// Boots a guest of this tree, to see whether it can be.
fn boots(program: &Path, tree: &Path) -> Outcome {
    let settings = settings::text(&Options::default(), &["true".into()], program, tree);
    let ended = settings.and_then(|text| boot::run(program, &text, BOOT, Output::Kept));
    match ended {
        Ok(ended) if ended.status == 0 => Ok(()),
        Ok(ended) => Err(Failed::new(format!("`true` ended with exit status {}", ended.status))),
        Err(reason) => Err(Failed::new(reason.to_string())),
    }
}

/// The program that is on both sides of the guest's kernel, built.
fn program() -> Outcome<PathBuf> {
    let target = setup::target();
    let path = setup::target_directory().join(&target).join("debug/becket-guest");
    if !path.is_file() {
        setup::for_building()?;
    }
    let build = ["build", "--quiet", "--package", "becket-guest", "--target", &target];
    cargo(&build).run_quietly()?;
    Ok(path)
}

/// True when this machine's own kernel cannot run the tests of LVM and NFS: it has no device-mapper or no
/// NFS client. Where it has both, they may run without a guest.
pub fn needed() -> bool {
    !(host::has_device_mapper() && host::has_nfs())
}

/// Makes a guest ready, boots it, and says whether the tests of this machine need it.
pub fn check() -> Result<(), NoGuest> {
    let ended = run(&Options::default(), &["uname".into(), "-r".into()], Output::Kept)?;
    let words =
        String::from_utf8_lossy(if ended.status == 0 { &ended.stdout } else { &ended.stderr });
    eprintln!("xtask: a guest runs here: {}", words.trim());
    eprintln!(
        "xtask: {}",
        if needed() {
            "this machine's own kernel lacks device-mapper or NFS: their tests run in the guest"
        } else {
            "this machine's own kernel has device-mapper and NFS as well"
        }
    );
    Ok(())
}

/// The action of the command line.
pub fn action(words: &[OsString]) -> ExitCode {
    match words.first().and_then(|word| word.to_str()) {
        Some("--help") => {
            eprintln!("{}", arguments::USAGE);
            return ExitCode::SUCCESS;
        }
        Some("--check") => {
            return check().map_or_else(|reason| refuse(&reason), |()| ExitCode::SUCCESS);
        }
        _ => {}
    }
    let (options, command) = match arguments::parse(words) {
        Ok(parsed) => parsed,
        Err(failed) => {
            eprintln!("xtask: {failed}\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
    };
    match run(&options, &command, Output::Shown) {
        Ok(ended) => ExitCode::from(ended.status),
        Err(reason) => refuse(&reason),
    }
}

fn refuse(reason: &NoGuest) -> ExitCode {
    eprintln!("xtask: {reason}");
    ExitCode::from(match reason {
        NoGuest::Impossible(_) => IMPOSSIBLE,
        NoGuest::TimedOut(_) => TIMED_OUT,
        NoGuest::Broken(_) => BROKEN,
    })
}

/// The directories of this repository that a guest always sees, read-only.
fn ours() -> [PathBuf; 2] {
    [root(), setup::target_directory()]
}
