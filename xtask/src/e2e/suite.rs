//! Kubernetes' tests, built from the Go module `xtask/e2e` into the cache, and run on a cluster.

use super::outcome::Tests;
use crate::cluster::{Cluster, KUBECONFIG};
use crate::go;
use crate::kept::{self, Kept};
use crate::run::{Failed, Outcome, failed, root};
use crate::setup;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MODULE: &str = "xtask/e2e";

/// As Kubernetes' programs are built, so that Go compiles what they have in common once.
const FLAGS: [&str; 4] = ["-buildvcs=false", "-gcflags=all=-dwarf=false", "-ldflags", "-s -w"];

/// Where the suite's images are: every registry that it names becomes this.
pub const REGISTRY: &str = "local";

/// The registries in the suite's own list of images.
const REGISTRIES: [&str; 7] = [
    "promoterE2eRegistry",
    "buildImageRegistry",
    "gcEtcdRegistry",
    "gcRegistry",
    "sigStorageRegistry",
    "dockerLibraryRegistry",
    "cloudProviderGcpRegistry",
];

/// So many tests run at once: most of their time they wait.
const PROCESSES: &str = "-procs=6";

/// The tests' programs, which nobody removes as long as this is kept.
pub struct Suite {
    kept: Kept,
}

/// Tests to run.
pub struct Run<'a> {
    /// What tells its files from those of others.
    pub name: &'a str,
    /// What the tests are told of a driver.
    pub definition: &'a str,
    /// A regular expression of their names.
    pub focus: String,
}

impl Suite {
    /// Builds them if that was not done yet, which takes two processors some minutes.
    pub fn ready() -> Outcome<Suite> {
        go::need(MODULE, "Kubernetes' tests of storage drivers")?;
        let files = ["go.mod", "go.sum", "e2e_test.go", "outcome_test.go"];
        let key = go::key(MODULE, &files, FLAGS)?;
        let kept = kept::ready(&setup::cache()?.join("e2e"), "suite", key, |making, lock| {
            eprintln!("xtask: building Kubernetes' tests: that takes two processors some minutes");
            let go = |words: &[&str], output: PathBuf, package: &str| {
                let mut build = Command::new("nice");
                build.args(["-n", "10", "go"]).args(words).args(FLAGS).arg("-o").arg(output);
                build.arg(package).current_dir(root().join(MODULE)).env("CGO_ENABLED", "0");
                kept::run(&mut build, lock)
            };
            go(&["build"], making.to_owned(), "tool")?;
            go(&["test", "-c", "-vet=off"], making.join("e2e.test"), ".")
        })?;
        Ok(Suite { kept })
    }

    /// The path of one of its programs: `e2e.test`, `ginkgo` or `agnhost`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.kept.path.join(name)
    }

    /// Runs tests in a cluster; `left_out` are regular expressions of what is skipped, each with a reason.
    /// Their words go to this terminal, and what became of them to a file at `place`.
    pub fn run(
        &self,
        run: &Run<'_>,
        left_out: &[(&str, &str)],
        cluster: &Cluster,
        place: &Path,
    ) -> Outcome<Tests> {
        let file = |what: &str| place.join(format!("{}-{what}", run.name));
        let (definition, skipped) = (file("definition.yaml"), file("left-out.txt"));
        write(&definition, run.definition)?;
        let lines = left_out.iter().map(|(tests, reason)| format!("{tests}\t{reason}\n"));
        write(&skipped, &lines.collect::<String>())?;
        let outcome = file("outcome.txt");
        let _ = fs::remove_file(&outcome);
        let mut ginkgo = cluster.command(self.program("ginkgo"))?;
        ginkgo.args([PROCESSES, "-no-color", "-timeout=3h", "-silence-skips"]);
        ginkgo.arg(format!("-focus={}", run.focus)).arg(self.program("e2e.test")).arg("--");
        ginkgo.args(["-provider=skeleton", "-num-nodes=1", "-kubectl-path=kubectl"]);
        ginkgo.arg(format!("-kubeconfig={KUBECONFIG}"));
        for (option, path) in
            [("storage.testdriver", &definition), ("left-out", &skipped), ("outcome", &outcome)]
        {
            ginkgo.arg(format!("-{option}={}", path.display()));
        }
        ginkgo.env("KUBE_TEST_REPO_LIST", registries(place)?);
        let ended = ginkgo.status().map_err(|error| failed("run", Path::new("ginkgo"), &error))?;
        let nothing = |_| Failed::new(format!("the tests ended with {ended}, and say nothing"));
        let tests = Tests::read(&fs::read_to_string(&outcome).map_err(nothing)?)?;
        match ended.success() || tests.failed() > 0 {
            true => Ok(tests),
            false => Err(Failed::new(format!("the tests ended with {ended}, though none failed"))),
        }
    }
}

/// Writes the file that tells the suite where its images are, and gives its path.
pub fn registries(place: &Path) -> Outcome<PathBuf> {
    let path = place.join("registries.yaml");
    let lines = REGISTRIES.map(|registry| format!("{registry}: {REGISTRY}\n"));
    write(&path, &lines.concat())?;
    Ok(path)
}

fn write(path: &Path, text: &str) -> Outcome {
    fs::write(path, text).map_err(|error| failed("write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_are_of_the_same_kubernetes_as_the_cluster() {
        let version = |module: &str| {
            let text = fs::read_to_string(root().join(module).join("go.mod")).unwrap();
            let words = text.split_whitespace().collect::<Vec<_>>();
            let at = words.iter().position(|word| *word == "k8s.io/kubernetes").unwrap();
            words[at + 1].to_owned()
        };
        assert_eq!(version(MODULE), version("xtask/cluster"));
    }
}
