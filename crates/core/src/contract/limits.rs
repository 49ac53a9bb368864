//! A limit is a real one, or it is refused.

use super::*;
use becket_sys::Errno;
use std::io::Write;

pub(super) const CHECKS: &[Check] = &[
    (a_limit_is_real, "a size is what can be written, and no more"),
    (a_limit_that_cannot_be_kept_is_refused, "a limit that cannot be kept is refused with a hint"),
    (sizes_are_rounded_up_and_kept, "sizes are rounded up and kept"),
];

/// Of a volume of the sizes used here, the part that is left for data at least: these are small, and
/// xfs takes a log of 64 MiB and btrfs keeps two copies of its metadata however small they are.
fn least(content: Content) -> f64 {
    match content {
        Content::Xfs => 0.70,
        Content::Btrfs => 0.60,
        _ => 0.85,
    }
}

fn a_limit_is_real(ground: &Ground) {
    if !ground.limits {
        eprintln!("    not checked: no limit is enforced on this ground");
        return;
    }
    for content in ground.mountable() {
        let name = content.name();
        let size = ground.create(name, content).size;
        ground.stage(name);
        let target = ground.publish(name, "pod", false);
        let written = fill_as_a_workload(&target.join("filler"), 2 * size);
        let share = written as f64 / size as f64;
        assert!(written <= size, "{name}: {written} bytes fit into {size}");
        assert!(share >= least(content), "{name}: only {written} of {size} bytes fit");
        std::fs::remove_file(target.join("filler")).unwrap();
        // xfs and btrfs give back what a removed file had a moment later.
        eventually(|| std::fs::write(target.join("after"), b"there is room again").is_ok());
        ground.unpublish("pod");
        ground.unstage(name);
        must(ground.engine().delete(&ground.pool, &named(name)), "delete a full volume");
        must(ground.engine().empty_trash(&ground.pool, true), "empty the trash");
    }
}

/// Waits up to five seconds for something that the kernel does in the background.
fn eventually(is_so: impl Fn() -> bool) {
    for _ in 0..100 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("a removed file's room does not come back");
}

/// [`fill`] without `CAP_SYS_RESOURCE`, with which ext4 lets one write beyond a quota. Containers have it
/// only if they are privileged.
fn fill_as_a_workload(path: &Path, most: u64) -> u64 {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    // Capabilities are a thread's own.
    let filling = || {
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::SYS_RESOURCE);
        set_capabilities(None, sets).unwrap();
        fill(path, most)
    };
    std::thread::scope(|scope| scope.spawn(filling).join().unwrap())
}

/// Writes until nothing more fits, and gives how many bytes did.
fn fill(path: &Path, most: u64) -> u64 {
    let chunk = pattern(64 * 1024, 3);
    let mut file = File::create(path).unwrap();
    let mut written = 0;
    while written < most {
        match file.write(&chunk) {
            Ok(length) => written += length as u64,
            Err(error) => {
                let errno = Errno::from_io_error(&error).unwrap();
                assert!(matches!(errno, Errno::NOSPC | Errno::DQUOT), "writing failed: {error}");
                break;
            }
        }
    }
    if let Err(error) = file.sync_all() {
        assert_eq!(Errno::from_io_error(&error), Some(Errno::NOSPC), "syncing failed: {error}");
    }
    written
}

fn a_limit_that_cannot_be_kept_is_refused(ground: &Ground) {
    if ground.limits {
        return;
    }
    let mut new = ground.request("v", ground.any());
    new.parameters.clear();
    let error = refused(
        ground.engine().create(&ground.pool, &new),
        Kind::WrongState,
        "a limit where none is enforced",
    );
    let advice = error.advice().unwrap_or_default();
    assert!(advice.contains("limit: none"), "the hint does not name the way out: {error}");
    let none = ground.create("v", ground.any());
    assert_eq!(none.size, new.size, "the size asked for is kept in the record");
    let mut unlimited = ground.request("unlimited", ground.any());
    unlimited.size = 0;
    unlimited.parameters.clear();
    let made = must(ground.engine().create(&ground.pool, &unlimited), "create without a size");
    assert_eq!(made.size, 0);
    let grown = ground.engine().expand(&ground.pool, &made.name, MIB);
    refused(grown, Kind::WrongState, "expanding what has no limit");
}

fn sizes_are_rounded_up_and_kept(ground: &Ground) {
    let mut new = ground.request("v", ground.any());
    new.size += 1;
    let made = must(ground.engine().create(&ground.pool, &new), "create an odd size");
    assert!(made.size >= new.size, "a volume is smaller than asked for");
    assert_eq!(made.size % MIB, 0, "a volume's size is no whole MiB");
    assert_eq!(ground.engine().create(&ground.pool, &new).unwrap(), made, "the odd size again");
    let stored = ground.backend.stored(&ground.pool(), &made).unwrap();
    assert!(stored >= made.size, "the storage is smaller than promised");
}
