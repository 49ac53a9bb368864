//! Helm, built from the Go module `xtask/helm` into the cache.

use super::{CHART, NAMESPACE, isolated};
use crate::cluster::Cluster;
use crate::go;
use crate::kept::{self, Kept};
use crate::run::{Failed, Outcome, root};
use crate::setup;
use std::path::PathBuf;
use std::process::Command;

const MODULE: &str = "xtask/helm";
const PACKAGE: &str = "helm.sh/helm/v4/cmd/helm";

/// As Kubernetes' programs are built, so that Go compiles what they have in common once.
const FLAGS: [&str; 4] = ["-buildvcs=false", "-gcflags=all=-dwarf=false", "-ldflags", "-s -w"];

/// The program, which nobody removes as long as this is kept.
pub struct Helm {
    kept: Kept,
}

impl Helm {
    /// Builds it if that was not done yet, which takes two processors some minutes.
    pub fn ready() -> Outcome<Helm> {
        go::need(MODULE, "the checks of the Helm chart")?;
        let cache = setup::cache()?.join("helm");
        let key = go::key(MODULE, &["go.mod", "go.sum"], FLAGS)?;
        let kept = kept::ready(&cache, "helm", key, |making, lock| {
            eprintln!("xtask: building Helm: from nothing that takes two processors some minutes");
            let mut build = Command::new("nice");
            build.args(["-n", "10", "go", "build"]).args(FLAGS).arg("-o").arg(making.join("helm"));
            build.arg(PACKAGE).current_dir(root().join(MODULE)).env("CGO_ENABLED", "0");
            kept::run(&mut build, lock)
        })?;
        Ok(Helm { kept })
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.kept.path.join("helm")
    }

    /// Runs it on a cluster, in the namespace of Becket. The word [`CHART`] becomes its path.
    pub fn on(&self, cluster: &Cluster, arguments: &[&str]) -> Outcome {
        let mut helm = isolated(cluster.command(self.path())?);
        let chart = root().join(CHART);
        let whole = |word: &&str| if *word == CHART { chart.clone() } else { word.into() };
        helm.args(arguments.iter().map(whole)).args(["--namespace", NAMESPACE]);
        let output = helm.output();
        let output = output.map_err(|error| Failed::new(format!("helm cannot be run: {error}")))?;
        match output.status.success() {
            true => Ok(()),
            false => Err(Failed::new(format!(
                "`helm {}`: {}{}",
                arguments.join(" "),
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            ))),
        }
    }
}
