//! Where a passphrase must not be: in arguments, environments, records, files and log lines.

use super::super::group::Group;
use super::super::lvm_layout::{named, staging, unstage};
use super::super::lvm_programs::{is_guest, with};
use super::*;
use becket_core::contract::MIB;
use std::sync::Mutex;

const WORD: &str = "A-WORD-THAT-NOBODY-SEES";

/// Every line that anything logged.
static LINES: Mutex<String> = Mutex::new(String::new());

struct Lines;

impl log::Log for Lines {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LINES.lock().unwrap().push_str(&format!("{}\n", record.args()));
    }

    fn flush(&self) {}
}

/// Writes down the arguments and environments of all processes, then is the real program.
const WITNESS: &str = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ >> /tmp/witnessed 2>/dev/null\n\
                       echo \"$0\" >> /tmp/witnessed\nexec \"$REAL\" \"$@\"";

fn files_below(path: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => files_below(&entry.path(), found),
            kind if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
}

#[test]
fn a_passphrase_is_in_no_argument_environment_record_file_or_log() {
    if !can_run() || !is_guest() {
        return;
    }
    log::set_logger(&Lines).unwrap();
    log::set_max_level(log::LevelFilter::Trace);
    let group = Group::new(512 << 20);
    let engine = group.pool(false);
    let (pool, name) = (named("pool"), named("v"));
    let key = Some(WORD.as_bytes());
    let life = || {
        engine.create(&pool, &encrypted("v", 64 * MIB, Content::Ext4)).unwrap();
        try_stage(&group, &engine, "v", key).unwrap();
        let secret = passphrase(WORD.as_bytes());
        engine.expand_unlocked(&pool, &name, 96 * MIB, Some(&secret)).unwrap();
        unstage(&group, &engine, "v");
        let wrong = format!("{WORD}-not");
        let error = try_stage(&group, &engine, "v", Some(wrong.as_bytes())).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(WORD));
        try_stage(&group, &engine, "v", key).unwrap();
    };
    with("lvm", Some(WITNESS), || {
        with("mkfs.ext4", Some(WITNESS), || {
            with(luks::PROGRAM, Some(WITNESS), life);
        })
    });
    let witnessed = String::from_utf8_lossy(&std::fs::read("/tmp/witnessed").unwrap()).into_owned();
    for program in ["lvm", "mkfs.ext4", luks::PROGRAM] {
        assert!(witnessed.contains(&format!("/{program}\n")), "{program} was never seen");
    }
    assert!(witnessed.contains("--key-file=-"), "no passphrase was handed over");
    assert!(!witnessed.contains(WORD), "it is in a process's arguments or environment");
    let tags = must("vgcfgbackup", &["-q", "-f", "/tmp/description", &group.name]);
    let described = std::fs::read_to_string("/tmp/description").unwrap();
    assert!(described.contains("becket:r.encryption") || described.contains("encryption=luks"));
    assert!(!described.contains(WORD) && !tags.contains(WORD), "it is in the group's description");
    assert!(!LINES.lock().unwrap().contains(WORD), "it is in a log line");
    let mut files = Vec::new();
    let cryptsetup = Path::new("/run/cryptsetup");
    for place in [group.state().parent().unwrap(), cryptsetup, Path::new("/var/lib")] {
        files_below(place, &mut files);
    }
    let disk = group.state().parent().unwrap().join("device");
    assert!(files.contains(&disk), "the disk was not looked at");
    for file in files {
        let found = std::fs::read(&file).unwrap_or_default();
        let there = found.windows(WORD.len()).any(|window| window == WORD.as_bytes());
        assert!(!there, "it is in `{}`", file.display());
    }
    let at = staging(&group, "v");
    assert!(at.look().unwrap().is_some_and(|point| point.mounted));
    unstage(&group, &engine, "v");
}
