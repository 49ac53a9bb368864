//! `becket-bench`: the built binary against its targets, in one run and side by side: callouts, CSI
//! calls, storage, weight.
//!
//! What is compared is measured in turns within one loop, so the neighbours on a shared machine
//! disturb all alike. A target that is missed is said and is no failure: machines differ.

mod bare;
mod callouts;
mod csi;
mod lvm;
mod measure;
mod nfs;
mod place;
mod report;
mod scale;
mod storage;
mod weight;

use clap::{Parser, ValueEnum};
use place::Place;
use report::Row;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// What a step of the benchmark comes to; any error ends it, after cleaning up.
type Outcome<T = ()> = Result<T, Fault>;

/// Why, in words; it can be passed from one task to another.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// Measure a built becket against its targets, a shell script and bare system calls
#[derive(Debug, Parser)]
#[command(name = "becket-bench", max_term_width = 100)]
struct Arguments {
    /// The binary
    #[arg(long, value_name = "FILE")]
    becket: PathBuf,
    /// Form of the output
    #[arg(short, long, value_name = "FORM", default_value = "table")]
    output: Form,
    /// What is measured
    #[arg(long, value_name = "WHAT", default_value = "image")]
    of: Vec<Subject>,
    /// How often everything is done
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Volumes in the large pool
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..))]
    volumes: u16,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Subject {
    /// The image backend, both interfaces, and the binary itself
    Image,
    /// The lvm backend, which needs a device mapper
    Lvm,
    /// The nfs backend, which needs an NFS client and server, and a directory that the server exports as its
    /// root: BECKET_NFS_EXPORT names it
    Nfs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// Columns for people
    Table,
    /// JSON for programs
    Json,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Outcome {
    if !rustix::process::geteuid().is_root() {
        return Err("the benchmark mounts filesystems, which needs root; run it with sudo".into());
    }
    measure::heed_interrupts()?;
    let place = Place::new(&arguments.becket)?;
    let outcome = rows(&place, arguments);
    let cleaned = place
        .clean()
        .map_err(|error| format!("`{}` could not be removed: {error}", place.root().display()));
    if let Ok(rows) = &outcome {
        show(rows, arguments.output)?;
    }
    // What went wrong first is what matters; what was left behind is said all the same.
    if let (Err(_), Err(left)) = (&outcome, &cleaned) {
        say(left);
    }
    outcome?;
    Ok(cleaned?)
}

fn rows(place: &Place, arguments: &Arguments) -> Outcome<Vec<Row>> {
    let (rounds, volumes) = (usize::from(arguments.rounds), usize::from(arguments.volumes));
    say(&format!("{rounds} rounds; times are minimum / median; ratios compare medians"));
    let mut rows = Vec::new();
    for subject in &arguments.of {
        rows.extend(match subject {
            Subject::Image => image(place, rounds, volumes)?,
            Subject::Lvm => lvm::measure(place, rounds)?,
            Subject::Nfs => nfs::measure(place, rounds)?,
        });
    }
    Ok(rows)
}

fn image(place: &Place, rounds: usize, volumes: usize) -> Outcome<Vec<Row>> {
    say("CSI calls are minimum / median / 95th / 99th of 100, and how many in a second");
    let peer = csi::peer()?;
    say("callouts …");
    let mut rows = callouts::measure(place, rounds)?;
    say("a fresh volume …");
    rows.extend(storage::fresh(place, rounds)?);
    say("snapshots …");
    rows.extend(storage::snapshot(place, rounds)?);
    say("many volumes …");
    rows.extend(scale::measure(place, rounds, volumes)?);
    say("the drivers over their sockets …");
    rows.extend(csi::measure(place, rounds, volumes, peer.clone())?);
    say("the binary …");
    rows.extend(weight::measure(place, peer.as_deref())?);
    Ok(rows)
}

fn show(rows: &[Row], form: Form) -> Outcome {
    let text = match form {
        Form::Table => report::table(rows),
        Form::Json => serde_json::to_string_pretty(rows)? + "\n",
    };
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A line of words for whoever is waiting.
fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}
