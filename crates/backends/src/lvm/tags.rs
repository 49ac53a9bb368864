//! Records as tags: how a volume group remembers what its logical volumes are.
//!
//! Each field of a record is a tag of its own, `becket:r.size=1073741824`, so that `lvs -o tags` tells
//! people what they are and a change touches only what changes. LVM allows letters, digits and
//! `_+.-/=!:&#` in a tag, and 1,024 of them; other bytes are written as `#` and two hexadecimal digits,
//! and a long value goes on in `becket:r.FIELD+1=…`.

use becket_core::record::{self, Record};
use becket_core::{Error, Kind, Result};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// What all tags of ours start with.
const PREFIX: &str = "becket:";

/// How much of a value one tag takes; the name before it is never as long as what is left.
const PIECE: usize = 800;

/// The tags of ours on one logical volume or volume group, by their keys, with their values unescaped.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Tags(BTreeMap<String, String>);

impl Tags {
    /// Those of ours among the tags that a report tells, with commas between them.
    pub(super) fn read(report: &str) -> Tags {
        let mut pieces: BTreeMap<String, BTreeMap<u32, String>> = BTreeMap::new();
        for tag in report.split(',').filter_map(|tag| tag.strip_prefix(PREFIX)) {
            let (key, value) = tag.split_once('=').unwrap_or((tag, ""));
            let (key, number) = match key.split_once('+') {
                Some((key, number)) => (key, number.parse().unwrap_or(u32::MAX)),
                None => (key, 0),
            };
            pieces.entry(key.to_owned()).or_default().insert(number, value.to_owned());
        }
        let joined = pieces.into_iter().map(|(key, pieces)| {
            let value: String = pieces.into_values().collect();
            (key, unescaped(&value))
        });
        Tags(joined.collect())
    }

    /// The value of the tag `key`.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// These, with `key` set.
    #[must_use]
    pub(super) fn with(mut self, key: &str, value: &str) -> Tags {
        self.0.insert(key.to_owned(), value.to_owned());
        self
    }

    /// These, with the fields of `record` in place of those of another one of the same `area`.
    pub(super) fn with_record<R: Record>(mut self, area: &str, record: &R) -> Result<Tags> {
        self.forget(area);
        let bytes = record::write(record)?;
        let value = serde_json::from_slice(&bytes).map_err(|error| {
            Error::new(Kind::Internal, format!("cannot write {} as tags: {error}", R::WHAT))
        })?;
        flatten(area, &value, &mut self.0);
        Ok(self)
    }

    /// Drops the record of `area`.
    pub(super) fn forget(&mut self, area: &str) {
        let prefix = format!("{area}.");
        self.0.retain(|key, _| !key.starts_with(&prefix));
    }

    /// The record in `area`; `place` is what it is of, for messages.
    pub(super) fn record<R: Record>(&self, area: &str, place: &str) -> Result<R> {
        let prefix = format!("{area}.");
        let mut whole = Value::Object(Map::new());
        for (key, value) in &self.0 {
            if let Some(path) = key.strip_prefix(&prefix) {
                put(&mut whole, path, value);
            }
        }
        record::read(whole.to_string().as_bytes(), place)
    }

    /// The tags as LVM takes them.
    pub(super) fn words(&self) -> Vec<String> {
        let mut words = Vec::new();
        for (key, value) in &self.0 {
            let escaped = escaped(value, "=!&/:.+");
            let mut rest = escaped.as_str();
            let mut number = 0;
            loop {
                let (piece, more) = split(rest);
                let sign = if number == 0 { String::new() } else { format!("+{number}") };
                words.push(format!("{PREFIX}{key}{sign}={piece}"));
                if more.is_empty() {
                    break;
                }
                (rest, number) = (more, number + 1);
            }
        }
        words
    }

    /// What to take away and what to add to make these of `before`.
    pub(super) fn changes(&self, before: &Tags) -> (Vec<String>, Vec<String>) {
        let (old, new) = (before.words(), self.words());
        let gone = old.iter().filter(|word| !new.contains(word)).cloned().collect();
        (gone, new.into_iter().filter(|word| !old.contains(word)).collect())
    }
}

/// Splits off a piece, never within an escape.
fn split(text: &str) -> (&str, &str) {
    if text.len() <= PIECE {
        return (text, "");
    }
    let bytes = text.as_bytes();
    let end = (PIECE - 2..=PIECE).find(|end| !bytes[end - 2..*end].contains(&b'#'));
    text.split_at(end.unwrap_or(PIECE))
}

/// Objects become paths, everything else a value: a string as it is, unless it would be read as JSON.
fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, member) in members {
                flatten(&format!("{path}.{}", escaped(key, "/")), member, into);
            }
        }
        Value::String(text) if serde_json::from_str::<Value>(text).is_err() => {
            into.insert(path.to_owned(), text.clone());
        }
        other => {
            into.insert(path.to_owned(), other.to_string());
        }
    }
}

fn put(whole: &mut Value, path: &str, value: &str) {
    let mut place = whole;
    for part in path.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[unescaped(part)];
    }
    *place = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
}

/// Letters, digits, `_`, `-` and what is in `also` as they are; the rest as `#` and two digits.
fn escaped(text: &str, also: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        let letter = char::from(byte);
        match letter.is_ascii_alphanumeric() || "_-".contains(letter) || also.contains(letter) {
            true => escaped.push(letter),
            false => escaped.push_str(&format!("#{byte:02x}")),
        }
    }
    escaped
}

/// The text that was escaped. What is no escape stays as it is: somebody wrote it by hand.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let digits = more.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (first, byte) {
            (b'#', Some(byte)) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            _ => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use becket_core::record::VolumeRecord;

    fn volume(labels: &[(&str, &str)]) -> VolumeRecord {
        let text = r#"{"format":1,"uuid":"00000000-0000-0000-0000-000000000001","name":"1234",
            "size":1048576,"content":"ext4","birth":"ready","created":"2026-01-01T00:00:00Z",
            "settings":{"mountOptions":["noatime"]},"claims":[{"node":"a","readonly":true}]}"#;
        let mut record: VolumeRecord = record::read(text.as_bytes(), "v").unwrap();
        record
            .labels
            .extend(labels.iter().map(|(key, value)| (key.to_string(), value.to_string())));
        record
    }

    #[test]
    fn a_record_reads_back_from_its_tags() {
        let long = "ä,=#{}\"".repeat(400);
        for labels in [
            &[][..],
            &[("csi.storage.k8s.io/pvc/name", "claim"), ("a+b", "true"), ("", "")],
            &[("x", "{\"y\":1}"), ("long", &long), ("number", "007"), ("null", "null")],
        ] {
            let record = volume(labels);
            let words = Tags::default().with_record("r", &record).unwrap().words();
            for word in &words {
                assert!(word.len() <= 1024, "{word}");
                let fine =
                    |letter: char| letter.is_ascii_alphanumeric() || "_+.-/=!:&#".contains(letter);
                assert!(word.chars().all(fine), "{word}");
            }
            let read = Tags::read(&words.join(","));
            assert_eq!(read.record::<VolumeRecord>("r", "v").unwrap(), record, "{words:?}");
        }
    }

    #[test]
    fn tags_of_others_are_left_out_and_people_can_read_ours() {
        let tags = Tags::read("backup,becket:pool=1,becket:r.size=5,@x");
        assert_eq!((tags.get("pool"), tags.get("r.size")), (Some("1"), Some("5")));
        let words = Tags::default().with_record("r", &volume(&[])).unwrap().words();
        assert!(words.contains(&"becket:r.size=1048576".to_owned()), "{words:?}");
        assert!(words.contains(&"becket:r.content=ext4".to_owned()), "{words:?}");
    }

    #[test]
    fn a_change_touches_what_changes() {
        let before = Tags::default().with("state", "preparing").with("pool", "1");
        let (gone, new) = before.clone().with("state", "ready").changes(&before);
        assert_eq!(
            (gone, new),
            (vec!["becket:state=preparing".to_owned()], vec!["becket:state=ready".to_owned()],)
        );
    }
}
