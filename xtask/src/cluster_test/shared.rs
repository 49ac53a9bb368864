//! Volumes of a file server on a cluster: `becket controller` makes them for claims, `becket serve` gives them to
//! pods.

use super::Steps;
use super::waiting::{TIMEOUT, becomes};
use crate::cluster::{Cluster, KUBECONFIG, NODE};
use crate::run::{Failed, Outcome, command, failed};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

const CLAIMS: &str = include_str!("shared.yaml");

/// The link between the cluster and the file server, and what has addresses on it.
const LINK: [&str; 2] = ["becket-server", "becket-node"];
const SERVER: &str = "10.99.0.1";
const CLIENT: &str = "10.99.0.2";

/// The export that the server has, `/srv` there, is the root of NFS 4.
const POOL: &str = "--nfs-pool=shared=10.99.0.1:/";
const EXPORT: &str = "/srv";

/// A cluster with a file server beside it, and the processes that serve that.
pub struct Shared {
    cluster: Cluster,
    binary: PathBuf,
    processes: Vec<Child>,
}

impl Shared {
    pub fn new(cluster: Cluster, binary: PathBuf) -> Shared {
        Shared { cluster, binary, processes: Vec::new() }
    }

    /// From two claims to the last trace of them.
    pub fn life(&mut self, steps: &mut Steps) -> Outcome {
        self.link()?;
        let registration = "--registration-dir=/var/lib/kubelet/plugins_registry";
        let serve = ["serve", "--drivers=nfs", "--kubernetes=on", registration, POOL];
        self.start("becket", &serve)?;
        self.start("controller", &["controller", "--state-dir=/run/controller", POOL])?;
        let registered = "--for=jsonpath={.spec.drivers[0].name}=nfs.becket.dev";
        self.kubectl(&["wait", &format!("csinode/{NODE}"), registered, TIMEOUT])?;
        steps.done("file server linked, CSI driver registered, controller started");
        self.cluster.apply(CLAIMS)?;
        for pod in ["pod/writer", "pod/reader"] {
            self.kubectl(&["wait", pod, "--for=condition=Ready", TIMEOUT])?;
        }
        self.inside("writer", "echo precious > /shared/file && echo own > /limited/file; sync")?;
        let found = self.inside("reader", "cat /shared/file")?;
        if found != "precious\n" {
            return Err(Failed::new(format!("the other pod reads `{found}`")));
        }
        let file = Path::new(EXPORT).join("default/shared/file");
        let found = fs::read_to_string(&file).map_err(|error| failed("read", &file, &error))?;
        if found != "precious\n" {
            return Err(Failed::new(format!("the server holds `{found}`")));
        }
        steps.done("a directory in two pods and an image in one, of claims: written and read");
        self.grows()?;
        steps.done("the image grown");
        self.kubectl(&["delete", "pods,pvc", "--all", TIMEOUT])?;
        becomes("end of the volumes", || Ok(self.kubectl(&["get", "pv", "-o=name"])?.is_empty()))?;
        let list = ["--state-dir=/run/controller", "volume", "list", "--pool=shared", "-o=json"];
        let left = self.cluster.read(&self.binary, &list)?;
        if left.trim() != "[]" || file.exists() {
            return Err(Failed::new(format!("of the deleted volumes there still is {left}")));
        }
        steps.done("pods and claims deleted, nothing left of their volumes");
        Ok(())
    }

    /// Leads a wire from the cluster's network to this one, where the file server is.
    fn link(&self) -> Outcome {
        let [here, there] = LINK;
        let node = self.cluster.first_process()?;
        let ip = |words: &str| command("ip").args(&words.split(' ').collect::<Vec<_>>()).run();
        ip(&format!("link add {here} type veth peer name {there} netns {node}"))?;
        ip(&format!("address add {SERVER}/30 dev {here}"))?;
        ip(&format!("link set {here} up"))?;
        let inside = format!("address add {CLIENT}/30 dev {there}");
        for words in [inside, format!("link set {there} up")] {
            self.cluster.read("ip", &words.split(' ').collect::<Vec<_>>())?;
        }
        let how = "rw,no_root_squash,no_subtree_check,fsid=0";
        command("exportfs").args(&["-o", how, &format!("{CLIENT}:{EXPORT}")]).run()
    }

    fn start(&mut self, name: &str, words: &[&str]) -> Outcome {
        let log = self.cluster.log(name);
        let log = File::create(&log).map_err(|error| failed("make", &log, &error))?;
        let mut process = self.cluster.command(&self.binary)?;
        process.args(words).env("KUBECONFIG", KUBECONFIG);
        let process = process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.processes.push(process.map_err(|error| failed("run", &self.binary, &error))?);
        Ok(())
    }

    /// Asks for more, and waits until the pod has it.
    fn grows(&self) -> Outcome {
        let spec = r#"{"spec":{"resources":{"requests":{"storage":"400Mi"}}}}"#;
        self.kubectl(&["patch", "pvc/limited", "--patch", spec])?;
        let capacity = "--for=jsonpath={.status.capacity.storage}=400Mi";
        self.kubectl(&["wait", "pvc/limited", capacity, TIMEOUT])?;
        let seen = self.inside("writer", "df -m /limited | tail -n 1")?;
        let size = seen.split_whitespace().nth(1).and_then(|word| word.parse::<u32>().ok());
        match size.is_some_and(|size| size > 320 && size <= 400) {
            true => Ok(()),
            false => Err(Failed::new(format!("the pod with the grown claim sees `{seen}`"))),
        }
    }

    fn inside(&self, pod: &str, script: &str) -> Outcome<String> {
        self.kubectl(&["exec", pod, "--", "sh", "-c", script])
    }

    fn kubectl(&self, arguments: &[&str]) -> Outcome<String> {
        self.cluster.read("kubectl", arguments)
    }

    /// Shows what tells why something failed, while it is still there.
    pub fn explain(&self) {
        for words in [
            &["get", "pods,pvc,pv", "-o", "wide"][..],
            &["get", "events", "--sort-by=.lastTimestamp"],
        ] {
            eprintln!("{}", self.kubectl(words).unwrap_or_else(|failed| failed.to_string()));
        }
        for part in ["becket", "controller"] {
            let log = fs::read_to_string(self.cluster.log(part)).unwrap_or_default();
            eprintln!("-- the log of {part}\n{log}");
        }
    }

    /// Takes the cluster down.
    pub fn end(self) -> Outcome {
        drop(self.cluster);
        // They ended with its namespaces.
        self.processes.into_iter().try_for_each(|mut process| {
            let ended = process.wait().map(drop);
            ended.map_err(|error| Failed::new(format!("becket is left: {error}")))
        })
    }
}
