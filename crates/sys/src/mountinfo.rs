//! The mount table, `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
//!
//! Whether *one* path is a mount point is answered by [`crate::point`] in one call. The table is
//! for the reverse question: which mounts belong to a device or a directory.

use crate::error::{Context, Result};
use std::ffi::OsString;
use std::fmt;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The mount's id, as in `statx`.
    pub id: u64,
    /// The id of the mount this one is attached to.
    pub parent: u64,
    /// Device number of the filesystem; anonymous (major 0) for btrfs and pseudo filesystems.
    pub device: (u32, u32),
    /// The directory within the filesystem that is the root of this mount.
    pub root: PathBuf,
    /// Where it is mounted, relative to this process' root.
    pub point: PathBuf,
    /// True when this mount is read-only, whatever the filesystem is.
    pub readonly: bool,
    /// Filesystem type, such as `ext4`.
    pub kind: String,
    /// What the filesystem says it is on: `/dev/loop7`, `server:/export`, `tmpfs`.
    pub source: PathBuf,
    /// The filesystem's own options, which all its mounts have in common: `rw,errors=remount-ro`.
    pub options: String,
}

impl Entry {
    /// True when the filesystem is a file server's: touching it may take as long as the server likes.
    pub fn is_nfs(&self) -> bool {
        self.kind == "nfs" || self.kind == "nfs4"
    }

    /// True when this mount shows the directory that `other` shows, or one in it. Mounts of NFS all say
    /// that their root is `/`, and tell in their source what they show.
    pub fn shows(&self, other: &Entry) -> bool {
        match self.is_nfs() {
            true => self.device == other.device && self.source.starts_with(&other.source),
            false => self.device == other.device && self.root.starts_with(&other.root),
        }
    }

    /// True when `option` stands among the filesystem's own options.
    pub fn has(&self, option: &str) -> bool {
        self.options.split(',').any(|has| has == option)
    }
}

/// A line that is not of the documented form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// The line's number, from 1.
    pub line: usize,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} of the mount table is malformed", self.line)
    }
}

impl std::error::Error for Malformed {}

/// The mounts this process sees.
pub fn read() -> Result<Vec<Entry>> {
    const TABLE: &str = "/proc/self/mountinfo";
    let mut file = std::fs::File::open(TABLE).on("open", TABLE)?;
    // One large buffer: growing from a small one would mean many more reads, between each of which
    // the table may change.
    let mut bytes = Vec::with_capacity(256 * 1024);
    file.read_to_end(&mut bytes).on("read", TABLE)?;
    parse(&bytes).map_err(|malformed| {
        crate::Error::new("read", TABLE, crate::Errno::INVAL).detail(malformed.to_string())
    })
}

/// Parses a whole table.
pub fn parse(table: &[u8]) -> std::result::Result<Vec<Entry>, Malformed> {
    table
        .split(|byte| *byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| parse_line(line).ok_or(Malformed { line: index + 1 }))
        .collect()
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`, where any
/// number of optional fields stands before the lone `-`.
fn parse_line(line: &[u8]) -> Option<Entry> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let device = device(fields.next()?)?;
    let root = path(fields.next()?);
    let point = path(fields.next()?);
    let readonly = fields.next()?.split(|byte| *byte == b',').any(|option| option == b"ro");
    let mut rest = fields.skip_while(|field| *field != b"-").skip(1);
    let kind = String::from_utf8(rest.next()?.to_vec()).ok()?;
    let source = path(rest.next()?);
    let options = String::from_utf8_lossy(rest.next().unwrap_or_default()).into_owned();
    Some(Entry { id, parent, device, root, point, readonly, kind, source, options })
}

fn number(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn device(field: &[u8]) -> Option<(u32, u32)> {
    let (major, minor) = std::str::from_utf8(field).ok()?.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A path field: space, tab, newline and backslash stand as three octal digits behind a backslash.
fn path(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        match (first, octal(after)) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

fn octal(bytes: &[u8]) -> Option<u8> {
    let digits = bytes.get(..3)?;
    digits.iter().try_fold(0u8, |value, digit| match digit {
        b'0'..=b'7' => value.checked_mul(8)?.checked_add(digit - b'0'),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    #[test]
    fn reads_every_field_and_unescapes_paths() {
        let table =
            b"36 35 98:0 /a\\040b /mnt\\011x rw,noatime master:1 shared:2 - ext3 /dev/root rw\n\
                      40 36 0:52 / /v ro,nosuid - btrfs /dev/loop7 rw,subvol=/\n";
        let entries = parse(table).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(entries[0].root, Path::new("/a b"));
        assert_eq!(entries[0].point, Path::new("/mnt\tx"));
        assert_eq!((entries[0].id, entries[0].parent, entries[0].device), (36, 35, (98, 0)));
        assert!(!entries[0].readonly && entries[1].readonly);
        assert!(entries[0].has("rw") && !entries[0].has("subvol=/") && entries[1].has("subvol=/"));
        assert_eq!(
            (entries[1].kind.as_str(), entries[1].source.as_path()),
            ("btrfs", Path::new("/dev/loop7"))
        );
    }

    #[test]
    fn a_malformed_line_is_named_by_its_number() {
        for bad in ["x", "1 2 3", "1 2 98:0 / / rw shared:1", "a 2 98:0 / / rw - ext4 /dev/x rw"] {
            let table = format!("36 35 98:0 / / rw - ext3 /dev/root rw\n{bad}\n");
            assert_eq!(parse(table.as_bytes()), Err(Malformed { line: 2 }), "{bad}");
        }
    }

    #[test]
    fn the_table_of_this_machine_parses_and_has_a_root() {
        assert!(read().unwrap().iter().any(|entry| entry.point == Path::new("/")));
    }

    proptest! {
        #[test]
        fn no_input_makes_the_parser_panic(table in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&table);
        }

        #[test]
        fn every_path_survives_the_kernels_escaping(name in "[ -~\t\n]{1,40}") {
            let escaped: String = name.chars().map(|letter| match letter {
                ' ' | '\t' | '\n' | '\\' => format!("\\{:03o}", letter as u32),
                other => other.to_string(),
            }).collect();
            prop_assert_eq!(path(escaped.as_bytes()), PathBuf::from(name));
        }
    }
}
