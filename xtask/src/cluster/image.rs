//! Container images, made of files of this machine, as archives that `ctr images import` reads. No registry
//! is asked for anything.

use crate::run::{Failed, Outcome, command, failed, made};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// The image of the project's own program.
pub const BECKET: &str = "local/becket:1";

/// What Becket runs on a node for its own backends; `xfs_admin` is a script around `xfs_db`.
const NODE_PROGRAMS: [&str; 10] = [
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

/// Lays Becket over that, and the programs that it runs on a node with their libraries: this machine's.
pub fn lay_becket(binary: &Path, files: &Path) -> Outcome {
    copy(binary, &files.join("usr/sbin/becket"))?;
    for name in NODE_PROGRAMS {
        let places = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
        let found = places.iter().map(|place| Path::new(place).join(name)).find(|at| at.is_file());
        let Some(program) = found else {
            eprintln!("xtask: the image will have no `{name}`: this machine has none");
            continue;
        };
        copy(&program, &files.join("usr/sbin").join(name))?;
        // A script has none, and is no failure.
        let libraries = command("ldd").arg(&program).read().unwrap_or_default();
        for library in libraries_in(&libraries) {
            copy(&library, &files.join(library.strip_prefix("/").unwrap_or(&library)))?;
        }
    }
    Ok(())
}

/// The paths in what `ldd` says.
fn libraries_in(text: &str) -> Vec<PathBuf> {
    let path = |line: &str| {
        let words = line.split_once("=>").map_or(line, |(_, found)| found);
        words.split_whitespace().next().filter(|word| word.starts_with('/')).map(PathBuf::from)
    };
    text.lines().filter_map(path).collect()
}

/// Packs the root directory `files` as an image called `tag` into the file `archive`. Its parts are
/// made beside that. A container of it runs `words` unless it is told otherwise.
pub fn pack(files: &Path, tag: &str, words: &[&str], archive: &Path) -> Outcome {
    let parts = archive.with_extension("parts");
    made(&parts)?;
    let layer = parts.join("layer.tar");
    tar(files, &layer, &["."])?;
    let digest = command("sha256sum").arg(&layer).read().unwrap_or_default();
    let digest = digest.split_whitespace().next().unwrap_or_default().to_owned();
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let words = words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(",");
    let configuration = format!(
        r#"{{"os":"linux","architecture":"{machine}","config":{{"Env":["PATH=/usr/sbin:/usr/bin"],"Cmd":[{words}]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{digest}"]}}}}"#
    );
    let contents =
        format!(r#"[{{"Config":"config.json","RepoTags":["{tag}"],"Layers":["layer.tar"]}}]"#);
    for (name, text) in [("config.json", configuration), ("manifest.json", contents)] {
        let path = parts.join(name);
        fs::write(&path, text).map_err(|error| failed("write", &path, &error))?;
    }
    tar(&parts, archive, &["config.json", "layer.tar", "manifest.json"])?;
    fs::remove_dir_all(&parts).map_err(|error| failed("remove", &parts, &error))
}

/// An archive of `names` in `directory`, the same whenever the files are.
fn tar(directory: &Path, archive: &Path, names: &[&str]) -> Outcome {
    let same = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
    let tar = command("tar").args(&same).args(&["-C"]).arg(directory).args(&["-cf"]).arg(archive);
    tar.args(names).run_quietly()
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
