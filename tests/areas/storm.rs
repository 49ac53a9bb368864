//! Many operations at once on few names, and processes killed at random: nothing that was synced is
//! lost, nothing is torn, nothing stays behind, and no answer is a bug's.
//!
//! `BECKET_STORM_SECONDS` makes it longer, `BECKET_STORM_SEED` repeats the choices of one run; which
//! process comes first is not repeated.

mod pod;

use becket_tests::{Node, Random, loop_files, until, volume};
use pod::Pod;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const WORKERS: usize = 4;
const NAMES: [&str; 4] = ["a", "a.b", "A", "ab"];
const SNAPSHOTS: [&str; 3] = ["s", "s.1", "S"];
/// Nothing may take longer.
const DEADLINE: Duration = Duration::from_secs(30);
/// Words of answers that only a bug, or somebody from outside, gives cause for.
const OF_A_BUG: [&str; 6] =
    ["report this bug", "has a bug", "is gone", "has no place here", "lost its end", "is missing"];

struct Storm {
    node: Node,
    killing: bool,
    end: Instant,
    ended: AtomicUsize,
    over: AtomicBool,
}

/// How a run of the program ended.
struct Answer {
    text: String,
    good: bool,
    killed: bool,
}

impl Storm {
    /// Runs the program, and kills it on the way now and then.
    fn run(&self, random: &mut Random, arguments: &[&str]) -> Answer {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut command = self.node.command();
        command.args(arguments).stdin(Stdio::null()).process_group(0);
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let mut child = command.spawn().unwrap();
        drop(command);
        let started = Instant::now();
        let kill_at = match self.killing && random.below(4) == 0 {
            true => Duration::from_micros(random.below(8_000)),
            false => DEADLINE,
        };
        let mut killed = false;
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if !killed && started.elapsed() >= kill_at {
                killed = true;
                child.kill().unwrap();
                assert!(kill_at < DEADLINE, "{arguments:?} did not end within {DEADLINE:?}");
            }
            std::thread::sleep(Duration::from_micros(200));
        };
        let mut text = String::new();
        // A killed process may leave a program of the host behind, which has no copy of the pipe.
        std::io::Read::read_to_string(&mut reader, &mut text).unwrap();
        self.ended.fetch_add(1, Ordering::Relaxed);
        let answer = Answer { text, good: status.success(), killed: killed && !status.success() };
        for words in OF_A_BUG {
            let bug = answer.text.contains(words);
            assert!(!bug, "{arguments:?} answered: {}", answer.text);
        }
        if arguments[0] == "flex" && !answer.killed {
            let value: serde_json::Value = serde_json::from_str(&answer.text)
                .unwrap_or_else(|error| panic!("{arguments:?}: {error}: {:?}", answer.text));
            assert!(value.is_object(), "{arguments:?}: {}", answer.text);
        }
        answer
    }

    /// One random operation of a person.
    fn operate(&self, random: &mut Random) {
        let (name, other) = (random.of(&NAMES), random.of(&NAMES));
        let snapshot = random.of(&SNAPSHOTS);
        let size = random.of(&["8Mi", "12Mi", "16Mi"]);
        let run = |random: &mut Random, arguments: &[&str]| self.run(random, arguments);
        match random.below(17) {
            0 => run(random, &["volume", "create", name, "--size", size]),
            1 => run(random, &["volume", "create", name, "--size", size, "--thick"]),
            2 => run(random, &["volume", "create", name, "--from-volume", other]),
            3 | 4 => run(random, &["volume", "create", name, "--from-snapshot", snapshot]),
            5 | 6 => run(random, &["snapshot", "create", snapshot, "--volume", name]),
            7 => run(random, &["snapshot", "delete", snapshot]),
            8 | 13 | 14 => run(random, &["volume", "delete", name]),
            9 => run(random, &["volume", "expand", name, "--size", size]),
            10 => run(random, &["trash", "empty", "--all"]),
            11 => run(random, &["reconcile"]),
            12 => run(random, &["volume", "list"]),
            _ => self.restore(random),
        };
    }

    fn restore(&self, random: &mut Random) -> Answer {
        let list = self.run(random, &["trash", "list", "-o", "json"]);
        let ids: Vec<String> = match serde_json::from_str::<serde_json::Value>(&list.text) {
            Ok(value) => value.as_array().into_iter().flatten().map(id).collect(),
            Err(_) => Vec::new(),
        };
        match ids.is_empty() {
            true => list,
            false => {
                let id = random.of(&ids);
                self.run(random, &["trash", "restore", id])
            }
        }
    }

    /// A pod's life: mounted, written to, looked at, unmounted.
    fn live(&self, random: &mut Random, pod: &mut Pod) {
        let (driver, name) = match random.below(4) {
            0 => ("directory", "shared"),
            _ => ("image", random.of(&NAMES)),
        };
        let path = pod.path(&self.node, driver);
        let json = match driver {
            "directory" => volume(name)
                .with("limit", "none")
                .with("template", "{pod}")
                .with("onUnmount", "remove")
                .pod("n", &pod.name, "u"),
            _ => volume(name).size("8Mi"),
        };
        if self.run(random, &["flex", driver, "mount", &path, &json.json()]).good {
            pod.work(random, &path, driver == "image");
            if driver == "image" && random.below(4) == 0 {
                self.keep_moment(random, pod, name);
            }
        }
        self.unmount(random, driver, &path);
    }

    /// A snapshot of a volume in use holds what was synced before it was asked for.
    fn keep_moment(&self, random: &mut Random, pod: &Pod, volume_name: &str) {
        let (moment, number) = (pod.moment(), pod.written());
        let snapshot = ["snapshot", "create", &moment, "--volume", volume_name];
        let copy = ["volume", "create", &moment, "--from-snapshot", &moment];
        if self.run(random, &snapshot).good && self.run(random, &copy).good {
            let path = self.node.pod(&format!("{moment}-copy"));
            let json = volume(&moment).json();
            if self.run(random, &["flex", "image", "mount", &path, &json]).good {
                assert_eq!(pod.found(&path), number, "snapshot `{moment}` of `{volume_name}`");
            }
            self.unmount(random, "image", &path);
            self.run(random, &["volume", "delete", &moment]);
            self.run(random, &["snapshot", "delete", &moment]);
        }
    }

    /// Like the kubelet: again until it is done. Only a process that looks at it may be in the way.
    fn unmount(&self, random: &mut Random, driver: &str, path: &str) {
        let started = Instant::now();
        loop {
            let answer = self.run(random, &["flex", driver, "unmount", path]);
            if answer.good {
                return;
            }
            let patient = answer.killed || started.elapsed() < DEADLINE;
            assert!(patient, "cannot unmount `{path}`: {}", answer.text);
        }
    }

    fn worker(&self, number: usize, seed: u64) {
        let mut random = Random::new(seed.wrapping_add(number as u64));
        // One pod's name is the beginning of another's.
        let mut pod = Pod::new(&"pod.x.y"[..[3, 4, 5, 7][number % 4]]);
        while Instant::now() < self.end && !self.over.load(Ordering::Relaxed) {
            match random.below(3) {
                0 => self.live(&mut random, &mut pod),
                _ => self.operate(&mut random),
            }
        }
    }
}

fn id(record: &serde_json::Value) -> String {
    record["id"].as_str().unwrap_or_default().to_owned()
}

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Runs the workers; one that fails ends the storm and the test.
#[allow(clippy::print_stderr)] // The seed, for whoever has to run it again.
fn storm(killing: bool) {
    let seed = number_of("BECKET_STORM_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    let seconds = number_of("BECKET_STORM_SECONDS").unwrap_or(4);
    eprintln!("BECKET_STORM_SEED={seed} BECKET_STORM_SECONDS={seconds}");
    let node = Node::new();
    node.make_directory_pool();
    let storm = Storm {
        node,
        killing,
        end: Instant::now() + Duration::from_secs(seconds),
        ended: AtomicUsize::new(0),
        over: AtomicBool::new(false),
    };
    std::thread::scope(|scope| {
        for number in 0..WORKERS {
            let storm = &storm;
            std::thread::Builder::new()
                .name(format!("worker {number}, seed {seed}"))
                .spawn_scoped(scope, move || {
                    // Ends the others when this one panics.
                    let ended = Over(&storm.over);
                    storm.worker(number, seed);
                    std::mem::forget(ended);
                })
                .unwrap();
        }
    });
    eprintln!("{} runs of becket", storm.ended.load(Ordering::Relaxed));
    let node = &storm.node;
    assert!(until(|| loop_files(&node.path("")).iter().all(|file| in_staged(node, file))));
    for pool in ["default", "directory"] {
        let reconcile = || node.becket(&["reconcile", "--pool", pool, "-o", "json"]).json();
        // A program of the host may still be at work for a becket that was killed.
        assert!(until(|| !reconcile().to_string().contains("at work")));
        assert_eq!(reconcile(), serde_json::json!([]), "of pool {pool}");
        for area in ["preparing/volumes", "preparing/snapshots", "trash"] {
            let entries = std::fs::read_dir(node.path(format!("state/pools/{pool}/{area}")));
            for entry in entries.unwrap().flatten() {
                let name = entry.file_name().into_string().unwrap();
                assert!(area == "trash" && !name.starts_with("discarded-"), "{pool}/{area}/{name}");
            }
        }
    }
    node.at_rest();
    whole(node);
}

/// With no pod left, devices are attached for idle stages of killed mounts alone.
fn in_staged(node: &Node, file: &Path) -> bool {
    let name = file.parent().and_then(|place| place.file_name()).unwrap_or_default();
    node.is_mounted(&node.text(PathBuf::from("state/staged/default").join(name)))
}

/// Every volume and snapshot that is left can be mounted, and holds nothing torn.
fn whole(node: &Node) {
    let path = node.pod("last");
    for snapshot in node.becket(&["snapshot", "list", "-o", "json"]).json().as_array().unwrap() {
        let name = snapshot["name"].as_str().unwrap();
        let copy = format!("of-{name}").to_lowercase() + if name == "S" { "-upper" } else { "" };
        node.becket(&["volume", "create", &copy, "--from-snapshot", name]).succeeds();
    }
    for found in node.becket(&["volume", "list", "-o", "json"]).json().as_array().unwrap() {
        let name = found["name"].as_str().unwrap();
        node.image(&["mount", &path, &volume(name).json()]).succeeds();
        pod::look(&path, name);
        node.image(&["unmount", &path]).succeeds();
    }
    node.at_rest();
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn many_operations_at_once_lose_nothing_and_never_answer_with_a_bug() {
    storm(false);
}

#[test]
fn killed_operations_among_many_lose_nothing_and_leave_nothing() {
    storm(true);
}
