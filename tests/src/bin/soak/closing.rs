//! The end: everything is brought to rest, looked at, and deleted; then nothing may be left.

use crate::call::Caller;
use crate::lives::Known;
use crate::server::{Server, reap};
use crate::volume::{Driver, Kind, Scope, Volume, id, shared, snapshots};
use crate::world::World;
use becket_tests::{loop_files, mounts, process, requests, until};
use std::collections::BTreeSet;

/// Brings everything to rest and judges it.
pub(crate) async fn close(
    world: &World,
    server: &mut Server,
    caller: &mut Caller,
    known: &[Known],
) -> Result<(), String> {
    caller.patient = true;
    rest(world, caller).await;
    intact(world, caller, known).await;
    let names = everything(known.len());
    empty(world, caller, &names).await;
    server.end().await?;
    nothing_left(world);
    Ok(())
}

/// Unstages what is shared; all else was taken down by whoever put it up.
async fn rest(world: &World, caller: &mut Caller) {
    let pods = world.path("pods");
    for mounted in mounts(&pods) {
        let mounted = mounted.display();
        world.violation(format!("`{mounted}` is mounted, and its unpublication was acknowledged"));
    }
    for volume in shared(Scope::Contested).into_iter().chain(shared(Scope::Kept)) {
        let _ = caller.settle("unstaging", async |caller| caller.unstage(&volume).await).await;
    }
    unused(world, "after everything was unstaged");
}

/// Nothing is mounted, and no loop device is attached.
fn unused(world: &World, when: &str) {
    let root = world.path("");
    // The kernel lets go of loop devices a moment after their last use.
    until(|| loop_files(&root).is_empty());
    let (mounted, devices) = (mounts(&root), loop_files(&root));
    if !mounted.is_empty() || !devices.is_empty() {
        world.violation(format!("{when}: mounted: {mounted:?}, loop devices of: {devices:?}"));
    }
}

/// Every volume and snapshot can be used and holds what it should.
async fn intact(world: &World, caller: &mut Caller, known: &[Known]) {
    let there: BTreeSet<&String> = known.iter().flat_map(|known| &known.there).collect();
    let mut ids = Vec::new();
    for driver in Driver::ALL {
        ids.extend(caller.all_volumes(driver).await.unwrap_or_default());
    }
    for volume in shared(Scope::Kept).iter().chain(&shared(Scope::Contested)) {
        let found = ids.contains(&volume.id());
        if !found && there.contains(&volume.name) {
            world.violation(format!("`{}` was made and never deleted, and is gone", volume.name));
        }
        if found {
            inspect(caller, volume, known).await;
        }
    }
    for (kind, name) in snapshots() {
        let copy = Volume::own(kind, format!("copy-of-{name}"));
        if !exists(caller, kind, &name).await {
            continue;
        }
        let source = requests::from_snapshot(&id(kind, &name)).map(|source| (source, 1 << 30));
        let made =
            caller.settle("a restore", async |caller| caller.create(&copy, source.clone()).await);
        if made.await.is_ok() {
            inspect(caller, &copy, &[]).await;
        }
        caller.remove(&copy).await;
    }
}

async fn exists(caller: &mut Caller, kind: Kind, name: &str) -> bool {
    let ids = caller.all_snapshots(kind.driver()).await.unwrap_or_default();
    ids.contains(&id(kind, name))
}

/// Mounts a volume, looks at all that is in it, and unmounts it again.
async fn inspect(caller: &mut Caller, volume: &Volume, known: &[Known]) {
    let target = caller.target("last", volume);
    if caller.bring(volume, &target).await.is_ok() {
        let own = caller.number;
        for (number, known) in known.iter().enumerate() {
            caller.number = number + 1;
            let Ok(found) = caller.read(volume, &target).await else { break };
            if volume.scope == Scope::Kept
                && let Some(Some(written)) = known.numbers.get(&volume.name)
            {
                let _ = caller.expect(volume, found, Some(*written), "was written to it last");
            }
        }
        if known.is_empty() {
            let _ = caller.read(volume, &target).await;
        }
        caller.number = own;
    }
    caller.leave(volume, &target).await;
    let _ = caller.settle("unstaging", async |caller| caller.unstage(volume).await).await;
}

/// All volumes and snapshots that any caller may have made.
fn everything(callers: usize) -> (Vec<Volume>, Vec<(Kind, String)>) {
    let kinds = [Kind::Ext4, Kind::Directory];
    let mut volumes: Vec<Volume> = shared(Scope::Contested);
    volumes.extend(shared(Scope::Kept));
    let mut moments = snapshots();
    for number in 1..=callers {
        for kind in kinds {
            volumes.push(Volume::own(kind, format!("own-{number}")));
            volumes.push(Volume::own(kind, format!("own-{number}-copy")));
            moments.push((kind, format!("own-{number}-moment")));
        }
        for kept in shared(Scope::Kept) {
            let name = format!("own-{number}-of-{}", kept.name);
            volumes.push(Volume::own(kept.kind, format!("{name}-copy")));
            moments.push((kept.kind, name));
        }
    }
    (volumes, moments)
}

/// Deletes all of it, the trash too.
async fn empty(
    world: &World,
    caller: &mut Caller,
    (volumes, moments): &(Vec<Volume>, Vec<(Kind, String)>),
) {
    for (kind, name) in moments {
        let deleted = caller.settle("deleting a snapshot", async |caller| {
            caller.delete_snapshot(*kind, name).await
        });
        let _ = deleted.await;
    }
    for volume in volumes {
        // Nobody uses anything now, so nothing may be refused.
        let volume = Volume { scope: Scope::Own, ..volume.clone() };
        caller.remove(&volume).await;
    }
    for driver in Driver::ALL {
        let volumes = caller.all_volumes(driver).await.unwrap_or_default();
        let snapshots = caller.all_snapshots(driver).await.unwrap_or_default();
        if !volumes.is_empty() || !snapshots.is_empty() {
            world.violation(format!("deleted, and listed: {volumes:?} {snapshots:?}"));
        }
    }
    unused(world, "after everything was deleted");
    for driver in Driver::ALL {
        for area in ["preparing/volumes", "preparing/snapshots"] {
            expect_empty(world, &format!("state/pools/{}/{area}", driver.pool()));
        }
    }
    for driver in Driver::ALL {
        run(world, &["trash", "empty", "--all", "--pool", driver.pool()]);
        let findings = run(world, &["reconcile", "--pool", driver.pool(), "-o", "json"]);
        if findings.trim() != "[]" {
            world.violation(format!("reconcile of `{}` found: {findings}", driver.pool()));
        }
        for area in ["trash", "volumes", "snapshots", "preparing/volumes", "preparing/snapshots"] {
            expect_empty(world, &format!("state/pools/{}/{area}", driver.pool()));
        }
    }
}

fn expect_empty(world: &World, below: &str) {
    let entries = std::fs::read_dir(world.path(below)).into_iter().flatten().flatten();
    let names: Vec<_> = entries.map(|entry| entry.file_name()).collect();
    if !names.is_empty() {
        world.violation(format!("left in `{below}`: {names:?}"));
    }
}

/// Runs the command line, which must succeed, and gives what it wrote.
fn run(world: &World, arguments: &[&str]) -> String {
    match world.becket(arguments).output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).into_owned()
        }
        other => {
            world.violation(format!("`becket {}`: {other:?}", arguments.join(" ")));
            String::new()
        }
    }
}

/// What a node without a server still shows: processes, notes, and what the server said.
fn nothing_left(world: &World) {
    let own = std::process::id();
    until(|| {
        reap(0);
        process::children(own).is_empty()
    });
    let children = process::children(own);
    if !children.is_empty() {
        world.violation(format!("processes outlived the server: {children:?}"));
    }
    let pools = std::fs::read_dir(world.path("state/locks")).into_iter().flatten().flatten();
    for pool in pools {
        let notes = std::fs::read_dir(pool.path()).into_iter().flatten().flatten();
        let notes = notes.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let left: Vec<String> =
            notes.filter(|name| name.ends_with(".asked") || name.ends_with(".frozen")).collect();
        if !left.is_empty() {
            world.violation(format!("notes were left of volumes that are gone: {left:?}"));
        }
    }
    let log = std::fs::read_to_string(world.path("log")).unwrap_or_default();
    for line in log.lines().filter(|line| is_bug(line)).take(5) {
        world.violation(format!("the server said: {line}"));
    }
}

/// Words of a line that only a bug gives cause for, or that we killed a program of the host.
fn is_bug(line: &str) -> bool {
    let bug = ["level=error", "panicked", "report this bug"];
    bug.iter().any(|words| line.contains(words)) && !line.contains("ended with 137")
}
