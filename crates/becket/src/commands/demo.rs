//! `becket demo`: the whole life of a volume on this machine, with no cluster.
//!
//! It serves the CSI driver at a socket of its own and calls it; and it installs the FlexVolume driver
//! into a throw-away plugin directory and runs it as the kubelet does, once for each callout. Whatever
//! happens, it leaves nothing behind.

mod ground;
mod over_csi;
mod served;

use crate::output::{self, Form};
use becket_core::engine::NewVolume;
use becket_core::record::{Origin, OriginKind};
use becket_core::{Error, Kind, Name, Result, size};
use ground::{Answer, Ground, Step};
use std::path::Path;

const MIB: u64 = 1 << 20;
const SIZE: u64 = 64 * MIB;

/// Runs the demonstration and shows what it did.
pub(super) fn run(form: Form) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Error::new(Kind::Denied, "the demo mounts filesystems, which needs root")
            .hint("run it with sudo; it leaves nothing behind"));
    }
    let mut ground = Ground::new()?;
    let outcome = over_csi::show(&mut ground)
        .and_then(|()| mount_only(&mut ground))
        .and_then(|()| attachable(&mut ground));
    let steps = ground.steps();
    // Cleaning up first: what is shown last is also what is true last.
    let cleaned = ground.clean();
    show(form, &steps)?;
    outcome.and(cleaned)?;
    output::say("nothing is left behind");
    Ok(())
}

/// The driver as it is installed by default: mount and unmount do everything.
fn mount_only(ground: &mut Ground) -> Result<()> {
    output::say("\nFlexVolume, mount-only: two pods share a volume that their first mount makes");
    ground.install(false)?;
    let (pod_a, pod_b) = (ground.pod_directory("pod-a")?, ground.pod_directory("pod-b")?);
    let options = options("demo", Some(SIZE));
    ground.callout("init", &[])?;
    ground.callout("mount", &[&pod_a, &options])?;
    ground.step("write", "pod-a writes a file", || write(&pod_a))?;
    ground.callout("mount", &[&pod_b, &options])?;
    ground.step("read", "pod-b reads it", || read(&pod_b))?;
    ground.step("limit", "pod-b hits the limit", || fill(&pod_b))?;
    ground.engine_step("snapshot", "of the volume in use", |engine, pool| {
        engine.create_snapshot(pool, &Name::new("before")?, &Name::new("demo")?)?;
        Ok("ready".to_owned())
    })?;
    ground.step("write", "pod-a deletes the file", || {
        std::fs::remove_file(Path::new(&pod_a).join("greeting")).map_err(failed)?;
        Ok("deleted".to_owned())
    })?;
    let grown = (2 * SIZE).to_string();
    let expanded =
        ground.callout_maybe("expandfs", &[&options, "", &pod_a, &grown, &SIZE.to_string()])?;
    ground.callout("unmount", &[&pod_a])?;
    ground.callout("unmount", &[&pod_b])?;
    if let Answer::Refused = expanded {
        // A process that may not grow a mounted ext4 grows it before the next mount.
        ground.callout("mount", &[&pod_a, &options])?;
        ground.step("size", "pod-a sees the new size", || bytes_of(&pod_a))?;
        ground.callout("unmount", &[&pod_a])?;
    }
    restore(ground, &pod_a)?;
    ground.uninstall()
}

fn restore(ground: &mut Ground, pod: &str) -> Result<()> {
    ground.engine_step("restore", "the snapshot, as a new volume", |engine, pool| {
        let origin = Origin::named(OriginKind::Snapshot, Name::new("before")?);
        let new = NewVolume { origin: Some(origin), ..NewVolume::new(Name::new("restored")?, 0) };
        Ok(size::display(engine.create(pool, &new)?.size))
    })?;
    ground.callout("mount", &[pod, &options("restored", None)])?;
    ground.step("read", "the file is there again", || read(pod))?;
    ground.callout("unmount", &[pod])?;
    ground.engine_step("delete", "both volumes and the snapshot", |engine, pool| {
        engine.delete(pool, &Name::new("demo")?)?;
        engine.delete(pool, &Name::new("restored")?)?;
        engine.delete_snapshot(pool, &Name::new("before")?)?;
        Ok(format!("{} in the trash", engine.trash(pool)?.len()))
    })?;
    ground.engine_step("empty", "the trash", |engine, pool| {
        Ok(format!("{} removed", engine.empty_trash(pool, true)?.len()))
    })
}

/// The driver with attach and device callouts, as the controller and the kubelet call them.
fn attachable(ground: &mut Ground) -> Result<()> {
    output::say("\nFlexVolume, attachable: attached, mounted for the node, then for a pod");
    ground.install(true)?;
    let (device_dir, pod) = (ground.device_directory("demo")?, ground.pod_directory("pod-c")?);
    let options = options("attached", Some(SIZE));
    ground.callout("init", &[])?;
    ground.callout("attach", &[&options, "node-1"])?;
    ground.callout("isattached", &[&options, "node-1"])?;
    ground.callout("waitforattach", &["", &options])?;
    ground.callout("mountdevice", &[&device_dir, "", &options])?;
    ground.callout("mount", &[&pod, &options])?;
    ground.step("write", "the pod writes a file", || write(&pod))?;
    ground.step("read", "the pod reads it", || read(&pod))?;
    ground.callout("unmount", &[&pod])?;
    ground.callout("unmountdevice", &[&device_dir])?;
    ground.callout("detach", &["demo", "node-1"])?;
    ground.engine_step("delete", "the volume", |engine, pool| {
        engine.delete(pool, &Name::new("attached")?)?;
        Ok("in the trash".to_owned())
    })?;
    ground.uninstall()
}

/// The options as the kubelet writes them.
fn options(name: &str, size: Option<u64>) -> String {
    let mut options = std::collections::BTreeMap::from([
        ("kubernetes.io/fsType", String::new()),
        ("kubernetes.io/pvOrVolumeName", "demo".to_owned()),
        ("kubernetes.io/readwrite", "rw".to_owned()),
        ("name", name.to_owned()),
    ]);
    options.extend(size.map(|size| ("size", size.to_string())));
    serde_json::json!(options).to_string()
}

const GREETING: &str = "held in place\n";

fn write(pod: &str) -> Result<String> {
    std::fs::write(Path::new(pod).join("greeting"), GREETING).map_err(failed)?;
    Ok(format!("{} bytes", GREETING.len()))
}

fn read(pod: &str) -> Result<String> {
    let found = std::fs::read_to_string(Path::new(pod).join("greeting")).map_err(failed)?;
    match found == GREETING {
        true => Ok("the same".to_owned()),
        false => Err(Error::new(Kind::Internal, "the file has another content")),
    }
}

/// Writes until the volume is full, and makes room again.
fn fill(pod: &str) -> Result<String> {
    use std::io::Write;
    let path = Path::new(pod).join("filling");
    let mut file = std::fs::File::create(&path).map_err(failed)?;
    let block = vec![0x42; MIB as usize];
    let mut written = 0;
    let stopped = loop {
        match file.write_all(&block) {
            Ok(()) if written > SIZE => break None,
            Ok(()) => written += MIB,
            Err(error) => break Some(error),
        }
    };
    drop(file);
    std::fs::remove_file(&path).map_err(failed)?;
    match stopped {
        Some(error) if error.kind() == std::io::ErrorKind::StorageFull => {
            Ok(format!("full after {}", size::display(written)))
        }
        Some(error) => Err(failed(error)),
        None => Err(Error::new(Kind::Internal, "more could be written than the volume's size")),
    }
}

fn bytes_of(pod: &str) -> Result<String> {
    let found = rustix::fs::statvfs(pod).map_err(|errno| failed(errno.into()))?;
    Ok(size::display(found.f_blocks * found.f_frsize))
}

fn failed(error: std::io::Error) -> Error {
    Error::new(Kind::Internal, format!("the volume does not work: {error}"))
}

fn show(form: Form, steps: &[Step]) -> Result<()> {
    let rows: Vec<Vec<String>> = steps
        .iter()
        .map(|step| {
            let milliseconds = format!("{:.1}", step.milliseconds);
            vec![step.action.clone(), step.what.clone(), milliseconds, step.result.clone()]
        })
        .collect();
    if form == Form::Table {
        output::say("");
    }
    output::list(form, &steps, &["step", "what", "ms", "result"], &rows)
}
