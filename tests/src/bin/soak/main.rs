//! `soak`: many callers at once on one `becket serve`, for minutes, which is killed and ended on the
//! way. Every answer is judged, what was written is read back, and at the end nothing may be left.
//!
//! A seed repeats the choices of each caller; who comes first is not repeated.

mod call;
mod closing;
mod contested;
mod data;
mod lists;
mod lives;
mod rpc;
mod server;
mod volume;
mod world;

use call::Caller;
use clap::Parser;
use lives::Known;
use server::{Quiet, Server};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::{JoinSet, LocalSet};
use volume::Driver;
use world::World;

/// Soak becket's CSI drivers: many callers at once, kills, restarts, and everything judged
#[derive(Debug, Parser)]
#[command(name = "soak", max_term_width = 100)]
struct Arguments {
    /// The binary
    #[arg(long, value_name = "FILE")]
    becket: PathBuf,
    /// For how long callers call
    #[arg(long, value_name = "NUMBER", default_value_t = 600, value_parser = clap::value_parser!(u64).range(10..))]
    seconds: u64,
    /// How many callers there are
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    callers: u16,
    /// What repeats a run's choices [default: another one each time]
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Let the server say in its log what it was asked
    #[arg(short, long)]
    verbose: bool,
    /// Leave the node's directory where it is
    #[arg(long)]
    keep: bool,
}

/// What the server may hold more of after all the calls than it did after a few: the allocator's leisure.
const LEISURE: u64 = 2 << 20;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match soak(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs all of it; the number of violations.
fn soak(arguments: &Arguments) -> Result<usize, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("drivers mount filesystems, which needs root".into());
    }
    // What the server started and left becomes our child, so that it can be seen and waited for.
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own)).map_err(|error| error.to_string())?;
    let becket = arguments.becket.canonicalize();
    let becket = becket.map_err(|error| format!("cannot find becket: {error}"))?;
    let seed =
        arguments.seed.unwrap_or_else(|| u64::from(own.as_raw_nonzero().get().unsigned_abs()));
    let repeat = format!(
        "soak --seconds {} --callers {} --seed {seed}",
        arguments.seconds, arguments.callers
    );
    say(&repeat);
    let world = Rc::new(World::new(&becket, seed, arguments.verbose)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let outcome = LocalSet::new().block_on(&runtime, run(&world, arguments));
    // A workload that hangs must not keep the rest from being said.
    runtime.shutdown_background();
    say(&world.summary());
    if (outcome.is_err() || world.violations() > 0)
        && let Some(log) = world.keep_log()
    {
        say(&format!("repeat with: {repeat} --verbose\nthe server's log: {}", log.display()));
    }
    let cleaned = if arguments.keep { Ok(()) } else { world.clear() };
    outcome.and(cleaned).map(|()| world.violations())
}

async fn run(world: &Rc<World>, arguments: &Arguments) -> Result<(), String> {
    for driver in Driver::ALL {
        let pool = ["pool", "create", driver.pool(), "--backend", driver.backend()];
        let made = world
            .becket(&[&pool[..], &["--overcommit", "20", "--trash-retention", "1s"]].concat())
            .output();
        if !made.as_ref().is_ok_and(|made| made.status.success()) {
            return Err(format!("cannot make a pool: {made:?}"));
        }
    }
    heed_interrupts(world)?;
    let mut server = Server::new(world).await?;
    let count = usize::from(arguments.callers);
    let connections = call::connect(world, count).await?;
    let mut callers = JoinSet::new();
    for number in 1..=count {
        callers.spawn_local(work(Caller::new(world, number, &connections)));
    }
    let phases = phases(world, &mut server, Duration::from_secs(arguments.seconds)).await;
    world.over.set(true);
    let mut known = vec![Known::default(); count];
    while let Some(ended) = callers.join_next().await {
        let (number, knows) = ended.map_err(|error| format!("a caller failed: {error}"))?;
        known[number - 1] = knows;
    }
    phases?;
    if world.enough() {
        return Err("it was not tried to bring everything to rest".into());
    }
    let mut last = Caller::new(world, count + 1, &connections);
    closing::close(world, &mut server, &mut last, &known).await?;
    world.note(format!("at most {} threads", server.threads));
    Ok(())
}

/// First the server is killed and ended now and then; then it stays, and must not grow.
async fn phases(world: &Rc<World>, server: &mut Server, time: Duration) -> Result<(), String> {
    server.disturb(time * 6 / 10).await?;
    server.watch(time / 10).await?;
    let before = server.quiet().await?;
    server.watch(time * 3 / 10).await?;
    let after = server.quiet().await?;
    for quiet in [before, after] {
        world.note(format!(
            "after {} calls: {:.2} MB resident, {} descriptors, {} threads",
            quiet.calls,
            quiet.memory.resident as f64 / 1e6,
            quiet.descriptors,
            quiet.memory.threads
        ));
    }
    judge_growth(world, before, after);
    Ok(())
}

fn judge_growth(world: &World, before: Quiet, after: Quiet) {
    if after.memory.resident > before.memory.resident + LEISURE {
        let (before, after) = (before.memory.resident, after.memory.resident);
        world.violation(format!("the server grew from {before} to {after} bytes"));
    }
    if after.descriptors > before.descriptors {
        let (before, after) = (before.descriptors, after.descriptors);
        world.violation(format!("the server had {before} open descriptors, and has {after}"));
    }
}

/// What a caller does until it is over.
async fn work(mut caller: Caller) -> (usize, Known) {
    let mut known = Known::default();
    let world = caller.world.clone();
    while !world.over.get() {
        let _acting = world.quiet.read().await;
        match caller.random.below(20) {
            0..=8 => caller.disturb().await,
            9..=12 => caller.visit().await,
            13..=15 => caller.keep(&mut known).await,
            16..=18 => caller.own_life().await,
            _ => caller.look_through(&known).await,
        }
    }
    (caller.number, known)
}

/// An interrupt ends the calls; everything is still judged and cleaned up.
fn heed_interrupts(world: &Rc<World>) -> Result<(), String> {
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        signal_hook::flag::register(signal, interrupted.clone())
            .map_err(|error| error.to_string())?;
    }
    let world = world.clone();
    tokio::task::spawn_local(async move {
        while !interrupted.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        world.over.set(true);
    });
    Ok(())
}

/// A line of words for whoever is waiting.
fn say(words: &str) {
    let _ = writeln!(std::io::stderr(), "{words}");
}
