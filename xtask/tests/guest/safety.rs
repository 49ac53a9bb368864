//! That a guest does nothing to its host, and is gone with its `xtask`.

use crate::{guest, script, text, xtask_guest};
use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// A process of the host, by its number and the moment of its start: numbers are used again.
type Process = (u32, String);

#[test]
fn a_killed_xtask_leaves_no_process_of_its_guest() {
    let Some(_) = guest(&["true"]) else { return };
    let mut xtask = xtask_guest(&["sh", "-c", "sleep 1000 & sleep 1001 & echo up; wait"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("xtask can be run");
    let mut line = String::new();
    let stdout = xtask.stdout.take().expect("a pipe");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    assert_eq!(line, "up\n");
    let guest = descendants(xtask.id());
    // At least: unshare, process 1 of the namespaces, the kernel, the guest's first process, the command.
    assert!(guest.len() > 4, "{guest:?}");
    xtask.kill().expect("it still runs");
    xtask.wait().expect("it ends");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let left: Vec<&Process> =
            guest.iter().filter(|(id, start)| started(*id).as_ref() == Some(start)).collect();
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "still there: {left:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// All processes below this one.
fn descendants(top: u32) -> Vec<Process> {
    let all: Vec<(u32, u32)> = std::fs::read_dir("/proc")
        .expect("the processes")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(|id| Some((id, field(id, 1)?.parse().ok()?)))
        .collect();
    let mut below = HashSet::from([top]);
    loop {
        let before = below.len();
        below.extend(
            all.iter()
                .filter(|(_, parent)| below.contains(parent))
                .map(|(id, _)| *id)
                .collect::<Vec<_>>(),
        );
        if below.len() == before {
            break;
        }
    }
    below.remove(&top);
    below.into_iter().filter_map(|id| Some((id, started(id)?))).collect()
}

fn started(id: u32) -> Option<String> {
    field(id, 19)
}

/// A field of `/proc/ID/stat` by its place after the name: 0 is the state. A process that has ended but is
/// not buried by its parent yet counts as gone.
fn field(id: u32, place: usize) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    (fields[0] != "Z").then(|| fields[place].to_owned())
}

/// A directory of the host that the guest sees without being shown it: not below `/tmp`.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Place {
        let path = PathBuf::from(format!("/var/tmp/becket-guest-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).expect("a directory");
        std::fs::write(path.join("old"), "old").expect("a file");
        Place(path)
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).expect("the directory").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("a name")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_a_guest_writes_is_gone_with_it() {
    let place = Place::new("overlay");
    let lines = format!("cd {}; echo new >new; echo changed >old; cat old", place.path());
    let Some(stdout) = script(&[], &lines) else { return };
    assert_eq!(stdout, "changed\n");
    assert_eq!(place.names(), ["old"]);
    assert_eq!(std::fs::read_to_string(place.0.join("old")).expect("the file"), "old");
}

#[test]
fn root_in_a_guest_can_only_read_the_hosts_own_files() {
    let place = Place::new("hostfs");
    // The guest's kernel shows root whatever it can reach itself, past the overlay.
    let lines = format!(
        "mount -t hostfs -o / none /mnt; cat /mnt{0}/old
         if echo x >/mnt{0}/new; then exit 1; fi
         if echo x >/mnt{0}/old; then exit 1; fi
         if rm /mnt{0}/old; then exit 1; fi
         if mknod /mnt{0}/null c 1 3; then exit 1; fi
         if echo x >/mnt/proc/sys/kernel/hostname; then exit 1; fi
         if ls /mnt/dev | grep -vxE 'full|guest|null|random|shm|urandom|zero'; then exit 1; fi",
        place.path()
    );
    let Some(stdout) = script(&[], &lines) else { return };
    assert_eq!(stdout, "old");
    assert_eq!(place.names(), ["old"]);
}

#[test]
fn only_what_was_given_is_written_through() {
    let place = Place::new("given");
    std::fs::create_dir(place.0.join("in")).expect("a directory");
    let inner = place.0.join("in");
    let lines = format!("echo 1 >{0}/in/f; chown 5:6 {0}/in/f; echo 2 >{0}/f", place.path());
    let options = ["--rw", inner.to_str().expect("a name")];
    let Some(_) = script(&options, &lines) else { return };
    assert_eq!(std::fs::read_to_string(inner.join("f")).expect("the file"), "1\n");
    assert_eq!(place.names(), ["in", "old"]);
}

#[test]
fn the_repository_cannot_be_written_to() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let top = here.parent().expect("a parent");
    for directory in [top, Path::new(env!("CARGO_BIN_EXE_xtask")).parent().expect("a parent")] {
        let path = directory.join("becket-guest-wrote-this");
        let Some(output) = guest(&["touch", path.to_str().expect("a name")]) else { return };
        assert!(!output.status.success());
        assert!(text(&output.stderr).contains("Read-only file system"), "{:?}", output);
        assert!(!path.exists());
    }
}

#[test]
fn directories_below_tmp_are_hidden_unless_shown() {
    let path = PathBuf::from(format!("/tmp/becket-guest-shown-{}", std::process::id()));
    std::fs::create_dir(&path).expect("a directory");
    std::fs::write(path.join("f"), "here\n").expect("a file");
    let shown = path.to_str().expect("a name");
    let line = format!("cat {shown}/f");
    let hidden = guest(&["sh", "-c", &line]);
    let seen = guest(&["--ro", shown, "sh", "-c", &line]);
    std::fs::remove_dir_all(&path).expect("it can be removed");
    let (Some(hidden), Some(seen)) = (hidden, seen) else { return };
    assert!(!hidden.status.success());
    assert_eq!(text(&seen.stdout), "here\n");
}
