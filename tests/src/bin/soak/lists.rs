//! Lists in pages, while everything in them changes.

use crate::call::{Answer, Caller};
use crate::lives::Known;
use crate::volume::{Driver, Scope, id, shared};

impl Caller {
    /// Reads a whole list of volumes in pages of a random size: nothing twice, everything in order, and
    /// all that is known to be there.
    pub(crate) async fn look_through(&mut self, known: &Known) {
        let driver = Driver::ALL[self.random.below(2) as usize];
        let Some(ids) = self.all_volumes(driver).await else { return };
        if ids.windows(2).any(|pair| pair[0] >= pair[1]) {
            self.world.violation(format!("ListVolumes is not in order: {ids:?}"));
        }
        let kept = shared(Scope::Kept).into_iter().filter(|volume| volume.kind.driver() == driver);
        for volume in kept.filter(|volume| known.there.contains(&volume.name)) {
            let id = id(volume.kind, &volume.name);
            if !ids.contains(&id) {
                self.world.violation(format!("ListVolumes lacks `{id}`, which is there"));
            }
        }
        let Some(ids) = self.all_snapshots(driver).await else { return };
        if ids.windows(2).any(|pair| pair[0] >= pair[1]) {
            self.world.violation(format!("ListSnapshots is not in order: {ids:?}"));
        }
    }

    /// The ids of all volumes; `None` where a page could not be had.
    pub(crate) async fn all_volumes(&mut self, driver: Driver) -> Option<Vec<String>> {
        let most = i32::try_from(self.random.below(12)).unwrap_or(0);
        let (mut ids, mut token) = (Vec::new(), String::new());
        loop {
            let Answer::Done(page) = self.volumes(driver, most, &token).await else {
                return None;
            };
            ids.extend(page.entries.into_iter().filter_map(|entry| Some(entry.volume?.volume_id)));
            token = page.next_token;
            if token.is_empty() {
                return Some(ids);
            }
        }
    }

    /// The ids of all snapshots; `None` where a page could not be had.
    pub(crate) async fn all_snapshots(&mut self, driver: Driver) -> Option<Vec<String>> {
        let most = i32::try_from(self.random.below(12)).unwrap_or(0);
        let (mut ids, mut token) = (Vec::new(), String::new());
        loop {
            let Answer::Done(page) = self.snapshots(driver, most, &token).await else {
                return None;
            };
            let found = page.entries.into_iter().filter_map(|entry| entry.snapshot);
            ids.extend(found.map(|snapshot| snapshot.snapshot_id));
            token = page.next_token;
            if token.is_empty() {
                return Some(ids);
            }
        }
    }
}
