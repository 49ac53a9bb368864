//! Lives whose every step is known: of volumes that are a caller's own, and of those that are kept.

use crate::call::{Answer, Caller};
use crate::volume::{Kind, Scope, Volume, id};
use becket_tests::{MIB, requests};
use std::collections::BTreeMap;
use std::path::Path;
use tonic::Code;

/// What one caller knows of the kept volumes: its number in each, and which are there for certain.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// By the volume's name; `None` where an attempt to write had no end.
    pub(crate) numbers: BTreeMap<String, Option<u64>>,
    /// Names of volumes whose creation was acknowledged.
    pub(crate) there: Vec<String>,
    next: u64,
}

impl Known {
    /// A number that was never written.
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl Caller {
    /// A pod with a kept volume: what this caller wrote to it before is still there.
    pub(crate) async fn keep(&mut self, known: &mut Known) {
        let volume = self.any(Scope::Kept);
        let target = self.target("keep", &volume);
        if self
            .settle("a creation", async |caller| caller.create(&volume, None).await)
            .await
            .is_err()
        {
            return;
        }
        if !known.there.contains(&volume.name) {
            known.there.push(volume.name.clone());
        }
        if self.bring(&volume, &target).await.is_ok() {
            let _ = self.work_on(&volume, &target, known).await;
        }
        self.leave(&volume, &target).await;
        if self.random.below(3) == 0 {
            let _ = self.settle("unstaging", async |caller| caller.unstage(&volume).await).await;
        }
    }

    /// Stages and publishes until both are so: others may unstage it in between.
    pub(crate) async fn bring(&mut self, volume: &Volume, target: &Path) -> Result<(), Code> {
        loop {
            self.settle("staging", async |caller| caller.stage(volume).await).await?;
            let published = self
                .settle("publishing", async |caller| caller.publish(volume, target, false).await);
            match published.await {
                Err(Code::FailedPrecondition) if volume.scope == Scope::Kept => {}
                other => return other.map(drop),
            }
        }
    }

    async fn work_on(
        &mut self,
        volume: &Volume,
        target: &Path,
        known: &mut Known,
    ) -> Result<(), ()> {
        let found = self.read(volume, target).await?;
        match known.numbers.get(&volume.name) {
            Some(Some(number)) => self.expect(volume, found, Some(*number), "was written to it")?,
            Some(None) => {}
            None => self.expect(volume, found, None, "was ever written to it")?,
        }
        let number = known.next();
        known.numbers.insert(volume.name.clone(), None);
        let written = self.write(volume, target, number).await?;
        let now = if written { Some(number) } else { found };
        match now {
            Some(number) => known.numbers.insert(volume.name.clone(), Some(number)),
            None => known.numbers.remove(&volume.name),
        };
        match self.random.below(6) {
            0 => {
                self.stats(volume, target, true).await;
            }
            1 if volume.kind != Kind::Directory => {
                let bytes = volume.kind.size() + 4 * MIB * self.random.below(4);
                if self.expand(volume, bytes).await.done() {
                    self.expand_on_node(volume, target).await;
                }
            }
            2 | 3 if volume.kind.copies_in_use() => self.keep_moment(volume, now).await?,
            _ => {}
        }
        let found = self.read(volume, target).await?;
        self.expect(volume, found, now, "was written a moment ago")
    }

    /// A snapshot of a volume in use holds what this caller had synced before it asked for it.
    async fn keep_moment(&mut self, volume: &Volume, now: Option<u64>) -> Result<(), ()> {
        let name = format!("own-{}-of-{}", self.number, volume.name);
        let copy = Volume::own(volume.kind, format!("{name}-copy"));
        let snapshot = self
            .settle("a snapshot", async |caller| caller.snapshot(volume, &name, false).await)
            .await;
        if let Ok(snapshot) = snapshot {
            let bytes = u64::try_from(snapshot.size_bytes).unwrap_or(0);
            let source =
                requests::from_snapshot(&snapshot.snapshot_id).map(|source| (source, bytes));
            let made = self
                .settle("a restore", async |caller| caller.create(&copy, source.clone()).await)
                .await;
            if made.is_ok() {
                self.find(&copy, now, "when its snapshot was taken").await;
            }
        }
        self.remove(&copy).await;
        let deleted = self.settle("deleting a snapshot", async |caller| {
            caller.delete_snapshot(volume.kind, &name).await
        });
        deleted.await.map(drop).map_err(drop)
    }

    /// Mounts an own volume, looks what this caller's number in it is, and unmounts it again.
    pub(crate) async fn find(&mut self, volume: &Volume, wanted: Option<u64>, when: &str) {
        let target = self.target("find", volume);
        if self.bring(volume, &target).await.is_ok()
            && let Ok(found) = self.read(volume, &target).await
        {
            let _ = self.expect(volume, found, wanted, when);
        }
        self.leave(volume, &target).await;
        let _ = self.settle("unstaging", async |caller| caller.unstage(volume).await).await;
    }

    /// Deletes an own volume, which is then not found any more.
    pub(crate) async fn remove(&mut self, volume: &Volume) {
        let deleted =
            self.settle("a deletion", async |caller| caller.delete(volume).await).await.is_ok();
        if deleted && let Answer::Done(found) = self.get(volume, false).await {
            let name = &volume.name;
            self.world.violation(format!("`{name}` is deleted, and found: {found:?}"));
        }
    }

    /// The whole life of a volume of this caller's own, with a snapshot, a copy and growth.
    pub(crate) async fn own_life(&mut self) {
        let kinds = [Kind::Ext4, Kind::Ext4, Kind::Ext4, Kind::Block, Kind::Directory, Kind::Xfs];
        let kind = kinds[self.random.below(kinds.len() as u64) as usize];
        let volume = Volume::own(kind, format!("own-{}", self.number));
        let (one, two) = (self.target("one", &volume), self.target("two", &volume));
        let made =
            self.settle("a creation", async |caller| caller.create(&volume, None).await).await;
        if made.is_ok() && self.bring(&volume, &one).await.is_ok() {
            let _ = self.live(&volume, &one, &two).await;
        }
        self.leave(&volume, &two).await;
        self.leave(&volume, &one).await;
        let _ = self.settle("unstaging", async |caller| caller.unstage(&volume).await).await;
        self.remove(&volume).await;
    }

    async fn live(&mut self, volume: &Volume, one: &Path, two: &Path) -> Result<(), ()> {
        let found = self.read(volume, one).await?;
        self.expect(volume, found, None, "is in a new volume")?;
        self.write(volume, one, 1).await?;
        let readonly = volume.kind.has_files() && self.random.below(2) == 0;
        let second = self
            .settle("publishing", async |caller| caller.publish(volume, two, readonly).await)
            .await;
        second.map_err(drop)?;
        let found = self.read(volume, two).await?;
        self.expect(volume, found, Some(1), "was written through another pod")?;
        if readonly && std::fs::File::create(two.join("x")).is_ok() {
            self.world.violation(format!("`{}` was written to read-only", volume.name));
        }
        if volume.kind.copies_in_use() {
            self.own_moment(volume).await;
        }
        if volume.kind != Kind::Directory {
            let bytes = volume.kind.size() + 8 * MIB;
            let grown = self.settle("growing", async |caller| caller.expand(volume, bytes).await);
            if grown.await.is_ok() {
                let _ = self
                    .settle("growing", async |caller| caller.expand_on_node(volume, one).await)
                    .await;
            }
        }
        let found = self.read(volume, one).await?;
        self.expect(volume, found, Some(1), "was written before it grew")
    }

    async fn own_moment(&mut self, volume: &Volume) {
        let name = format!("{}-moment", volume.name);
        let copy = Volume::own(volume.kind, format!("{}-copy", volume.name));
        let source = requests::from_snapshot(&id(volume.kind, &name)).map(|source| (source, 0));
        let taken =
            self.settle("a snapshot", async |caller| caller.snapshot(volume, &name, false).await);
        if taken.await.is_ok() {
            let made = self
                .settle("a restore", async |caller| caller.create(&copy, source.clone()).await)
                .await;
            if made.is_ok() {
                self.find(&copy, Some(1), "when its snapshot was taken").await;
            }
        }
        self.remove(&copy).await;
        let _ = self
            .settle("deleting a snapshot", async |caller| {
                caller.delete_snapshot(volume.kind, &name).await
            })
            .await;
    }
}
