//! `cargo xtask image`: container images, made of files of this machine without a container engine. No
//! registry is asked for anything.

mod archive;

use crate::cluster;
use crate::run::{Failed, Outcome, command, failed, made};
use crate::setup;
pub use archive::{pack, pack_docker};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// The image of the project's own program, as the chart asks for it where no other is named.
pub const BECKET: &str = concat!("localhost/becket:", env!("CARGO_PKG_VERSION"));

/// What Becket runs on a node for its own backends; `xfs_admin` is a script around `xfs_db`. Those that LVM
/// and encryption take are there where this machine has them.
const NODE_PROGRAMS: [&str; 13] = [
    "mkfs.ext4",
    "e2fsck",
    "resize2fs",
    "tune2fs",
    "mkfs.xfs",
    "xfs_admin",
    "xfs_db",
    "xfs_io",
    "mkfs.btrfs",
    "btrfs",
    "lvm",
    "thin_check",
    "cryptsetup",
];

/// Directories of every image; `/bin` and its like are links to those below `usr`.
const DIRECTORIES: [&str; 9] =
    ["usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "etc", "root", "tmp", "var/lib", "proc"];

/// Lays a root directory with a static busybox and links to it for all that it can be.
pub fn lay_busybox(busybox: &Path, files: &Path) -> Outcome {
    for name in DIRECTORIES {
        made(&files.join(name))?;
    }
    for name in ["bin", "sbin", "lib", "lib64"] {
        link(&Path::new("usr").join(name), &files.join(name))?;
    }
    let tmp = files.join("tmp");
    fs::set_permissions(&tmp, fs::Permissions::from_mode(0o1777))
        .map_err(|error| failed("open to all", &tmp, &error))?;
    let user = files.join("etc/passwd");
    fs::write(&user, "root:x:0:0:root:/root:/bin/sh\n")
        .map_err(|error| failed("write", &user, &error))?;
    let own = files.join("usr/bin/busybox");
    copy(busybox, &own)?;
    let names = command(&own).args(&["--list"]).read();
    let names = names.ok_or_else(|| Failed::new("busybox does not say what it can be"))?;
    for name in names.split_whitespace().filter(|name| *name != "busybox") {
        link(Path::new("busybox"), &files.join("usr/bin").join(name))?;
    }
    Ok(())
}

/// The action of the command line: makes the image of Becket as an archive at `output`, or in the target
/// directory. The same binary and programs make the same archive.
pub fn action(output: Option<&str>) -> Outcome {
    let binary = cluster::binary()?;
    if !libraries_of(&binary).is_empty() {
        return Err(Failed::new(format!(
            "`{}` takes libraries of this machine: an image is for others, so it takes a static binary",
            binary.display()
        )));
    }
    let output = match output {
        Some(path) => {
            std::path::absolute(path).map_err(|error| failed("use", path.as_ref(), &error))?
        }
        None => setup::target_directory().join("becket-image.tar"),
    };
    setup::host_programs()?;
    becket(&binary, BECKET, &output)?;
    let size = fs::metadata(&output).map_err(|error| failed("read", &output, &error))?.len();
    eprintln!("{} is the image {BECKET}, {:.1} MB", output.display(), size as f64 / 1e6);
    Ok(())
}

/// Makes the image of Becket, and of what it runs on a node, under this name, as the file `archive`. Its files
/// are laid beside that.
pub fn becket(binary: &Path, name: &str, archive: &Path) -> Outcome {
    let files = archive.with_extension("files");
    if files.exists() {
        fs::remove_dir_all(&files).map_err(|error| failed("remove", &files, &error))?;
    }
    let packages = cluster::packages()?;
    lay_busybox(&packages.path.join("busybox"), &files)?;
    lay_becket(binary, &files)?;
    pack(&files, name, &["becket", "--help"], archive)?;
    fs::remove_dir_all(&files).map_err(|error| failed("remove", &files, &error))
}

/// Lays Becket over that, and the programs that it runs on a node with their libraries: this machine's.
fn lay_becket(binary: &Path, files: &Path) -> Outcome {
    lay_program(binary, "usr/sbin/becket", files)?;
    for name in NODE_PROGRAMS {
        let Some(program) = program_of_this_machine(name) else {
            eprintln!("xtask: the image will have no `{name}`: this machine has none");
            continue;
        };
        lay_program(&program, &format!("usr/sbin/{name}"), files)?;
    }
    Ok(())
}

/// Where a program of this machine is, if it is there.
pub fn program_of_this_machine(name: &str) -> Option<PathBuf> {
    let places = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    places.iter().map(|place| Path::new(place).join(name)).find(|at| at.is_file())
}

/// Lays a program at a path below `files`, and its libraries at the paths where they are here.
pub fn lay_program(program: &Path, at: &str, files: &Path) -> Outcome {
    copy(program, &files.join(at))?;
    libraries_of(program).iter().try_for_each(|library| {
        copy(library, &files.join(library.strip_prefix("/").unwrap_or(library)))
    })
}

/// None of a static program or of a script, which is no failure.
fn libraries_of(program: &Path) -> Vec<PathBuf> {
    libraries_in(&command("ldd").arg(program).read().unwrap_or_default())
}

/// The paths in what `ldd` says.
fn libraries_in(text: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let words = line.split_once("=>").map_or(line, |(_, found)| found);
        words.split_whitespace().next().filter(|word| word.starts_with('/')).map(PathBuf::from)
    };
    text.lines().filter_map(path).collect()
}

/// A copy that takes the place of what is there.
fn copy(from: &Path, to: &Path) -> Outcome {
    if let Some(directory) = to.parent() {
        made(directory)?;
    }
    let _ = fs::remove_file(to);
    fs::copy(from, to).map(drop).map_err(|error| failed("copy", from, &error))
}

fn link(to: &Path, at: &Path) -> Outcome {
    symlink(to, at).map_err(|error| failed("make", at, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_says() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\tlibc.so.6 => /lib/libc.so.6 (0x00007f)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n\tlibgone.so => not found\n";
        let paths = ["/lib/libc.so.6", "/lib64/ld-linux-x86-64.so.2"].map(PathBuf::from);
        assert_eq!(libraries_in(text), paths);
        assert!(libraries_in("\tstatically linked\n").is_empty());
    }
}
