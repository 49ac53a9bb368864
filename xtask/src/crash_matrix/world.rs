//! A throw-away node for one kill: a state directory and a kubelet's root.

use super::cases::{After, Before, Case, DRIVER};
use super::ground;
use crate::run::{Failed, Outcome};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const CONTENT: &str = "what must not be lost\n";

/// No operation here takes a tenth of this; one that does hangs.
const LONGEST: Duration = Duration::from_secs(120);

/// How a run ended.
pub enum End {
    Well(String),
    Badly(String),
    Killed,
}

pub struct World {
    binary: PathBuf,
    root: PathBuf,
    pub backend: &'static str,
}

impl World {
    pub fn new(binary: &Path, case: &Case) -> Outcome<World> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name =
            format!("becket-crash-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let root = std::env::temp_dir().join(name);
        let world = World { binary: binary.to_owned(), root, backend: case.backend };
        std::fs::create_dir_all(world.pod())
            .map_err(|error| Failed::new(format!("cannot make a world: {error}")))?;
        match case.backend.strip_prefix("lvm") {
            Some(kind) => ground::make(&world, kind == "-thin")?,
            None => {
                world.becket(&["pool", "create", "pool", "--backend", case.backend]).map(drop)?
            }
        }
        world.install()?;
        if case.before != Before::Nothing {
            world.make_volume(case.before)?;
        }
        match case.before {
            Before::Nothing | Before::Volume => {}
            Before::Mounted | Before::MountedXfs | Before::MountedPassing => world.mount("v")?,
            Before::Staged => {
                let options = world.options("");
                world.becket(&[DRIVER, "mountdevice", &world.device(), "", &options]).map(drop)?;
            }
            Before::Snapshot => world
                .becket(&["snapshot", "create", "s", "--pool", "pool", "--volume", "v"])
                .map(drop)?,
        }
        Ok(world)
    }

    /// The name of the world's volume group.
    pub fn group(&self) -> String {
        self.root.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn has_group(&self) -> bool {
        self.backend.starts_with("lvm")
    }

    /// The FlexVolume driver of the pool's volumes.
    pub fn driver_name(&self) -> &'static str {
        if self.has_group() { "lvm" } else { self.backend }
    }

    /// An attachable driver, as `becket install` would leave it.
    fn install(&self) -> Outcome {
        let failed = |error: std::io::Error| Failed::new(format!("cannot install: {error}"));
        let driver = self.driver();
        let directory = driver.parent().unwrap_or(&self.root);
        std::fs::create_dir_all(directory).map_err(failed)?;
        std::os::unix::fs::symlink(&self.binary, &driver).map_err(failed)?;
        let (state, kubelet) = (self.path("state"), self.path("kubelet"));
        let record = format!(
            r#"{{"stateDir":"{}","kubeletRoot":"{}","attachable":true}}"#,
            state.display(),
            kubelet.display()
        );
        std::fs::write(directory.join(".install.json"), record).map_err(failed)
    }

    fn driver(&self) -> PathBuf {
        let name = if self.has_group() { "lvm" } else { "image" };
        self.path(&format!("plugins/becket~{name}/{name}"))
    }

    /// The directory in which an attachable volume is mounted for the node.
    pub fn device(&self) -> String {
        let name = if self.has_group() { "lvm" } else { "image" };
        let below = format!("kubelet/plugins/kubernetes.io/flexvolume/becket/{name}/mounts/pv");
        self.path(&below).display().to_string()
    }

    fn make_volume(&self, before: Before) -> Outcome {
        let size = if before == Before::MountedXfs { "320Mi" } else { "32Mi" };
        let mut arguments = vec!["volume", "create", "v", "--pool", "pool", "--size", size];
        if self.backend == "directory" {
            arguments.push("--parameter=limit=none");
        }
        match before {
            Before::MountedXfs => arguments.push("--filesystem=xfs"),
            Before::MountedPassing => {
                arguments.extend(["--parameter=template={pod}", "--parameter=onUnmount=remove"]);
            }
            _ => {}
        }
        self.becket(&arguments)?;
        self.mount("v")?;
        std::fs::write(Path::new(&self.pod()).join("file"), CONTENT)
            .map_err(|error| Failed::new(format!("cannot write to the volume: {error}")))?;
        self.unmount()
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// The directory of the pod.
    pub fn pod(&self) -> String {
        let path =
            self.path("kubelet").join(format!("pods/uid/volumes/becket~{}/pv", self.driver_name()));
        path.display().to_string()
    }

    /// The options of the volume `v`, with more of them.
    pub fn options(&self, more: &str) -> String {
        format!(
            r#"{{"kubernetes.io/pod.name":"p","kubernetes.io/pvOrVolumeName":"pv","kubernetes.io/readwrite":"rw","name":"v","pool":"pool"{more}}}"#
        )
    }

    fn mount(&self, volume: &str) -> Outcome {
        let options = self.options("").replace("\"v\"", &format!("\"{volume}\""));
        self.becket(&["flex", self.driver_name(), "mount", &self.pod(), &options]).map(drop)
    }

    fn unmount(&self) -> Outcome {
        self.becket(&["flex", self.driver_name(), "unmount", &self.pod()]).map(drop)
    }

    /// Runs becket below `wrapper`, which must not hang, and says how it ended.
    pub fn run(&self, wrapper: &mut Command, arguments: Vec<String>) -> Outcome<End> {
        let shown = arguments.join(" ");
        let output = self.path("output");
        let failed = |error: std::io::Error| Failed::new(format!("cannot run `{shown}`: {error}"));
        let file = std::fs::File::create(&output).map_err(failed)?;
        let (program, arguments) = match arguments.split_first() {
            Some((first, rest)) if first == DRIVER => (self.driver(), rest.to_vec()),
            _ => (self.binary.clone(), arguments),
        };
        let mut child = wrapper
            .arg(program)
            .args(&arguments)
            .env("BECKET_STATE_DIR", self.path("state"))
            .env("BECKET_KUBELET_ROOT", self.path("kubelet"))
            .stdin(Stdio::null())
            .stdout(file.try_clone().map_err(failed)?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let started = Instant::now();
        let status = loop {
            match child.try_wait().map_err(failed)? {
                Some(status) => break status,
                None if started.elapsed() > LONGEST => {
                    return Err(Failed::new(format!("`{shown}` hangs")));
                }
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        let said = std::fs::read_to_string(&output).unwrap_or_default();
        Ok(match status.signal() == Some(9) || status.code() == Some(137) {
            true => End::Killed,
            false if status.success() => End::Well(said),
            false => End::Badly(format!("`{shown}` ended with {status}: {}", said.trim())),
        })
    }

    /// Like [`World::run`], and must end well; gives what it said.
    pub fn run_well(&self, wrapper: &mut Command, arguments: Vec<String>) -> Outcome<String> {
        match self.run(wrapper, arguments)? {
            End::Well(said) => Ok(said),
            End::Killed => Err(Failed::new("something else killed it")),
            End::Badly(how) => Err(Failed::new(how)),
        }
    }

    pub fn becket(&self, arguments: &[&str]) -> Outcome<String> {
        self.run_well(
            &mut Command::new("env"),
            arguments.iter().map(|word| word.to_string()).collect(),
        )
    }

    /// Compares the world with what it must be, then takes it down and looks for leaks.
    pub fn check(&self, case: &Case) -> Outcome {
        let after = &case.after;
        self.compare("volumes", self.listed("volume")?, &volumes(after))?;
        self.compare("snapshots", self.listed("snapshot")?, &after.snapshots.join(" "))?;
        self.compare(
            "things in the trash",
            self.listed("trash")?.split_whitespace().count().to_string(),
            &after.trash.to_string(),
        )?;
        self.compare(
            "mounted",
            self.mounts_at(Path::new(&self.pod())).len().min(2).to_string(),
            &usize::from(after.mounted).to_string(),
        )?;
        if after.mounted {
            self.unmount()?;
        }
        self.becket(&[DRIVER, "unmountdevice", &self.device()])?;
        if case.before == Before::MountedPassing {
            let kept = names(&self.path("state/pools/pool/volumes/v/data"));
            self.compare("directories of pods", kept.join(" "), "")?;
        }
        if let Some(volume) = after.data_in {
            self.mount(volume)?;
            let found = std::fs::read_to_string(Path::new(&self.pod()).join("file"));
            self.compare("content", found.unwrap_or_else(|error| error.to_string()), CONTENT)?;
            self.unmount()?;
        }
        // The first run may put things right, and its exit status says that no person is needed.
        self.becket(&["reconcile", "--pool", "pool"])?;
        let second = self.becket(&["reconcile", "--pool", "pool", "-o", "json"])?;
        self.compare("what a second reconcile finds", second.trim().to_owned(), "[]")?;
        self.no_leaks()
    }

    /// Names, and sizes of volumes, as `becket … list -o json` has them.
    fn listed(&self, what: &str) -> Outcome<String> {
        let json = self.becket(&[what, "list", "--pool", "pool", "-o", "json"])?;
        // The keys of the listed objects themselves are indented by four.
        let value = |line: &str, key: &str| {
            let rest = line.strip_prefix(&format!("    \"{key}\": "))?;
            Some(rest.trim_end_matches(',').trim_matches('"').to_owned())
        };
        let mut found = Vec::new();
        for line in json.lines() {
            if let Some(name) = value(line, "name") {
                found.push(name);
            }
            if let Some(size) = value(line, "size").filter(|_| what == "volume")
                && let Some(last) = found.last_mut()
            {
                last.push_str(&format!("={size}"));
            }
        }
        found.sort();
        Ok(found.join(" "))
    }

    fn compare(&self, what: &str, found: String, wanted: &str) -> Outcome {
        match found == wanted {
            true => Ok(()),
            false => Err(Failed::new(format!(
                "{what}: `{}` instead of `{}`",
                found.trim(),
                wanted.trim()
            ))),
        }
    }

    fn no_leaks(&self) -> Outcome {
        let mounts = self.mounts_at(&self.root);
        let devices = self.wait_for_devices();
        let hidden = ["state/pools/pool/preparing/volumes", "state/pools/pool/preparing/snapshots"];
        let leftovers: Vec<String> =
            hidden.iter().flat_map(|below| names(&self.path(below))).collect();
        let discarded = names(&self.path("state/pools/pool/trash"))
            .into_iter()
            .filter(|name| name.starts_with("discarded"));
        let staged = names(&self.path("state/staged/pool"));
        let all: Vec<String> = mounts
            .into_iter()
            .chain(devices)
            .chain(leftovers)
            .chain(discarded)
            .chain(staged)
            .chain(self.has_group().then(|| ground::unborn(self)).into_iter().flatten())
            .collect();
        self.compare("leaked", all.join(" "), "")
    }

    fn mounts_at(&self, path: &Path) -> Vec<String> {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = table.lines().filter_map(|line| line.split(' ').nth(4));
        points.filter(|point| Path::new(point).starts_with(path)).map(str::to_owned).collect()
    }

    /// Loop devices on files of this world, after the kernel had a moment to let go of them.
    fn wait_for_devices(&self) -> Vec<String> {
        let mut devices = Vec::new();
        for _ in 0..100 {
            devices = names(Path::new("/sys/block"))
                .into_iter()
                .filter(|name| name.starts_with("loop"))
                .filter(|name| {
                    let file =
                        std::fs::read_to_string(format!("/sys/block/{name}/loop/backing_file"));
                    let own = self.path(ground::DEVICE);
                    file.is_ok_and(|file| {
                        let file = Path::new(file.trim_end());
                        file.starts_with(&self.root) && file != own
                    })
                })
                .collect();
            if devices.is_empty() {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        devices
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for point in self.mounts_at(&self.root).iter().rev() {
            let _ = Command::new("umount").arg(point).stderr(Stdio::null()).status();
        }
        self.wait_for_devices();
        if self.has_group() {
            ground::remove(self);
        }
        // Never through a mount: if one has stayed, the world stays too, to be looked at.
        if self.mounts_at(&self.root).is_empty() {
            let _ = std::fs::remove_dir_all(&self.root);
        }
    }
}

fn volumes(after: &After) -> String {
    let shown: Vec<String> =
        after.volumes.iter().map(|(name, mib)| format!("{name}={}", mib << 20)).collect();
    shown.join(" ")
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
