//! The lvm backend against bare `lvcreate`, `mkfs`, `mount` and `dd`, in one volume group.

use crate::Outcome;
use crate::callouts;
use crate::measure::{Samples, in_turns, run_well, timed};
use crate::place::{Place, SIZE};
use crate::report::Row;
use becket_core::Name;
use becket_sys::beneath::Dir;
use becket_sys::superblock::Kind;
use becket_sys::{filesystem, loop_device, mount};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// The disk of a group. Its file is sparse; copies of thick volumes write to three volumes' worth of it.
const DISK: u64 = 6 * SIZE;

/// The thin pool that Becket makes in a group.
const THIN_POOL: &str = "becket-thin";

/// Volumes of a class: those of a volume group, or of a thin pool in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Thick,
    Thin,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Class::Thick => "thick",
            Class::Thin => "thin",
        }
    }
}

/// Measures volumes of both classes.
pub(crate) fn measure(place: &Place, rounds: usize) -> Outcome<Vec<Row>> {
    let mut rows = Vec::new();
    for class in [Class::Thick, Class::Thin] {
        crate::say(&format!("{} logical volumes …", class.name()));
        let group = Group::new(place, class)?;
        let measured = group.fresh(rounds).and_then(|fresh| Ok((fresh, group.copies(rounds)?)));
        let removed = group.remove();
        let (fresh, copies) = measured?;
        removed?;
        rows.extend(fresh.into_iter().chain(copies));
    }
    Ok(rows)
}

/// A volume group on a file, with a pool in it that has the name of its class.
struct Group<'place> {
    place: &'place Place,
    class: Class,
    name: String,
    device: PathBuf,
}

impl<'place> Group<'place> {
    fn new(place: &'place Place, class: Class) -> Outcome<Group<'place>> {
        let image = place.root().join(format!("{}.disk", class.name()));
        let file = File::options().read(true).write(true).create_new(true).open(&image)?;
        file.set_len(DISK)?;
        let lasting = loop_device::Options { readonly: false, autoclear: false, label: "" };
        let device = loop_device::attach(&file, &image, lasting)?.path();
        let name = format!("becket-bench-{}-{}", std::process::id(), class.name());
        let path = device.display().to_string();
        let mut words = vec!["pool", "create", class.name(), "--backend", "lvm", "--device", &path];
        words.extend(["--vg", &name, "--yes"]);
        words.extend((class == Class::Thin).then_some("--thin"));
        run_well(place.becket(), &place.words(&words))?;
        Ok(Group { place, class, name, device })
    }

    /// The group and its device go, with whatever is in them.
    fn remove(&self) -> Outcome {
        let force = ["--force", "--yes", "--quiet", self.name.as_str()];
        run_well(Path::new("vgremove"), &force)?;
        let device = self.device.display().to_string();
        run_well(Path::new("losetup"), &["--detach", &device]).map(drop)
    }

    /// A fresh volume, from nothing to its pod: the `mount` callout against the three commands.
    fn fresh(&self, rounds: usize) -> Outcome<Vec<Row>> {
        let driver = self.place.install("lvm", false)?;
        let pod = self.place.directory("becket/pods/lvm")?.display().to_string();
        let (mut becket, mut bare) = (Samples::default(), Samples::default());
        let (mut again, mut deleted) = (Samples::default(), Samples::default());
        let mut removed = Samples::default();
        for round in 0..rounds {
            let name = format!("fresh-{round}");
            let options = callouts::options(&name, self.class.name());
            let mut ours = || -> Outcome {
                becket.add(run_well(&driver, &["mount", &pod, &options])?.took);
                run_well(&driver, &["unmount", &pod])?;
                again.add(run_well(&driver, &["mount", &pod, &options])?.took);
                run_well(&driver, &["unmount", &pod])?;
                deleted.add(timed(|| self.place.forget_volume(self.class.name(), &name))?.1);
                Ok(())
            };
            let mut theirs = || -> Outcome {
                bare.add(timed(|| self.bare_volume())?.1);
                removed.add(timed(|| self.forget_bare_volume())?.1);
                Ok(())
            };
            in_turns(round, &mut ours, &mut theirs)?;
        }
        let class = self.class.name();
        Ok(vec![
            Row::new(format!("{class}: create, stage and publish 1 GiB ext4"), &becket)
                .against("lvcreate, mkfs, mount", &bare),
            Row::new(format!("{class}: mount of a volume that is there"), &again),
            Row::new(format!("{class}: delete and empty the trash"), &deleted)
                .against("umount, lvremove", &removed),
        ])
    }

    /// What no driver can do without.
    fn bare_volume(&self) -> Outcome {
        let pool = format!("{}/{}", self.name, THIN_POOL);
        let group_or_pool = match self.class {
            Class::Thick => ["--size", "1g", self.name.as_str()],
            Class::Thin => ["--virtualsize", "1g", pool.as_str()],
        };
        lvm("lvcreate", &[&["--name", "bare"], &group_or_pool[..]].concat())?;
        let device = self.node("bare");
        filesystem::make(Kind::Ext4, &device, *uuid::Uuid::new_v4().as_bytes(), true)?;
        let [stage, target] =
            [self.place.directory("bare/stage")?, self.place.directory("bare/pod")?];
        let mounted = mount::filesystem(Kind::Ext4.name(), &device, &[])?;
        mounted.attach(Dir::open(&stage)?.as_fd(), &stage)?;
        let view = mount::view_of(Dir::open(&stage)?.as_fd(), &stage)?;
        Ok(view.attach(Dir::open(&target)?.as_fd(), &target)?)
    }

    fn forget_bare_volume(&self) -> Outcome {
        for part in ["bare/pod", "bare/stage"] {
            mount::unmount(&self.place.root().join(part))?;
        }
        lvm("lvremove", &["--force", &format!("{}/bare", self.name)])
    }

    /// A snapshot of a volume of 1 GiB, and a volume made from it.
    fn copies(&self, rounds: usize) -> Outcome<Vec<Row>> {
        let class = self.class.name();
        let pool = Name::new(class)?;
        let becket = |words: &[&str]| -> Outcome<std::time::Duration> {
            let words = [words, &["--pool", class]].concat();
            Ok(run_well(self.place.becket(), &self.place.words(&words))?.took)
        };
        becket(&["volume", "create", "origin", "--size", "1Gi"])?;
        let origin = self.place.engine.lasting_path(&pool, &Name::new("origin")?)?;
        let origin = origin.ok_or("a logical volume has no path")?;
        let [mut snapshots, mut clones, mut bare] = [(); 3].map(|()| Samples::default());
        for round in 0..rounds {
            let mut ours = || -> Outcome {
                snapshots.add(becket(&["snapshot", "create", "snapshot", "--volume", "origin"])?);
                clones.add(becket(&["volume", "create", "clone", "--from-snapshot", "snapshot"])?);
                becket(&["volume", "delete", "clone"])?;
                becket(&["snapshot", "delete", "snapshot"])?;
                Ok(self.place.engine.empty_trash(&pool, true).map(drop)?)
            };
            let mut theirs = || -> Outcome {
                bare.add(timed(|| self.bare_copy(&origin))?.1);
                lvm("lvremove", &["--force", &format!("{}/copy", self.name)])
            };
            in_turns(round, &mut ours, &mut theirs)?;
        }
        self.place.forget_volume(class, "origin")?;
        let command = match self.class {
            Class::Thick => "lvcreate, dd",
            Class::Thin => "lvcreate --snapshot",
        };
        Ok(vec![
            Row::new(format!("{class}: snapshot of 1 GiB"), &snapshots).against(command, &bare),
            Row::new(format!("{class}: clone of 1 GiB"), &clones).against(command, &bare),
        ])
    }

    fn bare_copy(&self, origin: &Path) -> Outcome {
        let name = origin.file_name().unwrap_or_default().to_string_lossy();
        let origin_name = format!("{}/{name}", self.name);
        if self.class == Class::Thin {
            return lvm("lvcreate", &["--snapshot", "--name", "copy", &origin_name]);
        }
        lvm("lvcreate", &["--name", "copy", "--size", "1g", &self.name])?;
        let [from, to] = [("if", origin), ("of", &self.node("copy"))]
            .map(|(key, path)| format!("{key}={}", path.display()));
        let how = ["bs=4M", "iflag=direct", "oflag=direct", "conv=fsync", "status=none"];
        run_well(Path::new("dd"), &[&[from.as_str(), &to], &how[..]].concat()).map(drop)
    }

    fn node(&self, volume: &str) -> PathBuf {
        Path::new("/dev").join(&self.name).join(volume)
    }
}

/// Runs one of LVM's commands, without questions.
fn lvm(command: &str, arguments: &[&str]) -> Outcome {
    run_well(Path::new(command), &[&["--quiet", "--yes"], arguments].concat()).map(drop)
}
