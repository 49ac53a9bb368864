//! Anybody may do anything to these: single calls, and pods that come and go among them.

use crate::call::{Answer, Caller};
use crate::volume::{Kind, Scope, Volume, id, shared, snapshots};
use becket_tests::{MIB, requests};

impl Caller {
    /// One of the shared volumes.
    pub(crate) fn any(&mut self, scope: Scope) -> Volume {
        let mut volumes = shared(scope);
        volumes.swap_remove(self.random.below(volumes.len() as u64) as usize)
    }

    /// The name of a contested snapshot of that kind.
    fn any_moment(&mut self, kind: Kind) -> String {
        let names: Vec<String> =
            snapshots().into_iter().filter(|(of, _)| *of == kind).map(|(_, name)| name).collect();
        self.random.of::<str>(&names).to_owned()
    }

    /// One call about a contested volume.
    pub(crate) async fn disturb(&mut self) {
        let volume = self.any(Scope::Contested);
        let staging = self.staging(&volume);
        match self.random.below(20) {
            0..=3 => {
                self.create(&volume, None).await;
            }
            4..=6 => {
                self.delete(&volume).await;
            }
            7 | 8 => {
                self.stage(&volume).await;
            }
            9 | 10 => {
                self.unstage(&volume).await;
            }
            11 | 12 => {
                let name = self.any_moment(volume.kind);
                self.snapshot(&volume, &name, false).await;
            }
            13 => {
                let name = self.any_moment(volume.kind);
                self.delete_snapshot(volume.kind, &name).await;
            }
            14 => {
                let source = id(volume.kind, &self.any_moment(volume.kind));
                let source = requests::from_snapshot(&source).map(|source| (source, 0));
                self.create(&volume, source).await;
            }
            15 => {
                let other = self.any(Scope::Contested);
                if other.kind == volume.kind && other != volume {
                    let source = requests::from_volume(&other.id()).map(|source| (source, 0));
                    self.create(&volume, source).await;
                }
            }
            16 if volume.kind != Kind::Directory => {
                let bytes = volume.kind.size() + 4 * MIB * self.random.below(4);
                if self.expand(&volume, bytes).await.done() {
                    self.expand_on_node(&volume, &staging).await;
                }
            }
            17 => {
                self.stats(&volume, &staging, false).await;
            }
            18 => {
                self.get(&volume, false).await;
            }
            // A directory volume has no limit here, which is no error to ask for.
            _ => {
                self.create(&volume, None).await;
            }
        }
    }

    /// A pod with a contested volume: whatever becomes of it, it is taken down again.
    pub(crate) async fn visit(&mut self) {
        let volume = self.any(Scope::Contested);
        let target = self.target("visit", &volume);
        self.create(&volume, None).await;
        self.stage(&volume).await;
        let published =
            self.settle("a visit", async |caller| caller.publish(&volume, &target, false).await);
        if published.await.is_ok() {
            let _ = self.use_it(&volume, &target).await;
        }
        self.leave(&volume, &target).await;
    }

    async fn use_it(&mut self, volume: &Volume, target: &std::path::Path) -> Result<(), ()> {
        self.read(volume, target).await?;
        let number = self.random.below(1 << 30);
        self.write(volume, target, number).await?;
        let _ = self.stats(volume, target, true).await;
        // Published means in use: nobody can have deleted it.
        self.get(volume, true).await;
        if self.random.below(4) == 0 {
            let name = self.any_moment(volume.kind);
            self.snapshot(volume, &name, false).await;
        }
        // A repeat changes nothing.
        if let Answer::Done(_) = self.publish(volume, target, false).await {
            let found = self.read(volume, target).await?;
            self.expect(volume, found, Some(number), "before a repeated publication")?;
        }
        Ok(())
    }

    /// Like the kubelet: again until it is gone.
    pub(crate) async fn leave(&mut self, volume: &Volume, target: &std::path::Path) {
        let gone =
            self.settle("an unpublication", async |caller| caller.unpublish(volume, target).await);
        if gone.await.is_ok() {
            self.expect_gone(volume, target);
        }
    }
}
