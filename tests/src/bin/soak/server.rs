//! The server's process: started, killed, ended and started again, and looked at all the while.

use crate::volume::Driver;
use crate::world::World;
use becket_csi::work::ALL_THREADS;
use becket_tests::process::{self, Memory};
use becket_tests::{Random, Served, mounts};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

/// Between two looks.
const TICK: Duration = Duration::from_millis(50);

/// It is to answer this soon after its start.
const START: Duration = Duration::from_secs(10);

/// It is to end this soon after it was asked to: Kubernetes kills after half a minute.
const END: Duration = Duration::from_secs(30);

/// Nothing may be held still for this long by a server that is gone.
const THAW: Duration = Duration::from_secs(5);

/// After this long without a call, threads that were made for calls are gone.
const IDLE: Duration = Duration::from_secs(3);

/// The server and its life.
pub(crate) struct Server {
    world: Rc<World>,
    random: Random,
    served: Option<Served>,
    /// The most threads that were seen.
    pub(crate) threads: u64,
}

/// What the server holds while nobody calls.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quiet {
    pub(crate) memory: Memory,
    pub(crate) descriptors: usize,
    pub(crate) calls: u64,
}

impl Server {
    /// Starts it.
    pub(crate) async fn new(world: &Rc<World>) -> Result<Server, String> {
        let mut server =
            Server { world: world.clone(), random: world.random(0), served: None, threads: 0 };
        server.start().await?;
        Ok(server)
    }

    async fn start(&mut self) -> Result<(), String> {
        let served = Served::start(self.world.server(), &self.world.path("log"));
        let mut served = served.map_err(|error| format!("cannot start becket: {error}"))?;
        for driver in Driver::ALL {
            served.ready(&self.world.socket(driver), START).await?;
        }
        self.served = Some(served);
        self.world.turn();
        Ok(())
    }

    /// Lets callers call for `time`, while the server is killed and ended now and then.
    pub(crate) async fn disturb(&mut self, time: Duration) -> Result<(), String> {
        let end = Instant::now() + time;
        while Instant::now() < end && !self.world.over.get() {
            let pause = Duration::from_millis(200 + self.random.below(4_000));
            self.watch(pause.min(end - Instant::now())).await?;
            match self.random.below(5) {
                0 => self.end().await?,
                1 | 2 => self.kill(false).await?,
                _ => self.kill(true).await?,
            }
            let pause = Duration::from_millis(self.random.below(300));
            tokio::time::sleep(pause).await;
            let before = SystemTime::now();
            self.start().await?;
            self.watch(Duration::from_secs(1)).await?;
            self.thawed(before).await;
        }
        Ok(())
    }

    /// What a server held still for a copy, and was killed over, is not held still under the next one:
    /// workloads wait for it.
    async fn thawed(&self, before: SystemTime) {
        for mark in marks(&self.world.path("state/locks")) {
            let made = mark.metadata().and_then(|about| about.modified());
            // `volume-NAME.frozen`; its guard may have thawed it and left the mark.
            let name = mark.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let name = name.trim_start_matches("volume-");
            let points = mounts(&self.world.path(""));
            let point = points.into_iter().find(|point| point.iter().any(|part| part == name));
            let (true, Some(point)) = (made.is_ok_and(|made| made < before), point) else {
                continue;
            };
            let write =
                tokio::task::spawn_blocking(move || std::fs::File::create(point.join(".x")));
            if tokio::time::timeout(THAW, write).await.is_err() {
                self.world.violation(format!(
                    "`{name}` is still held still by a snapshot whose server was killed"
                ));
            }
        }
    }

    /// Looks at the server for `time`: it stays, and has no more threads than it may.
    pub(crate) async fn watch(&mut self, time: Duration) -> Result<(), String> {
        let most = (ALL_THREADS * Driver::ALL.len() + 3) as u64;
        let end = Instant::now() + time;
        while Instant::now() < end && !self.world.over.get() {
            tokio::time::sleep(TICK).await;
            reap(self.served.as_ref().map_or(0, Served::pid));
            let Some(served) = &mut self.served else { continue };
            match served.ended() {
                Ok(None) => {}
                ended => return Err(format!("the server ended by itself: {ended:?}")),
            }
            let threads = process::memory(served.pid()).map_or(0, |memory| memory.threads);
            self.threads = self.threads.max(threads);
            if threads > most {
                self.world.violation(format!("the server has {threads} threads, {most} at most"));
            }
        }
        Ok(())
    }

    /// Kills it; with `all`, what it has started too and first, as the end of a container does.
    async fn kill(&mut self, all: bool) -> Result<(), String> {
        let Some(served) = self.served.take() else { return Ok(()) };
        self.world.turn();
        self.world.event(if all { "SIGKILL to all" } else { "SIGKILL to the server alone" });
        let children = if all { process::children(served.pid()) } else { Vec::new() };
        for (child, name) in children {
            self.world.event(match name.starts_with("tokio") {
                // Forked by a thread of the server, whose name it has.
                true => "killed with it: the guard of a volume held still",
                false => "killed with it: a program of the host",
            });
            let child = i32::try_from(child).ok().and_then(Pid::from_raw);
            let _ = child.map(|child| kill_process(child, Signal::KILL));
        }
        served.kill().map_err(|error| format!("cannot kill the server: {error}"))
    }

    /// Asks it to end, which it does well, and with nothing left at work.
    pub(crate) async fn end(&mut self) -> Result<(), String> {
        let Some(served) = self.served.take() else { return Ok(()) };
        self.world.turn();
        let ended = served.end(END).await.map_err(|error| error.to_string())?;
        self.world.event("SIGTERM");
        match ended {
            Some(status) if status.success() => {}
            Some(status) => self.world.violation(format!("the server ended with {status}")),
            None => self.world.violation(format!("the server did not end within {END:?}")),
        }
        for driver in Driver::ALL {
            if self.world.socket(driver).exists() {
                self.world.violation(format!("the socket of `{}` was left", driver.name()));
            }
        }
        Ok(())
    }

    /// Waits until all callers rest, and looks what the server holds then.
    pub(crate) async fn quiet(&mut self) -> Result<Quiet, String> {
        let world = self.world.clone();
        let _quiet = world.quiet.write().await;
        tokio::time::sleep(IDLE).await;
        let pid = self.served.as_ref().map_or(0, Served::pid);
        let failed = |error| format!("cannot look at the server: {error}");
        let memory = process::memory(pid).map_err(failed)?;
        let descriptors = process::descriptors(pid).map_err(failed)?;
        Ok(Quiet { memory, descriptors, calls: world.calls() })
    }
}

/// The marks beside volumes' locks that say that the volume is being held still.
fn marks(locks: &Path) -> Vec<PathBuf> {
    let pools = std::fs::read_dir(locks).into_iter().flatten().flatten();
    let files = pools.flat_map(|pool| std::fs::read_dir(pool.path()).into_iter().flatten());
    let files = files.flatten().map(|entry| entry.path());
    files.filter(|path| path.extension().is_some_and(|what| what == "frozen")).collect()
}

/// Waits for children that have ended, all but the server.
pub(crate) fn reap(server: u32) {
    for (child, _) in process::children(std::process::id()) {
        let pid = i32::try_from(child).ok().and_then(Pid::from_raw);
        if child != server && pid.is_some() {
            let _ = waitpid(pid, WaitOptions::NOHANG);
        }
    }
}
