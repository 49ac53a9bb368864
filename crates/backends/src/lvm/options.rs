//! What a volume may ask of LVM: its layout on the devices, and what becomes of its bytes.

use super::group::Logical;
use becket_core::encryption::{ENCRYPTION, LUKS, is_asked_for};
use becket_core::error::shown;
use becket_core::record::{SnapshotRecord, VolumeRecord};
use becket_core::{Error, Kind, Result};
use becket_sys::{child, luks};
use std::collections::BTreeMap;

/// The parameter with options of `lvcreate`, such as `--type raid1 --mirrors 1`.
pub const LVCREATE_OPTIONS: &str = "lvcreateOptions";

/// The parameter that says what becomes of the bytes of a deleted volume: `none`, `discard`, `zero` or
/// `crypto-erase`.
pub const WIPE: &str = "wipe";

/// What may be asked of `lvcreate`: the option, its short form, and whether it takes a value. Nothing
/// among them names a volume, a group, a size or a tag, and nothing does without a lock.
const ALLOWED: [(&str, &str, bool); 8] = [
    ("--type", "", true),
    ("--mirrors", "-m", true),
    ("--stripes", "-i", true),
    ("--stripesize", "-I", true),
    ("--alloc", "", true),
    ("--readahead", "-r", true),
    ("--nosync", "", false),
    ("--raidintegrity", "", true),
];

/// Types that are a volume of its own. Snapshots, caches and pools are not.
const TYPES: [&str; 7] = ["linear", "striped", "raid0", "raid1", "raid5", "raid6", "raid10"];

/// What becomes of the bytes of a volume that is removed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wipe {
    /// They stay until something else is written there.
    None,
    /// The devices are told that they are not needed any more.
    Discard,
    /// Zeros are written over them.
    Zero,
    /// Zeros are written over the header of the encryption, without which they say nothing to anybody.
    CryptoErase,
}

/// The layout that a volume asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Layout {
    /// Options for `lvcreate`.
    pub(super) words: Vec<String>,
    /// The number of stripes: sizes are multiples of that many extents.
    pub(super) stripes: u64,
}

/// Refuses parameters that are none of a logical volume's.
pub(super) fn check(volume: &VolumeRecord) -> Result<()> {
    let known = |key: &str| [LVCREATE_OPTIONS, WIPE, ENCRYPTION].contains(&key);
    if let Some(key) = volume.parameters.keys().find(|key| !known(key)) {
        return Err(Error::new(
            Kind::Invalid,
            format!("logical volumes know no parameter `{}`", shown(key)),
        )
        .hint(format!("they know {LVCREATE_OPTIONS}, {WIPE} and {ENCRYPTION}")));
    }
    encryption(&volume.parameters)?;
    wipe(&volume.parameters)?;
    layout(&volume.parameters).map(drop)
}

/// Refuses an encryption that is not known, and one that this host has no program for.
fn encryption(parameters: &BTreeMap<String, String>) -> Result<()> {
    match parameters.get(ENCRYPTION).map(String::as_str) {
        None => Ok(()),
        Some(LUKS) if child::find(luks::PROGRAM).is_some() => Ok(()),
        Some(LUKS) => Err(Error::new(Kind::WrongState, "this host has no `cryptsetup`")
            .hint("install the package cryptsetup-bin, or cryptsetup")),
        Some(other) => Err(Error::new(
            Kind::Invalid,
            format!("parameter `{ENCRYPTION}` cannot be `{}`", shown(other)),
        )
        .hint(format!("use {LUKS}, or leave it out"))),
    }
}

/// A copy has its origin's bytes, so it is encrypted where that is, and nowhere else.
pub(super) fn refuse_other_encryption(volume: &VolumeRecord, source: &Logical) -> Result<()> {
    let (wanted, is) = (is_asked_for(&volume.parameters), is_asked_for(&parameters_of(source)));
    if wanted == is {
        return Ok(());
    }
    let (what, hint) = match is {
        true => ("encrypted", format!("set parameter `{ENCRYPTION}` to {LUKS}")),
        false => ("not encrypted", format!("leave parameter `{ENCRYPTION}` out")),
    };
    Err(Error::new(
        Kind::Invalid,
        format!("volume `{}` is a copy, and its origin is {what}", volume.name),
    )
    .hint(hint))
}

/// The parameters of the volume, or of the volume that it is a snapshot of.
pub(super) fn parameters_of(logical: &Logical) -> BTreeMap<String, String> {
    let volume = logical.record::<VolumeRecord>().map(|record| record.parameters);
    let snapshot = || logical.record::<SnapshotRecord>().map(|record| record.parameters);
    volume.or_else(|_| snapshot()).unwrap_or_default()
}

/// What the parameters say of the bytes of a deleted volume. Where they say nothing the devices are told
/// that they are free, which costs little and gives thin storage below back.
pub(super) fn wipe(parameters: &BTreeMap<String, String>) -> Result<Wipe> {
    match parameters.get(WIPE).map(String::as_str) {
        None | Some("discard") => Ok(Wipe::Discard),
        Some("none") => Ok(Wipe::None),
        Some("zero") => Ok(Wipe::Zero),
        Some("crypto-erase") if is_asked_for(parameters) => Ok(Wipe::CryptoErase),
        Some("crypto-erase") => Err(Error::new(
            Kind::Invalid,
            format!("parameter `{WIPE}` cannot be `crypto-erase` without `{ENCRYPTION}`"),
        )
        .hint("what is not encrypted has no key to erase; use zero or discard")),
        Some(other) => Err(Error::new(
            Kind::Invalid,
            format!("parameter `{WIPE}` cannot be `{}`", shown(other)),
        )
        .hint("use none, discard, zero or crypto-erase")),
    }
}

/// The layout in the parameters.
pub(super) fn layout(parameters: &BTreeMap<String, String>) -> Result<Layout> {
    let text = parameters.get(LVCREATE_OPTIONS).map_or("", String::as_str);
    let mut layout = Layout { words: Vec::new(), stripes: 1 };
    let mut given = text.split_whitespace().flat_map(|word| match word.split_once('=') {
        Some((option, value)) => vec![option, value],
        None => vec![word],
    });
    while let Some(word) = given.next() {
        let Some((option, _, takes_value)) = ALLOWED
            .iter()
            .find(|(long, short, _)| word == *long || (!short.is_empty() && word == *short))
        else {
            return Err(refused(&format!("`{}` is not allowed", shown(word))));
        };
        layout.words.push((*option).to_owned());
        if *takes_value {
            let value = given.next().filter(|value| is_plain(value));
            let value = value.ok_or_else(|| refused(&format!("`{option}` needs a plain value")))?;
            match *option {
                "--type" if !TYPES.contains(&value) => {
                    return Err(refused(&format!("type `{}` is not allowed", shown(value))));
                }
                "--stripes" => {
                    let stripes = value.parse().ok().filter(|count| (1..=128).contains(count));
                    layout.stripes = stripes.ok_or_else(|| refused("`--stripes` is 1 to 128"))?;
                }
                _ => {}
            }
            layout.words.push(value.to_owned());
        }
    }
    Ok(layout)
}

fn is_plain(value: &str) -> bool {
    value.starts_with(|first: char| first.is_ascii_alphanumeric())
        && value.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '.')
}

fn refused(what: &str) -> Error {
    let allowed: Vec<&str> = ALLOWED.iter().map(|(long, ..)| *long).collect();
    Error::new(Kind::Invalid, format!("in parameter `{LVCREATE_OPTIONS}`, {what}"))
        .hint(format!("allowed are {}", allowed.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Layout> {
        layout(&BTreeMap::from([(LVCREATE_OPTIONS.to_owned(), text.to_owned())]))
    }

    #[test]
    fn layouts_are_read() {
        let raid = read("--type=raid10 -i 2 --mirrors 1 --nosync").unwrap();
        assert_eq!(raid.stripes, 2);
        let words = ["--type", "raid10", "--stripes", "2", "--mirrors", "1", "--nosync"];
        assert_eq!(raid.words, words);
        assert_eq!(read("").unwrap(), Layout { words: Vec::new(), stripes: 1 });
    }

    #[test]
    fn only_what_is_encrypted_can_be_erased_by_its_key() {
        let parameters = |given: &[(&str, &str)]| -> BTreeMap<String, String> {
            given.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
        };
        let erase = ("wipe", "crypto-erase");
        let encrypted = parameters(&[erase, ("encryption", "luks")]);
        assert_eq!(wipe(&encrypted).unwrap(), Wipe::CryptoErase);
        assert_eq!(wipe(&parameters(&[erase])).unwrap_err().kind(), Kind::Invalid);
        let odd = encryption(&parameters(&[("encryption", "rot13")])).unwrap_err();
        assert_eq!(odd.kind(), Kind::Invalid);
    }

    #[test]
    fn what_is_not_on_the_list_is_refused() {
        for text in [
            "-n other",
            "--addtag x",
            "-L 1G",
            "vg0",
            "--type thin-pool",
            "--type cache",
            "--config x",
            "-i 0",
            "-i x",
            "--alloc",
            "--alloc --nosync",
            "--mirrors -1",
            "-Zn",
            "--yes",
            "/dev/sda",
            "--stripes 1;2",
            "-S x",
            "-",
            "--",
        ] {
            assert_eq!(read(text).unwrap_err().kind(), Kind::Invalid, "{text}");
        }
    }
}
