//! What the kernel says, read without any code of Becket's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The mount points below `root`, `root` included, in the order of the mount table: a mount comes
/// after the one that it is on.
pub fn mounts(root: &Path) -> Vec<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    // mountinfo writes space, tab, newline and backslash in octal; the tests use none of them.
    points.map(PathBuf::from).filter(|point| point.starts_with(root)).collect()
}

/// The files below `root` that loop devices are attached to.
pub fn loop_files(root: &Path) -> Vec<PathBuf> {
    let devices = std::fs::read_dir("/sys/block").unwrap().flatten();
    let files = devices
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("loop/backing_file")).ok());
    files.map(|file| PathBuf::from(file.trim_end())).filter(|file| file.starts_with(root)).collect()
}

/// Waits for `done`, for at most thirty seconds. Says whether it came true.
pub fn until(mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(30);
    while !done() {
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}

/// Runs mount(8).
pub fn mount(arguments: &[&str]) {
    let output = Command::new("mount").args(arguments).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "mount {arguments:?}: {words}");
}

/// Unmounts the path; that it was mounted is part of the test.
pub fn unmount(path: &Path) {
    rustix::mount::unmount(path, rustix::mount::UnmountFlags::NOFOLLOW)
        .unwrap_or_else(|errno| panic!("cannot unmount `{}`: {errno}", path.display()));
}
