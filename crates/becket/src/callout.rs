//! Being a FlexVolume driver: one callout, one JSON object on stdout, nothing on stderr.
//!
//! Nothing here starts a thread, a runtime or the command line's parser; a callout is a fresh
//! process, and the kubelet waits for it.

use crate::{install, log_lines};
use becket_core::pool::State;
use becket_core::{Engine, Result};
use becket_flexvolume::reply::Status;
use becket_flexvolume::{Callout, Driver, Reply, Settings, serve};
use std::ffi::OsString;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// How long a callout waits for another operation on the same volume. The kubelet retries.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// A run of this program as a driver.
pub(crate) struct Call {
    driver: Driver,
    from: Origin,
    arguments: Vec<OsString>,
}

/// Where the settings of a call come from.
enum Origin {
    /// The directory in which the driver is installed.
    Installed(PathBuf),
    /// The environment and the defaults: `becket flex`.
    Environment,
    /// The command line's state directory: `becket --state-dir DIR flex`.
    StateDirectory(PathBuf),
}

impl Call {
    /// The call that the command line asks for; `None` when there is no such driver.
    pub(crate) fn by_command(
        driver: &str,
        arguments: &[OsString],
        state_dir: &Path,
    ) -> Option<Call> {
        let from = Origin::StateDirectory(state_dir.to_owned());
        Some(Call { driver: Driver::named(driver)?, from, arguments: arguments.to_vec() })
    }

    fn settings(&self) -> Result<Settings> {
        match &self.from {
            Origin::Installed(directory) => Settings::load(Some(directory)),
            Origin::Environment => Settings::load(None),
            Origin::StateDirectory(state_dir) => {
                Ok(Settings { state_dir: state_dir.clone(), ..Settings::load(None)? })
            }
        }
    }
}

/// The call that `argv` is, if it is one: this program under a driver's name, or `becket flex DRIVER`.
pub(crate) fn requested(argv: &[OsString]) -> Option<Call> {
    let program = Path::new(argv.first()?);
    let named = program.file_name().and_then(|name| Driver::named(name.to_str()?));
    if let Some(driver) = named {
        let directory = program.parent().filter(|parent| !parent.as_os_str().is_empty());
        let from = directory.map_or(Origin::Environment, |path| Origin::Installed(path.to_owned()));
        return Some(Call { driver, from, arguments: argv[1..].to_vec() });
    }
    if argv.get(1)? != "flex" {
        return None;
    }
    let driver = Driver::named(argv.get(2)?.to_str()?)?;
    Some(Call { driver, from: Origin::Environment, arguments: argv[3..].to_vec() })
}

/// Answers the call on stdout.
pub(crate) fn answer(call: &Call) -> ExitCode {
    // With `panic = "abort"` the hook is the last thing to run: even a bug answers the kubelet.
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(|at| format!(" at {}:{}", at.file(), at.line()))
            .unwrap_or_default();
        let reply = Reply::failure(format!("becket has a bug{place}; nothing more was done"));
        write_line(&reply.to_line());
        std::process::exit(1);
    }));
    let reply = reply(call);
    match write_line(&reply.to_line()) {
        true => ExitCode::from(reply.exit_status()),
        false => ExitCode::FAILURE,
    }
}

fn reply(call: &Call) -> Reply {
    let settings = match call.settings() {
        Ok(settings) => settings,
        Err(error) => return Reply::from(error),
    };
    log_lines::to_syslog(call.driver.name(), settings.log_file.as_deref());
    match serve_call(call, &settings) {
        Ok(reply) => reply,
        Err(error) => {
            log::warn!("a callout was refused: {error}");
            Reply::from(error)
        }
    }
}

fn serve_call(call: &Call, settings: &Settings) -> Result<Reply> {
    let started = Instant::now();
    let callout = Callout::parse(&call.arguments)?;
    // The kernel shows mounts by their real paths, and what is staged is found among them.
    let state = State::new(install::real(&settings.state_dir));
    let engine = Engine::new(state, becket_backends::all()).waiting(LONGEST_WAIT);
    let reply = serve::serve(&engine, call.driver, settings, &callout);
    let took = started.elapsed().as_millis();
    let object = callout.object().map_or(String::new(), |object| format!(" `{object}`"));
    match &reply.message {
        Some(message) => log::warn!("{}{object} failed after {took} ms: {message}", callout.name()),
        // `init` runs at every probe and says nothing new.
        None if callout == Callout::Init => {}
        None if reply.status == Status::NotSupported => {
            log::info!("{} is not supported", callout.name());
        }
        None => log::info!("{}{object} done in {took} ms", callout.name()),
    }
    Ok(reply)
}

/// One write, so that the reply is whole or absent.
fn write_line(line: &str) -> bool {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()).is_ok()
}
