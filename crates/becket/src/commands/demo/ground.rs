//! Where the demo takes place: a temporary directory with a state directory, a kubelet's root and a
//! plugin directory in it.

use super::served::Served;
use crate::output;
use becket_core::engine::NewPool;
use becket_core::pool::{DEFAULT_POOL, STATE_VARIABLE, State};
use becket_core::{Engine, Error, Kind, Name, Result};
use becket_flexvolume::driver::KUBELET_ROOT_VARIABLE;
use becket_sys::beneath::Dir;
use becket_sys::{loop_device, mount, mountinfo};
use serde::Serialize;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// One step of the demo, for the closing table.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Step {
    pub(super) action: String,
    pub(super) what: String,
    pub(super) milliseconds: f64,
    pub(super) result: String,
}

/// How a callout went that may be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    Refused,
}

pub(super) struct Ground {
    root: PathBuf,
    steps: Vec<Step>,
    interrupted: Arc<AtomicBool>,
    engine: Engine,
    pool: Name,
    clean: bool,
}

impl Ground {
    pub(super) fn new() -> Result<Ground> {
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in
            [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP]
        {
            // From now on a signal ends the demo after its current step, and what it made goes away.
            signal_hook::flag::register(signal, Arc::clone(&interrupted)).map_err(internal)?;
        }
        let root =
            tempfile::Builder::new().prefix("becket-demo-").tempdir().map_err(internal)?.keep();
        let root = root.canonicalize().map_err(internal)?;
        let pool = Name::new(DEFAULT_POOL)?;
        let engine = Engine::new(State::new(root.join("state")), becket_backends::all());
        let ground = Ground { root, steps: Vec::new(), interrupted, engine, pool, clean: false };
        ground.make("state")?;
        ground.make("plugins")?;
        ground.make("kubelet")?;
        ground.engine.create_pool(&NewPool::new(ground.pool.clone(), "image"))?;
        Ok(ground)
    }

    fn make(&self, below: &str) -> Result<PathBuf> {
        let path = self.root.join(below);
        std::fs::create_dir_all(&path).map_err(internal)?;
        Ok(path)
    }

    fn plugins(&self) -> PathBuf {
        self.root.join("plugins")
    }

    /// The directory that the kubelet makes for a pod's volume.
    pub(super) fn pod_directory(&self, pod: &str) -> Result<String> {
        let path = self.make(&format!("kubelet/pods/{pod}/volumes/becket~image/demo"))?;
        Ok(path.display().to_string())
    }

    /// The directory that the kubelet makes for a volume of the node.
    pub(super) fn device_directory(&self, volume: &str) -> Result<String> {
        let path = self.make(&format!(
            "kubelet/plugins/kubernetes.io/flexvolume/becket/image/mounts/{volume}"
        ))?;
        Ok(path.display().to_string())
    }

    /// A directory of the demo, which is made.
    pub(super) fn path(&self, below: &str) -> Result<String> {
        Ok(self.make(below)?.display().to_string())
    }

    /// Serves the CSI driver.
    pub(super) fn serve(&mut self) -> Result<Served> {
        let (root, state) = (self.root.clone(), self.root.join("state"));
        let mut served = None;
        self.step("serve", "the driver, at its socket", || {
            served = Some(Served::start(&root, &state)?);
            Ok("image.becket.dev".to_owned())
        })?;
        served.ok_or_else(|| Error::new(Kind::Internal, "the driver is not served"))
    }

    /// Runs this program's own `install`.
    pub(super) fn install(&mut self, attachable: bool) -> Result<()> {
        let plugins = self.plugins().display().to_string();
        let kubelet = self.root.join("kubelet").display().to_string();
        let mut arguments = vec![
            "install",
            "--flex",
            "image",
            "--plugin-dir",
            &plugins,
            "--kubelet-root",
            &kubelet,
        ];
        if attachable {
            arguments.push("--attachable");
        }
        self.becket("install", "the driver, as the kubelet finds it", &arguments)
    }

    /// Runs this program's own `uninstall`.
    pub(super) fn uninstall(&mut self) -> Result<()> {
        let plugins = self.plugins().display().to_string();
        self.becket(
            "uninstall",
            "the driver",
            &["uninstall", "--flex", "image", "--plugin-dir", &plugins],
        )
    }

    fn becket(&mut self, action: &str, what: &str, arguments: &[&str]) -> Result<()> {
        let program = std::env::current_exe().map_err(internal)?;
        let state = self.root.join("state");
        self.step(action, what, || {
            let output = own_group(&program)
                .arg("--state-dir")
                .arg(&state)
                .args(arguments)
                .output()
                .map_err(internal)?;
            match output.status.success() {
                true => Ok("done".to_owned()),
                false => {
                    Err(Error::new(Kind::Internal, String::from_utf8_lossy(&output.stderr).trim()))
                }
            }
        })
    }

    /// Runs the installed driver as the kubelet does. Anything but success ends the demo.
    pub(super) fn callout(&mut self, name: &str, arguments: &[&str]) -> Result<()> {
        let driver = self.plugins().join("becket~image/image");
        self.step(name, "callout", || match call(&driver, name, arguments)? {
            (true, reply) => Ok(reply),
            (false, reply) => {
                Err(Error::new(Kind::Internal, format!("callout `{name}` failed: {reply}")))
            }
        })
    }

    /// Like [`Ground::callout`], and a failure is shown and handed back.
    pub(super) fn callout_maybe(&mut self, name: &str, arguments: &[&str]) -> Result<Answer> {
        let driver = self.plugins().join("becket~image/image");
        let mut answer = Answer::Done;
        self.step(name, "callout", || {
            let (done, reply) = call(&driver, name, arguments)?;
            if done {
                return Ok(reply);
            }
            answer = Answer::Refused;
            // What it means here is in the hint.
            let hint = reply.split_once("(hint: ").map(|(_, hint)| hint.trim_end_matches(')'));
            Ok(format!("refused: {}", hint.unwrap_or(&reply)))
        })?;
        Ok(answer)
    }

    /// A step that the engine takes, as the command line would.
    pub(super) fn engine_step(
        &mut self,
        action: &str,
        what: &str,
        run: impl FnOnce(&Engine, &Name) -> Result<String>,
    ) -> Result<()> {
        self.check_interrupt()?;
        let started = Instant::now();
        let result = run(&self.engine, &self.pool);
        self.record(action, what, started, result)
    }

    /// Takes and times a step.
    pub(super) fn step(
        &mut self,
        action: &str,
        what: &str,
        run: impl FnOnce() -> Result<String>,
    ) -> Result<()> {
        self.check_interrupt()?;
        let started = Instant::now();
        let result = run();
        self.record(action, what, started, result)
    }

    fn record(
        &mut self,
        action: &str,
        what: &str,
        started: Instant,
        result: Result<String>,
    ) -> Result<()> {
        let milliseconds = (started.elapsed().as_secs_f64() * 10_000.0).round() / 10.0;
        let words = match &result {
            Ok(words) => words.clone(),
            Err(error) => error.to_string(),
        };
        output::say(format_args!("  {action:<22} {milliseconds:>8.1} ms  {words}"));
        self.steps.push(Step {
            action: action.to_owned(),
            what: what.to_owned(),
            milliseconds,
            result: words,
        });
        result.map(drop)
    }

    fn check_interrupt(&self) -> Result<()> {
        match self.interrupted.load(Ordering::Relaxed) {
            true => Err(Error::new(Kind::Busy, "interrupted; the demo cleans up after itself")),
            false => Ok(()),
        }
    }

    /// The steps taken so far.
    pub(super) fn steps(&self) -> Vec<Step> {
        self.steps.clone()
    }

    /// Unmounts everything and removes the temporary directory.
    pub(super) fn clean(mut self) -> Result<()> {
        self.clean = true;
        self.clean_up()
    }

    fn clean_up(&self) -> Result<()> {
        // Innermost last in the table, so unmounted from its end.
        let mounted =
            mountinfo::read()?.into_iter().filter(|entry| entry.point.starts_with(&self.root));
        let points: Vec<PathBuf> = mounted.map(|entry| entry.point).collect();
        for point in points.iter().rev() {
            mount::unmount(point)?;
        }
        self.wait_for_devices();
        // Never crosses into a mount, should one have stayed.
        let parent = Dir::open(self.root.parent().unwrap_or(Path::new("/")))?;
        Ok(parent.purge(self.root.file_name().unwrap_or_default())?)
    }

    /// The kernel detaches loop devices a moment after the last unmount.
    fn wait_for_devices(&self) {
        for _ in 0..200 {
            let attached = loop_device::attached().unwrap_or_default();
            if !attached.iter().any(|(_, path)| path.starts_with(&self.root)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if !self.clean
            && let Err(error) = self.clean_up()
        {
            output::error(&error);
        }
    }
}

/// A command in a process group of its own: an interrupt at the terminal ends the demo between two
/// steps, not a callout in the middle of one.
pub(super) fn own_group(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.process_group(0).stdin(Stdio::null());
    // The installed driver knows the demo's directories, and the environment would go before them:
    // a person's own state directory is no place for a demo.
    command.env_remove(STATE_VARIABLE).env_remove(KUBELET_ROOT_VARIABLE);
    command
}

/// Whether the callout succeeded, and what is worth showing of its reply.
fn call(driver: &Path, name: &str, arguments: &[&str]) -> Result<(bool, String)> {
    let output = own_group(driver).arg(name).args(arguments).output().map_err(internal)?;
    let reply: serde_json::Value = serde_json::from_slice(&output.stdout).map_err(|error| {
        Error::new(Kind::Internal, format!("callout `{name}` did not answer JSON: {error}"))
    })?;
    let text = |key: &str| reply.get(key).and_then(serde_json::Value::as_str);
    let words =
        text("message").or(text("device").filter(|device| !device.is_empty())).or(text("status"));
    Ok((output.status.success(), words.unwrap_or_default().to_owned()))
}

pub(super) fn internal(error: std::io::Error) -> Error {
    Error::new(Kind::Internal, format!("the demo cannot be set up: {error}"))
}
