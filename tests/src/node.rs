//! A node: a state directory, a kubelet's root and a plugin directory in a temporary directory.

use crate::fingerprint::Fingerprint;
use crate::kernel::{loop_files, mounts, until};
use crate::run::{Ran, Reply, start, talk};
use crate::{binary, need_root};
use rustix::mount::UnmountFlags;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One machine, as Becket and a kubelet see it.
#[derive(Debug)]
pub struct Node {
    root: PathBuf,
}

/// How callouts reach the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flex {
    /// `becket flex DRIVER`, with the directories in the environment.
    Command,
    /// The installed driver, which knows them.
    Installed,
}

impl Node {
    /// An empty node.
    pub fn new() -> Node {
        need_root();
        let place = tempfile::Builder::new().prefix("becket-tests-").tempdir().unwrap();
        let root = place.path().canonicalize().unwrap();
        // From here on `Drop` cleans up, and looks first.
        let _ = place.keep();
        let node = Node { root };
        for part in ["state", "kubelet", "plugins"] {
            std::fs::create_dir(node.path(part)).unwrap();
        }
        node
    }

    /// A node with the drivers installed.
    pub fn installed(extra: &[&str]) -> Node {
        let node = Node::new();
        node.install(extra).succeeds();
        node
    }

    /// A path of the node.
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.root.join(below)
    }

    /// A path of the node as text.
    pub fn text(&self, below: impl AsRef<Path>) -> String {
        self.path(below).into_os_string().into_string().unwrap()
    }

    /// The program, told this node's directories.
    pub fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.env("BECKET_STATE_DIR", self.path("state"));
        command.env("BECKET_KUBELET_ROOT", self.path("kubelet"));
        command.env_remove("BECKET");
        command
    }

    /// Runs the command line.
    pub fn becket(&self, arguments: &[&str]) -> Ran {
        let mut command = self.command();
        command.args(arguments);
        start(command)
    }

    /// Installs both drivers; `extra` may say how.
    pub fn install(&self, extra: &[&str]) -> Ran {
        let (plugins, kubelet) = (self.text("plugins"), self.text("kubelet"));
        let arguments = ["install", "--flex", "image,directory", "--plugin-dir", &plugins];
        self.becket(&[&arguments[..], &["--kubelet-root", &kubelet], extra].concat())
    }

    /// The executable of an installed driver.
    pub fn executable(&self, driver: &str) -> PathBuf {
        self.path(format!("plugins/becket~{driver}/{driver}"))
    }

    /// Makes a callout, to the installed driver where there is one.
    pub fn callout<A: AsRef<OsStr>>(&self, driver: &str, arguments: &[A]) -> Reply {
        let flex = match self.executable(driver).exists() {
            true => Flex::Installed,
            false => Flex::Command,
        };
        self.callout_by(flex, driver, arguments)
    }

    /// Makes a callout one way or the other.
    pub fn callout_by<A: AsRef<OsStr>>(&self, flex: Flex, driver: &str, arguments: &[A]) -> Reply {
        let mut command = match flex {
            Flex::Installed => {
                let mut command = Command::new(self.executable(driver));
                // The kubelet's environment tells a driver nothing of ours.
                for name in ["BECKET", "BECKET_STATE_DIR", "BECKET_KUBELET_ROOT"] {
                    command.env_remove(name);
                }
                command
            }
            Flex::Command => {
                let mut command = self.command();
                command.args(["flex", driver]);
                command
            }
        };
        command.args(arguments);
        talk(command)
    }

    /// Makes a callout to the image driver.
    pub fn image(&self, arguments: &[&str]) -> Reply {
        self.callout("image", arguments)
    }

    /// Makes a callout to the directory driver.
    pub fn directory(&self, arguments: &[&str]) -> Reply {
        self.callout("directory", arguments)
    }

    /// The directory of a pod's volume, made as the kubelet makes it.
    pub fn pod(&self, pod: &str) -> String {
        self.pod_of("image", pod)
    }

    /// Like [`Node::pod`], for any driver.
    pub fn pod_of(&self, driver: &str, pod: &str) -> String {
        let path = self.path(format!("kubelet/pods/{pod}/volumes/becket~{driver}/vol"));
        std::fs::create_dir_all(&path).unwrap();
        path.into_os_string().into_string().unwrap()
    }

    /// The directory of a volume of the node (`globalDir`), made as the kubelet makes it.
    pub fn device_directory(&self) -> String {
        let path = "kubelet/plugins/kubernetes.io/flexvolume/becket/image/mounts/vol";
        std::fs::create_dir_all(self.path(path)).unwrap();
        self.text(path)
    }

    /// Makes the pool of the directory driver, whose volumes here have no limit.
    pub fn make_directory_pool(&self) {
        self.becket(&["pool", "create", "directory", "--backend", "directory"]).succeeds();
    }

    /// Makes a volume of the default pool at the command line.
    pub fn make_volume(&self, name: &str, size: &str) {
        self.becket(&["volume", "create", name, "--size", size]).succeeds();
    }

    /// The files of a volume of the default pool.
    pub fn stored(&self, volume: &str, file: &str) -> PathBuf {
        self.path(format!("state/pools/default/volumes/{volume}/{file}"))
    }

    /// Everything that could change.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.root)
    }

    /// Everything must be as it was at `before`; `what` was done since.
    pub fn unchanged_since(&self, before: &Fingerprint, what: &str) {
        let mut changes = Vec::new();
        // The kernel lets go of loop devices a moment after their last use.
        until(|| {
            changes = before.changes(&self.fingerprint());
            !changes.iter().any(|change| change.contains("loop device"))
        });
        assert!(changes.is_empty(), "{what} changed the node:\n  {}", changes.join("\n  "));
    }

    /// The mounts on the node.
    pub fn mounts(&self) -> Vec<PathBuf> {
        mounts(&self.root)
    }

    /// True when the path is a mount point.
    pub fn is_mounted(&self, path: &str) -> bool {
        self.mounts().iter().any(|point| point == Path::new(path))
    }

    /// Nothing may be mounted, attached or staged.
    pub fn at_rest(&self) {
        let left = self.leftovers();
        assert!(left.is_empty(), "left on the node:\n  {}", left.join("\n  "));
    }

    fn leftovers(&self) -> Vec<String> {
        let mut left = Vec::new();
        until(|| {
            left.clear();
            left.extend(self.mounts().iter().map(|point| format!("mount {}", point.display())));
            let files = loop_files(&self.root);
            left.extend(files.iter().map(|file| format!("loop device of {}", file.display())));
            let staged = entries(&self.path("state/staged"));
            let staged = staged.iter().flat_map(|pool| entries(pool));
            left.extend(staged.map(|place| format!("staging place {}", place.display())));
            left.is_empty() || left.iter().any(|what| what.starts_with("mount"))
        });
        left
    }

    /// Unmounts everything and deletes the directory, unless something is still mounted in it.
    fn clear(&self) -> Vec<String> {
        for point in self.mounts().iter().rev() {
            let _ = rustix::mount::unmount(point, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        }
        let stuck: Vec<String> = self.mounts().iter().map(|at| at.display().to_string()).collect();
        if stuck.is_empty() {
            until(|| loop_files(&self.root).is_empty());
            let removed = std::fs::remove_dir_all(&self.root);
            return removed.err().map(|error| error.to_string()).into_iter().collect();
        }
        stuck
    }
}

impl Default for Node {
    fn default() -> Node {
        Node::new()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let left = self.leftovers();
        let stuck = self.clear();
        if !std::thread::panicking() {
            assert!(left.is_empty(), "left by the test:\n  {}", left.join("\n  "));
            assert!(stuck.is_empty(), "cannot be removed:\n  {}", stuck.join("\n  "));
        }
    }
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}
