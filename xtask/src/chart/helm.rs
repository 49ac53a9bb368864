//! Helm, built from the Go module `xtask/helm` into the cache.

use crate::go;
use crate::kept::{self, Kept};
use crate::run::{Outcome, command, failed, root};
use crate::setup;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
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
        let kept = kept::ready(&cache, "helm", key()?, |making, lock| {
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
}

/// Tells builds apart: by what is built, with what, and how.
fn key() -> Outcome<u64> {
    let mut hasher = DefaultHasher::new();
    for name in ["go.mod", "go.sum"] {
        let path = root().join(MODULE).join(name);
        fs::read(&path).map_err(|error| failed("read", &path, &error))?.hash(&mut hasher);
    }
    let go = command("go").args(&["env", "GOVERSION", "GOOS", "GOARCH"]).directory(MODULE).read();
    (go, FLAGS).hash(&mut hasher);
    Ok(hasher.finish())
}
