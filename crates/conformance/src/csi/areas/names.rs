//! Names are any Unicode text but control characters, and two names are two things.

use super::malformed::lengthened;
use crate::csi::answer::Answer;
use crate::csi::ask;
use crate::csi::check::{Check, Tally, Verdict, check, want};
use crate::csi::ground::Ground;
use crate::csi::need::{CREATE, Need, SNAPSHOT};
use becket_csi::protocol::csi;
use std::collections::BTreeMap;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("name-control-characters", Must, [CREATE] => control_characters,
        "CreateVolume: names with U+0000-U+0008, U+000B, U+000C, U+000E-U+001F or U+007F-U+009F \
         are not allowed"),
    check!("snapshot-name-control-characters", Must,
        [CREATE, SNAPSHOT] => snapshot_control_characters,
        "CreateSnapshot: names with U+0000-U+0008, U+000B, U+000C, U+000E-U+001F or U+007F-U+009F \
         are not allowed"),
    check!("group-name-control-characters", Must,
        [CREATE, Need::Groups] => group_control_characters,
        "CreateVolumeGroupSnapshot: names with U+0000-U+0008, U+000B, U+000C, U+000E-U+001F or \
         U+007F-U+009F are not allowed"),
    check!("name-any-unicode", Must, [CREATE] => any_unicode,
        "CreateVolume: any Unicode string within the length limit is allowed, except for control \
         characters"),
    check!("snapshot-name-any-unicode", Must, [CREATE, SNAPSHOT] => snapshot_any_unicode,
        "CreateSnapshot: any Unicode string within the length limit is allowed, except for \
         control characters"),
    check!("name-of-128-bytes", Must, [CREATE] => of_128_bytes,
        "Size Limits: a name may have 128 bytes"),
    check!("snapshot-name-of-128-bytes", Must, [CREATE, SNAPSHOT] => snapshot_of_128_bytes,
        "Size Limits: a name may have 128 bytes"),
    check!("names-distinct", Must, [CREATE] => distinct,
        "CreateVolume: a name stands for one volume, so names that differ in anything are \
         different volumes"),
    check!("snapshot-names-distinct", Must, [CREATE, SNAPSHOT] => snapshots_distinct,
        "CreateSnapshot: a name stands for one snapshot, so names that differ in anything are \
         different snapshots"),
];

/// All banned characters.
fn banned() -> impl Iterator<Item = char> {
    ['\u{b}', '\u{c}']
        .into_iter()
        .chain('\u{0}'..='\u{8}')
        .chain('\u{e}'..='\u{1f}')
        .chain('\u{7f}'..='\u{9f}')
}

fn refused<T>(tally: &mut Tally, letter: char, answer: Answer<T>) -> Verdict {
    let what = format!("a name with U+{:04X}", u32::from(letter));
    tally.take(answer.when(what).is(&[Code::InvalidArgument]))
}

async fn control_characters(g: &Ground) -> Verdict {
    let mut tally = Tally::default();
    for letter in banned() {
        let mut request = g.create_request(g.access());
        request.name = format!("{}{letter}x", request.name);
        refused(&mut tally, letter, g.calls.create_volume(request).await)?;
    }
    tally.verdict()
}

async fn snapshot_control_characters(g: &Ground) -> Verdict {
    let mut tally = Tally::default();
    let volume = g.volume(g.access()).await?;
    for letter in banned() {
        let mut request = g.snapshot_request(&volume);
        request.name = format!("{}{letter}x", request.name);
        refused(&mut tally, letter, g.calls.create_snapshot(request).await)?;
    }
    tally.verdict()
}

async fn group_control_characters(g: &Ground) -> Verdict {
    let mut tally = Tally::default();
    let volume = g.volume(g.access()).await?;
    for letter in banned() {
        let request = csi::CreateVolumeGroupSnapshotRequest {
            name: format!("{}{letter}x", ask::unique("group")),
            source_volume_ids: vec![volume.id.clone()],
            ..Default::default()
        };
        refused(&mut tally, letter, g.calls.create_volume_group_snapshot(request).await)?;
    }
    tally.verdict()
}

/// Names that are allowed, and that a careless driver makes paths or arguments of.
fn strange() -> Vec<String> {
    let unique = || ask::unique("x");
    vec![
        format!("../../{}", unique()),
        format!("/{}/..", unique()),
        format!("-rf {}", unique()),
        format!("{} with spaces\tand a tab\nand a line", unique()),
        format!(" {} ", unique()),
        format!("{}; touch /tmp/x & $(reboot) `reboot` '\"\\*?[", unique()),
        format!("名前-ñ-🦀-{}", unique()),
        format!("%s%n{}%00", unique()),
    ]
}

async fn any_unicode(g: &Ground) -> Verdict {
    let mut tally = Tally::default();
    for name in strange() {
        let mut request = g.create_request(g.access());
        request.name.clone_from(&name);
        let answer = g.calls.create_volume(request).await.when(format!("the name {name:?}"));
        tally.take(answer.ok().map(drop))?;
        // One at a time, so that they need no room together.
        g.clean().await;
    }
    tally.verdict()
}

async fn snapshot_any_unicode(g: &Ground) -> Verdict {
    let mut tally = Tally::default();
    let volume = g.volume(g.access()).await?;
    for name in strange() {
        let mut request = g.snapshot_request(&volume);
        request.name.clone_from(&name);
        let answer = g.calls.create_snapshot(request).await.when(format!("the name {name:?}"));
        tally.take(answer.ok().map(drop))?;
    }
    tally.verdict()
}

async fn of_128_bytes(g: &Ground) -> Verdict {
    let mut request = g.create_request(g.access());
    request.name = lengthened(&request.name, 128);
    g.calls.create_volume(request).await.when("a name of 128 bytes").ok().map(drop)
}

async fn snapshot_of_128_bytes(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let mut request = g.snapshot_request(&volume);
    request.name = lengthened(&request.name, 128);
    g.calls.create_snapshot(request).await.when("a name of 128 bytes").ok().map(drop)
}

/// Names that are one to whoever folds case, replaces what is unsafe, trims, normalises or cuts.
fn alike() -> Vec<String> {
    let base = ask::unique("alike");
    let long = lengthened(&base, 127);
    vec![
        format!("{base}-a/b"),
        format!("{base}-a_b"),
        format!("{base}-A_B"),
        format!("{base}-a_b "),
        format!("{base}-caf\u{e9}"),
        format!("{base}-cafe\u{301}"),
        format!("{long}1"),
        format!("{long}2"),
    ]
}

/// Fails when two names have one id.
fn different(ids: &BTreeMap<String, String>, name: &str, id: &str) -> Verdict {
    let same = ids.get(id);
    let asked = format!("create `{}` and `{name}`", same.map_or("", String::as_str));
    want(same.is_none(), asked, format!("one id for both, `{id}`"), "two ids")
}

async fn distinct(g: &Ground) -> Verdict {
    let mut ids = BTreeMap::new();
    for name in alike() {
        let mut request = g.create_request(g.access());
        request.name.clone_from(&name);
        let what = format!("the name {name:?}, beside others like it");
        let answer = g.calls.create_volume(request).await.when(what).ok()?;
        let id = answer.volume.unwrap_or_default().volume_id;
        different(&ids, &name, &id)?;
        ids.insert(id, name);
    }
    Ok(())
}

async fn snapshots_distinct(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let mut ids = BTreeMap::new();
    for name in alike() {
        let mut request = g.snapshot_request(&volume);
        request.name.clone_from(&name);
        let what = format!("the name {name:?}, beside others like it");
        let answer = g.calls.create_snapshot(request).await.when(what).ok()?;
        let id = answer.snapshot.unwrap_or_default().snapshot_id;
        different(&ids, &name, &id)?;
        ids.insert(id, name);
    }
    Ok(())
}
