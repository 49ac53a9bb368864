//! Root directories packed as images, in archives that container runtimes read. The same files make the same
//! archive: no time, owner or order of this machine is in it.

use crate::run::{Failed, Outcome, command, failed, made};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Packs the root directory `files` as an image into the file `archive`, in the form of the Open Container
/// Initiative and, for older programs, in Docker's. `name` is the whole name, with a registry and a tag. A
/// container of it runs `words` unless it is told otherwise. Parts are made beside the archive.
pub fn pack(files: &Path, name: &str, words: &[&str], archive: &Path) -> Outcome {
    let parts = archive.with_extension("parts");
    let blobs = parts.join("blobs/sha256");
    made(&blobs)?;
    let layer = parts.join("layer");
    let unpacked = tar_files(files, &layer)?;
    // Without the time and the name that gzip would write.
    command("gzip").args(&["-9", "--no-name"]).arg(&layer).run_quietly()?;
    let layer = Blob::of_file(&parts.join("layer.gz"), &blobs)?;
    let configuration = Blob::of_text(&configuration(&unpacked, &[], words), &parts, &blobs)?;
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{},"layers":[{}]}}"#,
        configuration.described("application/vnd.oci.image.config.v1+json"),
        layer.described("application/vnd.oci.image.layer.v1.tar+gzip"),
    );
    let manifest = Blob::of_text(&manifest, &parts, &blobs)?;
    let tag = name.rsplit_once(':').map_or("latest", |(_, tag)| tag);
    // The first annotation is what containerd calls the image, the second is the specification's.
    let named = format!(
        r#"{},"annotations":{{"io.containerd.image.name":"{name}","org.opencontainers.image.ref.name":"{tag}"}}}}"#,
        manifest.described(MANIFEST).trim_end_matches('}'),
    );
    let docker = docker(&configuration.path(), &[name], &layer.path());
    for (file, text) in [
        ("oci-layout", r#"{"imageLayoutVersion":"1.0.0"}"#.to_owned()),
        ("index.json", format!(r#"{{"schemaVersion":2,"manifests":[{named}]}}"#)),
        ("manifest.json", docker),
    ] {
        write(&parts.join(file), &text)?;
    }
    tar(&parts, archive, &["blobs", "index.json", "manifest.json", "oci-layout"])?;
    fs::remove_dir_all(&parts).map_err(|error| failed("remove", &parts, &error))
}

/// [`pack`] in Docker's form alone, of which the runtime completes names that have no registry. What a
/// container runs is `entrypoint` and then `words`, and who tells it otherwise may leave the first as it is.
pub fn pack_docker(
    files: &Path,
    names: &[&str],
    entrypoint: &[&str],
    words: &[&str],
    archive: &Path,
) -> Outcome {
    let parts = archive.with_extension("parts");
    made(&parts)?;
    let unpacked = tar_files(files, &parts.join("layer.tar"))?;
    let configuration = configuration(&unpacked, entrypoint, words);
    write(&parts.join("config.json"), &configuration)?;
    write(&parts.join("manifest.json"), &docker("config.json", names, "layer.tar"))?;
    tar(&parts, archive, &["config.json", "layer.tar", "manifest.json"])?;
    fs::remove_dir_all(&parts).map_err(|error| failed("remove", &parts, &error))
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Bytes that are called by their digest.
struct Blob {
    digest: String,
    size: u64,
}

impl Blob {
    /// Of a file, which is moved to the others.
    fn of_file(file: &Path, blobs: &Path) -> Outcome<Blob> {
        let digest = digest(file)?;
        let size = fs::metadata(file).map_err(|error| failed("read", file, &error))?.len();
        fs::rename(file, blobs.join(&digest)).map_err(|error| failed("move", file, &error))?;
        Ok(Blob { digest, size })
    }

    fn of_text(text: &str, parts: &Path, blobs: &Path) -> Outcome<Blob> {
        let file = parts.join("text");
        write(&file, text)?;
        Blob::of_file(&file, blobs)
    }

    fn described(&self, kind: &str) -> String {
        let Blob { digest, size } = self;
        format!(r#"{{"mediaType":"{kind}","digest":"sha256:{digest}","size":{size}}}"#)
    }

    fn path(&self) -> String {
        format!("blobs/sha256/{}", self.digest)
    }
}

fn configuration(unpacked: &str, entrypoint: &[&str], words: &[&str]) -> String {
    let machine = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let entrypoint = match entrypoint {
        [] => String::new(),
        entrypoint => format!(r#""Entrypoint":[{}],"#, quoted(entrypoint)),
    };
    let words = quoted(words);
    format!(
        r#"{{"os":"linux","architecture":"{machine}","config":{{"Env":["PATH=/usr/sbin:/usr/bin"],{entrypoint}"Cmd":[{words}]}},"rootfs":{{"type":"layers","diff_ids":["sha256:{unpacked}"]}}}}"#
    )
}

fn docker(configuration: &str, names: &[&str], layer: &str) -> String {
    let names = quoted(names);
    format!(r#"[{{"Config":"{configuration}","RepoTags":[{names}],"Layers":["{layer}"]}}]"#)
}

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(",")
}

fn write(path: &Path, text: &str) -> Outcome {
    fs::write(path, text).map_err(|error| failed("write", path, &error))
}

fn digest(file: &Path) -> Outcome<String> {
    let told = command("sha256sum").arg(file).read().unwrap_or_default();
    let digest = told.split_whitespace().next().map(str::to_owned);
    digest.ok_or_else(|| Failed::new(format!("`{}` has no digest", file.display())))
}

/// An archive of a root directory; gives its digest.
fn tar_files(files: &Path, archive: &Path) -> Outcome<String> {
    tar(files, archive, &["."])?;
    digest(archive)
}

/// An archive of `names` in `directory`.
fn tar(directory: &Path, archive: &Path, names: &[&str]) -> Outcome {
    open_alike(directory)?;
    let same =
        ["--format=gnu", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
    let tar = command("tar").args(&same).args(&["-C"]).arg(directory).args(&["-cf"]).arg(archive);
    tar.args(names).run_quietly()
}

/// Gives a tree the permissions that it has wherever it is made: who makes it may mask some. A directory that
/// is open to all stays so.
fn open_alike(path: &Path) -> Outcome {
    let found = fs::symlink_metadata(path).map_err(|error| failed("read", path, &error))?;
    if found.is_symlink() {
        return Ok(());
    }
    let mode = found.permissions().mode();
    let wanted = match (found.is_dir(), mode & 0o1000 != 0, mode & 0o100 != 0) {
        (true, true, _) => 0o1777,
        (true, false, _) | (false, _, true) => 0o755,
        (false, _, false) => 0o644,
    };
    fs::set_permissions(path, fs::Permissions::from_mode(wanted))
        .map_err(|error| failed("open", path, &error))?;
    if !found.is_dir() {
        return Ok(());
    }
    let entries = fs::read_dir(path).map_err(|error| failed("list", path, &error))?;
    entries.flatten().try_for_each(|entry| open_alike(&entry.path()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_files_make_the_same_archive_whenever_and_by_whomever_they_were_laid() {
        let place = std::env::temp_dir().join(format!("becket-image-{}", std::process::id()));
        let archive = |name: &str, mode: u32| {
            let files = place.join(name);
            made(&files.join("usr/bin")).unwrap();
            for (file, own) in [("usr/bin/program", 0o700 | mode), ("usr/text", 0o600 | mode)] {
                write(&files.join(file), file).unwrap();
                let own = fs::Permissions::from_mode(own);
                fs::set_permissions(files.join(file), own).unwrap();
            }
            let archive = place.join(name).with_extension("tar");
            pack(&files, "localhost/one:1", &["program"], &archive).unwrap();
            fs::read(archive).unwrap()
        };
        let (one, other) = (archive("one", 0o044), archive("other", 0));
        assert!(one == other);
        let listed = command("tar").args(&["-tf"]).arg(place.join("one.tar")).read().unwrap();
        for name in ["oci-layout", "index.json", "manifest.json", "blobs/sha256/"] {
            assert!(listed.lines().any(|line| line == name), "{name}: {listed}");
        }
        fs::remove_dir_all(&place).unwrap();
    }
}
