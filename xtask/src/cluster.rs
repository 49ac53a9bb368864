//! `cargo xtask cluster`: a real Kubernetes of one node on this machine, in namespaces of its own: etcd, API
//! server, controller-manager, scheduler, kubelet, containerd and runc. Nothing is installed and no image is
//! pulled; what it leaves on the machine are caches.

mod arguments;
mod cgroups;
mod inside;
mod packages;
mod place;
mod programs;
mod remains;
mod snapshots;
mod start;

use crate::image;
use crate::run::{Failed, Outcome, command, failed, is_root, is_there};
use crate::setup;
use arguments::Words;
pub use inside::{KUBECONFIG, NODE};
pub use packages::ready as packages;
pub use place::DIRECTORY;
use place::Place;
pub use programs::sidecars;
pub use snapshots::Snapshots;
use start::Started;
pub use start::parts;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

/// Exit status where no cluster is possible, as of `cargo xtask guest`.
const IMPOSSIBLE: u8 = 77;

/// Programs that take part, beside those that are fetched.
const PROGRAMS: [&str; 11] = [
    "apt-get",
    "apt-config",
    "dpkg-deb",
    "dpkg-query",
    "tar",
    "unshare",
    "nsenter",
    "setsid",
    "losetup",
    "sha256sum",
    "kill",
];

/// How a cluster is made.
#[derive(Debug, Clone)]
pub struct Options {
    /// What tells it from others on this machine: small letters, digits and dashes.
    pub name: String,
}

/// A cluster that is there as long as this value is: dropping it takes the cluster down, and so does the
/// end of this process, of which the next cluster on this machine clears what is left.
#[derive(Debug)]
pub struct Cluster {
    place: Place,
    started: Option<Started>,
}

/// Makes a cluster and waits until its node is Ready and pods can be made. The first one of a machine
/// takes the network and ten minutes. It is an error if there is one of this name.
pub fn up(options: &Options) -> Outcome<Cluster> {
    let place = Place::of(&options.name)?;
    place::check_filesystem()?;
    let parts = start::parts()?;
    let _turn = place::turn()?;
    if place.lives()? {
        return Err(Failed::new(format!("the cluster `{}` is up already", place.name)));
    }
    remains::clear(&place)?;
    remains::clear_others();
    match start::start(&place, &parts) {
        Ok(started) => Ok(Cluster { place, started: Some(started) }),
        Err(reason) => {
            // Its files stay until the next one comes: among them are the logs that say why.
            remains::end(&place)?;
            Err(reason)
        }
    }
}

/// Ends the cluster of this name and removes all that is left of it. There need not be one.
pub fn down(name: &str) -> Outcome {
    let place = Place::of(name)?;
    let _turn = place::turn()?;
    remains::end(&place)?;
    remains::clear(&place)
}

impl Cluster {
    /// A program in the cluster's namespaces, to be given arguments. `/var/lib/kubelet`, `/var/lib/becket`
    /// and `/run` are the cluster's own there.
    pub fn command(&self, program: impl AsRef<Path>) -> Outcome<Command> {
        inside::command(&self.place, program.as_ref())
    }

    /// Runs a program in the cluster's namespaces to its end, and gives what it wrote to stdout.
    pub fn read(&self, program: impl AsRef<Path>, arguments: &[&str]) -> Outcome<String> {
        let shown = format!("{} {}", program.as_ref().display(), arguments.join(" "));
        let output = self.command(program)?.args(arguments).output();
        let output =
            output.map_err(|error| Failed::new(format!("`{shown}` cannot be run: {error}")))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let words = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(Failed::new(format!("`{shown}` ended with {}: {}", output.status, words.trim())))
    }

    /// Makes what a manifest says.
    pub fn apply(&self, manifest: &str) -> Outcome {
        let failed = |error| Failed::new(format!("cannot apply a manifest: {error}"));
        let mut apply = self.command("kubectl")?;
        apply.args(["apply", "-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut apply = apply.spawn().map_err(failed)?;
        let written = apply.stdin.take().map_or(Ok(()), |mut to| to.write_all(manifest.as_bytes()));
        let ended = apply.wait().map_err(failed)?;
        written.map_err(failed)?;
        match ended.success() {
            true => Ok(()),
            false => {
                Err(Failed::new(format!("a manifest was not applied: kubectl ended with {ended}")))
            }
        }
    }

    /// Puts the image of this binary, [`image::BECKET`], among those that pods can have.
    pub fn load_image(&self, binary: &Path) -> Outcome {
        load_image(&self.place, binary, image::BECKET)
    }

    /// Puts the image of another binary among them, under this name.
    pub fn load_image_as(&self, binary: &Path, name: &str) -> Outcome {
        load_image(&self.place, binary, name)
    }

    /// Puts the images of an archive among those that pods can have.
    pub fn load_archive(&self, archive: &Path) -> Outcome {
        load_archive(&self.place, archive)
    }

    /// The path of the log of one part of the cluster, which goes with the cluster.
    pub fn log(&self, part: &str) -> PathBuf {
        self.place.log(part)
    }

    /// The id of the first process of the cluster's namespaces, as it is outside.
    pub fn first_process(&self) -> Outcome<String> {
        Ok(self.place.first_process()?.trim().to_owned())
    }

    /// What names the process namespace of the cluster's processes, as links in `/proc` do.
    pub fn namespaces(&self) -> Outcome<PathBuf> {
        let link = Path::new("/proc").join(self.first_process()?).join("ns/pid");
        fs::read_link(&link).map_err(|error| failed("read", &link, &error))
    }

    /// Lets the cluster outlive this process.
    fn stay(mut self) -> Outcome {
        self.started.take().map_or(Ok(()), Started::stay)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(started) = self.started.take() else { return };
        if let Err(failed) = down(&self.place.name) {
            eprintln!("xtask: {failed}");
        }
        started.ended();
    }
}

/// The directory of the cluster of this name, if anything of it is there.
pub fn directory(name: &str) -> Outcome<Option<PathBuf>> {
    Ok(Some(Place::of(name)?.directory).filter(|directory| directory.exists()))
}

/// Why no cluster is possible on this machine, if that is so.
pub fn impossible() -> Option<String> {
    if !is_root() {
        return Some(
            "a cluster takes root: it mounts, and makes namespaces and cgroups".to_owned(),
        );
    }
    let missing: Vec<&str> = PROGRAMS.into_iter().filter(|program| !is_there(program)).collect();
    if !missing.is_empty() {
        return Some(format!("this machine lacks `{}`", missing.join("`, `")));
    }
    let namespaces = ["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "true"];
    command("unshare").args(&namespaces).read().is_none().then(|| {
        "this machine lets no process have namespaces of its own, not even root's".to_owned()
    })
}

/// Builds the image of Becket, [`image::BECKET`], and puts it among those of the cluster.
fn put_image(name: &str) -> Outcome {
    load_image(&Place::of(name)?, &binary()?, image::BECKET)
}

/// Puts an image of this binary, and of the programs that it runs on a node, among those of a cluster.
fn load_image(place: &Place, binary: &Path, name: &str) -> Outcome {
    setup::host_programs()?;
    let archive = place.directory.join("becket-image.tar");
    image::becket(binary, name, &archive)?;
    let loaded = load_archive(place, &archive);
    fs::remove_file(&archive).map_err(|error| failed("remove", &archive, &error))?;
    loaded
}

/// Puts the images of an archive among those of a cluster.
fn load_archive(place: &Place, archive: &Path) -> Outcome {
    let file = File::open(archive).map_err(|error| failed("open", archive, &error))?;
    let mut import = inside::command(place, "ctr")?;
    import.args(["--namespace", "k8s.io", "images", "import", "-"]).stdin(file);
    let ended = import.status().map_err(|error| failed("run", Path::new("ctr"), &error))?;
    match ended.success() {
        true => Ok(()),
        false => Err(Failed::new(format!("the image was not taken: `ctr` ended with {ended}"))),
    }
}

/// The static binary: the one that `BECKET` names, or the release, built.
pub fn binary() -> Outcome<PathBuf> {
    match std::env::var_os("BECKET") {
        Some(path) => {
            fs::canonicalize(&path).map_err(|error| failed("find", path.as_ref(), &error))
        }
        None => setup::binary(),
    }
}

/// The action of the command line.
pub fn action(words: &[OsString]) -> ExitCode {
    let done = match arguments::parse(words) {
        Ok(Words::Help) => {
            eprintln!("{}", arguments::USAGE);
            return ExitCode::SUCCESS;
        }
        Err(failed) => {
            eprintln!("xtask: {failed}\n{}", arguments::USAGE);
            return ExitCode::from(2);
        }
        Ok(_) if let Some(reason) = impossible() => {
            eprintln!("xtask: no cluster is possible here: {reason}");
            return ExitCode::from(IMPOSSIBLE);
        }
        Ok(Words::Up(name)) => show_up(&name),
        Ok(Words::Down(name)) => down(&name),
        Ok(Words::Image(name)) => put_image(&name),
        Ok(Words::Sidecars) => programs::sidecars().map(|kept| println!("{}", kept.path.display())),
        Ok(Words::Run(name, command)) => run_inside(&name, &command),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("xtask: {failed}");
            ExitCode::FAILURE
        }
    }
}

fn show_up(name: &str) -> Outcome {
    let started = Instant::now();
    let cluster = up(&Options { name: name.to_owned() })?;
    cluster.stay()?;
    let option = if name == arguments::NAME { String::new() } else { format!(" --name {name}") };
    eprintln!(
        "the cluster `{name}` is ready after {:.1} s; its node is {NODE}\n\n  \
         cargo xtask cluster kubectl{option} get pods -A\n  \
         cargo xtask cluster exec{option} bash\n  \
         cargo xtask cluster image{option}\n  \
         cargo xtask cluster down{option}",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Becomes the command, so its exit status, its input and its signals are the command's own.
fn run_inside(name: &str, words: &[OsString]) -> Outcome {
    let (program, arguments) =
        words.split_first().ok_or_else(|| Failed::new("there is no command to run"))?;
    let error = inside::command(&Place::of(name)?, program)?.args(arguments).exec();
    Err(failed("run", Path::new("nsenter"), &error))
}
