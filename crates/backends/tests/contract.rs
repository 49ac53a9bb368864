//! The contract of a backend (`becket_core::contract`), kept by `image` on three filesystems and by
//! `directory` on two, with quotas where this kernel can enforce them. Needs root.

// Tests: a panic with a clear message is how they tell.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod fullness;
mod medium;
mod scratch;

use becket_backends::{Directory, Image};
use becket_core::contract::{self, Ground};
use becket_core::engine::NewPool;
use becket_core::record::Content;
use becket_core::{Backend, Engine, Name, State};
use becket_sys::child;
use medium::Medium;
use scratch::Scratch;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A fresh pool of the backend in a directory of its own on the medium.
fn ground<B: Backend + Copy + 'static>(medium: &Medium, backend: B) -> Ground {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let scratch = Scratch::new(&format!("ground-{}", NUMBER.fetch_add(1, Ordering::Relaxed)));
    let place = medium.place();
    let state = scratch.path().join("state");
    let engines = Box::new(move |wait: Duration| {
        let backends: Vec<Box<dyn Backend>> = vec![Box::new(backend)];
        Engine::new(State::new(&state), backends).waiting(wait)
    });
    let mut new = NewPool::new(Name::new("pool").unwrap(), backend.name());
    new.path = Some(place);
    engines(Duration::ZERO).create_pool(&new).unwrap();
    let pool = engines(Duration::ZERO).open(&new.name).unwrap();
    let limits = backend.abilities(&pool).unwrap().limits;
    let root = scratch.path().join("kubelet");
    std::fs::create_dir(&root).unwrap();
    Ground {
        engines,
        contents: backend.contents().iter().copied().filter(makeable).collect(),
        backend: Box::new(backend),
        pool: new.name,
        place: None,
        root,
        limits,
        limit: (!limits).then_some("none"),
        thick: backend.name() == "image",
        keep: Box::new(scratch),
    }
}

/// True when this host has what makes the content.
fn makeable(content: &Content) -> bool {
    let Some(kind) = content.filesystem() else {
        return true;
    };
    let maker = becket_sys::filesystem::maker(kind);
    let found = child::find(maker).is_some();
    if !found {
        eprintln!("not checked: {kind} in images, because this host has no {maker}");
    }
    found
}

fn image_on(medium: Option<Medium>) {
    if let Some(medium) = medium {
        contract::run(&|| ground(&medium, Image));
    }
}

fn directory_on(medium: Option<Medium>, limits: bool) {
    let Some(medium) = medium else { return };
    contract::run(&|| {
        let ground = ground(&medium, Directory);
        assert_eq!(ground.limits, limits, "whether limits are enforced was told wrong");
        ground
    });
}

#[test]
fn image_keeps_the_contract_on_a_plain_directory() {
    image_on(Medium::plain());
}

#[test]
fn image_keeps_the_contract_on_ext4_with_sectors_of_4096_bytes() {
    image_on(Medium::with_large_sectors("ext4"));
}

#[test]
fn image_keeps_the_contract_on_xfs() {
    image_on(Medium::of("xfs", &[], ""));
}

#[test]
fn image_keeps_the_contract_on_btrfs() {
    image_on(Medium::of("btrfs", &[], ""));
}

#[test]
fn directory_keeps_the_contract_on_a_plain_directory() {
    directory_on(Medium::plain(), false);
}

#[test]
fn directory_keeps_the_contract_on_xfs() {
    directory_on(Medium::of("xfs", &[], ""), false);
}

#[test]
fn directory_keeps_the_contract_on_btrfs() {
    directory_on(Medium::of("btrfs", &[], ""), false);
}

#[test]
fn directory_keeps_the_contract_on_ext4_with_project_quotas() {
    directory_on(Medium::of("ext4", &["-O", "quota,project"], "prjquota"), true);
}

#[test]
fn directory_keeps_the_contract_on_xfs_with_project_quotas() {
    directory_on(Medium::of("xfs", &[], "prjquota"), true);
}
