//! The program on both sides of a guest kernel, one static executable with three parts to play:
//! on the host it enters namespaces (`enter`) and confines the kernel there (`confine`), and as the
//! guest's first process it makes a system of what it sees and runs the command. `cargo xtask guest`
//! starts it; nobody else does.

mod command;
mod confine;
mod consoles;
mod devices;
mod enter;
mod failure;
mod files;
mod mounts;
mod nfs_server;
mod overlay;
mod programs;
mod read_only;
mod settings;
mod system;

use failure::Result;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["enter", parent, processor] => enter::run(parent, processor),
        ["confine"] => confine::run(),
        // The kernel hands its own left-over parameters to its first process as arguments.
        _ if std::process::id() == 1 => return first_process(),
        _ => Err("this is started by `cargo xtask guest`".into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

/// The life of the guest's first process. It ends by switching the machine off; where it could not,
/// its return is a kernel panic, which ends the machine as well.
fn first_process() -> ExitCode {
    let ended = overlay::enter().and_then(|settings| life(&settings));
    let word = match ended {
        Ok(status) => format!("exit {status}"),
        Err(failure) => format!("failed {failure}"),
    };
    let told = files::tell(overlay::STATUS, &word);
    let off = rustix::system::reboot(rustix::system::RebootCommand::PowerOff);
    say(&format!("{word}; told: {told:?}, off: {off:?}"));
    ExitCode::FAILURE
}

/// Makes a system, runs the command in it, and sees that the host has what was written to it.
fn life(settings: &settings::Settings) -> Result<u8> {
    system::make(settings)?;
    if settings.nfs_server {
        nfs_server::start()?;
    }
    let status = command::run(settings)?;
    // Not everything: a file system whose server the command has stopped would never be done.
    for share in settings.shares.iter().filter(|share| share.writable) {
        files::write_back(&share.path)?;
    }
    Ok(status)
}

/// Words for the log: on the host that of the confined kernel, in the guest the kernel's console.
fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "xtask: {words}");
}
