//! Making and publishing a volume, and taking a snapshot, against the system calls alone.

use crate::Outcome;
use crate::bare::{Bare, WHILE_USED};
use crate::callouts::options;
use crate::measure::{self, Samples, timed};
use crate::place::{Place, SIZE};
use crate::report::{AtMost, Row};
use becket_core::Name;
use becket_core::engine::{NewPool, NewVolume, Publication};
use becket_core::record::Provisioning;
use becket_core::target::Target;
use becket_sys::beneath::Dir;
use becket_sys::superblock::Kind;
use becket_sys::{child, copy, filesystem, loop_device, mount};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;

/// A fresh volume, from nothing to its pod: the `mount` callout against what it cannot do without.
pub(crate) fn fresh(place: &Place, rounds: usize) -> Outcome<Vec<Row>> {
    let driver = place.install("image", false)?;
    let pod = place.directory("becket/pods/fresh")?.display().to_string();
    let mut becket = Samples::default();
    let (mut published, mut unpublished) = (Samples::default(), Samples::default());
    let mut floor = Floor::default();
    let pool = Name::new("default")?;
    let second = Target::beneath(place.root(), &place.directory("becket/pods/second")?)?;
    for round in 0..rounds {
        let name = format!("fresh-{round}");
        let mut once = || -> Outcome {
            let ran = measure::run_well(&driver, &["mount", &pod, &options(&name, "default")])?;
            becket.add(ran.took);
            let volume = Name::new(&*name)?;
            let publish = || {
                let how = Publication::default();
                Ok(place.engine.mount(&pool, &volume, None, &second, &how)?)
            };
            published.add(timed(publish)?.1);
            unpublished.add(timed(|| Ok(place.engine.unmount(&second)?))?.1);
            measure::run_well(&driver, &["unmount", &pod])?;
            place.forget_volume("default", &name)
        };
        match round % 2 {
            0 => {
                once()?;
                bare_round(place, &mut floor)?;
            }
            _ => {
                bare_round(place, &mut floor)?;
                once()?;
            }
        }
    }
    Ok(vec![
        Row::new("create, stage and publish 1 GiB ext4", &becket)
            .against("bare system calls", &floor.all)
            .target(AtMost::Times(1.3)),
        Row::new("publish, by a process that runs", &published)
            .against("bare bind", &floor.bind)
            .target(AtMost::Ms(1.0)),
        Row::new("unpublish, by a process that runs", &unpublished)
            .against("bare umount", &floor.unmount),
    ])
}

/// What the kernel takes for the same.
#[derive(Default)]
struct Floor {
    all: Samples,
    bind: Samples,
    unmount: Samples,
}

/// One volume by system calls alone, and its removal outside the clock.
fn bare_round(place: &Place, floor: &mut Floor) -> Outcome {
    let bare = Bare::new(&place.directory("bare")?, "volume")?;
    let (took_bind, took) = timed(|| {
        bare.create()?;
        bare.stage()?;
        Ok(timed(|| bare.publish())?.1)
    })?;
    floor.all.add(took);
    floor.bind.add(took_bind);
    floor.unmount.add(timed(|| bare.unpublish())?.1);
    bare.unstage()?;
    bare.delete()?;
    bare.forget()
}

/// Snapshots of a preallocated image, in a pool on xfs, against a reflink of the same file.
pub(crate) fn snapshot(place: &Place, rounds: usize) -> Outcome<Vec<Row>> {
    if child::find(filesystem::maker(Kind::Xfs)).is_none() {
        crate::say("snapshots are left out: this host has no mkfs.xfs");
        return Ok(Vec::new());
    }
    let pool = xfs(place)?;
    let (name, volume) = (Name::new("reflink")?, Name::new("thick")?);
    place.engine.create_pool(&NewPool {
        path: Some(pool.join("pool")),
        ..NewPool::new(name.clone(), "image")
    })?;
    let thick = Provisioning::Thick;
    place.engine.create(
        &name,
        &NewVolume { provisioning: Some(thick), ..NewVolume::new(volume.clone(), SIZE) },
    )?;
    let image = place.engine.lasting_path(&name, &volume)?.ok_or("an image volume has no image")?;
    let (mut becket, mut bare) = (Samples::default(), Samples::default());
    for round in 0..rounds {
        let snapshot = format!("s{round}");
        let words = ["snapshot", "create", &snapshot, "--volume", "thick", "--pool", "reflink"];
        becket.add(measure::run_well(place.becket(), &place.words(&words))?.took);
        let (shared, took) = timed(|| {
            let to = File::create_new(pool.join(&snapshot))?;
            let shared = copy::reflink(&File::open(&image)?, &to, &image)?;
            to.sync_all()?;
            Ok(shared)
        })?;
        if !shared {
            return Err("xfs does not share blocks here".into());
        }
        bare.add(took);
    }
    mount::unmount(&pool)?;
    Ok(vec![
        Row::new("snapshot of a preallocated 1 GiB image", &becket)
            .against("FICLONE and fsync", &bare)
            .target(AtMost::Ms(50.0)),
    ])
}

/// A fresh xfs, on a file, mounted.
fn xfs(place: &Place) -> Outcome<PathBuf> {
    let (image, mounted) = (place.root().join("xfs.image"), place.directory("xfs")?);
    let file = File::options().read(true).write(true).create_new(true).open(&image)?;
    file.set_len(4 * SIZE)?;
    filesystem::make(Kind::Xfs, &image, *uuid::Uuid::new_v4().as_bytes(), true)?;
    let device = loop_device::attach(&file, &image, WHILE_USED)?;
    mount::filesystem(Kind::Xfs.name(), &device.path(), &[])?
        .attach(Dir::open(&mounted)?.as_fd(), &mounted)?;
    Ok(mounted)
}
