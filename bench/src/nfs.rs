//! The nfs backend against the same on a bare mount of the export: directories, and images with a hard limit.

use crate::Outcome;
use crate::bare::Bare;
use crate::callouts;
use crate::measure::{Samples, in_turns, run_well, timed};
use crate::place::Place;
use crate::report::Row;
use becket_sys::beneath::Dir;
use becket_sys::mount;
use becket_tests::Share;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Becket's pool.
const POOL: &str = "nfs";

/// What is in a volume of which copies are made: so many files, each of so many bytes. They are 256 MiB, because
/// the server's disk, its cache and its client's cache may all be in one guest's memory.
const FILES: usize = 64;
const FILE: usize = 4 << 20;

/// What a volume is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Directory,
    Image,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Class::Directory => "directory",
            Class::Image => "image",
        }
    }

    fn limit(self) -> &'static str {
        match self {
            Class::Directory => "limit=none",
            Class::Image => "limit=hard",
        }
    }
}

/// Measures volumes of both kinds.
pub(crate) fn measure(place: &Place, rounds: usize) -> Outcome<Vec<Row>> {
    let (pool, bare) = (share("pool")?, share("bare")?);
    let words = ["pool", "create", POOL, "--backend", "nfs"];
    run_well(place.becket(), &place.words(&[&words[..], &pool.arguments()].concat()))?;
    let driver = place.install("nfs", false)?;
    let mut rows = Vec::new();
    for class in [Class::Directory, Class::Image] {
        crate::say(&format!("volumes on a server: {} …", class.name()));
        let turns = Turns {
            place,
            class,
            driver: driver.clone(),
            pod: place.directory("becket/pods/nfs")?,
            export: format!("127.0.0.1:{}", bare.path()),
            mounted: place.directory("bare-nfs")?,
        };
        rows.extend(turns.fresh(rounds)?);
        rows.extend(turns.copies(rounds)?);
    }
    Ok(rows)
}

/// A directory of the export.
fn share(part: &str) -> Outcome<Share> {
    let named = Share::named(&format!("becket-bench-{}-{part}", std::process::id()));
    Ok(named.ok_or(
        "BECKET_NFS_EXPORT names no directory that an NFS server here exports as its root",
    )?)
}

/// Becket and the bare steps, in turns, for volumes of one kind.
struct Turns<'place> {
    place: &'place Place,
    class: Class,
    /// Becket's driver, and the pod that it mounts for.
    driver: PathBuf,
    pod: PathBuf,
    /// What the bare steps mount, and where.
    export: String,
    mounted: PathBuf,
}

impl Turns<'_> {
    /// A fresh volume, from nothing to its pod: the `mount` callout against what it cannot do without.
    fn fresh(&self, rounds: usize) -> Outcome<Vec<Row>> {
        let [mut becket, mut again, mut bare] = [(); 3].map(|()| Samples::default());
        let steps = self.steps("fresh")?;
        for round in 0..rounds {
            let name = format!("{}-{round}", self.class.name());
            let mut ours = || -> Outcome {
                becket.add(self.mount(&name)?);
                self.unmount()?;
                again.add(self.mount(&name)?);
                self.unmount()?;
                self.becket(&["volume", "delete", &name])?;
                self.becket(&["trash", "empty", "--all"]).map(drop)
            };
            let mut theirs = || -> Outcome {
                bare.add(timed(|| self.bare_volume(&steps, "fresh"))?.1);
                self.forget_bare_volume(&steps, "fresh")
            };
            in_turns(round, &mut ours, &mut theirs)?;
        }
        steps.forget()?;
        let (what, command) = match self.class {
            Class::Directory => ("create and publish a directory", "mount, mkdir, bind"),
            Class::Image => {
                ("create, stage and publish 1 GiB ext4", "mount, truncate, mkfs, loop mount, bind")
            }
        };
        let class = self.class.name();
        Ok(vec![
            Row::new(format!("nfs {class}: {what}"), &becket).against(command, &bare),
            Row::new(format!("nfs {class}: mount of a volume that is there"), &again),
        ])
    }

    /// A snapshot of a volume of 1 GiB with files in it, and a volume made from it.
    fn copies(&self, rounds: usize) -> Outcome<Vec<Row>> {
        let name = format!("{}-origin", self.class.name());
        self.mount(&name)?;
        fill(&self.pod)?;
        self.unmount()?;
        let steps = self.steps("origin")?;
        self.bare_volume(&steps, "origin")?;
        fill(&self.bare_pod("origin"))?;
        self.unpublish_bare(&steps, "origin")?;
        let [mut snapshots, mut clones, mut bare] = [(); 3].map(|()| Samples::default());
        for round in 0..rounds {
            let mut ours = || -> Outcome {
                snapshots.add(self.becket(&["snapshot", "create", "moment", "--volume", &name])?);
                let from = ["volume", "create", "clone", "--from-snapshot", "moment"];
                clones
                    .add(self.becket(&[&from[..], &["--parameter", self.class.limit()]].concat())?);
                self.becket(&["volume", "delete", "clone"])?;
                self.becket(&["snapshot", "delete", "moment"])?;
                self.becket(&["trash", "empty", "--all"]).map(drop)
            };
            let mut theirs = || -> Outcome {
                let [from, to] = ["origin", "copy"].map(|part| self.mounted.join(part));
                let words = ["--reflink=auto".as_ref(), "-a".as_ref(), from.as_path(), &to];
                bare.add(run_well(Path::new("cp"), &words)?.took);
                run_well(Path::new("rm"), &["-r".as_ref(), to.as_path()]).map(drop)
            };
            in_turns(round, &mut ours, &mut theirs)?;
        }
        self.becket(&["volume", "delete", &name])?;
        self.becket(&["trash", "empty", "--all"])?;
        run_well(Path::new("rm"), &["-r".as_ref(), self.mounted.join("origin").as_path()])?;
        mount::unmount(&self.mounted)?;
        steps.forget()?;
        let class = self.class.name();
        let copy = "cp --reflink=auto -a";
        Ok(vec![
            Row::new(format!("nfs {class}: snapshot of 256 MiB in 1 GiB"), &snapshots)
                .against(copy, &bare),
            Row::new(format!("nfs {class}: clone of 256 MiB in 1 GiB"), &clones)
                .against(copy, &bare),
        ])
    }

    /// Runs a command of Becket's on the pool and gives how long it took.
    fn becket(&self, words: &[&str]) -> Outcome<std::time::Duration> {
        let words = self.place.words(&[words, &["--pool", POOL]].concat());
        Ok(run_well(self.place.becket(), &words)?.took)
    }

    /// The `mount` callout of a volume, which makes it where it is absent.
    fn mount(&self, name: &str) -> Outcome<std::time::Duration> {
        let mut options = callouts::described(name, POOL);
        let (key, value) = self.class.limit().split_once('=').unwrap_or_default();
        options[key] = value.into();
        if self.class == Class::Directory {
            options["kubernetes.io/fsType"] = "".into();
        }
        let (pod, options) = (self.pod.display().to_string(), options.to_string());
        Ok(run_well(&self.driver, &["mount", &pod, &options])?.took)
    }

    fn unmount(&self) -> Outcome {
        let pod = self.pod.display().to_string();
        run_well(&self.driver, &["unmount", &pod]).map(drop)
    }

    /// The bare steps of a volume whose image, if it is one, is on the mounted export.
    fn steps(&self, name: &str) -> Outcome<Bare> {
        Bare::with_image(self.mounted.join(name), &self.place.directory("bare")?, name)
    }

    fn bare_pod(&self, name: &str) -> PathBuf {
        self.place.root().join("bare/pod").join(name)
    }

    /// What no driver can do without: the export mounted, and a volume on it.
    fn bare_volume(&self, steps: &Bare, name: &str) -> Outcome {
        let options = [("vers", "4.2"), ("addr", "127.0.0.1"), ("clientaddr", "127.0.0.1")];
        let options = options.map(|(key, value)| (key, Some(value)));
        mount::filesystem("nfs4", Path::new(&self.export), &options)?
            .attach(Dir::open(&self.mounted)?.as_fd(), &self.mounted)?;
        if self.class == Class::Image {
            steps.create()?;
            steps.stage()?;
            return steps.publish();
        }
        let (volume, pod) = (self.mounted.join(name), self.bare_pod(name));
        std::fs::create_dir(&volume)?;
        let view = mount::view_of(Dir::open(&volume)?.as_fd(), &volume)?;
        Ok(view.attach(Dir::open(&pod)?.as_fd(), &pod)?)
    }

    /// Leaves the export mounted.
    fn unpublish_bare(&self, steps: &Bare, name: &str) -> Outcome {
        match self.class {
            Class::Directory => Ok(mount::unmount(&self.bare_pod(name))?),
            Class::Image => steps.unpublish().and_then(|()| steps.unstage()),
        }
    }

    fn forget_bare_volume(&self, steps: &Bare, name: &str) -> Outcome {
        self.unpublish_bare(steps, name)?;
        match self.class {
            Class::Directory => std::fs::remove_dir(self.mounted.join(name))?,
            Class::Image => steps.delete()?,
        }
        Ok(mount::unmount(&self.mounted)?)
    }
}

/// Writes the files, no two of which are alike.
fn fill(directory: &Path) -> Outcome {
    for number in 0..FILES {
        let file = directory.join(format!("file-{number}"));
        std::fs::write(&file, vec![u8::try_from(number)?; FILE])?;
    }
    Ok(())
}
