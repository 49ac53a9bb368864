//! Debian packages, resolved by name, fetched and unpacked, never installed.
//!
//! apt works on lists of its own and only downloads, so neither root nor a change of the host is needed.

use crate::kept::{self, run};
use crate::run::{Failed, Outcome, failed, is_root, made};
use std::fs::{self, File};
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::process::{Command, Stdio};

/// Fetches and unpacks into the empty directory `making`: as `root` those of `packages`, and of what they
/// depend on, that the host has not installed, and as `alone` each of `alone`, even where the host has it,
/// and nothing else. Every program gets the locked file `lock` as its stdin: see [`crate::kept::ready`].
pub fn fetch(making: &Path, packages: &[&str], alone: &[&str], lock: &File) -> Outcome {
    let (apt, singly) = (making.join("apt"), making.join("singly"));
    for directory in ["lists/partial", "archives/partial"] {
        made(&apt.join(directory))?;
    }
    made(&singly)?;
    configure(&apt)?;
    let get = |words: &[&str], directory: &Path| {
        let mut command = Command::new("apt-get");
        command.arg("-qq").args(words).current_dir(directory).env("APT_CONFIG", apt.join("conf"));
        run(&mut command, lock)
    };
    get(&["update"], &apt)?;
    let install = ["install", "-y", "--no-install-recommends", "--download-only"];
    get(&[&install[..], packages].concat(), &apt)?;
    get(&[&["download"][..], alone].concat(), &singly)?;
    unpack(&apt.join("archives"), &making.join("root"), lock)?;
    unpack(&singly, &making.join("alone"), lock)?;
    [apt, singly].iter().try_for_each(|directory| {
        fs::remove_dir_all(directory).map_err(|error| failed("remove", directory, &error))
    })
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

/// A configuration of apt: the host's proxies and the like, but none of its hooks, which act on the host.
fn configure(apt: &Path) -> Outcome {
    let host = Command::new("apt-config")
        .arg("dump")
        .output()
        .map_err(|error| failed("run", Path::new("apt-config"), &error))?;
    let host = String::from_utf8_lossy(&host.stdout).into_owned();
    let mut text: String = host
        .lines()
        .filter(|line| line.starts_with("Acquire::"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let shown = apt.display();
    text.push_str(&format!(
        "Dir::Etc::parts \"/dev/null\";\nDir::Etc::main \"/dev/null\";\n\
         Dir::State::lists \"{shown}/lists\";\nDir::Cache::archives \"{shown}/archives\";\n\
         Dir::Cache::pkgcache \"\";\nDir::Cache::srcpkgcache \"\";\n\
         Acquire::Retries \"3\";\nDebug::NoLocking \"1\";\nAPT::Sandbox::User \"\";\nAcquire::Languages \"none\";\n"
    ));
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
