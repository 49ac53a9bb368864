//! Kill it anywhere: each operation is killed on entry to each of its storage-relevant system calls,
//! one after the other, and must then do on its second run what it does undisturbed.
//!
//! After the second run nothing may be leaked, the data must be intact, and `becket reconcile` must
//! find nothing that it cannot explain and put right. `strace` does the killing, on the release binary.

mod cases;
mod world;

use crate::run::{Failed, Outcome};
use cases::{CASES, Case};
use std::path::Path;
use std::process::Command;
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

/// Runs all cases; shows a line for each, and every violation.
pub fn run(binary: &Path, sample: bool) -> Outcome {
    let mut violations = 0;
    let mut kills = 0;
    for case in CASES {
        let points = points_of(binary, case)?;
        let step = if sample { points.len().div_ceil(SAMPLE).max(1) } else { 1 };
        // A sample of the next run is another one, unless one asks for the same.
        let first = if sample { std::process::id() as usize % step } else { 0 };
        let chosen: Vec<&Point> = points.iter().skip(first).step_by(step).collect();
        let mut found = 0;
        for point in &chosen {
            if let Err(violation) = kill_at(binary, case, point) {
                eprintln!("crash-matrix: {} killed at {} #{}: {violation}", case.name, point.call, point.occurrence);
                found += 1;
            }
        }
        eprintln!("{:40} {:3} of {:3} system calls, {found} violations", case.name, chosen.len(), points.len());
        kills += chosen.len();
        violations += found;
    }
    match violations {
        0 if kills > 0 => {
            eprintln!("{kills} kills, and every second run did what an undisturbed one does");
            Ok(())
        }
        0 => Err(Failed::new("nothing was killed")),
        _ => Err(Failed::new(format!("{violations} of {kills} kills left something wrong"))),
    }
}

/// The system calls of an undisturbed run, in order, which is also the proof that the case works.
fn points_of(binary: &Path, case: &Case) -> Outcome<Vec<Point>> {
    let world = World::new(binary, case)?;
    let trace = world.path("trace");
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o"]).arg(&trace).args(["-e", &format!("trace={CALLS}")]);
    world.run(&mut strace, (case.operation)(&world), End::Well)?;
    world.check(case).map_err(|violation| Failed::new(format!("{}, undisturbed: {violation}", case.name)))?;
    let text = std::fs::read_to_string(&trace).map_err(|error| Failed::new(format!("no trace: {error}")))?;
    let mut points: Vec<Point> = Vec::new();
    for line in text.lines() {
        let Some((call, _)) = line.split_once('(') else { continue };
        let occurrence = 1 + points.iter().filter(|point| point.call == call).count();
        points.push(Point { call: call.to_owned(), occurrence });
    }
    Ok(points)
}

fn kill_at(binary: &Path, case: &Case, point: &Point) -> Outcome {
    let world = World::new(binary, case)?;
    let Point { call, occurrence } = point;
    let mut strace = Command::new("strace");
    strace.args(["-qq", "-o", "/dev/null", "-e", &format!("trace={call}")]);
    strace.args(["-e", &format!("inject={call}:signal=KILL:when={occurrence}")]);
    world.run(&mut strace, (case.operation)(&world), End::Killed)?;
    world.run(&mut Command::new("env"), (case.operation)(&world), End::Well)?;
    world.check(case)
}
