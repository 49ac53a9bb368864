//! Ending a cluster, and removing what is left of one that has ended: loop devices, cgroups and files.
//! Processes, mounts and network end with its namespaces.

use super::cgroups;
use super::place::{Place, has_mounts};
use crate::run::{Failed, Outcome, command, failed};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often it is looked whether loop devices are gone: the kernel may take a moment to let go of mounts.
const TRIES: usize = 50;
const PAUSE: Duration = Duration::from_millis(100);

/// Ends the cluster and waits until its last process has ended.
pub fn end(place: &Place) -> Outcome {
    if place.lives()? {
        let first = place.first_process()?;
        command("kill").args(&["-KILL", first.trim()]).run_quietly()?;
        place.wait_for_its_end()?;
    }
    Ok(())
}

/// Removes what is left of a cluster that has ended. Each step is taken even if one before it failed.
pub fn clear(place: &Place) -> Outcome {
    let steps = [detach_loop_devices(place), cgroups::remove(&place.cgroup())];
    steps.into_iter().collect::<Outcome>()?;
    if has_mounts(&place.directory) {
        return Err(Failed::new(format!(
            "something is mounted below `{}`: it is not removed",
            place.directory.display()
        )));
    }
    match fs::remove_dir_all(&place.directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(failed("remove", &place.directory, &error))
        }
        _ => Ok(()),
    }
}

/// Removes what is left of every cluster whose starter was killed. That one cannot be removed is said, and
/// keeps nobody from having another.
pub fn clear_others() {
    let clear_dead = |place: &Place| if place.lives()? { Ok(()) } else { clear(place) };
    let cleared = Place::every().and_then(|all| all.iter().try_for_each(clear_dead));
    if let Err(failed) = cleared {
        eprintln!("xtask: {failed}");
    }
}

/// Loop devices are the machine's: one whose file is the cluster's would outlive it.
fn detach_loop_devices(place: &Place) -> Outcome {
    for _ in 0..TRIES {
        let all = loop_devices();
        if all.is_empty() {
            return Ok(());
        }
        let own = files(&place.directory);
        let left: Vec<&LoopDevice> =
            all.iter().filter(|device| own.contains(&device.file)).collect();
        if left.is_empty() {
            return Ok(());
        }
        for device in left {
            // It may have gone by itself meanwhile.
            command("losetup").args(&["--detach"]).arg(&device.path).read();
        }
        std::thread::sleep(PAUSE);
    }
    Err(Failed::new(format!("loop devices of the cluster `{}` are not let go of", place.name)))
}

/// A file's identity: device, as the kernel writes it, and inode. Its path may be one of another namespace.
type Identity = (String, u64);

#[derive(Debug, PartialEq, Eq)]
struct LoopDevice {
    path: PathBuf,
    file: Identity,
}

fn loop_devices() -> Vec<LoopDevice> {
    let listed = command("losetup")
        .args(&["--list", "--noheadings", "--raw", "--output", "NAME,BACK-MAJ:MIN,BACK-INO"])
        .read();
    listed.unwrap_or_default().lines().filter_map(loop_device).collect()
}

fn loop_device(line: &str) -> Option<LoopDevice> {
    let mut fields = line.split_whitespace();
    let (path, device, inode) = (fields.next()?, fields.next()?, fields.next()?);
    Some(LoopDevice { path: path.into(), file: (device.to_owned(), inode.parse().ok()?) })
}

/// The regular files below a directory.
fn files(directory: &Path) -> BTreeSet<Identity> {
    let mut found = BTreeSet::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            let Ok(about) = entry.metadata() else { continue };
            if about.is_dir() {
                directories.push(entry.path());
            } else if about.is_file() {
                found.insert((device_number(about.dev()), about.ino()));
            }
        }
    }
    found
}

/// A device's number as the kernel writes it, from how it encodes it.
fn device_number(device: u64) -> String {
    let major = ((device >> 8) & 0xfff) | ((device >> 32) & !0xfff);
    let minor = (device & 0xff) | ((device >> 12) & !0xff);
    format!("{major}:{minor}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loop_devices_are_told_by_their_files_identity() {
        let device = loop_device("/dev/loop3   254:1  1234").unwrap();
        assert_eq!(device.path, Path::new("/dev/loop3"));
        assert_eq!(device.file, ("254:1".to_owned(), 1234));
        assert_eq!(loop_device("/dev/loop3"), None);
    }

    #[test]
    fn a_device_number_is_written_as_the_kernel_writes_it() {
        assert_eq!(device_number(0x0802), "8:2");
        assert_eq!(device_number(0xfe01), "254:1");
        assert_eq!(device_number(0x10_0001), "0:257");
    }

    #[test]
    fn files_below_a_directory_are_found_by_identity() {
        let directory = std::env::temp_dir().join(format!("becket-remains-{}", std::process::id()));
        fs::create_dir_all(directory.join("a/b")).unwrap();
        fs::write(directory.join("a/b/file"), "").unwrap();
        let about = fs::metadata(directory.join("a/b/file")).unwrap();
        let found = files(&directory);
        assert_eq!(
            found.into_iter().collect::<Vec<_>>(),
            [(device_number(about.dev()), about.ino())]
        );
        fs::remove_dir_all(&directory).unwrap();
    }
}
