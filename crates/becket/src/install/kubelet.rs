//! The kubelet that runs on this node, and what it was told.

use becket_core::{Error, Kind, Result};
use std::path::{Path, PathBuf};

/// Where a kubelet that was told nothing looks for drivers.
pub(super) const DEFAULT_PLUGIN_DIR: &str = "/usr/libexec/kubernetes/kubelet-plugins/volume/exec";

/// What a running kubelet was told; `None` where it was told nothing.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kubelet {
    /// `--volume-plugin-dir`.
    plugin_dir: Option<PathBuf>,
    /// `--config`, by a path that also leads there from another container.
    config: Option<PathBuf>,
    /// `--root-dir`.
    pub(super) root: Option<PathBuf>,
}

/// The kubelet among the processes of this node. In a container that takes `hostPID`.
pub(super) fn running() -> Option<Kubelet> {
    let processes = std::fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let command = std::fs::read(process.path().join("cmdline")).ok()?;
        let arguments: Vec<String> = command
            .split(|byte| *byte == 0)
            .map(|part| String::from_utf8_lossy(part).into_owned())
            .collect();
        let program = Path::new(arguments.first()?).file_name()?.to_str()?;
        // Some distributions run it as a subcommand: `k0s kubelet`, `hyperkube kubelet`.
        let is_kubelet =
            program == "kubelet" || arguments.get(1).is_some_and(|word| word == "kubelet");
        is_kubelet.then(|| told(&arguments, &process.path().join("root")))
    })
}

impl Kubelet {
    /// Where this kubelet looks for drivers. A configuration file that it was given and that cannot
    /// be read is an error: the default may not be what it says.
    pub(super) fn plugin_dir(&self) -> Result<PathBuf> {
        let configured = || match &self.config {
            None => Ok(None),
            Some(path) => match std::fs::read_to_string(path) {
                Ok(text) => Ok(setting(&text, "volumePluginDir").map(PathBuf::from)),
                Err(error) => Err(Error::new(
                    Kind::WrongState,
                    format!(
                        "the kubelet's configuration `{}` cannot be read: {error}",
                        path.display()
                    ),
                )
                .hint("name the plugin directory with --plugin-dir")),
            },
        };
        let told = match &self.plugin_dir {
            Some(path) => Some(path.clone()),
            None => configured()?,
        };
        Ok(told.unwrap_or_else(|| DEFAULT_PLUGIN_DIR.into()))
    }
}

fn told(arguments: &[String], root: &Path) -> Kubelet {
    let beneath = |path: String| root.join(path.trim_start_matches('/'));
    Kubelet {
        plugin_dir: flag(arguments, "volume-plugin-dir").map(PathBuf::from),
        config: flag(arguments, "config").map(beneath),
        root: flag(arguments, "root-dir").map(PathBuf::from),
    }
}

/// The value of `--name=value` or `--name value`; the last one counts.
fn flag(arguments: &[String], name: &str) -> Option<String> {
    let mut found = None;
    for (index, argument) in arguments.iter().enumerate() {
        let Some(rest) = argument.strip_prefix("--").or(argument.strip_prefix("-")) else {
            continue;
        };
        match rest.strip_prefix(name) {
            Some("") => found = arguments.get(index + 1).cloned(),
            Some(value) => found = value.strip_prefix('=').map(str::to_owned).or(found),
            None => {}
        }
    }
    found.filter(|value| !value.is_empty())
}

/// A top-level string of the kubelet's configuration, which is YAML or JSON. One key is wanted of it,
/// for which a line is enough.
fn setting(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let line = line.trim_start_matches('"').trim_start_matches([' ', '"', '{']);
        let rest =
            line.strip_prefix(key)?.trim_start_matches('"').trim_start().strip_prefix(':')?;
        let value = rest.split(" #").next()?.trim().trim_end_matches(',').trim_matches(['"', '\'']);
        (!value.is_empty()).then(|| value.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn the_flags_of_a_kubelet_are_read() {
        for (command, plugin_dir, root) in [
            ("kubelet", None, None),
            ("kubelet --volume-plugin-dir=/a --root-dir=/r", Some("/a"), Some("/r")),
            ("kubelet --volume-plugin-dir /a -root-dir /r --v=4", Some("/a"), Some("/r")),
            ("kubelet --volume-plugin-dir=/a --volume-plugin-dir=/b", Some("/b"), None),
            ("kubelet --volume-plugin-dir-of-another=/a", None, None),
        ] {
            let found = told(&words(command), Path::new("/"));
            assert_eq!(found.plugin_dir.as_deref(), plugin_dir.map(Path::new), "{command}");
            assert_eq!(found.root.as_deref(), root.map(Path::new), "{command}");
        }
    }

    #[test]
    fn the_configuration_file_is_read_as_yaml_and_as_json() {
        for text in [
            "kind: KubeletConfiguration\nvolumePluginDir: /x/y\n",
            "volumePluginDir: \"/x/y\" # here\n",
            "{\n  \"volumePluginDir\": \"/x/y\",\n  \"v\": 1\n}",
        ] {
            assert_eq!(setting(text, "volumePluginDir").as_deref(), Some("/x/y"), "{text}");
        }
        assert_eq!(setting("volumePluginDirOther: /x", "volumePluginDir"), None);
    }
}
