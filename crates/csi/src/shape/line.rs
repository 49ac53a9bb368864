//! A message on one line of a log, without its secrets.
//!
//! Nothing is shown that the descriptors do not know, and every field is asked for its mark before it
//! is: a secret that a later version of the specification adds comes out as an unknown field, which is
//! not shown at all.

use super::{STRIPPED, descriptors, is_secret};
use becket_core::error::shown;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value,
};
use std::collections::HashMap;
use std::fmt::Write;

/// Characters of the whole line; what is longer is cut.
const LONGEST_LINE: usize = 4096;

/// Elements shown of one list or map.
const MOST_ELEMENTS: usize = 16;

/// Fields that the specification calls possibly sensitive in words, without the mark.
const SENSITIVE: [&str; 1] = ["csi.v1.VolumeCapability.MountVolume.mount_flags"];

/// What the kubelet puts service account tokens under, in any map, when the CSIDriver asks for them.
const TOKENS: &str = "serviceaccount.tokens";

/// A message of the type `full_name` on one line, such as `volume_id="v" secrets=<stripped>`.
pub fn line(message: &impl prost::Message, full_name: &str) -> String {
    line_of_bytes(full_name, &message.encode_to_vec())
}

/// Like [`line()`], of an encoded message. What is no such message is shown by its length alone.
pub fn line_of_bytes(full_name: &str, bytes: &[u8]) -> String {
    let decode = |descriptor: MessageDescriptor| DynamicMessage::decode(descriptor, bytes).ok();
    match descriptors().get_message_by_name(full_name).and_then(decode) {
        Some(message) => line_of(&message),
        None => format!("<{} bytes that are no {full_name}>", bytes.len()),
    }
}

/// Like [`line()`], of a message that knows its type.
pub fn line_of(message: &DynamicMessage) -> String {
    let line = fields(message);
    match line.char_indices().nth(LONGEST_LINE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn fields(message: &DynamicMessage) -> String {
    let descriptor = message.descriptor();
    let set = descriptor.fields().filter(|field| message.has_field(field));
    let shown = set.map(|field| {
        let value = match is_secret(&field) || SENSITIVE.contains(&field.full_name()) {
            true => STRIPPED.to_owned(),
            false => text(&field, &message.get_field(&field)),
        };
        format!("{}={value}", field.name())
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn text(field: &FieldDescriptor, value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Bytes(bytes) => format!("<{} bytes>", bytes.len()),
        Value::EnumNumber(number) => enum_name(field, *number),
        Value::Message(message) => format!("{{{}}}", fields(message)),
        Value::List(values) => {
            let elements = values.iter().map(|value| text(field, value));
            format!("[{}]", some(elements, values.len()))
        }
        Value::Map(values) => format!("{{{}}}", map(field, values)),
        Value::Bool(value) => value.to_string(),
        Value::I32(value) => value.to_string(),
        Value::I64(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::U64(value) => value.to_string(),
        Value::F32(value) => value.to_string(),
        Value::F64(value) => value.to_string(),
    }
}

/// In the order of the keys, so that equal messages are equal lines.
fn map(field: &FieldDescriptor, values: &HashMap<MapKey, Value>) -> String {
    let mut entries: Vec<(String, &Value)> =
        values.iter().map(|(key, value)| (key_text(key), value)).collect();
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    let count = entries.len();
    let elements = entries.into_iter().map(|(key, value)| {
        let value = match key.to_lowercase().contains(TOKENS) {
            true => STRIPPED.to_owned(),
            false => text(field, value),
        };
        format!("{}={value}", quoted(&key))
    });
    some(elements, count)
}

fn key_text(key: &MapKey) -> String {
    match key {
        MapKey::String(text) => text.clone(),
        MapKey::Bool(value) => value.to_string(),
        MapKey::I32(value) => value.to_string(),
        MapKey::I64(value) => value.to_string(),
        MapKey::U32(value) => value.to_string(),
        MapKey::U64(value) => value.to_string(),
    }
}

fn some(elements: impl Iterator<Item = String>, count: usize) -> String {
    let mut text = elements.take(MOST_ELEMENTS).collect::<Vec<_>>().join(" ");
    if count > MOST_ELEMENTS {
        // Writing to a text cannot fail.
        let _ = write!(text, " … {} more", count - MOST_ELEMENTS);
    }
    text
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", shown(text))
}

fn enum_name(field: &FieldDescriptor, number: i32) -> String {
    let Kind::Enum(descriptor) = field.kind() else {
        return number.to_string();
    };
    descriptor.get_value(number).map_or_else(|| number.to_string(), |value| value.name().to_owned())
}
