//! Installing FlexVolume drivers so that a running kubelet finds them whole, and removing them.
//!
//! The kubelet's prober reacts to every file in its plugin directory, so the order of the file
//! operations here is the protocol: see [`files`].

mod files;
mod kubelet;

use crate::args::{DriversAndPlace, InstallArgs, UninstallArgs};
use crate::output::{self, Form};
use becket_core::error::shown;
use becket_core::{Error, Kind, Result, preflight};
use becket_flexvolume::driver::{DEFAULT_KUBELET_ROOT, Driver, Settings};
use becket_sys::mountinfo;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Installs or upgrades drivers, and stays to refresh them if asked.
pub(crate) fn install(arguments: &InstallArgs, state_dir: &Path, form: Form) -> Result<()> {
    preflight::kernel()?;
    let drivers = drivers(&arguments.what)?;
    if arguments.attachable && !drivers.iter().any(|driver| driver.can_attach()) {
        return Err(Error::new(Kind::Invalid, "none of these drivers can be attachable")
            .hint("only the image driver can"));
    }
    let running = kubelet::running();
    let plugin_dir = plugin_dir(&arguments.what, running.as_ref())?;
    let root = arguments.kubelet_root.clone().or(running.and_then(|kubelet| kubelet.root));
    // As the kubelet was told it, links included: so it names its paths.
    let kubelet_root = absolute(&root.unwrap_or_else(|| DEFAULT_KUBELET_ROOT.into()))?;
    if !plugin_dir.exists() {
        output::say(format_args!("making the plugin directory `{}`", plugin_dir.display()));
    }
    files::check_plugin_dir(&plugin_dir)?;
    let state_dir = real(&absolute(state_dir)?);
    let log_file = arguments.log_file.as_deref().map(absolute).transpose()?;
    let executable = std::env::current_exe().map_err(|error| {
        Error::new(Kind::Internal, format!("cannot find this program's own file: {error}"))
    })?;
    let vendor = &arguments.what.vendor;
    let settings_of = |driver: Driver| Settings {
        state_dir: state_dir.clone(),
        kubelet_root: kubelet_root.clone(),
        vendor: vendor.clone(),
        attachable: arguments.attachable && driver.can_attach(),
        log_file: log_file.clone(),
    };
    for driver in &drivers {
        let installed = Settings::installed(&plugin_dir.join(driver.directory_name(vendor)))?;
        if installed.is_some_and(|now| now.attachable != settings_of(*driver).attachable) {
            // The kubelet knows a volume by another name in the other mode, and would lose those it has.
            refuse_published(&plugin_dir, vendor, *driver)?;
        }
    }
    let mut done = Vec::new();
    for driver in &drivers {
        let outcome = files::put(&plugin_dir, *driver, &executable, &settings_of(*driver))?;
        done.push(Done::new(&plugin_dir, vendor, *driver, outcome));
    }
    show(form, &done)?;
    match arguments.refresh {
        None => Ok(()),
        Some(interval) => refresh(&plugin_dir, &drivers, &executable, &settings_of, interval),
    }
}

/// Touches the drivers for ever, and puts back one whose files are gone. Ends with the process.
fn refresh(
    plugin_dir: &Path,
    drivers: &[Driver],
    executable: &Path,
    settings_of: &dyn Fn(Driver) -> Settings,
    interval: Duration,
) -> Result<()> {
    let interval = interval.max(Duration::from_millis(100));
    end_with_signals()?;
    output::say(format_args!("refreshing every {}", humantime::format_duration(interval)));
    loop {
        std::thread::sleep(interval);
        for driver in drivers {
            let refreshed = match files::touch(plugin_dir, &settings_of(*driver).vendor, *driver) {
                Ok(true) => Ok(()),
                Ok(false) => files::put(plugin_dir, *driver, executable, &settings_of(*driver))
                    .map(|_| {
                        output::say(format_args!(
                            "driver `{}/{}` was gone and is installed again",
                            settings_of(*driver).vendor,
                            driver.name()
                        ));
                    }),
                Err(error) => Err(error),
            };
            // The plugin directory may come back; a refresher that gave up would not.
            if let Err(error) = refreshed {
                output::error(&error);
            }
        }
    }
}

/// Lets a signal end the process at once. The first process of a container, which the refresher of a pod is,
/// would not notice it otherwise. What it interrupts is as after a kill: the next installation finishes it.
fn end_with_signals() -> Result<()> {
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register_conditional_shutdown(signal, 0, Arc::new(true.into()))
            .map_err(|error| {
                Error::new(Kind::Internal, format!("cannot listen to signals: {error}"))
            })?;
    }
    Ok(())
}

/// Removes drivers of which no volume is mounted: without its driver a volume can never be
/// unmounted by the kubelet.
pub(crate) fn uninstall(arguments: &UninstallArgs, form: Form) -> Result<()> {
    let drivers = drivers(&arguments.what)?;
    let plugin_dir = plugin_dir(&arguments.what, kubelet::running().as_ref())?;
    let vendor = &arguments.what.vendor;
    for driver in &drivers {
        refuse_published(&plugin_dir, vendor, *driver)?;
    }
    let mut done = Vec::new();
    for driver in &drivers {
        let outcome =
            if files::remove(&plugin_dir, vendor, *driver)? { "removed" } else { "not installed" };
        done.push(Done::new(&plugin_dir, vendor, *driver, outcome));
    }
    show(form, &done)
}

/// What became of a driver.
#[derive(Serialize)]
struct Done {
    driver: String,
    outcome: &'static str,
    directory: PathBuf,
}

impl Done {
    fn new(plugin_dir: &Path, vendor: &str, driver: Driver, outcome: &'static str) -> Done {
        let directory = plugin_dir.join(driver.directory_name(vendor));
        Done { driver: format!("{vendor}/{}", driver.name()), outcome, directory }
    }
}

fn show(form: Form, done: &[Done]) -> Result<()> {
    let row = |done: &Done| {
        vec![done.driver.clone(), done.outcome.to_owned(), done.directory.display().to_string()]
    };
    let rows: Vec<Vec<String>> = done.iter().map(row).collect();
    output::list(form, &done, &["driver", "outcome", "directory"], &rows)
}

fn refuse_published(plugin_dir: &Path, vendor: &str, driver: Driver) -> Result<()> {
    let installed = Settings::installed(&plugin_dir.join(driver.directory_name(vendor)))?;
    let Some(settings) = installed else { return Ok(()) };
    // What mounts show is the real path, so that is what is compared with.
    let root = real(&settings.kubelet_root);
    let pods = root.join("pods");
    let devices = root.join("plugins/kubernetes.io/flexvolume").join(vendor).join(driver.name());
    let kind = driver.directory_name(vendor);
    let is_ours = |point: &PathBuf| {
        let in_pod = point.strip_prefix(&pods).ok().and_then(|below| below.iter().nth(2));
        in_pod.is_some_and(|part| part == kind.as_str()) || point.starts_with(&devices)
    };
    let published: Vec<PathBuf> =
        mountinfo::read()?.into_iter().map(|entry| entry.point).filter(is_ours).collect();
    let Some((first, more)) = published.split_first() else {
        return Ok(());
    };
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    Err(Error::new(
        Kind::InUse,
        format!(
            "driver `{vendor}/{}` has a volume mounted at `{}`{more}",
            driver.name(),
            first.display()
        ),
    )
    .hint("delete the pods that use them first; without the driver they could not be unmounted"))
}

fn drivers(what: &DriversAndPlace) -> Result<Vec<Driver>> {
    what.drivers
        .iter()
        .map(|name| Driver::named(name).ok_or_else(|| unknown_driver(name)))
        .collect()
}

/// No driver of ours has this name.
pub(crate) fn unknown_driver(name: &str) -> Error {
    let known = Driver::ALL.map(Driver::name).join(", ");
    Error::new(Kind::Invalid, format!("driver `{}` is not known", shown(name)))
        .hint(format!("this becket has {known}"))
}

fn plugin_dir(what: &DriversAndPlace, running: Option<&kubelet::Kubelet>) -> Result<PathBuf> {
    if let Some(directory) = &what.plugin_dir {
        return absolute(directory);
    }
    running.map(kubelet::Kubelet::plugin_dir).unwrap_or_else(|| {
        let reason = "no kubelet is running here that would tell its plugin directory";
        Err(Error::new(Kind::WrongState, reason).hint(format!(
            "name it with --plugin-dir; it usually is `{}`",
            kubelet::DEFAULT_PLUGIN_DIR
        )))
    })
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| {
        Error::new(Kind::Invalid, format!("`{}` is no path: {error}", path.display()))
    })
}

/// The path without links, as far as it exists.
pub(crate) fn real(path: &Path) -> PathBuf {
    for above in path.ancestors() {
        if let Ok(found) = above.canonicalize() {
            return match path.strip_prefix(above) {
                Ok(below) if !below.as_os_str().is_empty() => found.join(below),
                _ => found,
            };
        }
    }
    path.to_owned()
}
