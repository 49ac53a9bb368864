//! What a caller writes to a volume and reads back, on threads of their own: a workload waits.

use crate::call::Caller;
use crate::volume::Volume;
use becket_tests::pattern;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A workload may be held up by a snapshot of its volume for half a minute.
const LONGEST: Duration = Duration::from_secs(60);

impl Caller {
    /// The name of this caller's file in every volume.
    fn file(&self) -> String {
        format!("caller-{}", self.number)
    }

    /// This caller's number in the volume at `target`; everybody's files are looked at.
    ///
    /// `None` where it never wrote. What is torn or cannot be read is a violation, and an error.
    pub(crate) async fn read(&self, volume: &Volume, target: &Path) -> Result<Option<u64>, ()> {
        let (index, file) = (self.number as u64, self.file());
        let target = target.to_owned();
        match volume.kind.has_files() {
            false => self.work(move || pattern::number_in_stretch(&target, index)).await,
            true => {
                let work = move || {
                    pattern::look(&target)?;
                    pattern::number_in(&target.join(file))
                };
                self.work(work).await
            }
        }
    }

    /// Writes this caller's number, synced, and reads it back. False when there is no room.
    pub(crate) async fn write(
        &self,
        volume: &Volume,
        target: &Path,
        number: u64,
    ) -> Result<bool, ()> {
        let (index, file, at) = (self.number as u64, self.file(), target.to_owned());
        let written = match volume.kind.has_files() {
            true => self.work(move || pattern::write(&at, &file, number)).await?,
            false => {
                self.work(move || pattern::write_stretch(&at, index, number)).await?;
                true
            }
        };
        if written {
            let found = self.read(volume, target).await?;
            self.expect(volume, found, Some(number), "was just written")?;
        }
        Ok(written)
    }

    /// What was found must be what was written.
    pub(crate) fn expect(
        &self,
        volume: &Volume,
        found: Option<u64>,
        written: Option<u64>,
        when: &str,
    ) -> Result<(), ()> {
        if found == written {
            return Ok(());
        }
        let (name, number) = (&volume.name, self.number);
        self.world.violation(format!(
            "`{name}` holds {found:?} of caller {number}, and {written:?} {when}"
        ));
        Err(())
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, String> + Send + 'static,
    ) -> Result<T, ()> {
        let started = Instant::now();
        let done = tokio::time::timeout(LONGEST, tokio::task::spawn_blocking(work)).await;
        self.world.waited(started.elapsed());
        let wrong = match done {
            Ok(Ok(Ok(done))) => return Ok(done),
            Ok(Ok(Err(wrong))) => wrong,
            Ok(Err(panicked)) => panicked.to_string(),
            Err(_) => format!("a workload waits for its volume for more than {LONGEST:?}"),
        };
        self.world.violation(wrong);
        Err(())
    }

    /// A path for the volume in a pod of this caller, in a directory that the kubelet makes.
    pub(crate) fn target(&self, pod: &str, volume: &Volume) -> PathBuf {
        let parent = self.world.path("pods").join(format!("{}-{pod}", self.number));
        let parent = parent.join(&volume.name);
        if let Err(error) = std::fs::create_dir_all(&parent) {
            self.world.violation(format!("cannot make `{}`: {error}", parent.display()));
        }
        parent.join("mount")
    }

    /// After an acknowledged unpublication nothing is at the target, which nobody else uses.
    pub(crate) fn expect_gone(&self, volume: &Volume, target: &Path) {
        if target.symlink_metadata().is_ok() {
            let (name, target) = (&volume.name, target.display());
            self.world.violation(format!("`{name}` is unpublished, and `{target}` is there"));
        }
    }
}
