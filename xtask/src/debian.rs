//! Debian packages, resolved by name, fetched and unpacked, never installed.
//!
//! apt works on lists of its own and only downloads, so neither root nor a change of the host is needed.

use crate::kept::{self, run};
use crate::run::{Failed, Outcome, failed, is_root, made};
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where Debian's own keys are, in every Debian.
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Fetches and unpacks into the directory `making`: as `root` those of `packages`, and of what they
/// depend on, that the host has not installed, and as `alone` each of `alone`, even where the host has it,
/// and nothing else. Every program gets the locked file `lock` as its stdin: see [`crate::kept::ready`].
pub fn fetch(making: &Path, packages: &[&str], alone: &[&str], lock: &File) -> Outcome {
    let apt = Apt::updated(making, None, lock)?;
    if !packages.is_empty() {
        let install = ["install", "-y", "--no-install-recommends", "--download-only"];
        apt.get(&[&install[..], packages].concat(), lock)?;
        unpack(&apt.directory.join("archives"), &making.join("root"), lock)?;
    }
    apt.download(alone, &making.join("alone"), lock)?;
    apt.remove()
}

/// Fetches each of `packages` as the release `suite` of Debian has it, from the mirror of the host's own
/// release, and unpacks them as `newer` in `making`; nothing that they depend on.
pub fn fetch_newer(making: &Path, suite: &str, packages: &[&str], lock: &File) -> Outcome {
    let own = Apt::updated(making, None, lock)?;
    let mirror = own.mirror()?;
    own.remove()?;
    let source = format!("deb [signed-by={KEYS}] {mirror} {suite} main\n");
    let apt = Apt::updated(making, Some(&source), lock)?;
    apt.download(packages, &making.join("newer"), lock)?;
    apt.remove()
}

/// An apt of our own, below a directory of ours.
struct Apt {
    directory: PathBuf,
}

impl Apt {
    /// One whose lists are those of the host's sources, or of `source`, a line of `sources.list`.
    fn updated(making: &Path, source: Option<&str>, lock: &File) -> Outcome<Apt> {
        let apt = Apt { directory: making.join("apt") };
        for directory in ["lists/partial", "archives/partial", "singly"] {
            made(&apt.directory.join(directory))?;
        }
        configure(&apt.directory, source)?;
        apt.get(&["update"], lock)?;
        Ok(apt)
    }

    fn get(&self, words: &[&str], lock: &File) -> Outcome {
        run(self.command().arg("-qq").args(words), lock)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("apt-get");
        let directory = self.directory.join("singly");
        command.current_dir(directory).env("APT_CONFIG", self.directory.join("conf"));
        command
    }

    /// Fetches these packages and no others, and unpacks them into `directory`.
    fn download(&self, packages: &[&str], directory: &Path, lock: &File) -> Outcome {
        if packages.is_empty() {
            return Ok(());
        }
        self.get(&[&["download"][..], packages].concat(), lock)?;
        unpack(&self.directory.join("singly"), directory, lock)
    }

    /// Where the host gets Debian's packages from.
    fn mirror(&self) -> Outcome<String> {
        let list = ["indextargets", "--format", "$(LABEL)|$(REPO_URI)", "Created-By: Packages"];
        let listed = self
            .command()
            .args(list)
            .output()
            .map_err(|error| failed("run", Path::new("apt-get"), &error))?;
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let mirror = listed.lines().find_map(|line| line.strip_prefix("Debian|"));
        mirror
            .map(str::to_owned)
            .ok_or_else(|| Failed::new("this system's packages are not Debian's"))
    }

    fn remove(self) -> Outcome {
        let directory = &self.directory;
        fs::remove_dir_all(directory).map_err(|error| failed("remove", directory, &error))
    }
}

/// Adds to a key what of these packages the host has installed, because that is not fetched.
pub fn hash_installed(packages: &[&str], hasher: &mut impl Hasher) -> Outcome {
    let installed = Command::new("dpkg-query")
        .args(["-W", "-f=${Package} ${Version} ${db:Status-Abbrev}\n"])
        .args(packages)
        .output()
        .map_err(|error| failed("run", Path::new("dpkg-query"), &error))?;
    // Its exit status only says that some of them are not installed.
    installed.stdout.hash(hasher);
    Ok(())
}

/// A configuration of apt: the host's proxies and the like, but none of its hooks, which act on the host,
/// nor of the indexes that other programs wish for.
fn configure(apt: &Path, source: Option<&str>) -> Outcome {
    let host = Command::new("apt-config")
        .arg("dump")
        .output()
        .map_err(|error| failed("run", Path::new("apt-config"), &error))?;
    let host = String::from_utf8_lossy(&host.stdout).into_owned();
    let mut text: String = host
        .lines()
        .filter(|line| line.starts_with("Acquire::"))
        .filter(|line| !line.starts_with("Acquire::IndexTargets"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let shown = apt.display();
    text.push_str(&format!(
        "Dir::Etc::parts \"/dev/null\";\nDir::Etc::main \"/dev/null\";\n\
         Dir::State::lists \"{shown}/lists\";\nDir::Cache::archives \"{shown}/archives\";\n\
         Dir::Cache::pkgcache \"\";\nDir::Cache::srcpkgcache \"\";\n\
         Acquire::Retries \"3\";\nDebug::NoLocking \"1\";\nAPT::Sandbox::User \"\";\nAcquire::Languages \"none\";\n"
    ));
    if let Some(source) = source {
        let path = apt.join("sources.list");
        fs::write(&path, source).map_err(|error| failed("write", &path, &error))?;
        text.push_str(&format!(
            "Dir::Etc::sourcelist \"{shown}/sources.list\";\nDir::Etc::sourceparts \"/dev/null\";\n"
        ));
    }
    let path = apt.join("conf");
    fs::write(&path, text).map_err(|error| failed("write", &path, &error))
}

/// Unpacks all packages in `archives` into `directory`, without running what they would run.
fn unpack(archives: &Path, directory: &Path, lock: &File) -> Outcome {
    for name in ["bin", "sbin", "lib", "lib64"] {
        // Packages that still say /bin mean /usr/bin.
        made(&directory.join("usr").join(name))?;
        let link = directory.join(name);
        std::os::unix::fs::symlink(Path::new("usr").join(name), &link)
            .map_err(|error| failed("make", &link, &error))?;
    }
    let entries = fs::read_dir(archives).map_err(|error| failed("list", archives, &error))?;
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "deb") {
            unpack_one(&path, directory, lock)?;
        }
    }
    Ok(())
}

fn unpack_one(package: &Path, directory: &Path, lock: &File) -> Outcome {
    let mut read = Command::new("dpkg-deb");
    read.arg("--fsys-tarfile").arg(package).stdin(kept::shared(lock)?).stdout(Stdio::piped());
    let mut read = read.spawn().map_err(|error| failed("unpack", package, &error))?;
    let mut write = Command::new("tar");
    write.args(["-x", "--keep-directory-symlink", "-C"]).arg(directory);
    for unread in ["doc", "info", "locale", "man"] {
        write.arg(format!("--exclude=./usr/share/{unread}/*"));
    }
    if !is_root() {
        write.arg("--no-same-owner");
    }
    if let Some(files) = read.stdout.take() {
        write.stdin(files);
    }
    let written = kept::finish(&mut write);
    let read = read.wait().map_err(|error| failed("unpack", package, &error))?;
    written?;
    if read.success() {
        return Ok(());
    }
    Err(Failed::new(format!("`{}` cannot be unpacked: {read}", package.display())))
}
