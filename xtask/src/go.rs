//! Tests that are written in Go, because what judges us there is: each directory is a module of its own,
//! and Go keeps what it downloads and builds outside of the tree.

use crate::run::{Failed, Outcome, command, failed, root};
use crate::setup;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

/// Runs the tests of the module in `directory` against `binary`; `what` says what is not run without Go.
pub fn test(directory: &str, what: &str, binary: &Path) -> Outcome {
    need(directory, what)?;
    // Without a package's name, what the tests write is shown as they write it.
    let arguments = ["test", "-count=1", "-timeout=60m"];
    command("go").args(&arguments).directory(directory).env("BECKET", binary).run()
}

/// Builds the tests of the module in `directory` into one program, to be run elsewhere, and gives its path.
pub fn build(directory: &str, what: &str, name: &str) -> Outcome<PathBuf> {
    need(directory, what)?;
    let programs = setup::target_directory().join("guest-tests");
    std::fs::create_dir_all(&programs)
        .map_err(|error| Failed::new(format!("cannot make `{}`: {error}", programs.display())))?;
    let path = programs.join(name);
    command("go").args(&["test", "-c", "-o"]).arg(&path).arg(".").directory(directory).run()?;
    Ok(path)
}

/// Fails, and says so loudly, without the Go that the module in `directory` takes; `what` is not run then.
pub fn need(directory: &str, what: &str) -> Outcome {
    let wanted = wanted_version(directory)?;
    let found = command("go").args(&["env", "GOVERSION"]).read();
    let version = found.as_deref().map(|text| text.trim().trim_start_matches("go"));
    if version.is_none_or(|version| numbers(version) < numbers(&wanted)) {
        let found =
            version.map_or("Go is not installed".to_owned(), |version| format!("Go is {version}"));
        eprintln!("\n!! NOT RUN: {what} ({directory}).");
        eprintln!(
            "!! {found}; it takes Go {wanted} or newer: install it from go.dev/dl or your distribution.\n"
        );
        return Err(Failed::new(format!("{what}: not run: {found}, {wanted} is needed")));
    }
    Ok(())
}

/// Tells builds from a module apart: by its files that are built, with what, and by `how`.
pub fn key(module: &str, files: &[&str], how: impl Hash) -> Outcome<u64> {
    let mut hasher = DefaultHasher::new();
    for name in files {
        let path = root().join(module).join(name);
        std::fs::read(&path).map_err(|error| failed("read", &path, &error))?.hash(&mut hasher);
    }
    let go = command("go").args(&["env", "GOVERSION", "GOOS", "GOARCH"]).directory(module).read();
    (go, how).hash(&mut hasher);
    Ok(hasher.finish())
}

/// The version in the `go` line of the module.
fn wanted_version(directory: &str) -> Outcome<String> {
    let path = root().join(directory).join("go.mod");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failed::new(format!("cannot read `{}`: {error}", path.display())))?;
    let line = text.lines().find_map(|line| line.strip_prefix("go "));
    line.map(|version| version.trim().to_owned())
        .ok_or_else(|| Failed::new(format!("`{}` has no go line", path.display())))
}

fn numbers(version: &str) -> Vec<u32> {
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>();
    version.split('.').map(|part| digits(part).parse().unwrap_or(0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_their_numbers() {
        assert!(numbers("1.26.8") > numbers("1.26.0"));
        assert!(numbers("1.9") < numbers("1.26"));
        assert!(numbers("1.27rc1") > numbers("1.26.9"));
    }

    #[test]
    fn each_module_says_which_go_it_takes() {
        let modules = [
            "tests/kubelet",
            "tests/csi",
            "tests/machine",
            "xtask/cluster",
            "xtask/helm",
            "xtask/e2e",
        ];
        for directory in modules {
            assert!(numbers(&wanted_version(directory).unwrap()) >= vec![1, 26], "{directory}");
        }
    }
}
