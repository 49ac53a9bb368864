//! What comes back from a guest.

use crate::{guest, script, text, xtask_guest};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

#[test]
fn the_exit_status_is_the_commands_own() {
    for (line, status) in [("exit 7", 7), ("exit 125", 125), ("kill -KILL $$", 128 + 9)] {
        let Some(output) = guest(&["--", "sh", "-c", line]) else { return };
        assert_eq!(output.status.code(), Some(status), "{line}: {}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "");
    }
}

#[test]
fn a_command_that_cannot_be_run_is_told_from_one_that_failed() {
    for (command, status) in [("no-such-program", 127), ("/etc/passwd", 126)] {
        let Some(output) = guest(&[command]) else { return };
        assert_eq!(output.status.code(), Some(status));
        let words = text(&output.stderr);
        assert!(
            words.starts_with(&format!("xtask: cannot run `{command}` in the guest")),
            "{words}"
        );
    }
}

#[test]
fn stdout_and_stderr_come_apart_and_with_every_byte() {
    // Two megabytes and more of every byte value, and a text, at the same time.
    let (binary, source) = (env!("CARGO_BIN_EXE_xtask"), file!());
    let source = format!("{}/../{source}", env!("CARGO_MANIFEST_DIR"));
    let line = "cat \"$1\" & cat \"$2\" >&2; wait";
    let Some(output) = guest(&["sh", "-c", line, "sh", binary, &source]) else { return };
    assert!(output.stdout == std::fs::read(binary).expect("this program"), "stdout differs");
    assert_eq!(text(&output.stderr), text(&std::fs::read(&source).expect("this file")));
}

#[test]
fn output_comes_while_the_command_runs() {
    let Some(_) = guest(&["true"]) else { return };
    let mut child = xtask_guest(&["sh", "-c", "echo first; sleep 1000"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("xtask can be run");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    assert_eq!(line, "first\n");
    child.kill().expect("it still runs");
    child.wait().expect("it ends");
}

#[test]
fn a_daemon_that_is_left_behind_keeps_nobody_waiting() {
    // It holds both streams, and longer than the guest may take.
    let words = ["--timeout", "60", "sh", "-c", "sleep 1000 & echo done"];
    let Some(output) = guest(&words) else { return };
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout), "done\n");
}

#[test]
fn a_guest_that_takes_too_long_is_ended_and_said_to_be() {
    let Some(output) = guest(&["--timeout", "3", "sleep", "1000"]) else { return };
    assert_eq!(output.status.code(), Some(124));
    assert_eq!(text(&output.stderr), "xtask: the guest was ended after 3 s\n");
}

#[test]
fn a_kernel_that_dies_is_an_error_with_its_last_words() {
    let Some(output) = guest(&["sh", "-c", "echo c >/proc/sysrq-trigger; sleep 1000"]) else {
        return;
    };
    assert_eq!(output.status.code(), Some(125));
    let words = text(&output.stderr);
    assert!(words.starts_with("xtask: the guest failed: "), "{words}");
    assert!(words.contains("Kernel panic"), "{words}");
}

#[test]
fn the_command_finds_the_directory_the_variables_and_the_files_it_was_started_with() {
    let here = std::env::current_dir().expect("a working directory");
    let words =
        ["--env", "A=b c", "--env", "B", "--", "sh", "-c", "pwd; echo $A $B; ls Cargo.toml"];
    if guest(&["true"]).is_none() {
        return;
    }
    let output = xtask_guest(&words).env("B", "from here").output().expect("xtask can be run");
    let wanted = format!("{}\nb c from here\nCargo.toml\n", here.display());
    assert_eq!(text(&output.stdout), wanted, "{}", text(&output.stderr));
}

#[test]
fn the_command_is_root_with_all_rights_and_its_orphans_are_buried() {
    let lines = "id -u; grep CapEff /proc/self/status
        (sleep 0.1 & ) # its parent ends first
        sleep 0.5; ps -e -o stat= | grep -c ^Z || true";
    let Some(stdout) = script(&[], lines) else { return };
    assert_eq!(stdout, "0\nCapEff:\t000001ffffffffff\n0\n");
}

#[test]
fn udev_runs_where_it_is_asked_for() {
    let lines = "pgrep -x systemd-udevd >/dev/null || pgrep -f systemd-udevd >/dev/null
        truncate -s 64M /tmp/disk; disk=$(losetup -f --show /tmp/disk)
        vgcreate -q vg $disk; lvcreate -q -y -L 8M -n lv vg
        readlink /dev/disk/by-id/dm-name-vg-lv";
    let Some(stdout) = script(&["--udev"], lines) else { return };
    assert!(stdout.ends_with("../../dm-0\n"), "{stdout}");
}
