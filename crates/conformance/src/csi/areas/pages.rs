//! Lists in pages, while nothing changes and while much does.

use crate::csi::ask;
use crate::csi::check::{Check, Verdict, cannot_run, check, want};
use crate::csi::ground::{Ground, Volume};
use crate::csi::need::{CREATE, LIST, LIST_SNAPSHOTS, SNAPSHOT};
use becket_csi::protocol::csi;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("pages-of-volumes", Must, [CREATE, LIST] => volumes,
        "ListVolumes: with max_entries no more entries than that, and next_token as long as there \
         are more; together all volumes, each once"),
    check!("pages-of-snapshots", Must, [CREATE, SNAPSHOT, LIST_SNAPSHOTS] => snapshots,
        "ListSnapshots: with max_entries no more entries than that, and next_token as long as \
         there are more; together all snapshots, each once"),
    check!("pages-of-snapshots-of-a-volume", Must,
        [CREATE, SNAPSHOT, LIST_SNAPSHOTS] => snapshots_of_volume,
        "ListSnapshots: pages of a filtered list are of that list"),
    check!("pages-of-changing-volumes", Judgement, [CREATE, LIST] => changing_volumes,
        "ListVolumes: volumes that are there all the time are listed once each, though others \
         come and go between pages"),
    check!("pages-of-changing-snapshots", Judgement,
        [CREATE, SNAPSHOT, LIST_SNAPSHOTS] => changing_snapshots,
        "ListSnapshots: snapshots that are there all the time are listed once each, though others \
         come and go between pages"),
];

/// How many stay there all the time.
const STABLE: usize = 5;

/// How many go, and how many come, while one list is read.
const CHANGES: usize = 3;

/// One page: its ids and the next token; nothing where the token is not valid any more.
type Page = Option<(Vec<String>, String)>;

async fn volume_page(g: &Ground, most: i32, token: String) -> Verdict<Page> {
    let request = csi::ListVolumesRequest { max_entries: most, starting_token: token };
    let answer = g.calls.list_volumes(request).await.when(format!("max_entries {most}"));
    if answer.code() == Code::Aborted {
        return Ok(None);
    }
    let page = answer.ok()?;
    let ids = page.entries.into_iter().filter_map(|entry| entry.volume);
    Ok(Some((ids.map(|volume| volume.volume_id).collect(), page.next_token)))
}

async fn snapshot_page(g: &Ground, most: i32, token: String, source: &str) -> Verdict<Page> {
    let request = csi::ListSnapshotsRequest {
        max_entries: most,
        starting_token: token,
        source_volume_id: source.to_owned(),
        ..Default::default()
    };
    let answer = g.calls.list_snapshots(request).await.when(format!("max_entries {most}"));
    if answer.code() == Code::Aborted {
        return Ok(None);
    }
    let page = answer.ok()?;
    let ids = page.entries.into_iter().filter_map(|entry| entry.snapshot);
    Ok(Some((ids.map(|snapshot| snapshot.snapshot_id).collect(), page.next_token)))
}

/// All ids, page by page, with `between` after each, which is given those so far; an invalid token
/// starts again from the beginning.
async fn paged(
    g: &Ground,
    rpc: &str,
    most: i32,
    page: impl AsyncFn(&Ground, i32, String) -> Verdict<Page>,
    between: impl AsyncFn(&Ground, &[String]) -> Verdict,
) -> Verdict<Vec<String>> {
    const TRIES: usize = 20;
    'again: for _ in 0..TRIES {
        let (mut found, mut token) = (Vec::new(), String::new());
        // No driver has that many; one whose token leads back would never end.
        for _ in 0..10_000 {
            let Some((ids, next)) = page(g, most, token).await? else { continue 'again };
            let asked = format!("{rpc}: max_entries {most}");
            let fits = i32::try_from(ids.len()).is_ok_and(|length| length <= most);
            let got = format!("{} entries", ids.len());
            want(fits, asked, got, format!("at most {most}"))?;
            found.extend(ids);
            if next.is_empty() {
                return Ok(found);
            }
            token = next;
            between(g, &found).await?;
        }
        let asked = format!("{rpc}: page by page");
        want(false, asked, "it does not end", "an empty next_token at the end")?;
    }
    Err(cannot_run("the token was not valid any more, again and again"))
}

/// Fails unless each of `stable` is in `found`, and nothing twice.
fn judge(rpc: &str, found: &[String], stable: &BTreeSet<String>) -> Verdict {
    let asked = format!("{rpc}: page by page");
    let missing: Vec<&String> = stable.iter().filter(|id| !found.contains(id)).collect();
    want(missing.is_empty(), asked.clone(), format!("without {missing:?}"), "all of them")?;
    let different: BTreeSet<&String> = found.iter().collect();
    let doubled = found.len() - different.len();
    want(doubled == 0, asked, format!("{doubled} twice"), "each once")
}

async fn nothing(_: &Ground, _: &[String]) -> Verdict {
    Ok(())
}

async fn stable_volumes(g: &Ground) -> Verdict<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for _ in 0..STABLE {
        ids.insert(g.volume(g.access()).await?.id);
    }
    Ok(ids)
}

async fn volumes(g: &Ground) -> Verdict {
    let stable = stable_volumes(g).await?;
    for most in 1..=3 {
        let found = paged(g, "ListVolumes", most, volume_page, nothing).await?;
        judge("ListVolumes", &found, &stable)?;
    }
    Ok(())
}

async fn stable_snapshots(g: &Ground, volume: &Volume) -> Verdict<BTreeSet<String>> {
    let mut ids = BTreeSet::new();
    for _ in 0..STABLE {
        ids.insert(g.snapshot(volume).await?.snapshot_id);
    }
    Ok(ids)
}

async fn snapshots(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let stable = stable_snapshots(g, &volume).await?;
    for most in 1..=3 {
        let page = async |g: &Ground, most, token| snapshot_page(g, most, token, "").await;
        let found = paged(g, "ListSnapshots", most, page, nothing).await?;
        judge("ListSnapshots", &found, &stable)?;
    }
    Ok(())
}

async fn snapshots_of_volume(g: &Ground) -> Verdict {
    let (volume, other) = (g.volume(g.access()).await?, g.volume(g.access()).await?);
    // Strangers on both sides of them, by time and by name, whichever the driver lists by.
    stranger(g, &other, "0-first").await?;
    let stable = stable_snapshots(g, &volume).await?;
    stranger(g, &other, "z-last").await?;
    for most in 1..=3 {
        let id = volume.id.as_str();
        let page = async |g: &Ground, most, token| snapshot_page(g, most, token, id).await;
        let found = paged(g, "ListSnapshots", most, page, nothing).await?;
        judge("ListSnapshots", &found, &stable)?;
        let strange = found.iter().filter(|id| !stable.contains(*id)).count();
        let asked = "ListSnapshots: with a source_volume_id, page by page";
        want(strange == 0, asked, format!("{strange} of other volumes"), "none")?;
    }
    Ok(())
}

async fn stranger(g: &Ground, volume: &Volume, name: &str) -> Verdict {
    let request =
        csi::CreateSnapshotRequest { name: ask::unique(name), ..g.snapshot_request(volume) };
    g.snapshot_as(request).await.map(drop)
}

async fn changing_volumes(g: &Ground) -> Verdict {
    let make = async |g: &Ground, name: &str| {
        let mut request = g.create_request(g.access());
        request.name = ask::unique(name);
        Ok(g.volume_as(request).await?.id)
    };
    let remove = async |g: &Ground, volume_id: String| {
        let request = csi::DeleteVolumeRequest { volume_id, ..Default::default() };
        g.calls.delete_volume(request).await.prepared().map(drop)
    };
    changing(g, "ListVolumes", volume_page, make, remove).await
}

async fn changing_snapshots(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let page = async |g: &Ground, most, token| snapshot_page(g, most, token, "").await;
    let make = async |g: &Ground, name: &str| {
        let name = ask::unique(name);
        let request = csi::CreateSnapshotRequest { name, ..g.snapshot_request(&volume) };
        Ok(g.snapshot_as(request).await?.snapshot_id)
    };
    let remove = async |g: &Ground, snapshot_id: String| {
        let request = csi::DeleteSnapshotRequest { snapshot_id, ..Default::default() };
        g.calls.delete_snapshot(request).await.prepared().map(drop)
    };
    changing(g, "ListSnapshots", page, make, remove).await
}

/// Lists while some of what was listed goes, and then while others come, for each length of pages.
///
/// What goes is always of the pages that were given: whatever the driver lists by, a token that is
/// a position then passes over as many of what is still there.
async fn changing(
    g: &Ground,
    rpc: &str,
    page: impl AsyncFn(&Ground, i32, String) -> Verdict<Page>,
    make: impl AsyncFn(&Ground, &str) -> Verdict<String>,
    remove: impl AsyncFn(&Ground, String) -> Verdict,
) -> Verdict {
    let ours = RefCell::new(BTreeSet::new());
    for most in 1..=3 {
        while ours.borrow().len() < STABLE + CHANGES {
            let id = make(g, "stable").await?;
            ours.borrow_mut().insert(id);
        }
        let going = async |g: &Ground, listed: &[String]| {
            let stays = |id: &&String| ours.borrow().contains(*id);
            let Some(id) = listed.iter().rev().find(stays).cloned() else { return Ok(()) };
            if ours.borrow().len() > STABLE {
                ours.borrow_mut().remove(&id);
                remove(g, id).await?;
            }
            Ok(())
        };
        let found = paged(g, rpc, most, &page, going).await?;
        judge(&format!("{rpc}, with others going"), &found, &ours.borrow())?;

        let left = Cell::new(CHANGES);
        let coming = async |g: &Ground, _: &[String]| {
            if left.get() > 0 {
                left.set(left.get() - 1);
                // Before the rest, where the driver lists by name.
                make(g, "0-new").await?;
            }
            Ok(())
        };
        let found = paged(g, rpc, most, &page, coming).await?;
        judge(&format!("{rpc}, with others coming"), &found, &ours.borrow())?;
    }
    Ok(())
}
