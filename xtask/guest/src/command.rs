//! The command, as a child of the guest's first process.

use crate::consoles::Console;
use crate::failure::{Doing, Result};
use crate::programs::PATH;
use crate::settings::Settings;
use rustix::process::{WaitOptions, WaitStatus, wait};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a shell says of a program that is not there, or cannot be run.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;

/// How long output of daemons that the command left behind is still waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// glibc keeps to AVX2: this kernel loses AVX-512's registers over a signal.
const TUNABLES: &str = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW";

/// Runs it to its end and gives its exit status; 128 and the signal's number if one ended it.
pub(crate) fn run(settings: &Settings) -> Result<u8> {
    let (program, arguments) = settings.command.split_first().ok_or("there is no command")?;
    let (stdout, stderr) = (Console::open("/dev/tty1")?, Console::open("/dev/tty2")?);
    let (out, out_writer) = std::io::pipe().doing(|| "make a pipe")?;
    let (err, err_writer) = std::io::pipe().doing(|| "make a pipe")?;
    let mut words = err_writer.try_clone().doing(|| "share a pipe")?;
    let copies = [stdout.pass_on(out)?, stderr.pass_on(err)?];
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs([("PATH", PATH), ("HOME", "/root"), ("GLIBC_TUNABLES", TUNABLES)])
        .envs(settings.variables.iter().map(|(name, value)| (name, value)))
        .current_dir(&settings.directory)
        .stdin(Stdio::null())
        .stdout(out_writer)
        .stderr(err_writer)
        .process_group(0);
    if !settings.udev {
        command.env("DM_DISABLE_UDEV", "1");
    }
    let status = match command.spawn() {
        Ok(child) => reap(child.id())?,
        Err(error) => {
            let shown = program.display();
            writeln!(words, "xtask: cannot run `{shown}` in the guest: {error}")
                .doing(|| "say so")?;
            let missing = error.kind() == std::io::ErrorKind::NotFound;
            if missing { NOT_FOUND } else { NOT_RUN }
        }
    };
    // Both hold ends of the pipes.
    drop((words, command));
    await_copies(&copies);
    stdout.drain()?;
    stderr.drain()?;
    Ok(status)
}

/// Waits for the command, and buries every orphan that comes to the first process meanwhile: a test
/// that looks for a process it ended must not find its remains.
fn reap(command: u32) -> Result<u8> {
    loop {
        let ended = wait(WaitOptions::empty()).doing(|| "wait for the command")?;
        if let Some((id, status)) = ended
            && id.as_raw_nonzero().get().cast_unsigned() == command
        {
            return Ok(exit_status(status));
        }
    }
}

fn exit_status(status: WaitStatus) -> u8 {
    let signal = status.terminating_signal().map(|signal| 128 + signal);
    let status = status.exit_status().or(signal).unwrap_or(i32::from(u8::MAX));
    u8::try_from(status).unwrap_or(u8::MAX)
}

fn await_copies(copies: &[JoinHandle<()>]) {
    let started = Instant::now();
    while !copies.iter().all(JoinHandle::is_finished) && started.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(10));
    }
}
