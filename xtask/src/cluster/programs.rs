//! Kubernetes' programs, built from the Go module `xtask/cluster` into the cache.

use crate::go;
use crate::kept::{self, Kept};
use crate::run::{Failed, Outcome, command, failed, root};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MODULE: &str = "xtask/cluster";

/// What `hyper` is when it is called so: see `main.go` of the module.
const PARTS: [&str; 8] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kubectl",
    "keys",
    "await",
];

/// What every build gets. Go keeps what it compiled by its flags: a change of these compiles all of
/// Kubernetes again, which takes two processors six minutes.
const FLAGS: [&str; 2] = ["-buildvcs=false", "-gcflags=all=-dwarf=false"];

/// A directory with `hyper` and a link to it for each of its parts.
pub fn hyper() -> Outcome<Kept> {
    ready("hyper", &["main.go", "keys.go", "await.go", "go.mod", "go.sum"], |making| {
        for part in PARTS {
            let link = making.join(part);
            std::os::unix::fs::symlink("hyper", &link)
                .map_err(|error| failed("make", &link, &error))?;
        }
        let path = making.join("hyper");
        Ok(vec!["-o".into(), path.display().to_string(), ".".into()])
    })
}

/// A directory with the CSI sidecars and the snapshot controller, which are built when they are asked for
/// first.
pub fn sidecars() -> Outcome<Kept> {
    ready("sidecars", &["go.mod", "go.sum"], |making| {
        Ok(vec!["-o".into(), format!("{}/", making.display()), "tool".into()])
    })
}

/// The files that define snapshots for a cluster. They are in the module of the snapshot controller's types.
pub fn snapshot_definitions() -> Outcome<Vec<PathBuf>> {
    const TYPES: &str = "github.com/kubernetes-csi/external-snapshotter/client/v8";
    let go = |words: &[&str]| command("go").args(words).arg(TYPES).directory(MODULE).read();
    go(&["mod", "download"]);
    let directory = go(&["list", "-m", "-f", "{{.Dir}}"]);
    let directory = directory.filter(|path| !path.trim().is_empty());
    let directory = directory.ok_or_else(|| Failed::new(format!("Go does not give `{TYPES}`")))?;
    let directory = Path::new(directory.trim()).join("config/crd");
    let files = fs::read_dir(&directory).map_err(|error| failed("read", &directory, &error))?;
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let of_snapshots = |path: &PathBuf| name(path).contains("snapshot.storage.k8s.io_");
    Ok(files.flatten().map(|file| file.path()).filter(of_snapshots).collect())
}

/// The directory of this kind; `output` prepares it, and says what to build to where.
fn ready(
    kind: &str,
    files: &[&str],
    output: impl FnOnce(&Path) -> Outcome<Vec<String>>,
) -> Outcome<Kept> {
    go::need(MODULE, "a Kubernetes cluster")?;
    let cache = super::place::cache()?;
    let key = go::key(MODULE, files, (PARTS, FLAGS, linking()?))?;
    kept::ready(&cache, kind, key, |making, lock| {
        eprintln!(
            "xtask: building Kubernetes' `{kind}`: from nothing that takes two processors some ten minutes"
        );
        let output = output(making)?;
        // It is long, and whoever waits for it does something else meanwhile.
        let mut build = Command::new("nice");
        build.args(["-n", "10", "go", "build"]).args(FLAGS).arg("-ldflags").arg(linking()?);
        build.args(output).current_dir(root().join(MODULE)).env("CGO_ENABLED", "0");
        kept::run(&mut build, lock)
    })
}

/// What the linker is told: the version, which the programs would not know otherwise.
fn linking() -> Outcome<String> {
    let path = root().join(MODULE).join("go.mod");
    let text = fs::read_to_string(&path).map_err(|error| failed("read", &path, &error))?;
    let version = version(&text)
        .ok_or_else(|| Failed::new(format!("`{}` names no version", path.display())))?;
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or(""), numbers.next().unwrap_or(""));
    let set = |package: &str| {
        format!(
            " -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}"
        )
    };
    let packages = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"];
    Ok(format!("-s -w{}", packages.map(set).concat()))
}

/// The version of Kubernetes in a module's file.
fn version(module: &str) -> Option<&str> {
    module.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes ")).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_the_module() {
        assert_eq!(version("require (\n\tk8s.io/kubernetes v1.36.1\n)\n"), Some("v1.36.1"));
        assert_eq!(version("require k8s.io/kubectl v0.36.1\n"), None);
    }

    #[test]
    fn the_cluster_and_the_test_of_the_kubelets_code_are_of_one_kubernetes() {
        let text = |module: &str| fs::read_to_string(root().join(module).join("go.mod")).unwrap();
        let (cluster, test) = (text(MODULE), text("tests/kubelet"));
        assert!(version(&cluster).is_some());
        assert_eq!(version(&cluster), version(&test));
    }
}
