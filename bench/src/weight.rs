//! What the binary weighs: on the disk, in memory, and in system calls.

use crate::Outcome;
use crate::callouts::options;
use crate::measure;
use crate::place::Place;
use crate::report::{AtMost, Row, Value};
use becket_sys::child;
use std::io::{Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Measures the binary itself, and two callouts of it.
pub(crate) fn measure(place: &Place, peer: Option<&Path>) -> Outcome<Vec<Row>> {
    let size = |path: &Path| -> Outcome<Value> {
        Ok(Value::Bytes { bytes: std::fs::metadata(path)?.len() })
    };
    let size = Row::new("size of the binary", size(place.becket())?)
        .beside(peer.map(size).transpose()?)
        .target(AtMost::Bytes(10_000_000));
    let mut rows = vec![size];
    let driver = place.install("image", false)?;
    let (first, second) = (place.directory("becket/pods/a")?, place.directory("becket/pods/b")?);
    let (first, second) = (first.display().to_string(), second.display().to_string());
    let options = options("weighed", "default");
    measure::run_well(&driver, &["mount", &first, &options])?;
    let mount: &[&str] = &["mount", &second, &options];
    for (what, words) in [("init", &["init"] as &[&str]), ("mount, second pod", mount)] {
        let bytes = peak_memory(&driver, words)?;
        rows.push(Row::new(format!("peak memory: {what}"), Value::Bytes { bytes }));
        measure::run_well(&driver, &["unmount", &second])?;
        if let Some(count) = system_calls(place, &driver, words)? {
            rows.push(Row::new(format!("system calls: {what}"), Value::Count { count }));
        }
        measure::run_well(&driver, &["unmount", &second])?;
    }
    measure::run_well(&driver, &["unmount", &first])?;
    place.forget_volume("default", "weighed")?;
    Ok(rows)
}

/// The most memory that the callout's process had resident, from `/proc`.
///
/// What `wait4` says would include the memory of the process that spawned it. So the callout is
/// held at its last act: it writes its reply to a pipe that is full.
fn peak_memory(driver: &Path, words: &[&str]) -> Outcome<u64> {
    let (mut reader, mut writer) = std::io::pipe()?;
    let full = rustix::pipe::fcntl_getpipe_size(&writer)?;
    writer.write_all(&vec![b' '; full])?;
    let mut command = measure::command(driver, words);
    let mut child = command.stdout(writer).spawn()?;
    drop(command);
    let peak = peak_when_asleep(child.id());
    // Emptied whatever came of it, or the callout would wait for ever.
    reader.read_to_end(&mut Vec::new())?;
    child.wait()?;
    peak
}

/// `VmHWM` of the process (proc_pid_status(5)), once it has been asleep for a while.
fn peak_when_asleep(process: u32) -> Outcome<u64> {
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut asleep = 0;
    while Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
        let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next().map(str::to_owned)
        };
        asleep = if field("State:").as_deref() == Some("S") { asleep + 1 } else { 0 };
        let peak = field("VmHWM:").and_then(|kib| kib.parse::<u64>().ok());
        if let (10.., Some(kib)) = (asleep, peak) {
            return Ok(kib * 1024);
        }
    }
    Err("a callout did not come to its reply within 5 s".into())
}

/// How many system calls the callout makes; `None` where there is no strace.
fn system_calls(place: &Place, driver: &Path, words: &[&str]) -> Outcome<Option<u64>> {
    let Some(strace) = child::find("strace") else {
        crate::say("system calls are not counted: this host has no strace");
        return Ok(None);
    };
    let trace = place.root().join("trace");
    let (log, program) = (trace.display().to_string(), driver.display().to_string());
    let words: Vec<&str> =
        ["-qq", "-o", &log, &program].into_iter().chain(words.iter().copied()).collect();
    measure::run_well(&strace, &words)?;
    let text = std::fs::read_to_string(&trace)?;
    let calls = text.lines().filter(|line| !line.starts_with(['+', '-'])).count();
    Ok(Some(calls as u64))
}
