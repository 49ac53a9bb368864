//! What a guest is told: `key=value` records, each ended by a NUL; `xtask/guest/src/settings.rs` reads
//! them on the other side.

use super::{NoGuest, Options, ours};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Directories that the guest has of its own: the host's are not seen below them.
const OWN: [&str; 5] = ["/tmp", "/run", "/dev", "/proc", "/sys"];

/// Variables that every command gets if they are set here.
const PASSED: [&str; 2] = ["RUST_BACKTRACE", "RUST_LOG"];
const PASSED_PREFIX: &str = "BECKET_";

/// The settings for `command`.
pub fn text(
    options: &Options,
    command: &[OsString],
    program: &Path,
    tree: &Path,
) -> Result<Vec<u8>, NoGuest> {
    let directory = std::env::current_dir()
        .map_err(|error| NoGuest::Broken(format!("there is no working directory: {error}")))?;
    let mut records = Records::default();
    records.add("tree", tree);
    records.add("memory", &options.memory);
    records.add("program", program);
    if options.udev {
        records.add("udev", "");
    }
    if options.nfs_server {
        records.add("nfsd", "");
    }
    let mut always = ours().to_vec();
    always.extend(hidden(&directory));
    always.extend(command.first().and_then(|word| hidden(Path::new(word).parent()?)));
    for (path, key) in shares(always, &options.readable, &options.writable) {
        records.add(key, path);
    }
    records.add("directory", &directory);
    let passed = std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        PASSED.contains(&name.as_ref()) || name.starts_with(PASSED_PREFIX)
    });
    for (name, value) in passed.chain(options.variables.iter().cloned()) {
        let mut both = name;
        both.push("=");
        both.push(value);
        records.add("variable", both);
    }
    command.iter().for_each(|word| records.add("argument", word));
    records.finish()
}

/// The directory by its real path, if a guest would not see it by itself.
fn hidden(directory: &Path) -> Option<PathBuf> {
    let real = std::fs::canonicalize(directory).ok()?;
    let below = |own: &&str| real != Path::new(own) && real.starts_with(own);
    OWN.iter().any(below).then_some(real)
}

/// What is shown, outermost first, so that an inner directory covers an outer one and not the reverse.
/// What is always shown gives way where somebody asked for the same files.
fn shares(
    always: Vec<PathBuf>,
    readable: &[PathBuf],
    writable: &[PathBuf],
) -> Vec<(PathBuf, &'static str)> {
    let mut shares: Vec<(PathBuf, &str)> = Vec::new();
    let asked = writable.iter().map(|path| (path, "rw"));
    let asked = asked.chain(readable.iter().map(|path| (path, "ro")));
    for (path, key) in asked.chain(always.iter().map(|path| (path, "ro"))) {
        let given = shares.iter().any(|(outer, access)| {
            path == outer || (path.starts_with(outer) && (*access == key || always.contains(path)))
        });
        if !given {
            shares.push((path.clone(), key));
        }
    }
    shares.sort_by_key(|(path, _)| path.components().count());
    shares
}

#[derive(Default)]
struct Records {
    text: Vec<u8>,
    /// A record that has a NUL in it, which would be read as two.
    wrong: Option<String>,
}

impl Records {
    fn add(&mut self, key: &str, value: impl AsRef<OsStr>) {
        let value = value.as_ref().as_bytes();
        if value.contains(&0) {
            self.wrong = Some(key.to_owned());
        }
        self.text.extend_from_slice(key.as_bytes());
        self.text.push(b'=');
        self.text.extend_from_slice(value);
        self.text.push(0);
    }

    fn finish(self) -> Result<Vec<u8>, NoGuest> {
        match self.wrong {
            None => Ok(self.text),
            Some(key) => Err(NoGuest::Broken(format!("the setting `{key}` has a NUL in it"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(
        always: &[&str],
        readable: &[&str],
        writable: &[&str],
    ) -> Vec<(String, &'static str)> {
        let paths = |all: &[&str]| all.iter().map(PathBuf::from).collect::<Vec<_>>();
        shares(paths(always), &paths(readable), &paths(writable))
            .into_iter()
            .map(|(path, key)| (path.display().to_string(), key))
            .collect()
    }

    #[test]
    fn what_is_shown_goes_from_the_outermost_in() {
        let shown = sorted(&["/src", "/target"], &["/tmp/a/b"], &["/src/target"]);
        let wanted = [("/target", "ro"), ("/src", "ro"), ("/src/target", "rw"), ("/tmp/a/b", "ro")];
        let mut shown: Vec<(&str, &str)> =
            shown.iter().map(|(path, key)| (path.as_str(), *key)).collect();
        shown.sort_by_key(|(path, _)| (path.matches('/').count(), *path != "/target"));
        assert_eq!(shown, wanted);
    }

    #[test]
    fn what_is_always_shown_gives_way_to_what_was_asked_for() {
        assert_eq!(sorted(&["/src", "/src/target"], &[], &["/src"]), [("/src".into(), "rw")]);
        assert_eq!(sorted(&["/top/src"], &[], &["/top"]), [("/top".into(), "rw")]);
        assert_eq!(sorted(&["/src", "/src/target"], &[], &[]), [("/src".into(), "ro")]);
    }

    #[test]
    fn a_nul_in_a_value_is_refused() {
        let mut records = Records::default();
        records.add("argument", "a\0tree=/etc");
        assert!(records.finish().is_err());
    }
}
