//! The operations that are killed.

use super::world::World;

/// One operation on one kind of volume.
pub struct Case {
    pub name: &'static str,
    /// The backend of the pool `pool`; `lvm-thin` for one of thin logical volumes.
    pub backend: &'static str,
    /// What is there before.
    pub before: Before,
    /// becket's arguments.
    pub operation: fn(&World) -> Vec<String>,
    /// What must be there after it, however often it was killed.
    pub after: After,
}

/// What is there before the operation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Before {
    /// An empty pool.
    Nothing,
    /// The volume `v` with a file in it.
    Volume,
    /// The same, mounted for a pod.
    Mounted,
    /// A larger one with xfs, mounted: a filesystem that may be grown in use anywhere.
    MountedXfs,
    /// A volume with a directory for each pod, which goes with the pod; mounted.
    MountedPassing,
    /// A volume that an attachable driver has mounted for the node.
    Staged,
    /// The volume and a snapshot `s` of it.
    Snapshot,
}

/// What must be there afterwards.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// The volumes, with their sizes in MiB, sorted by name.
    pub volumes: &'static [(&'static str, u64)],
    /// The snapshots.
    pub snapshots: &'static [&'static str],
    /// Things in the trash.
    pub trash: usize,
    /// Whether the pod's directory is a mount point.
    pub mounted: bool,
    /// The volume in which the file is to be found.
    pub data_in: Option<&'static str>,
}

const ONE: After =
    After { volumes: &[("v", 32)], snapshots: &[], trash: 0, mounted: false, data_in: Some("v") };

/// Stands for the installed driver, with the attach and device callouts.
pub const DRIVER: &str = "(driver)";

const LIMITLESS: &str = "--parameter=limit=none";

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

fn mount(world: &World, options: &str) -> Vec<String> {
    let mut arguments = words(&format!("flex {} mount", world.driver_name()));
    arguments.extend([world.pod(), world.options(options)]);
    arguments
}

fn unmount(world: &World) -> Vec<String> {
    let mut arguments = words(&format!("flex {} unmount", world.driver_name()));
    arguments.push(world.pod());
    arguments
}

/// All of them.
pub const CASES: &[Case] = &[
    Case {
        name: "image: create",
        backend: "image",
        before: Before::Nothing,
        operation: |_| words("volume create v --pool pool --size 32Mi"),
        after: After { data_in: None, ..ONE },
    },
    Case {
        name: "image: create thick",
        backend: "image",
        before: Before::Nothing,
        operation: |_| words("volume create v --pool pool --size 32Mi --thick"),
        after: After { data_in: None, ..ONE },
    },
    Case {
        name: "image: restore to a larger size",
        backend: "image",
        before: Before::Snapshot,
        operation: |_| words("volume create w --pool pool --from-snapshot s --size 48Mi"),
        after: After {
            volumes: &[("v", 32), ("w", 48)],
            snapshots: &["s"],
            data_in: Some("w"),
            ..ONE
        },
    },
    Case {
        name: "image: mount",
        backend: "image",
        before: Before::Volume,
        operation: |world| mount(world, ""),
        after: After { mounted: true, ..ONE },
    },
    Case {
        name: "image: mount, made by it",
        backend: "image",
        before: Before::Nothing,
        operation: |world| mount(world, ",\"size\":\"32Mi\""),
        after: After { mounted: true, data_in: None, ..ONE },
    },
    Case {
        name: "image: unmount",
        backend: "image",
        before: Before::Mounted,
        operation: unmount,
        after: ONE,
    },
    Case {
        name: "image: expand",
        backend: "image",
        before: Before::Volume,
        operation: |_| words("volume expand v --pool pool --size 64Mi"),
        after: After { volumes: &[("v", 64)], ..ONE },
    },
    Case {
        name: "image: expand a mounted volume",
        backend: "image",
        before: Before::MountedXfs,
        operation: |_| words("volume expand v --pool pool --size 400Mi"),
        after: After { volumes: &[("v", 400)], mounted: true, ..ONE },
    },
    Case {
        name: "image: clone of a mounted xfs",
        backend: "image",
        before: Before::MountedXfs,
        operation: |_| words("volume create w --pool pool --from-volume v --size 400Mi"),
        after: After {
            volumes: &[("v", 320), ("w", 400)],
            mounted: true,
            data_in: Some("w"),
            ..ONE
        },
    },
    Case {
        name: "image: snapshot of a mounted volume",
        backend: "image",
        before: Before::Mounted,
        operation: |_| words("snapshot create s --pool pool --volume v"),
        after: After { snapshots: &["s"], mounted: true, ..ONE },
    },
    Case {
        name: "image: delete",
        backend: "image",
        before: Before::Volume,
        operation: |_| words("volume delete v --pool pool"),
        after: After { volumes: &[], trash: 1, data_in: None, ..ONE },
    },
    Case {
        name: "image, attachable: mountdevice",
        backend: "image",
        before: Before::Volume,
        operation: |world| {
            vec![DRIVER.into(), "mountdevice".into(), world.device(), "".into(), world.options("")]
        },
        after: ONE,
    },
    Case {
        name: "image, attachable: mount",
        backend: "image",
        before: Before::Staged,
        operation: |world| vec![DRIVER.into(), "mount".into(), world.pod(), world.options("")],
        after: After { mounted: true, ..ONE },
    },
    Case {
        name: "image, attachable: unmountdevice",
        backend: "image",
        before: Before::Staged,
        operation: |world| vec![DRIVER.into(), "unmountdevice".into(), world.device()],
        after: ONE,
    },
    Case {
        name: "directory: create",
        backend: "directory",
        before: Before::Nothing,
        operation: |_| words(&format!("volume create v --pool pool --size 32Mi {LIMITLESS}")),
        after: After { data_in: None, ..ONE },
    },
    Case {
        name: "directory: clone",
        backend: "directory",
        before: Before::Volume,
        operation: |_| words(&format!("volume create w --pool pool --from-volume v {LIMITLESS}")),
        after: After { volumes: &[("v", 32), ("w", 32)], data_in: Some("w"), ..ONE },
    },
    Case {
        name: "directory: mount",
        backend: "directory",
        before: Before::Volume,
        operation: |world| mount(world, ""),
        after: After { mounted: true, ..ONE },
    },
    Case {
        name: "directory: unmount",
        backend: "directory",
        before: Before::Mounted,
        operation: unmount,
        after: ONE,
    },
    Case {
        name: "directory: unmount, and the pod's directory goes",
        backend: "directory",
        before: Before::MountedPassing,
        operation: unmount,
        after: After { data_in: None, ..ONE },
    },
    Case {
        name: "directory: expand",
        backend: "directory",
        before: Before::Volume,
        operation: |_| words("volume expand v --pool pool --size 64Mi"),
        after: After { volumes: &[("v", 64)], ..ONE },
    },
    Case {
        name: "directory: snapshot",
        backend: "directory",
        before: Before::Volume,
        operation: |_| words("snapshot create s --pool pool --volume v"),
        after: After { snapshots: &["s"], ..ONE },
    },
    Case {
        name: "directory: delete",
        backend: "directory",
        before: Before::Volume,
        operation: |_| words("volume delete v --pool pool"),
        after: After { volumes: &[], trash: 1, data_in: None, ..ONE },
    },
    Case {
        name: "lvm: create",
        backend: "lvm",
        before: Before::Nothing,
        operation: |_| words("volume create v --pool pool --size 32Mi"),
        after: After { data_in: None, ..ONE },
    },
    Case {
        name: "lvm: restore to a larger size",
        backend: "lvm",
        before: Before::Snapshot,
        operation: |_| words("volume create w --pool pool --from-snapshot s --size 48Mi"),
        after: After {
            volumes: &[("v", 32), ("w", 48)],
            snapshots: &["s"],
            data_in: Some("w"),
            ..ONE
        },
    },
    Case {
        name: "lvm: mount, made by it",
        backend: "lvm",
        before: Before::Nothing,
        operation: |world| mount(world, ",\"size\":\"32Mi\""),
        after: After { mounted: true, data_in: None, ..ONE },
    },
    Case {
        name: "lvm: unmount",
        backend: "lvm",
        before: Before::Mounted,
        operation: unmount,
        after: ONE,
    },
    Case {
        name: "lvm: snapshot of a mounted volume",
        backend: "lvm",
        before: Before::Mounted,
        operation: |_| words("snapshot create s --pool pool --volume v"),
        after: After { snapshots: &["s"], mounted: true, ..ONE },
    },
    Case {
        name: "lvm: delete",
        backend: "lvm",
        before: Before::Volume,
        operation: |_| words("volume delete v --pool pool"),
        after: After { volumes: &[], trash: 1, data_in: None, ..ONE },
    },
    Case {
        name: "lvm, thin: create",
        backend: "lvm-thin",
        before: Before::Nothing,
        operation: |_| words("volume create v --pool pool --size 32Mi"),
        after: After { data_in: None, ..ONE },
    },
    Case {
        name: "lvm, thin: clone of a mounted xfs, larger",
        backend: "lvm-thin",
        before: Before::MountedXfs,
        operation: |_| words("volume create w --pool pool --from-volume v --size 400Mi"),
        after: After {
            volumes: &[("v", 320), ("w", 400)],
            mounted: true,
            data_in: Some("w"),
            ..ONE
        },
    },
    Case {
        name: "lvm, thin: expand a mounted volume",
        backend: "lvm-thin",
        before: Before::Mounted,
        operation: |_| words("volume expand v --pool pool --size 64Mi"),
        after: After { volumes: &[("v", 64)], mounted: true, ..ONE },
    },
];
