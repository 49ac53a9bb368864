//! Kill it anywhere: each operation is killed on entry to each of its storage-relevant system calls,
//! one after the other, and must then do on its second run what it does undisturbed.
//!
//! After the second run nothing may be leaked, the data must be intact, and `becket reconcile` must
//! find nothing that it cannot explain and put right. `strace` does the killing, on the release binary.

mod cases;
mod ground;
mod world;

use crate::guest::{self, Output};
use crate::run::{Failed, Outcome};
use cases::{CASES, Case};
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use world::{End, World};

/// Calls that change what is stored or mounted, or that start and await the programs which do.
const CALLS: &str = "mkdirat,renameat,renameat2,unlinkat,fsync,fdatasync,syncfs,ftruncate,fallocate,\
                     ioctl,fsopen,fsconfig,fsmount,move_mount,open_tree,mount_setattr,umount2,\
                     copy_file_range,write,pwrite64,fchmod,fchown,fchownat,utimensat,symlinkat,linkat,\
                     fork,vfork,clone,clone3,wait4,flock,openat2";

/// In a sample, about this many kills of each case.
const SAMPLE: usize = 6;

/// One place to kill at: the `occurrence`-th call of `call`.
struct Point {
    call: String,
    occurrence: usize,
}

/// Runs the cases of logical volumes in a guest.
pub fn run_in_guest(binary: &Path, sample: bool) -> Outcome {
    let failed = |reason: &dyn std::fmt::Display| Failed::new(reason.to_string());
    let own = std::env::current_exe().map_err(|error| failed(&error))?;
    let options = guest::Options {
        memory: "3G".to_owned(),
        variables: vec![("BECKET".into(), binary.into())],
        timeout: Duration::from_secs(if sample { 1800 } else { 6 * 3600 }),
        ..guest::Options::default()
    };
    let mut command: Vec<OsString> = vec![own.into(), "crash-matrix".into(), "--lvm".into()];
    command.extend(sample.then(|| "--sample".into()));
    let ended = guest::run(&options, &command, Output::Shown).map_err(|reason| failed(&reason))?;
    match ended.status {
        0 => Ok(()),
        status => Err(Failed::new(format!("the crash matrix in the guest ended with {status}"))),
    }
}

/// Runs all cases, those of logical volumes or the others; shows a line for each, and every violation.
pub fn run(binary: &Path, lvm: bool, sample: bool) -> Outcome {
    let mut all = Tally::default();
    for case in CASES.iter().filter(|case| case.backend.starts_with("lvm") == lvm) {
        let points = points_of(binary, case)?;
        let step = if sample { points.len().div_ceil(SAMPLE).max(1) } else { 1 };
        // The next run of a sample takes another one.
        let first = if sample { std::process::id() as usize % step } else { 0 };
        let mut tally = Tally::default();
        for point in points.iter().skip(first).step_by(step) {
            tally.add(
                kill_at(binary, case, point),
                &format!("{} killed at {} #{}", case.name, point.call, point.occurrence),
            );
        }
        eprintln!(
            "{:40} {:3} kills at {:3} system calls, {} violations",
            case.name,
            tally.kills,
            points.len(),
            tally.violations
        );
        all = all.and(&tally);
    }
    eprintln!("{} kills; {} more came too late, after the run's end", all.kills, all.late);
    match (all.violations, all.kills > 10 * all.late) {
        (0, true) => Ok(()),
        (0, false) => Err(Failed::new("too few were killed to tell anything")),
        (violations, _) => Err(Failed::new(format!("{violations} kills left something wrong"))),
    }
}

/// What came of the kills.
#[derive(Default)]
struct Tally {
    kills: usize,
    /// The call did not happen so often this time: how many loop devices there are, for example, is
    /// up to the whole machine.
    late: usize,
    violations: usize,
}

impl Tally {
    fn add(&mut self, result: Outcome<bool>, what: &str) {
        match result {
            Ok(true) => self.kills += 1,
            Ok(false) => self.late += 1,
            Err(violation) => {
                eprintln!("crash-matrix: {what}: {violation}");
                self.violations += 1;
            }
        }
    }

    fn and(&self, other: &Tally) -> Tally {
        Tally {
            kills: self.kills + other.kills,
            late: self.late + other.late,
            violations: self.violations + other.violations,
        }
    }
}

/// The system calls of an undisturbed run, in order, which is also the proof that the case works.
fn points_of(binary: &Path, case: &Case) -> Outcome<Vec<Point>> {
    let world = World::new(binary, case)?;
    let trace = world.path("trace");
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o"]).arg(&trace).args(["-e", &format!("trace={CALLS}")]);
    world.run_well(&mut strace, (case.operation)(&world))?;
    world
        .check(case)
        .map_err(|violation| Failed::new(format!("{}, undisturbed: {violation}", case.name)))?;
    let text = std::fs::read_to_string(&trace)
        .map_err(|error| Failed::new(format!("no trace: {error}")))?;
    let mut points: Vec<Point> = Vec::new();
    for line in text.lines() {
        let Some((call, _)) = line.split_once('(') else { continue };
        let occurrence = 1 + points.iter().filter(|point| point.call == call).count();
        points.push(Point { call: call.to_owned(), occurrence });
    }
    Ok(points)
}

/// False when the call did not happen that often.
fn kill_at(binary: &Path, case: &Case, point: &Point) -> Outcome<bool> {
    let world = World::new(binary, case)?;
    let Point { call, occurrence } = point;
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:signal=KILL:when={occurrence}")]);
    let killed = match world.run(&mut strace, (case.operation)(&world))? {
        End::Killed => true,
        End::Well(_) => false,
        End::Badly(how) => return Err(Failed::new(how)),
    };
    world.run_well(&mut Command::new("env"), (case.operation)(&world))?;
    world.check(case)?;
    Ok(killed)
}
