//! The throw-away directory that everything happens in, and its removal.

use crate::Outcome;
use crate::measure::run_well;
use becket_core::{Engine, Name, State};
use becket_sys::beneath::Dir;
use becket_sys::loop_device::{self, LoopDevice};
use becket_sys::{mount, mountinfo};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of every volume whose making is measured.
pub(crate) const SIZE: u64 = 1 << 30;

/// The driver that Becket is compared with.
const SCRIPT: &str = include_str!("../driver.sh");

/// The directory, with the drivers installed in it.
pub(crate) struct Place {
    root: PathBuf,
    becket: PathBuf,
    /// The engine over the same state directory that the installed drivers use.
    pub(crate) engine: Engine,
}

impl Place {
    /// Makes the directory, in the directory for temporary files, for the binary `becket`.
    pub(crate) fn new(becket: &Path) -> Outcome<Place> {
        let find = |path: &Path| {
            path.canonicalize()
                .map_err(|error| format!("cannot find `{}`: {error}", path.display()))
        };
        let becket = find(becket)?;
        let root =
            find(&std::env::temp_dir())?.join(format!("becket-bench-{}", std::process::id()));
        std::fs::create_dir(&root)
            .map_err(|error| format!("cannot make `{}`: {error}", root.display()))?;
        let engine = Engine::new(State::new(root.join("state")), becket_backends::all());
        Ok(Place { root, becket, engine })
    }

    /// The directory itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The binary that is measured.
    pub(crate) fn becket(&self) -> &Path {
        &self.becket
    }

    /// A directory in it, made where it is absent.
    pub(crate) fn directory(&self, relative: &str) -> Outcome<PathBuf> {
        let path = self.root.join(relative);
        std::fs::create_dir_all(&path)
            .map_err(|error| format!("cannot make `{}`: {error}", path.display()))?;
        Ok(path)
    }

    /// The arguments of a command at Becket's command line, on this state directory.
    pub(crate) fn words(&self, words: &[&str]) -> Vec<String> {
        let state = self.root.join("state").display().to_string();
        let words = words.iter().map(|word| (*word).to_owned());
        words.chain(["--state-dir".to_owned(), state]).collect()
    }

    /// Installs Becket's FlexVolume driver of this name and gives its executable.
    pub(crate) fn install(&self, driver: &str, attachable: bool) -> Outcome<PathBuf> {
        let plugins = self.directory(if attachable { "plugins-attachable" } else { "plugins" })?;
        let kubelet = self.directory("becket")?;
        let (plugin_dir, kubelet) = (plugins.display().to_string(), kubelet.display().to_string());
        let mut words = self.words(&["install", "--flex", driver, "--plugin-dir", &plugin_dir]);
        words.extend(["--kubelet-root".to_owned(), kubelet]);
        words.extend(attachable.then(|| "--attachable".to_owned()));
        run_well(&self.becket, &words)?;
        Ok(plugins.join(format!("becket~{driver}/{driver}")))
    }

    /// Writes the script that Becket is compared with and gives its path.
    pub(crate) fn install_script(&self, attachable: bool) -> Outcome<PathBuf> {
        let below = if attachable { "script-attachable" } else { "script" };
        self.directory(&format!("{below}/images"))?;
        let path = self.root.join(below).join("driver");
        let text = match attachable {
            true => SCRIPT.replace("ATTACH=false", "ATTACH=true"),
            false => SCRIPT.to_owned(),
        };
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(path)
    }

    /// Deletes an unused volume for good, so that no round is slower than the one before it.
    pub(crate) fn forget_volume(&self, pool: &str, volume: &str) -> Outcome {
        let pool = Name::new(pool)?;
        self.engine.delete(&pool, &Name::new(volume)?)?;
        self.engine.empty_trash(&pool, true)?;
        Ok(())
    }

    /// Unmounts, detaches and removes all that the measurements made, whatever became of them.
    pub(crate) fn clean(&self) -> Outcome {
        let ours =
            mountinfo::read()?.into_iter().filter(|entry| entry.point.starts_with(&self.root));
        let points: Vec<PathBuf> = ours.map(|entry| entry.point).collect();
        // What is mounted last is last in the table.
        for point in points.iter().rev() {
            mount::unmount(point)?;
        }
        for (number, path) in loop_device::attached()? {
            let ours = path.starts_with(&self.root);
            if let Some(device) = LoopDevice::open(number)?.filter(|_| ours) {
                device.detach()?;
            }
        }
        // The kernel lets go of files behind loop devices a moment later.
        std::thread::sleep(Duration::from_millis(50));
        let parent = Dir::open(self.root.parent().unwrap_or(Path::new("/")))?;
        // Stops, rather than crosses, at a mount that should still be there.
        Ok(parent.purge(self.root.file_name().unwrap_or_default())?)
    }
}
