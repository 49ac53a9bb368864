//! What the actions need, installed where it is missing, and said.

use crate::run::{self, Failed, Outcome, cargo, command, is_there};
use std::path::PathBuf;

/// The target of the release binary: this machine's, and static, so that it runs in any container and
/// on any host.
pub fn target() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}

/// The version of cargo-deny that the tidy check was written for.
const CARGO_DENY: &str = "0.20.2";

/// Programs of the host, and the Debian packages that have them.
const PROGRAMS: &[(&str, &str)] = &[
    ("mkfs.ext4", "e2fsprogs"),
    ("mkfs.xfs", "xfsprogs"),
    ("mkfs.btrfs", "btrfs-progs"),
    ("strace", "strace"),
    ("losetup", "mount"),
    ("jq", "jq"),
];

/// The compiler of the C in `ring`, which encrypts what goes to the API server, for the static binary.
const FOR_BUILDING: &[(&str, &str)] = &[("musl-gcc", "musl-tools")];

/// Everything.
pub fn everything() -> Outcome {
    for_building()?;
    host_programs()?;
    cargo_deny().map(drop)?;
    crate::guest_tests::possible()?;
    eprintln!("all is there");
    Ok(())
}

/// What builds: a C compiler for musl, and the compiler's parts: the musl target, the formatter and the linter.
pub fn for_building() -> Outcome {
    install(FOR_BUILDING)?;
    let target = target();
    if !is_there("rustup") {
        eprintln!(
            "no rustup here: the {target} target, rustfmt and clippy are taken to be installed"
        );
        return Ok(());
    }
    let has = |list: &str, what: &str| {
        command("rustup")
            .args(&[list, "list", "--installed"])
            .read()
            .is_some_and(|all| all.contains(what))
    };
    if !has("target", &target) {
        eprintln!("installing the compiler's target {target}");
        command("rustup").args(&["target", "add", &target]).run()?;
    }
    for component in ["rustfmt", "clippy"] {
        if !has("component", component) {
            eprintln!("installing the compiler's {component}");
            command("rustup").args(&["component", "add", component]).run()?;
        }
    }
    Ok(())
}

/// Programs of the host that Becket or its tests call.
pub fn host_programs() -> Outcome {
    install(PROGRAMS)
}

/// Installs the packages whose programs are not there.
fn install(programs: &[(&str, &str)]) -> Outcome {
    let missing: Vec<&(&str, &str)> =
        programs.iter().filter(|(program, _)| !is_there(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().map(|(_, package)| *package).collect();
    if !is_there("apt-get") {
        return Err(Failed::new(format!(
            "install what has these Debian packages' programs: {}",
            packages.join(" ")
        )));
    }
    eprintln!("installing {}", packages.join(" "));
    command("apt-get").args(&["update", "-q"]).run()?;
    let words = ["install", "-q", "-y", "--no-install-recommends"];
    command("apt-get").args(&words).args(&packages).env("DEBIAN_FRONTEND", "noninteractive").run()
}

/// Builds the release binary and gives its path.
pub fn binary() -> Outcome<PathBuf> {
    for_building()?;
    cargo(&["build", "--release", "--package", "becket", "--target", &target()]).run()?;
    Ok(target_directory().join(target()).join("release/becket"))
}

/// Where cargo builds.
pub fn target_directory() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| run::root().join("target"), PathBuf::from)
}

/// What the actions keep outside of the tree.
pub fn cache() -> Outcome<PathBuf> {
    let cache = match (std::env::var_os("XDG_CACHE_HOME"), std::env::var_os("HOME")) {
        (Some(cache), _) => PathBuf::from(cache),
        (None, Some(home)) => PathBuf::from(home).join(".cache"),
        (None, None) => return Err(Failed::new("neither XDG_CACHE_HOME nor HOME is set")),
    };
    Ok(cache.join("becket"))
}

/// cargo-deny, from the path or from a cache outside of the tree, where it is built once.
pub fn cargo_deny() -> Outcome<PathBuf> {
    if is_there("cargo-deny") {
        return Ok("cargo-deny".into());
    }
    let tools = cache()?.join("tools");
    let program = tools.join("bin/cargo-deny");
    if !program.is_file() {
        eprintln!("building cargo-deny {CARGO_DENY}, once; it takes some minutes");
        cargo(&["install", "cargo-deny", "--locked", "--quiet", "--version", CARGO_DENY, "--root"])
            .arg(&tools)
            .run()?;
    }
    Ok(program)
}
