//! What a guest is made of: Debian packages, resolved by name, fetched and unpacked.
//!
//! apt works on lists of its own and only downloads, so neither root nor a change of the host is needed.
//! What the host has installed is not fetched: the guest sees the host's files.

use crate::run::{Failed, Outcome, is_root};
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};

/// The kernel, which is fetched even where the host has it.
pub const KERNEL: &str = "user-mode-linux";

/// All programs that tests call in a guest.
pub const PACKAGES: [&str; 17] = [
    "btrfs-progs",
    "cryptsetup-bin",
    "dmsetup",
    "e2fsprogs",
    "iproute2",
    "keyutils",
    "kmod",
    "lvm2",
    "mount",
    "nfs-common",
    "nfs-kernel-server",
    "procps",
    "rpcbind",
    "thin-provisioning-tools",
    "udev",
    "util-linux",
    "xfsprogs",
];

/// Fetches and unpacks them into the empty directory `making`: the kernel as `linux.uml`, the packages
/// as `root`. Every program gets the locked file `lock` as its stdin: if this process is killed, the
/// lock is held until the last program has ended, and nobody else works in the directory meanwhile.
pub fn make(making: &Path, lock: &File) -> Outcome {
    let (apt, kernel, files) = (making.join("apt"), making.join("kernel"), making.join("root"));
    for directory in ["lists/partial", "archives/partial"] {
        made(&apt.join(directory))?;
    }
    made(&kernel)?;
    configure(&apt)?;
    let get = |words: &[&str], directory: &Path| {
        let mut command = Command::new("apt-get");
        command.arg("-qq").args(words).current_dir(directory).env("APT_CONFIG", apt.join("conf"));
        run(&mut command, lock)
    };
    get(&["update"], &apt)?;
    let install = ["install", "-y", "--no-install-recommends", "--download-only"];
    get(&[&install[..], &PACKAGES].concat(), &apt)?;
    get(&["download", KERNEL], &kernel)?;
    unpack(&apt.join("archives"), &files, lock)?;
    unpack(&kernel, &kernel.join("files"), lock)?;
    place(&kernel.join("files"), &files, making)?;
    [apt, kernel].iter().try_for_each(|directory| {
        fs::remove_dir_all(directory).map_err(|error| failed("remove", directory, &error))
    })
}

/// Puts the kernel beside the packages and its modules among them.
fn place(kernel: &Path, files: &Path, making: &Path) -> Outcome {
    let modules = files.join("usr/lib/modules");
    let from = [kernel.join("usr/lib/uml/modules"), kernel.join("usr/bin/linux.uml")];
    for (from, to) in from.iter().zip([modules, making.join("linux.uml")]) {
        fs::rename(from, &to).map_err(|error| failed("place", from, &error))?;
    }
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
    read.arg("--fsys-tarfile").arg(package).stdin(shared(lock)?).stdout(Stdio::piped());
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
    let written = finish(&mut write);
    let read = read.wait().map_err(|error| failed("unpack", package, &error))?;
    written?;
    if read.success() {
        return Ok(());
    }
    Err(Failed::new(format!("`{}` cannot be unpacked: {read}", package.display())))
}

/// Runs a program for a guest's files; `lock` as for [`make`].
pub fn run(command: &mut Command, lock: &File) -> Outcome {
    finish(command.stdin(shared(lock)?))
}

fn shared(lock: &File) -> Outcome<File> {
    lock.try_clone().map_err(|error| Failed::new(format!("cannot share a lock: {error}")))
}

/// Runs a program with its words on stderr, because stdout is the command's in the guest.
fn finish(command: &mut Command) -> Outcome {
    let shown = command.get_program().display().to_string();
    match command.stdout(std::io::stderr()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failed::new(format!("`{shown}` for the guest ended with {status}"))),
        Err(error) => Err(Failed::new(format!("`{shown}` cannot be run: {error}"))),
    }
}

/// Makes a directory, with those above it, if it is not there.
pub fn made(directory: &Path) -> Outcome {
    fs::create_dir_all(directory).map_err(|error| failed("make", directory, &error))
}

/// An error of the system with the path it is about.
pub fn failed(what: &str, path: &Path, error: &std::io::Error) -> Failed {
    Failed::new(format!("cannot {what} `{}`: {error}", path.display()))
}
