//! The real driver that the proofs stand on: `becket serve` in a temporary directory.

use becket_csi::endpoint::Endpoint;
use becket_sys::{mount, mountinfo};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The program: the environment's `BECKET`, or else what cargo builds.
pub fn binary() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/debug/becket");
    let path = std::env::var_os("BECKET").filter(|path| !path.is_empty()).map_or(built, Into::into);
    path.canonicalize().unwrap_or_else(|error| {
        panic!("no becket at `{}` ({error}); run `cargo build`", path.display())
    })
}

/// A directory for a driver; its mounts are taken down at the end.
pub struct Place {
    directory: Option<TempDir>,
}

impl Place {
    pub fn new() -> Place {
        assert!(rustix::process::geteuid().is_root(), "these proofs mount filesystems as root");
        let directory = tempfile::Builder::new().prefix("becket-proof-").tempdir().unwrap();
        let place = Place { directory: Some(directory) };
        // Nothing is kept for second thoughts: hundreds of volumes come and go.
        let pool = ["pool", "create", "default", "--backend", "image", "--trash-retention", "0s"];
        let made = becket(place.path())
            .args(pool)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        place
    }

    pub fn path(&self) -> &Path {
        self.directory.as_ref().unwrap().path()
    }

    pub fn socket(&self) -> PathBuf {
        self.path().join("csi.sock")
    }
}

fn becket(directory: &Path) -> Command {
    let mut command = Command::new(binary());
    command.env("BECKET_STATE_DIR", directory.join("state"));
    command
}

/// The command that serves the driver in `directory`, at `csi.sock`.
pub fn serve(directory: &Path) -> Command {
    let mut command = becket(directory);
    let endpoint = format!("unix://{}", directory.join("csi.sock").display());
    command.args(["serve", "--node-id", "n1", "--drivers", "image", "--mode", "all"]);
    command.args(["--attach=image", "--max-volumes-per-node", "8", "--endpoint", &endpoint]);
    let log = std::fs::File::options().create(true).append(true).open(directory.join("log"));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.unwrap());
    command
}

impl Drop for Place {
    fn drop(&mut self) {
        let directory = self.directory.take().unwrap();
        let below = |path: &PathBuf| path.starts_with(directory.path());
        let points: Vec<PathBuf> =
            mountinfo::read().unwrap().into_iter().map(|entry| entry.point).filter(below).collect();
        for point in points.iter().rev() {
            let _ = mount::unmount(point);
        }
        let _ = directory.close();
    }
}

/// A running driver.
pub struct Driver {
    pub place: Place,
    child: Child,
}

impl Driver {
    pub fn start() -> Driver {
        let place = Place::new();
        let child = serve(place.path()).spawn().unwrap();
        let driver = Driver { place, child };
        wait_for(&driver.place.socket());
        driver
    }
}

/// Waits until somebody listens at `socket`.
pub fn wait_for(socket: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let endpoint = Endpoint::Unix(socket.to_owned());
    let started = Instant::now();
    while let Err(error) = runtime.block_on(endpoint.connect(Duration::from_secs(1))) {
        assert!(started.elapsed() < Duration::from_secs(20), "nobody listens: {error}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.child.wait();
    }
}
