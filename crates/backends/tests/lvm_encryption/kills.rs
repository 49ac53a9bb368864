//! A process that stages an encrypted volume, killed at each of the programs it runs: the retry finishes, and
//! what was written is there.

use super::super::group::Group;
use super::super::lvm_layout::{named, unstage};
use super::super::lvm_programs::{is_guest, with};
use super::*;
use becket_core::State;
use becket_core::contract::MIB;
use becket_core::record::{Birth, Origin, OriginKind};
use becket_core::target::Target;

/// Counts the programs of the other process, and at the given one kills it: in the middle of the program,
/// together with it, or when the program is done.
const KILLER: &str = "\
    N=$(($(cat /tmp/kills/count) + 1)); echo $N > /tmp/kills/count\n\
    if [ $N != \"$(cat /tmp/kills/at)\" ]; then exec \"$REAL\" \"$@\"; fi\n\
    case $(cat /tmp/kills/how) in\n\
    within) \"$REAL\" \"$@\" <&0 & sleep 0.0$((N % 5 + 1)); kill -9 $! $PPID ;;\n\
    after) \"$REAL\" \"$@\"; kill -9 $PPID ;;\n\
    esac";

/// Not a test of its own: what the other process does, which is this program again.
#[test]
fn another_process_stages() {
    let Ok(place) = std::env::var("BECKET_TEST_STAGE") else { return };
    let (state, name) = place.split_once(':').unwrap();
    let state = Path::new(state);
    let engine = Engine::new(State::new(state), vec![Box::new(becket_backends::Lvm)]);
    let root = state.parent().unwrap().join("kubelet");
    let target = Target::beneath(&root, &root.join(name)).unwrap();
    let how = Staging { passphrase: Some(passphrase(KEY)), ..Staging::default() };
    engine.stage_as(&named("pool"), &named(name), &target, &how).unwrap();
}

/// Stages in another process, which is killed at its program number `at`; false when it came to its end.
fn killed(group: &Group, name: &str, how: &str, at: usize) -> bool {
    std::fs::create_dir_all("/tmp/kills").unwrap();
    for (file, text) in [("count", "0".to_owned()), ("at", at.to_string()), ("how", how.to_owned())]
    {
        std::fs::write(Path::new("/tmp/kills").join(file), text).unwrap();
    }
    super::staging(group, name);
    let ended = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lvm_encryption::kills::another_process_stages", "--nocapture"])
        .env("BECKET_TEST_STAGE", format!("{}:{name}", group.state().display()))
        .output()
        .unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&ended.status);
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(signal == Some(9) || ended.status.success(), "at {at}, {how}: {said}");
    signal == Some(9)
}

/// Runs `check` with all these programs replaced.
fn replaced(programs: &[&str], check: &mut dyn FnMut()) {
    match programs {
        [] => check(),
        [first, rest @ ..] => with(first, Some(KILLER), || replaced(rest, check)),
    }
}

/// Changes of LVM are its own to finish, so within them nothing is new to be seen.
const WITHIN: (&str, &[&str]) = ("within", &["mkfs.ext4", luks::PROGRAM]);
const AFTER: (&str, &[&str]) = ("after", &["mkfs.ext4", luks::PROGRAM, "lvm"]);

/// Stages the volumes that `make` makes, each killed one program later, and gives how many were killed.
fn kill_everywhere(
    group: &Group,
    engine: &Engine,
    (how, programs): (&str, &[&str]),
    make: impl Fn(&str),
    check: impl Fn(&Path),
) -> usize {
    for at in 1.. {
        let name = format!("{how}-{at}");
        make(&name);
        let mut died = false;
        replaced(programs, &mut || died = killed(group, &name, how, at));
        if !died {
            unstage(group, engine, &name);
            return at - 1;
        }
        let place = stage(group, engine, &name);
        check(&place);
        let birth = engine.volume(&named("pool"), &named(&name)).unwrap().birth;
        assert_eq!(birth, Birth::Ready, "killed at {at}, {how}");
        std::fs::write(place.join("data"), &name).unwrap();
        unstage(group, engine, &name);
        expect_closed(engine, &name);
    }
    0
}

#[test]
fn a_first_stage_killed_anywhere_is_finished_by_the_next_one() {
    if !can_run() || !is_guest() {
        return;
    }
    let group = Group::new(4 << 30);
    let engine = group.pool(true);
    let make = |name: &str| {
        engine.create(&named("pool"), &encrypted(name, 64 * MIB, Content::Ext4)).unwrap();
    };
    // Three of cryptsetup and one of mkfs; reports and changes of LVM.
    for (moment, least) in [(WITHIN, 4), (AFTER, 7)] {
        let (killed, how) = (kill_everywhere(&group, &engine, moment, make, |_| {}), moment.0);
        eprintln!("    {how}: killed at {killed} programs");
        assert!(killed >= least, "hardly anything was killed");
        for made in 1..=killed {
            let name = format!("{how}-{made}");
            let place = stage(&group, &engine, &name);
            assert_eq!(std::fs::read_to_string(place.join("data")).unwrap(), name);
            unstage(&group, &engine, &name);
        }
    }
    assert!(engine.reconcile(&named("pool")).unwrap().is_empty(), "something is left");
}

#[test]
fn later_stages_and_those_of_copies_killed_anywhere_lose_nothing() {
    if !can_run() || !is_guest() {
        return;
    }
    let group = Group::new(4 << 30);
    let engine = group.pool(true);
    let pool = named("pool");
    engine.create(&pool, &encrypted("origin", 64 * MIB, Content::Ext4)).unwrap();
    let at = stage(&group, &engine, "origin");
    std::fs::write(at.join("kept"), b"kept").unwrap();
    unstage(&group, &engine, "origin");
    expect_closed(&engine, "origin");
    let kept = |place: &Path| assert_eq!(std::fs::read(place.join("kept")).unwrap(), b"kept");
    let copy = |name: &str| {
        let mut new = encrypted(name, 0, Content::Ext4);
        new.origin = Some(Origin::named(OriginKind::Volume, named("origin")));
        engine.create(&pool, &new).unwrap();
    };
    let used = |name: &str| {
        copy(name);
        kept(&stage(&group, &engine, name));
        unstage(&group, &engine, name);
        expect_closed(&engine, name);
    };
    assert!(kill_everywhere(&group, &engine, AFTER, copy, kept) >= 3);
    assert!(kill_everywhere(&group, &engine, WITHIN, used, kept) >= 1);
    kept(&stage(&group, &engine, "origin"));
    unstage(&group, &engine, "origin");
}
