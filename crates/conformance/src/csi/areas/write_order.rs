//! Write order across the volumes of a group snapshot, tried with a writer that never stops.

use super::groups::pair;
use crate::csi::ask;
use crate::csi::check::{Check, Verdict, check, skip, want};
use crate::csi::ground::Ground;
use crate::csi::need::{CREATE, Need};
use crate::csi::on_node::{OnNode, own};
use becket_csi::protocol::csi;
use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tonic::Code;

pub(super) const CHECKS: &[Check] =
    &[check!("group-write-order", Must, [CREATE, Need::Groups, Need::Here] => write_order,
        "CreateVolumeGroupSnapshot: MUST give a write-order consistency guarantee, or fail if \
         that's not possible")];

/// Group snapshots that are taken while the writer writes.
const ROUNDS: usize = 3;

async fn write_order(g: &Ground) -> Verdict {
    let [first, second] = pair(g).await?;
    let (first, second) = (g.published(first).await?, g.published(second).await?);
    for _ in 0..ROUNDS {
        let writer = Writer::start(&first, &second)?;
        tokio::time::sleep(Duration::from_millis(100)).await;
        let request = csi::CreateVolumeGroupSnapshotRequest {
            name: ask::unique("group"),
            source_volume_ids: vec![first.volume.id.clone(), second.volume.id.clone()],
            ..Default::default()
        };
        let answer = g.calls.create_volume_group_snapshot(request).await;
        let answer = answer.when("two volumes that are being written to");
        drop(writer);
        if answer.code() == Code::FailedPrecondition {
            return skip(format!("the driver takes none of volumes in use: {}", answer.shown()));
        }
        let group = answer.ok()?.group_snapshot.unwrap_or_default();
        let (one, other) = (counted(g, &group, &first).await?, counted(g, &group, &second).await?);
        // The writer counts up in the first volume, then in the second.
        let ordered = one == other || one == other + 1;
        let got = format!("{one} in the first volume and {other} in the second");
        let wanted = "the same count in both, or one more in the first";
        want(ordered, "look at counters written to one volume after the other", got, wanted)?;
    }
    Ok(())
}

/// The counter in the snapshot of `source`.
async fn counted(g: &Ground, group: &csi::VolumeGroupSnapshot, source: &OnNode) -> Verdict<u64> {
    let of = |snapshot: &&csi::Snapshot| snapshot.source_volume_id == source.volume.id;
    let Some(snapshot) = group.snapshots.iter().find(of) else {
        return skip("the group has no snapshot of the volume");
    };
    let request = super::restore::from(g, &source.volume, &snapshot.snapshot_id);
    let volume = g.volume_as(request).await?;
    let here = g.published(volume).await?;
    let mut count = [0; 8];
    let mut read = || std::fs::File::open(counter(&here))?.read_exact_at(&mut count, 0);
    own(read(), "read the counter")?;
    g.take_down(&here).await?;
    g.delete(&here.volume).await?;
    Ok(u64::from_le_bytes(count))
}

fn counter(here: &OnNode) -> PathBuf {
    match here.volume.access {
        ask::Access::Mount => Path::new(&here.target).join("counter"),
        ask::Access::Block => PathBuf::from(&here.target),
    }
}

/// A thread that counts up in two files, each write on the medium before the next.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    fn start(first: &OnNode, second: &OnNode) -> Verdict<Writer> {
        let mut files = Vec::new();
        for here in [first, second] {
            let mut options = OpenOptions::new();
            let options = options.write(true).create(here.volume.access == ask::Access::Mount);
            let flags = rustix::fs::OFlags::SYNC.bits();
            let options = options.custom_flags(flags.cast_signed());
            let file = own(options.open(counter(here)), "open a counter")?;
            own(file.write_all_at(&[0; 8], 0), "write a counter")?;
            files.push(file);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let count_up = move || {
            let mut count = 0_u64;
            while !told.load(Ordering::Relaxed) {
                count += 1;
                for file in &files {
                    if file.write_all_at(&count.to_le_bytes(), 0).is_err() {
                        return;
                    }
                }
            }
        };
        Ok(Writer { stop, thread: Some(std::thread::spawn(count_up)) })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
