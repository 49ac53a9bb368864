//! What may change in a volume's life without touching its data.

use crate::error::shown;
use crate::mount_flags::MountFlags;
use crate::record::Content;
use crate::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the volume stays in the trash when it is deleted, such as `12h`; `0s` not at all.
pub const TRASH_RETENTION: &str = "trashRetention";

/// Words for its next mount, with commas between, such as `noatime,discard`.
pub const MOUNT_OPTIONS: &str = "mountOptions";

/// A volume's settings. What is not set follows its pool, or its class.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settings {
    /// Seconds in the trash.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trash_retention_seconds: Option<u64>,
    /// Words for the next mount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mount_options: Option<Vec<String>>,
}

impl Settings {
    /// Reads settings for a volume that holds `content`. `Invalid` for a key that is none and for a
    /// value that cannot be: then nothing of it is to be applied.
    pub fn read<'a>(
        given: impl IntoIterator<Item = (&'a String, &'a String)>,
        content: Content,
    ) -> Result<Settings> {
        let mut read = Settings::default();
        for (key, value) in given {
            match key.as_str() {
                TRASH_RETENTION => read.trash_retention_seconds = Some(retention(value)?.as_secs()),
                MOUNT_OPTIONS => {
                    let words: Vec<String> = value.split(',').map(str::to_owned).collect();
                    MountFlags::read(&words, content)?;
                    read.mount_options = Some(words);
                }
                other => {
                    let shown = shown(other);
                    return Err(Error::new(Kind::Invalid, format!("`{shown}` cannot be modified"))
                        .hint(format!("{TRASH_RETENTION} and {MOUNT_OPTIONS} can")));
                }
            }
        }
        Ok(read)
    }

    /// These, with what `changes` sets in their place.
    #[must_use]
    pub fn with(self, changes: Settings) -> Settings {
        Settings {
            trash_retention_seconds: changes
                .trash_retention_seconds
                .or(self.trash_retention_seconds),
            mount_options: changes.mount_options.or(self.mount_options),
        }
    }

    /// True when nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Settings::default()
    }

    /// The settings as they are written, by name.
    pub fn words(&self) -> BTreeMap<String, String> {
        let retention = self.trash_retention_seconds.map(|seconds| {
            let shown = humantime::format_duration(Duration::from_secs(seconds)).to_string();
            (TRASH_RETENTION.to_owned(), shown)
        });
        let options =
            self.mount_options.as_ref().map(|words| (MOUNT_OPTIONS.to_owned(), words.join(",")));
        retention.into_iter().chain(options).collect()
    }
}

fn retention(text: &str) -> Result<Duration> {
    humantime::parse_duration(text).map_err(|error| {
        let shown = shown(text);
        Error::new(Kind::Invalid, format!("`{shown}` is no {TRASH_RETENTION}: {error}"))
            .hint("write a time such as 12h or 7days")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Settings> {
        let given: BTreeMap<String, String> =
            given.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        Settings::read(&given, Content::Ext4)
    }

    #[test]
    fn settings_are_read_changed_and_shown() {
        let first = read(&[(TRASH_RETENTION, "90m"), (MOUNT_OPTIONS, "noatime,commit=9")]).unwrap();
        let changed = first.with(read(&[(TRASH_RETENTION, "0s")]).unwrap());
        assert_eq!(changed.trash_retention_seconds, Some(0));
        assert_eq!(changed.words()[MOUNT_OPTIONS], "noatime,commit=9");
    }

    #[test]
    fn what_is_no_setting_is_refused() {
        for given in [("size", "1Gi"), (TRASH_RETENTION, "soon"), (MOUNT_OPTIONS, "nobarrier")] {
            assert_eq!(read(&[given]).unwrap_err().kind(), Kind::Invalid, "{given:?}");
        }
    }
}
