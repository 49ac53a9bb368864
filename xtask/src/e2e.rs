//! `cargo xtask e2e`: Kubernetes' own end-to-end tests of storage drivers (External.Storage), on a real
//! Kubernetes of one node with the Helm chart. The drivers claim all that they have; what is skipped is said,
//! with the reason.

mod drivers;
mod images;
mod outcome;
mod pools;
mod suite;

use crate::chart::{CHART, Helm, NAMESPACE, RELEASE};
use crate::cluster::{self, Cluster, Options, Snapshots};
use crate::run::{Failed, Outcome, failed, made};
use crate::setup;
use drivers::Driver;
use outcome::Tests;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;
use suite::{Run, Suite};

const CLASSES: &str = include_str!("../e2e/classes.yaml");

/// With volumes written into pods, and a limit of volumes that a test can reach.
const INSTALL: [&str; 10] = [
    "install",
    RELEASE,
    CHART,
    "--create-namespace",
    "--wait",
    "--timeout=300s",
    "--set=drivers.image.inline=true",
    "--set=drivers.directory.inline=true",
    "--set=node.maxVolumes=40",
    "--set=node.verbose=true",
];

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    drivers: Vec<&'static Driver>,
    /// A regular expression of the tests' names.
    focus: Option<String>,
}

/// The action of the command line.
pub fn action(words: &[&str]) -> Outcome {
    let asked = parse(words)?;
    if let Some(reason) = cluster::impossible() {
        return Err(Failed::new(format!("no cluster is possible here: {reason}")));
    }
    let suite = Suite::ready()?;
    let (helm, binary) = (Helm::ready()?, cluster::binary()?);
    let place = place()?;
    setup::host_programs()?;
    let name = format!("e2e-{}", std::process::id());
    let cluster = cluster::up(&Options { name: name.clone() })?;
    pools::mount(&cluster, &name)?;
    cluster.load_image(&binary)?;
    images::load(&cluster, &suite, &place)?;
    let _snapshots = Snapshots::on(&cluster)?;
    helm.on(&cluster, &INSTALL)?;
    cluster.apply(CLASSES)?;
    let run = run_all(&asked, &cluster, &suite, &place);
    keep_logs(&cluster, &place)?;
    match run?.as_slice() {
        [] => Ok(()),
        wrong => Err(Failed::new(format!("{}; see `{}`", wrong.join(", "), place.display()))),
    }
}

/// Runs the tests of each driver, and gives what is not as it is expected.
fn run_all(asked: &Asked, cluster: &Cluster, suite: &Suite, place: &Path) -> Outcome<Vec<String>> {
    let mut wrong = Vec::new();
    for driver in &asked.drivers {
        let since = Instant::now();
        let tests = run(driver, asked.focus.as_deref(), cluster, suite, place)?;
        eprintln!("\n{}, after {} s: {tests}\n", driver.name, since.elapsed().as_secs());
        wrong.extend(driver.wrong(&tests, asked.focus.is_none()));
    }
    Ok(wrong)
}

/// Runs the tests of one driver, and those that its usual filesystem keeps this machine from on another one.
fn run(
    driver: &Driver,
    focus: Option<&str>,
    cluster: &Cluster,
    suite: &Suite,
    place: &Path,
) -> Outcome<Tests> {
    let focus = format!("External.Storage.*({})", focus.unwrap_or(""));
    let run = Run { name: driver.name, definition: driver.definition, focus };
    let tests = suite.run(&run, &driver.left_out(), cluster, place)?;
    let again = tests.skipped_because(drivers::NO_GROWTH);
    let (Some((from, to)), false) = (driver.other_class, again.is_empty()) else {
        return Ok(tests);
    };
    eprintln!("\n{} tests once more, with `{to}`: {}", again.len(), drivers::NO_GROWTH);
    let definition = driver.definition.replace(from, to);
    let name = format!("{}-again", driver.name);
    let run = Run { name: &name, definition: &definition, focus: outcome::ending_with(&again) };
    let tests = tests.with(suite.run(&run, &[], cluster, place)?);
    match tests.skipped_because(drivers::NO_GROWTH).len() {
        0 => Ok(tests),
        left => Err(Failed::new(format!("{left} tests were not run once more"))),
    }
}

/// Where definitions, results and logs are.
fn place() -> Outcome<PathBuf> {
    let place = setup::target_directory().join("e2e");
    made(&place)?;
    Ok(place)
}

/// Keeps what tells why something failed.
fn keep_logs(cluster: &Cluster, place: &Path) -> Outcome {
    let becket = ["logs", "--namespace", NAMESPACE, "daemonset/becket", "--tail=-1"];
    let path = place.join("becket.log");
    let text = cluster.read("kubectl", &becket).unwrap_or_else(|failed| failed.to_string());
    fs::write(&path, text).map_err(|error| failed("write", &path, &error))?;
    for part in ["kubelet", "kube-controller-manager", "snapshot-controller"] {
        let (from, to) = (cluster.log(part), place.join(part).with_extension("log"));
        fs::copy(&from, &to).map_err(|error| failed("copy", &from, &error))?;
    }
    Ok(())
}

fn parse(words: &[&str]) -> Outcome<Asked> {
    let mut asked = Asked { drivers: drivers::ALL.iter().collect(), focus: None };
    let mut rest = words;
    while let [option, value, more @ ..] = rest {
        match *option {
            "--driver" => asked.drivers = vec![drivers::of(value)?],
            "--focus" => asked.focus = Some((*value).to_owned()),
            option => return Err(Failed::new(format!("`{option}` is no option of `e2e`"))),
        }
        rest = more;
    }
    match rest {
        [] => Ok(asked),
        rest => Err(Failed::new(format!("`{}` takes a value", rest.join(" ")))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_drivers_are_tested_unless_one_is_named() {
        assert_eq!(parse(&[]).unwrap().drivers.len(), drivers::ALL.len());
        let asked = parse(&["--driver", "directory", "--focus", "subPath"]).unwrap();
        assert_eq!(asked.drivers, [drivers::of("directory").unwrap()]);
        assert_eq!(asked.focus.as_deref(), Some("subPath"));
        for wrong in [&["--driver"][..], &["--driver", "zfs"], &["--skip", "x"], &["x"]] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
