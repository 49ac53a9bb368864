//! Running `lvm`: reports, which have a deadline, and changes, which run to their end.
//!
//! Every call takes LVM's own locks in the host's directory, so that Becket in a container and people at
//! the host's shell keep off each other.

use becket_core::{Error, Kind, Result};
use becket_sys::{Errno, child};
use serde_json::{Map, Value};
use std::ffi::OsStr;
use std::time::Duration;

/// How long a report may take; it waits for changes that others make to the same group.
const LONGEST: Duration = Duration::from_secs(60);

/// Settings of every call, whatever the host's own configuration says: where the locks are; and that LVM
/// makes its nodes itself and does not wait for udev, which may be in another container and never answer.
const CONFIG: &str = "global{locking_dir=\"/run/lock/lvm\" wait_for_locks=1} \
                      activation{udev_sync=0 udev_rules=0} \
                      report{compact_output=0 time_format=\"%s\"} log{prefix=\"\"}";

/// Bytes as plain numbers, and the report as JSON.
const REPORT: [&str; 5] = ["--reportformat", "json", "--units", "b", "--nosuffix"];

/// Rows of a table of a report, each with what it has by column.
pub(super) type Rows = Vec<Map<String, Value>>;

/// The tables of a report, by name, such as `vg` of `vgs -o vg_name GROUP`. `None` where `object`, a volume
/// group, is not there.
pub(super) fn report(program: &str, arguments: &[&str], object: &str) -> Result<Option<Tables>> {
    let arguments = [&[program, "--config", CONFIG][..], &REPORT, arguments].concat();
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    let told = child::ask("lvm", &arguments, LONGEST).map_err(unavailable)?;
    if told.status != 0 {
        return match missing(&told.stderr) {
            true => Ok(None),
            false => Err(failed(&format!("read volume group `{object}`"), &told.stderr)),
        };
    }
    Tables::read(&told.stdout).map(Some).ok_or_else(|| {
        Error::new(Kind::Unavailable, format!("`lvm {program}` of `{object}` gave no report"))
            .hint("run it by hand and look at what it prints")
    })
}

/// The tables of a report.
#[derive(Debug, PartialEq)]
pub(super) struct Tables(Map<String, Value>);

impl Tables {
    /// What is printed before the report is not part of it.
    fn read(output: &[u8]) -> Option<Tables> {
        let start = output.iter().position(|byte| *byte == b'{')?;
        let whole: Value = serde_json::from_slice(&output[start..]).ok()?;
        whole.get("report")?.get(0)?.as_object().cloned().map(Tables)
    }

    /// The rows of the table of this name; none where the report has no such table.
    pub(super) fn rows(&self, name: &str) -> Rows {
        let table = self.0.get(name).and_then(Value::as_array);
        table.into_iter().flatten().filter_map(|row| row.as_object().cloned()).collect()
    }
}

/// Changes something; `what` says what, as a verb phrase.
pub(super) fn change(what: &str, arguments: &[&str]) -> Result<()> {
    change_with("", what, arguments)
}

/// [`change`], with more settings.
pub(super) fn change_with(settings: &str, what: &str, arguments: &[&str]) -> Result<()> {
    let (program, rest) = arguments.split_first().unwrap_or((&"", &[]));
    let config = format!("{CONFIG} {settings}");
    let arguments = [&[*program, "--config", &config, "--yes", "--quiet"][..], rest].concat();
    let arguments: Vec<&OsStr> = arguments.iter().map(OsStr::new).collect();
    let ended = child::run("lvm", &arguments).map_err(unavailable)?;
    match ended.status {
        0 => Ok(()),
        _ => Err(failed(what, &ended.words)),
    }
}

fn missing(words: &str) -> bool {
    let lines = words.lines().map(str::trim);
    lines.into_iter().any(|line| {
        line.starts_with("Volume group \"") && line.ends_with("\" not found")
            || line.starts_with("Cannot process volume group")
    })
}

/// What LVM's words mean to the caller. They are in English: the locale is set.
const MEANINGS: [(&str, Kind, &str); 12] = [
    ("nsufficient free space", Kind::NoSpace, "delete volumes, or add a device with `vgextend`"),
    ("nsufficient suitable", Kind::NoSpace, "delete volumes, or add a device with `vgextend`"),
    ("Free space in pool", Kind::NoSpace, "delete volumes, or grow the thin pool with `lvextend`"),
    ("free space in thin pool", Kind::NoSpace, "grow the thin pool with `lvextend`"),
    (
        "metadata too large",
        Kind::NoSpace,
        "the group's metadata area is full of volumes; use another group",
    ),
    ("VG metadata on disk was not", Kind::Unavailable, "look at the group with `vgck`"),
    ("in use", Kind::InUse, "it is mounted or held open; unmount it first"),
    ("missing PVs", Kind::Unavailable, "a device of the group is missing; look at it with `pvs`"),
    ("is missing PV", Kind::Unavailable, "a device of the group is missing; look at it with `pvs`"),
    ("partial", Kind::Unavailable, "a device of the group is missing; look at it with `pvs`"),
    ("driver", Kind::WrongState, "load the kernel's device mapper: `modprobe dm_mod dm_thin_pool`"),
    ("already exists", Kind::Conflict, "look at it with `lvs`"),
];

fn failed(what: &str, words: &str) -> Error {
    let lines: Vec<&str> = words.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let said = lines[lines.len().saturating_sub(3)..].join("; ");
    let message = format!("cannot {what}: lvm says: {said}");
    match MEANINGS.iter().find(|(sign, ..)| words.contains(sign)) {
        Some((_, kind, hint)) => Error::new(*kind, message).hint(*hint),
        None if missing(words) => Error::new(Kind::Unavailable, message),
        None => Error::new(Kind::Internal, message).hint("run it by hand to see more"),
    }
}

/// LVM itself could not be run, or did not answer.
fn unavailable(error: becket_sys::Error) -> Error {
    match error.errno {
        Errno::NOENT => Error::new(Kind::WrongState, "this host has no `lvm`")
            .hint("install the package lvm2, and thin-provisioning-tools for thin pools"),
        Errno::TIMEDOUT => Error::new(Kind::Timeout, error.to_string())
            .hint("another LVM command may be at work; look at it with `ps`"),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_also_behind_a_warning() {
        let report = br#"  WARNING: Running as a test.
  {"report":[{"vg":[{"vg_name":"a","vg_free":"5"},{"vg_name":"a"}]}]}"#;
        let rows = Tables::read(report).unwrap().rows("vg");
        assert_eq!((rows.len(), rows[0]["vg_free"].as_str()), (2, Some("5")));
    }

    #[test]
    fn what_is_no_report_is_not_taken_for_an_empty_one() {
        for output in ["", "WARNING", "{\"report\":[", "{}", "{\"report\":[]}"] {
            assert_eq!(Tables::read(output.as_bytes()), None, "{output}");
        }
    }

    #[test]
    fn the_words_of_lvm_become_kinds() {
        for (words, kind) in [
            (
                "  Volume group \"a\" has insufficient free space (1 extents): 5 required.",
                Kind::NoSpace,
            ),
            ("  Logical volume a/b in use.", Kind::InUse),
            ("  Volume group \"nope\" not found", Kind::Unavailable),
            ("  Cannot change VG a while PVs are missing; it has missing PVs", Kind::Unavailable),
            ("  Something new", Kind::Internal),
        ] {
            assert_eq!(failed("do it", words).kind(), kind, "{words}");
        }
    }
}
