//! `cargo xtask tidy`: what can be seen without running anything.

use crate::run::{Failed, Outcome, cargo, command, root};
use crate::setup;
use std::path::{Path, PathBuf};

/// Lines a source file may have. Around 300 is where one starts to look for a seam.
const LONGEST_FILE: usize = 360;

/// Which crates a crate may use, outermost last: sys, core, backends, then frontends and the binary.
const MAY_USE: &[(&str, &[&str])] = &[
    ("becket-sys", &[]),
    ("becket-core", &["becket-sys"]),
    ("becket-backends", &["becket-sys", "becket-core"]),
    ("becket-flexvolume", &["becket-sys", "becket-core", "becket-backends"]),
    ("becket-csi", &["becket-sys", "becket-core", "becket-backends"]),
    ("becket-kubernetes", &["becket-core"]),
    ("becket-conformance", &["becket-sys", "becket-core", "becket-csi"]),
    (
        "becket",
        &[
            "becket-sys",
            "becket-core",
            "becket-backends",
            "becket-flexvolume",
            "becket-csi",
            "becket-kubernetes",
            "becket-conformance",
        ],
    ),
    ("becket-guest", &[]),
    ("becket-cluster-node", &[]),
];

/// Crates whose weight or runtime the callout path must not carry.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("tokio", &["becket-csi", "becket-conformance", "becket-kubernetes"]),
    ("tonic", &["becket-csi", "becket-conformance"]),
    ("kube", &["becket-kubernetes"]),
];

/// All checks; every finding is shown before it fails.
pub fn everything() -> Outcome {
    let mut findings = Vec::new();
    findings.extend(dependency_law()?);
    findings.extend(source_rules()?);
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    let checks = [
        cargo(&["fmt", "--all", "--check"]).run(),
        cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]).run(),
        setup::cargo_deny().and_then(|program| {
            command(program).args(&["check", "bans", "licenses", "sources"]).run()
        }),
    ];
    let failed = checks.iter().filter(|check| check.is_err()).count() + findings.len();
    match failed {
        0 => Ok(()),
        failed => Err(Failed::new(format!("{failed} things are not tidy"))),
    }
}

/// The dependency law, read from the manifests.
fn dependency_law() -> Outcome<Vec<String>> {
    let mut findings = Vec::new();
    for manifest in crate_manifests()? {
        let text = read(&manifest)?;
        let name = text
            .lines()
            .find_map(|line| line.strip_prefix("name = "))
            .unwrap_or("")
            .trim_matches('"');
        let Some((_, allowed)) = MAY_USE.iter().find(|(known, _)| *known == name) else {
            findings.push(format!(
                "crate `{name}` has no place in the dependency law (xtask/src/tidy.rs)"
            ));
            continue;
        };
        for used in dependencies(&text) {
            if used.starts_with("becket") && !allowed.contains(&used) {
                findings.push(format!("crate `{name}` must not use `{used}`"));
            }
            if ONLY_IN.iter().any(|(what, places)| *what == used && !places.contains(&name)) {
                findings.push(format!(
                    "crate `{name}` must not use `{used}`: the callout path pays for it"
                ));
            }
        }
    }
    Ok(findings)
}

fn dependencies(manifest: &str) -> Vec<&str> {
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or("");
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    lines
        .filter_map(|line| Some(line.split(['.', ' ', '=']).next()?.trim()))
        .filter(|name| !name.is_empty())
        .collect()
}

fn crate_manifests() -> Outcome<Vec<PathBuf>> {
    let mut crates = list(&root().join("crates"))?;
    crates.extend(["guest", "node"].map(|name| root().join("xtask").join(name)));
    Ok(crates
        .into_iter()
        .map(|path| path.join("Cargo.toml"))
        .filter(|path| path.is_file())
        .collect())
}

/// Rules that a reader relies on in every source file.
fn source_rules() -> Outcome<Vec<String>> {
    let mut findings = Vec::new();
    for path in sources(&root())? {
        let text = read(&path)?;
        let shown = path.strip_prefix(root()).unwrap_or(&path).display().to_string();
        findings.extend(file_findings(&shown, &text));
    }
    Ok(findings)
}

fn file_findings(shown: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > LONGEST_FILE {
        findings.push(format!("`{shown}` has {lines} lines; find the seam"));
    }
    if !text.starts_with("//!") {
        findings.push(format!("`{shown}` does not open by saying what it is for"));
    }
    let product = shown.starts_with("crates/") && !shown.contains("tests");
    let here = shown == "xtask/src/tidy.rs";
    if product && !shown.starts_with("crates/sys/") && text.contains("unsafe {") {
        findings.push(format!("`{shown}` has unsafe code, which belongs in crates/sys"));
    }
    // Targets go by plain rmdir, and trees only in a pool's trash, by `Dir::purge`.
    if product && text.contains("remove_dir_all") {
        findings.push(format!(
            "`{shown}` removes a tree; only a pool's trash is emptied, by `Dir::purge`"
        ));
    }
    let unfinished = ["todo!(", "unimplemented!(", "dbg!("];
    for word in unfinished.iter().filter(|word| !here && text.contains(**word)) {
        findings.push(format!("`{shown}` has `{word}…)`"));
    }
    findings
}

fn sources(directory: &Path) -> Outcome<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in list(directory)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(sources(&path)?);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
    Ok(found)
}

fn list(directory: &Path) -> Outcome<Vec<PathBuf>> {
    let failed = |error| Failed::new(format!("cannot list `{}`: {error}", directory.display()));
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        paths.push(entry.map_err(failed)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Outcome<String> {
    std::fs::read_to_string(path)
        .map_err(|error| Failed::new(format!("cannot read `{}`: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_finds_what_it_is_for() {
        let clean = "//! A file.\nfn f() {}\n";
        assert!(file_findings("crates/core/src/x.rs", clean).is_empty());
        let long = format!("//! A file.\n{}", "\n".repeat(LONGEST_FILE));
        for (text, words) in [
            ("fn f() {}\n", "does not open"),
            ("//! A file.\nfn f() { unsafe { g() } }\n", "unsafe"),
            ("//! A file.\nfn f() { std::fs::remove_dir_all(p) }\n", "removes a tree"),
            (&long, "find the seam"),
        ] {
            let findings = file_findings("crates/core/src/x.rs", text);
            assert!(
                findings.iter().any(|finding| finding.contains(words)),
                "{words}: {findings:?}"
            );
        }
        assert!(
            file_findings("crates/sys/src/x.rs", "//! A file.\nfn f() { unsafe { g() } }\n")
                .is_empty()
        );
    }

    #[test]
    fn dependencies_are_read_from_a_manifest() {
        let manifest = "[package]\nname = \"x\"\n\n[dependencies]\nbecket-sys.workspace = true\nlog = \"1\"\n\n[dev-dependencies]\ntokio = \"1\"\n";
        assert_eq!(dependencies(manifest), ["becket-sys", "log"]);
    }
}
