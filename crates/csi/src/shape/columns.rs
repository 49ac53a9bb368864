//! Answers for people: plain fields one by one, lists as rows and columns.

use super::to_json;
use becket_core::size;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};
use std::collections::BTreeSet;

/// Answers, ready to be laid out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// What is not in the list: name and value.
    pub fields: Vec<(String, String)>,
    /// The list's columns: those in which any of its elements has something.
    pub header: Vec<String>,
    /// The list's elements.
    pub rows: Vec<Vec<String>>,
    /// Whether the answer has a list at all; it may be empty.
    pub listed: bool,
}

/// Lays out the answers of one call: one, or those of a stream, whose lists are one after another.
pub fn columns(answers: &[DynamicMessage]) -> Columns {
    let mut columns = Columns::default();
    let mut elements: Vec<Vec<(String, String)>> = Vec::new();
    for answer in answers {
        let answer = unwrapped(answer);
        let list = answer.descriptor().fields().find(is_message_list);
        columns.listed |= list.is_some();
        for field in answer.descriptor().fields().filter(|field| Some(field) != list.as_ref()) {
            // A stream says the same of each of its messages: once is enough.
            for cell in cells(answer, &field, "") {
                if !columns.fields.contains(&cell) {
                    columns.fields.push(cell);
                }
            }
        }
        let rows = list.iter().flat_map(|field| match answer.get_field(field).into_owned() {
            Value::List(values) => values,
            _ => Vec::new(),
        });
        elements.extend(rows.filter_map(|value| Some(message_cells(value.as_message()?, ""))));
    }
    let mut used = BTreeSet::new();
    for (name, text) in elements.iter().flatten() {
        if !columns.header.contains(name) {
            columns.header.push(name.clone());
        }
        if !text.is_empty() {
            used.insert(name);
        }
    }
    columns.header.retain(|name| used.contains(name));
    // What an element is called goes first.
    columns.header.sort_by_key(|name| !name.ends_with(" id"));
    let cell = |row: &[(String, String)], name: &String| {
        row.iter().find(|(own, _)| own == name).map(|(_, text)| text.clone()).unwrap_or_default()
    };
    columns.rows = elements
        .iter()
        .map(|row| columns.header.iter().map(|name| cell(row, name)).collect())
        .collect();
    columns
}

/// Whether the field's elements are rows. A topology, which wraps one map, is a value.
fn is_message_list(field: &FieldDescriptor) -> bool {
    let Kind::Message(element) = field.kind() else {
        return false;
    };
    let wraps_map = element.fields().len() == 1 && element.fields().all(|inner| inner.is_map());
    field.is_list() && !wraps_map
}

/// What the message is about: itself, or the one message that it wraps, as `CreateVolumeResponse` wraps
/// a `Volume`.
fn unwrapped(message: &DynamicMessage) -> &DynamicMessage {
    let mut fields = message.fields();
    match (message.descriptor().fields().len(), fields.next()) {
        (1, Some((field, Value::Message(inner)))) if is_ours(&field) => unwrapped(inner),
        _ => message,
    }
}

fn is_ours(field: &FieldDescriptor) -> bool {
    matches!(field.kind(), Kind::Message(of) if of.package_name() == super::PACKAGE)
}

fn message_cells(message: &DynamicMessage, place: &str) -> Vec<(String, String)> {
    let message = unwrapped(message);
    let fields = message.descriptor().fields().collect::<Vec<_>>();
    fields.iter().flat_map(|field| cells(message, field, place)).collect()
}

/// One field as one cell, or as one for each field of the message that it is.
fn cells(message: &DynamicMessage, field: &FieldDescriptor, place: &str) -> Vec<(String, String)> {
    let alone = message.descriptor().fields().len() == 1;
    // `rpc.type` says no more than `rpc`.
    let name = match (alone, place) {
        (true, place) if !place.is_empty() => place.to_owned(),
        (_, place) => joined(place, field.name()),
    };
    if field.supports_presence() && !message.has_field(field) {
        return vec![];
    }
    match message.get_field(field).as_ref() {
        Value::Message(inner) if is_ours(field) => {
            // The volume of an entry is what the entry is about: its fields need no prefix.
            let place = if wraps(message, field) { place.to_owned() } else { name.clone() };
            match inner.descriptor().fields().len() {
                0 => vec![(name, "yes".to_owned())],
                _ => message_cells(inner, &place),
            }
        }
        value => vec![(name, text(message, field, value))],
    }
}

fn wraps(message: &DynamicMessage, field: &FieldDescriptor) -> bool {
    message.descriptor().name() == "Entry" && ["volume", "status"].contains(&field.name())
}

fn joined(place: &str, name: &str) -> String {
    let name = name.replace('_', " ");
    if place.is_empty() { name } else { format!("{place} {name}") }
}

fn text(message: &DynamicMessage, field: &FieldDescriptor, value: &Value) -> String {
    let json = match to_json(message) {
        serde_json::Value::Object(mut object) => object.remove(field.name()),
        _ => None,
    };
    let bytes = value.as_i64().or_else(|| {
        value.as_message().and_then(|wrapper| wrapper.get_field_by_name("value")?.as_i64())
    });
    match (bytes.and_then(|bytes| u64::try_from(bytes).ok()), json) {
        (Some(bytes), _) if is_readable(message, field) => size::display(bytes),
        (_, Some(json)) => plain(&json),
        (_, None) => String::new(),
    }
}

/// Whether a number of bytes is better read with a unit. Offsets are compared, so they stay exact.
fn is_readable(message: &DynamicMessage, field: &FieldDescriptor) -> bool {
    const BYTES: i32 = 1;
    let name = field.name();
    match message.descriptor().name() {
        "VolumeUsage" => {
            let unit = message.get_field_by_name("unit").and_then(|unit| unit.as_enum_number());
            unit == Some(BYTES)
        }
        _ => ["_bytes", "_capacity", "_size"].iter().any(|end| name.ends_with(end)),
    }
}

/// A value without JSON's signs: `a=1,b=2` for an object.
fn plain(json: &serde_json::Value) -> String {
    match json {
        serde_json::Value::String(text) => printable(text),
        serde_json::Value::Null => String::new(),
        serde_json::Value::Array(values) => {
            let texts: Vec<String> = values.iter().map(plain).collect();
            texts.join(if values.iter().any(serde_json::Value::is_object) { "; " } else { "," })
        }
        serde_json::Value::Object(entries) => match entries.iter().next() {
            Some((_, only)) if entries.len() == 1 && only.is_object() => plain(only),
            _ => {
                let texts: Vec<String> = entries
                    .iter()
                    .map(|(key, value)| format!("{}={}", printable(key), plain(value)))
                    .collect();
                texts.join(",")
            }
        },
        other => other.to_string(),
    }
}

/// A text from outside, without what would move the cursor, or worse.
pub fn printable(text: &str) -> String {
    let escaped = |character: char| match character.is_control() {
        true => character.escape_default().to_string(),
        false => character.to_string(),
    };
    text.chars().map(escaped).collect()
}
