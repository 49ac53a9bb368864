//! The tests that take a device mapper or NFS, in guests: each a program that is built here and judges the
//! lvm or the nfs backend, or their drivers, there. As many guests run at once as there are processors.

use crate::go;
use crate::guest::{self, NoGuest, Options, Output};
use crate::run::{Failed, Outcome, cargo};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long one of the programs may take. Go's give up before that and say where they are; of the others
/// nothing is left when their guest is ended.
const LONGEST: Duration = Duration::from_secs(40 * 60);
const LONGEST_GO: &str = "-test.timeout=38m";

/// What our tests say where they cannot run. In a guest they can, so there it is a failure.
const NOT_RUN: [&str; 5] =
    ["NOT JUDGED: lvm", "NOT TESTED", "not checked:", "no tests to run", "running 0 tests"];

/// One program in a guest of its own.
struct Test {
    name: &'static str,
    /// The disks of volume groups, and what is exported, are files in it, and may take half of it.
    memory: &'static str,
    /// It finds an NFS server with an export.
    exporting: bool,
    command: Vec<OsString>,
}

/// Makes a guest ready. On a machine that cannot have one these tests do not run, which is no failure of
/// ours, but is said.
pub fn possible() -> Outcome<bool> {
    match guest::check() {
        Ok(()) => Ok(true),
        Err(NoGuest::Impossible(reason)) => {
            eprintln!("\n!! NOT RUN: the tests that take a guest kernel. {reason}\n");
            Ok(false)
        }
        Err(reason) => Err(Failed::new(reason.to_string())),
    }
}

/// Runs all of them against `binary`, or those whose names have one of these words, if this machine can.
pub fn run(binary: &Path, words: &[&str]) -> Outcome {
    if !possible()? {
        return Ok(());
    }
    // Without Go the others run; that those did not is a failure, as it is outside of the guest.
    let (mut tests, mut failures) = (Vec::new(), Vec::new());
    for made in [from_cargo(), from_go()] {
        match made {
            Ok(some) => tests.extend(some),
            Err(failed) => failures.push(failed.to_string()),
        }
    }
    if !words.is_empty() {
        let names: Vec<&str> = tests.iter().map(|test| test.name).collect();
        let names = names.join("; ");
        tests.retain(|test| words.iter().any(|word| test.name.contains(word)));
        if tests.is_empty() {
            failures.push(format!("none of these has such a name: {names}"));
        }
    }
    failures.extend(carry_out(tests, binary));
    if failures.is_empty() { Ok(()) } else { Err(Failed::new(failures.join("; "))) }
}

/// csi-sanity on each kind of volume, and the kubelet's own code on the FlexVolume drivers.
fn from_go() -> Outcome<Vec<Test>> {
    let csi = go::build("tests/csi", "csi-sanity against the lvm and nfs drivers", "csi.test")?;
    let what = "the kubelet's own code against becket/lvm and becket/nfs";
    let kubelet = go::build("tests/kubelet", what, "kubelet.test")?;
    let sanity = |name, kind: &str| {
        let specs = format!("^TestSanity$/^{kind}$");
        test(name, "6G", &csi, &[LONGEST_GO, "-test.run", &specs])
    };
    Ok(vec![
        sanity("sanity, thick", "lvm-mount-ext4"),
        sanity("sanity, block", "lvm-block"),
        sanity("sanity, thin", "lvm-mount-ext4-thin"),
        sanity("sanity, nfs", "nfs-mount").exporting(),
        sanity("sanity, images on nfs", "nfs-image").exporting(),
        test("kubelet", "6G", &kubelet, &[LONGEST_GO, "-driver=lvm"]),
        test("kubelet, nfs", "6G", &kubelet, &[LONGEST_GO, "-driver=nfs"]).exporting(),
        test("kubelet, images on nfs", "6G", &kubelet, &[LONGEST_GO, "-driver=nfs-image"])
            .exporting(),
    ])
}

/// The backends' contract and faults, and our own checker on the CSI drivers.
fn from_cargo() -> Outcome<Vec<Test>> {
    let (lvm, nfs) = (built("becket-backends", "lvm")?, built("becket-backends", "nfs")?);
    let areas = built("becket-tests", "end_to_end")?;
    let checker = |name, memory, what| test(name, memory, &areas, &[what, "--nocapture"]);
    // The longest first: two guests at once are then done at about the same time.
    Ok(vec![
        checker("check csi, thick", "9G", "the_checker_finds_nothing_in_lvm_with_thick"),
        checker("check csi, thin", "9G", "the_checker_finds_nothing_in_lvm_with_thin"),
        test("lvm, its own", "4G", &lvm, &["--test-threads=1", "lvm_"]),
        test("contract of thick volumes", "6G", &lvm, &["--test-threads=1", "thick_volumes_keep"]),
        test("contract of thin volumes", "6G", &lvm, &["--test-threads=1", "thin_volumes_keep"]),
        test("nfs", "6G", &nfs, &["--test-threads=1", "--skip", "images_on_nfs_keep"]),
        test("contract of images on nfs", "6G", &nfs, &["--test-threads=1", "images_on_nfs_keep"]),
        test("the documents", "8G", &areas, &["--test-threads=1", "documents::the_page_on"])
            .exporting(),
        checker("check csi, nfs", "6G", "the_checker_finds_nothing_in_nfs").exporting(),
        test("encrypted", "6G", &areas, &["encrypted::"]),
    ])
}

fn test(name: &'static str, memory: &'static str, program: &Path, arguments: &[&str]) -> Test {
    let arguments = arguments.iter().map(OsString::from);
    let command = [program.into()].into_iter().chain(arguments).collect();
    Test { name, memory, exporting: false, command }
}

/// The test program of this name, built.
fn built(package: &str, name: &str) -> Outcome<PathBuf> {
    let arguments = ["test", "--no-run", "--package", package, "--test", name];
    cargo(&arguments).run()?;
    let text = cargo(&arguments).args(&["--quiet", "--message-format=json"]).read();
    let text = text.unwrap_or_default();
    // One JSON object a line; that of a program has its path.
    let path = text.lines().filter(|line| line.contains(&format!("\"name\":\"{name}\""))).find_map(
        |line| line.split("\"executable\":\"").nth(1)?.split('"').next().map(PathBuf::from),
    );
    path.ok_or_else(|| Failed::new(format!("cargo does not say where the tests `{name}` are")))
}

/// Runs the tests, shows what each said when it has ended, and gives the failures.
fn carry_out(tests: Vec<Test>, binary: &Path) -> Vec<String> {
    let guests = std::thread::available_parallelism().map_or(1, usize::from).min(tests.len());
    let waiting = Mutex::new(VecDeque::from(tests));
    let failures = Mutex::new(Vec::new());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    std::thread::scope(|scope| {
        for _ in 0..guests {
            scope.spawn(|| {
                while let Some(test) = next() {
                    if let Err(failed) = test.carry_out(binary) {
                        let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                        failures.push(format!("{}: {failed}", test.name));
                    }
                }
            });
        }
    });
    failures.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Test {
    /// In a guest whose NFS server exports a filesystem.
    fn exporting(self) -> Test {
        Test { exporting: true, command: guest::export::around(self.command), ..self }
    }

    fn carry_out(&self, binary: &Path) -> Outcome {
        eprintln!("xtask: in a guest: {}", self.name);
        let started = Instant::now();
        let options = Options {
            memory: self.memory.to_owned(),
            variables: vec![("BECKET".into(), binary.into())],
            nfs_server: self.exporting,
            timeout: LONGEST,
            ..Options::default()
        };
        let ended = guest::run(&options, &self.command, Output::Kept)
            .map_err(|reason| Failed::new(reason.to_string()))?;
        let said = [&ended.stdout[..], &ended.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        // At once, so that what two guests said does not mix.
        let took = started.elapsed().as_secs();
        eprintln!("\n-- in a guest: {}, {took} s\n{}", self.name, said.trim_end());
        match (ended.status, NOT_RUN.iter().find(|words| said.contains(**words))) {
            (0, None) => Ok(()),
            (0, Some(words)) => Err(Failed::new(format!("it did not run: `{words}`"))),
            (status, _) => Err(Failed::new(format!("ended with exit status {status}"))),
        }
    }
}
