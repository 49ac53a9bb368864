//! The driver's files, in the order that the kubelet's prober is at ease with.
//!
//! - A new driver is built complete in a hidden directory and renamed into place: one `init`, and
//!   never a probe of something half there. The prober ignores names that start with a dot.
//! - An upgrade renames over the executable, so that a callout runs the old or the new one whole.
//! - A removal unlinks the executable and removes the directory; renaming it away would leave the
//!   driver loaded.

use becket_core::error::shown;
use becket_core::{Error, Kind, Result};
use becket_flexvolume::driver::{Driver, INSTALL_RECORD, Settings};
use becket_sys::Errno;
use becket_sys::beneath::Dir;
use rustix::fs::{Mode, OFlags, StatVfsMountFlags};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A new driver's executable before it is whole.
const UNFINISHED: &str = ".executable.new";

/// Refuses a directory that is no plugin directory: it would be a mistake, and everything in a real
/// one is probed by the kubelet.
pub(super) fn check_plugin_dir(path: &Path) -> Result<()> {
    let refuse = |reason: String| {
        Err(Error::new(
            Kind::Invalid,
            format!("`{}` is no plugin directory: {reason}", path.display()),
        )
        .hint("name the directory that the kubelet's --volume-plugin-dir names"))
    };
    if path.parent().is_none() {
        return refuse("it is the root".to_owned());
    }
    let dir = becket_sys::beneath::ensure_path(path)?;
    let flags = rustix::fs::fstatvfs(&dir)
        .map_err(|errno| becket_sys::Error::new("look at", path.to_string_lossy(), errno))?;
    if flags.f_flag.contains(StatVfsMountFlags::NOEXEC) {
        return Err(Error::new(
            Kind::WrongState,
            format!("`{}` is on a filesystem mounted noexec", path.display()),
        )
        .hint("the kubelet could not run drivers there; remount it with exec"));
    }
    for name in dir.names()?.into_iter().filter(|name| !name.starts_with('.')) {
        let executable = name.rsplit('~').next().unwrap_or(&name);
        let is_driver = match dir.open_dir(&name) {
            Ok(driver) => name.contains('~') || driver.contains(executable)?,
            Err(error) if error.errno == Errno::LOOP => true,
            Err(_) => false,
        };
        if !is_driver {
            return refuse(format!("it holds `{name}`, which is no driver"));
        }
    }
    Ok(())
}

/// Installs or upgrades a driver; says which.
pub(super) fn put(
    plugin_dir: &Path,
    driver: Driver,
    executable: &Path,
    settings: &Settings,
) -> Result<&'static str> {
    let plugins = becket_sys::beneath::ensure_path(plugin_dir)?;
    let name = driver.directory_name(&settings.vendor);
    match plugins.contains(&name)? {
        true => {
            upgrade(&plugins.open_dir(&name)?, driver, executable, settings).map(|()| "upgraded")
        }
        false => put_new(&plugins, &name, driver, executable, settings).map(|()| "installed"),
    }
}

fn put_new(
    plugins: &Dir,
    name: &str,
    driver: Driver,
    executable: &Path,
    settings: &Settings,
) -> Result<()> {
    let hidden = format!(".{name}.new");
    clear_hidden(plugins, &hidden)?;
    plugins.create_dir(&hidden, 0o755)?;
    let dir = plugins.open_dir(&hidden)?;
    write_settings(&dir, settings)?;
    // Hidden within the hidden directory too, until it is whole: a kubelet that was started
    // meanwhile watches in here.
    copy_executable(&dir, UNFINISHED, executable)?;
    dir.rename_into(UNFINISHED, &dir, driver.name())?;
    let installed = dir.path().join(driver.name());
    try_init(&installed, &installed)?;
    Ok(plugins.rename_into(&hidden, plugins, name)?)
}

/// The new executable is tried before it takes the old one's place, so a broken one never does.
fn upgrade(dir: &Dir, driver: Driver, executable: &Path, settings: &Settings) -> Result<()> {
    expect_ours(dir)?;
    let beside = format!(".{}.new", driver.name());
    dir.remove_file(&beside)?;
    copy_executable(dir, &beside, executable)?;
    let installed = dir.path().join(driver.name());
    try_init(&dir.path().join(&beside), &installed)?;
    write_settings(dir, settings)?;
    rustix::fs::renameat(dir, &beside, dir, driver.name())
        .map_err(|errno| becket_sys::Error::new("replace", installed.to_string_lossy(), errno))?;
    Ok(dir.sync()?)
}

/// Refuses a driver's directory that another program's files are in.
fn expect_ours(dir: &Dir) -> Result<()> {
    match dir.contains(INSTALL_RECORD)? {
        true => Ok(()),
        false => Err(Error::new(
            Kind::WrongState,
            format!(
                "`{}` was not installed by becket: it has no `{INSTALL_RECORD}`",
                dir.path().display()
            ),
        )
        .hint("remove it by hand if nobody needs it")),
    }
}

/// The driver's files, and what killed installations may have left of them.
fn is_own(name: &str, driver: Driver) -> bool {
    let new = |name: &str| format!(".{name}.new");
    name == driver.name()
        || name == INSTALL_RECORD
        || name == UNFINISHED
        || name == new(driver.name())
        || name == new(INSTALL_RECORD)
}

/// What an installation left that was killed; its own hidden files only, one by one.
fn clear_hidden(plugins: &Dir, hidden: &str) -> Result<()> {
    let left = match plugins.open_dir(hidden) {
        Err(error) if error.errno == Errno::NOENT => return Ok(()),
        other => other?,
    };
    for name in left.names()? {
        left.remove_file(name)?;
    }
    Ok(plugins.remove_dir(hidden)?)
}

fn write_settings(dir: &Dir, settings: &Settings) -> Result<()> {
    let bytes = serde_json::to_vec_pretty(settings).map_err(|error| {
        Error::new(Kind::Internal, format!("cannot write the install record: {error}"))
    })?;
    Ok(dir.write_atomic(INSTALL_RECORD, &bytes)?)
}

fn copy_executable(dir: &Dir, name: &str, executable: &Path) -> Result<()> {
    let failed = |error: std::io::Error| {
        Error::new(
            Kind::Internal,
            format!(
                "cannot copy `{}` to `{}`: {error}",
                executable.display(),
                dir.path().display()
            ),
        )
    };
    let mut from = File::open(executable).map_err(failed)?;
    let mut to =
        dir.open_file(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW)?;
    std::io::copy(&mut from, &mut to).map_err(failed)?;
    rustix::fs::fchmod(&to, Mode::from_raw_mode(0o755)).map_err(|errno| failed(errno.into()))?;
    to.sync_all().map_err(failed)
}

/// Runs the executable at `path` as the kubelet will run it at `installed`.
fn try_init(path: &Path, installed: &Path) -> Result<()> {
    let refuse = |reason: String| {
        Error::new(
            Kind::WrongState,
            format!("the installed driver `{}` does not work: {reason}", path.display()),
        )
    };
    let output = Command::new(path)
        .arg0(installed)
        .arg("init")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| refuse(error.to_string()))?;
    let reply = String::from_utf8_lossy(&output.stdout);
    match output.status.success() && reply.contains(r#""status":"Success""#) {
        true => Ok(()),
        false => Err(refuse(format!("init answered {}", reply.trim()))),
    }
}

/// Sets the times of the driver's executable to now, which makes the kubelet probe it again. False
/// when it is gone.
pub(super) fn touch(plugin_dir: &Path, vendor: &str, driver: Driver) -> Result<bool> {
    let path = plugin_dir.join(driver.directory_name(vendor)).join(driver.name());
    let now = rustix::fs::Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW };
    let times = rustix::fs::Timestamps { last_access: now, last_modification: now };
    match rustix::fs::utimensat(rustix::fs::CWD, &path, &times, rustix::fs::AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(becket_sys::Error::new("touch", path.to_string_lossy(), errno).into()),
    }
}

/// Removes a driver of ours. False when none is there.
pub(super) fn remove(plugin_dir: &Path, vendor: &str, driver: Driver) -> Result<bool> {
    let name = driver.directory_name(vendor);
    let plugins = match Dir::open(plugin_dir) {
        Err(error) if error.errno == Errno::NOENT => return Ok(false),
        other => other?,
    };
    let dir = match plugins.open_dir(&name) {
        Err(error) if error.errno == Errno::NOENT => return Ok(false),
        other => other?,
    };
    expect_ours(&dir)?;
    // Whatever else is in there is not ours to remove, and without the driver it would be probed.
    if let Some(stray) = dir.names()?.iter().find(|file| !is_own(file, driver)) {
        return Err(Error::new(
            Kind::WrongState,
            format!("`{}` holds `{}`, which is not becket's", dir.path().display(), shown(stray)),
        )
        .hint("move it away, and uninstall again"));
    }
    // The executable last of the files: any other change after it would make the kubelet forget
    // that the driver is to be unloaded.
    let (own, others): (Vec<String>, Vec<String>) =
        dir.names()?.into_iter().partition(|file| file == driver.name());
    for file in others.iter().chain(&own) {
        dir.remove_file(file)?;
    }
    plugins.remove_dir(&name)?;
    Ok(true)
}
