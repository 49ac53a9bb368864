//! The volume group that a world with logical volumes stands on.

use super::world::World;
use crate::run::{Failed, Outcome, command};
use std::fs::File;

/// The file behind its device.
pub const DEVICE: &str = "device";

/// Makes a pool of logical volumes in a group of its own.
pub fn make(world: &World, thin: bool) -> Outcome {
    let file = world.path(DEVICE);
    File::create(&file)
        .and_then(|file| file.set_len(1 << 30))
        .map_err(|error| Failed::new(format!("cannot make a device: {error}")))?;
    let device = command("losetup").args(&["--find", "--show"]).arg(&file).read();
    let device = device.ok_or_else(|| Failed::new("cannot attach a loop device"))?;
    let (group, device) = (world.group(), device.trim().to_owned());
    let mut arguments = vec!["pool", "create", "pool", "--backend", "lvm", "--vg", &group];
    arguments.extend(["--device", &device]);
    arguments.extend(thin.then_some("--thin"));
    world.becket(&arguments).map(drop)
}

/// Logical volumes that are still being made, by their tags.
pub fn unborn(world: &World) -> Vec<String> {
    let group = world.group();
    let table = command("lvs").args(&["--noheadings", "-o", "lv_name,lv_tags", &group]).read();
    let Some(table) = table else {
        return vec![format!("{group} cannot be listed")];
    };
    let preparing = table.lines().filter(|line| line.contains("becket:state=preparing"));
    preparing.map(|line| line.trim().to_owned()).collect()
}

/// Removes the group and its device.
pub fn remove(world: &World) {
    let group = world.group();
    let _ = command("vgremove").args(&["--force", "--yes", &group]).read();
    let device = world.path(DEVICE);
    let attached = command("losetup").args(&["--noheadings", "-O", "NAME", "-j"]).arg(device);
    for device in attached.read().unwrap_or_default().split_whitespace() {
        let _ = command("losetup").args(&["--detach", device]).read();
    }
}
