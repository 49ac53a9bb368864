//! Words for a mount, from outside: only those that do no harm to the volume or the node are taken.

mod nfs;

use crate::error::shown;
use crate::record::Content;
use crate::{Error, Kind, Result};
use becket_sys::mount::{Attributes, FilesystemOption};
use serde::{Deserialize, Serialize};

/// What a mount is asked to be, in the words of mount(8), checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct MountFlags {
    attributes: Attributes,
    options: Vec<(String, Option<String>)>,
    /// The words it was read from.
    words: Vec<String>,
}

impl From<MountFlags> for Vec<String> {
    fn from(flags: MountFlags) -> Vec<String> {
        flags.words
    }
}

/// Words that were checked in another process of ours.
impl From<Vec<String>> for MountFlags {
    fn from(words: Vec<String>) -> MountFlags {
        let mut flags = MountFlags::default();
        for word in &words {
            flags.take(word);
        }
        flags
    }
}

/// Words that every filesystem of ours takes, with a value or without.
const COMMON: &[&str] = &["sync", "dirsync", "lazytime", "discard", "nodiscard"];

/// The SELinux label of everything in the filesystem, which the kubelet adds on hosts with SELinux.
const LABELS: &[&str] = &["context", "fscontext", "defcontext", "rootcontext"];

/// Left out on purpose: what gives up safety (`nobarrier`, `errors=panic`, `norecovery`), and what
/// names devices or other places of the host.
const EXT4: &[&str] = &[
    "acl",
    "auto_da_alloc",
    "commit",
    "data",
    "debug",
    "delalloc",
    "dioread_lock",
    "dioread_nolock",
    "init_itable",
    "journal_checksum",
    "max_batch_time",
    "min_batch_time",
    "noacl",
    "nodelalloc",
    "nouid32",
    "stripe",
    "user_xattr",
];
const XFS: &[&str] = &[
    "allocsize",
    "attr2",
    "inode32",
    "inode64",
    "largeio",
    "logbsize",
    "logbufs",
    "nolargeio",
    "swalloc",
    "wsync",
];
const BTRFS: &[&str] = &[
    "acl",
    "autodefrag",
    "commit",
    "compress",
    "compress-force",
    "flushoncommit",
    "max_inline",
    "noacl",
    "noautodefrag",
    "nossd",
    "ssd",
];

impl MountFlags {
    /// Reads `flags`, each one a word, `key=value`, or several with commas between, for a volume that
    /// holds `content`. `Invalid` for words that are not known or not allowed, naming the first.
    pub fn read<S: AsRef<str>>(flags: &[S], content: Content) -> Result<MountFlags> {
        let mut read = MountFlags::default();
        for flag in flags {
            for word in words(flag.as_ref()) {
                read.add(word, content)?;
            }
        }
        Ok(read)
    }

    fn add(&mut self, word: &str, content: Content) -> Result<()> {
        let neutral = is_neutral(word);
        let mount = content != Content::Block;
        let key = word.split_once('=').map_or(word, |(key, _)| key);
        if mount && (neutral || Attributes::default().add(word)) {
            self.take(word);
            return Ok(());
        }
        if !allowed(content).iter().any(|words| words.contains(&key)) {
            let shown = shown(word);
            let holds = content.name();
            return Err(Error::new(Kind::Invalid, format!("mount flag `{shown}` is not allowed"))
                .hint(format!("it is unknown, or unsafe for a volume that holds {holds}")));
        }
        self.take(word);
        Ok(())
    }

    /// Takes a word that is allowed.
    fn take(&mut self, word: &str) {
        if is_neutral(word) {
            return;
        }
        self.words.push(word.to_owned());
        if self.attributes.add(word) {
            return;
        }
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, Some(value.trim_matches('"').to_owned())),
            None => (word, None),
        };
        self.options.push((key.to_owned(), value));
    }

    /// These, and then `more`.
    pub fn and(mut self, more: &[String], content: Content) -> Result<MountFlags> {
        for word in more.iter().flat_map(|flag| words(flag)) {
            self.add(word, content)?;
        }
        Ok(self)
    }

    /// What every view of the volume is given.
    pub fn attributes(&self) -> Attributes {
        self.attributes
    }

    /// What its filesystem is mounted with.
    pub fn options(&self) -> Vec<FilesystemOption<'_>> {
        self.options.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect()
    }
}

/// True for words that ask for nothing.
fn is_neutral(word: &str) -> bool {
    word.is_empty() || matches!(word, "rw" | "defaults" | "suid" | "dev" | "exec")
}

/// The words of a flag: at its commas, except those of a label, which has commas of its own.
fn words(flag: &str) -> Vec<&str> {
    let labelled = LABELS.iter().any(|label| flag.starts_with(&format!("{label}=")));
    if labelled { vec![flag] } else { flag.split(',').map(str::trim).collect() }
}

fn allowed(content: Content) -> &'static [&'static [&'static str]] {
    match content {
        Content::Ext4 => &[COMMON, LABELS, EXT4],
        Content::Xfs => &[COMMON, LABELS, XFS],
        Content::Btrfs => &[COMMON, LABELS, BTRFS],
        // A directory of this node is mounted already, which is said when it is staged; one of a file
        // server is mounted for the volume.
        Content::Directory => &[nfs::WORDS],
        // A device has no filesystem.
        Content::Block => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_taken_for_the_content_they_are_for() {
        let flags = ["noatime", "noexec,commit=30", "context=\"system_u:object_r:t:s0:c1,c2\""];
        let read = MountFlags::read(&flags, Content::Ext4).unwrap();
        let label = Some("system_u:object_r:t:s0:c1,c2");
        assert_eq!(read.options(), [("commit", Some("30")), ("context", label)]);
        assert!(!read.attributes().readonly());
        assert!(
            MountFlags::read(&["ro", "rw"], Content::Directory).unwrap().attributes().readonly()
        );
    }

    #[test]
    fn words_handed_to_another_process_are_the_same_there() {
        let flags = ["noatime,ro,hard", "nconnect=4", "defaults"];
        let read = MountFlags::read(&flags, Content::Directory).unwrap();
        let told = serde_json::to_string(&read).unwrap();
        assert_eq!(told, r#"["noatime","ro","hard","nconnect=4"]"#);
        assert_eq!(serde_json::from_str::<MountFlags>(&told).unwrap(), read);
        assert_eq!(read.options(), [("hard", None), ("nconnect", Some("4"))]);
    }

    #[test]
    fn unknown_and_unsafe_words_are_refused() {
        for (flag, content) in [
            ("nobarrier", Content::Ext4),
            ("errors=panic", Content::Ext4),
            ("norecovery", Content::Xfs),
            ("logdev=/dev/sda", Content::Xfs),
            ("device=/dev/sda", Content::Btrfs),
            ("bind", Content::Ext4),
            ("remount,noexec", Content::Ext4),
            ("noatime,loop", Content::Ext4),
            ("compress", Content::Ext4),
            ("discard", Content::Directory),
            ("addr=10.0.0.1", Content::Directory),
            ("vers=3", Content::Directory),
            ("port=2050", Content::Directory),
            ("hard", Content::Ext4),
            ("noatime", Content::Block),
            ("such\nnonsense", Content::Ext4),
        ] {
            let error = MountFlags::read(&[flag], content).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{flag}");
            assert!(!error.message().contains('\n'));
        }
    }
}
