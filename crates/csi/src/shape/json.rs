//! JSON to messages and back, by the fields' names in the protocol.
//!
//! Where JSON is read, a field may also have its camel-case name, an enum value its name in any case or
//! its number, and a size in bytes may have a unit (`"1Gi"`). No error shows what a secret field holds.

use super::is_secret;
use becket_core::error::shown;
use becket_core::{Error, Kind, Result, size};
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind as Type, MapKey, MessageDescriptor, ReflectMessage, Value,
};
use serde_json::{Map, Value as Json};
use std::time::{Duration, UNIX_EPOCH};

const TIMESTAMP: &str = "google.protobuf.Timestamp";
const WRAPPERS: [&str; 2] = ["google.protobuf.BoolValue", "google.protobuf.Int64Value"];

/// The message as JSON: every plain field, also at its default, so that a program finds it; of messages
/// and of alternatives only what is set. 64-bit integers are numbers, times RFC 3339.
pub fn to_json(message: &DynamicMessage) -> Json {
    let descriptor = message.descriptor();
    if WRAPPERS.contains(&descriptor.full_name()) {
        return descriptor.get_field(1).map_or(Json::Null, |field| field_json(message, &field));
    }
    if descriptor.full_name() == TIMESTAMP
        && let Some(time) = time_text(message)
    {
        return time.into();
    }
    let fields = descriptor
        .fields()
        .filter(|field| message.has_field(field) || !field.supports_presence())
        .map(|field| (field.name().to_owned(), field_json(message, &field)));
    Json::Object(fields.collect::<Map<_, _>>())
}

fn field_json(message: &DynamicMessage, field: &FieldDescriptor) -> Json {
    value_json(&field.kind(), &message.get_field(field))
}

fn value_json(of: &Type, value: &Value) -> Json {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::I32(value) => (*value).into(),
        Value::I64(value) => (*value).into(),
        Value::U32(value) => (*value).into(),
        Value::U64(value) => (*value).into(),
        Value::F32(value) => (*value).into(),
        Value::F64(value) => (*value).into(),
        Value::String(text) => text.clone().into(),
        Value::Bytes(bytes) => bytes.to_vec().into(),
        Value::EnumNumber(number) => {
            let value = of.as_enum().and_then(|of| of.get_value(*number));
            value.map_or_else(|| (*number).into(), |value| value.name().into())
        }
        Value::Message(message) => to_json(message),
        Value::List(values) => values.iter().map(|value| value_json(of, value)).collect(),
        Value::Map(values) => {
            let entry = of.as_message().map(|entry| entry.map_entry_value_field().kind());
            let entry = entry.unwrap_or(Type::String);
            let entries = values.iter().filter_map(|(key, value)| {
                Some((key.as_str()?.to_owned(), value_json(&entry, value)))
            });
            Json::Object(entries.collect())
        }
    }
}

/// RFC 3339, for every time that it can say.
fn time_text(message: &DynamicMessage) -> Option<String> {
    const YEAR_10000: u64 = 253_402_300_800;
    let seconds = message.get_field_by_name("seconds")?.as_i64()?;
    let nanos = message.get_field_by_name("nanos")?.as_i32()?;
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds < YEAR_10000)?;
    let nanos = u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    let time = UNIX_EPOCH + Duration::new(seconds, nanos);
    Some(humantime::format_rfc3339(time).to_string())
}

/// Sets the fields that `json`, an object, has: messages and maps are filled up, lists and everything
/// else replaced, and null clears. `Invalid` for a field that the message does not have, or a value that
/// the field cannot hold.
pub fn merge_json(message: &mut DynamicMessage, json: &Json) -> Result<()> {
    merge(message, json, "")
}

fn merge(message: &mut DynamicMessage, json: &Json, place: &str) -> Result<()> {
    let descriptor = message.descriptor();
    if WRAPPERS.contains(&descriptor.full_name())
        && let Some(field) = descriptor.get_field(1)
    {
        message.set_field(&field, value(&field, json, place)?);
        return Ok(());
    }
    if let (TIMESTAMP, Json::String(text)) = (descriptor.full_name(), json) {
        return set_time(message, text, place);
    }
    let Json::Object(object) = json else {
        let what = if place.is_empty() { "the message" } else { place };
        return Err(wrong(what, &format!("is a {}: write a JSON object", descriptor.name())));
    };
    for (name, json) in object {
        let field = field_named(&descriptor, name, place)?;
        let place = beneath(place, field.name());
        match json {
            Json::Null => message.clear_field(&field),
            json => merge_field(message, &field, json, &place)?,
        }
    }
    Ok(())
}

pub(super) fn merge_field(
    message: &mut DynamicMessage,
    field: &FieldDescriptor,
    json: &Json,
    place: &str,
) -> Result<()> {
    if field.is_map() {
        let entries = map_entries(field, json, place)?;
        if let Some(map) = message.get_field_mut(field).as_map_mut() {
            map.extend(entries);
        }
        return Ok(());
    }
    if field.is_list() {
        let Json::Array(elements) = json else {
            return Err(wrong(place, "is a list: write a JSON array, or give its elements"));
        };
        let elements = elements.iter().enumerate();
        let values: Result<Vec<Value>> = elements
            .map(|(at, json)| value(field, json, &beneath(place, &at.to_string())))
            .collect();
        message.set_field(field, Value::List(values?));
        return Ok(());
    }
    match message.get_field_mut(field) {
        // Looking at a message field for writing sets it, also when it stays empty: so is it meant.
        Value::Message(inner) => merge(inner, json, place),
        slot => {
            *slot = value(field, json, place)?;
            Ok(())
        }
    }
}

/// One value of the field, or of its elements: the map's and the list's own form is not looked at.
pub(super) fn value(field: &FieldDescriptor, json: &Json, place: &str) -> Result<Value> {
    match (field.kind(), json) {
        (Type::Message(descriptor), json) => {
            let mut inner = DynamicMessage::new(descriptor);
            merge(&mut inner, json, place)?;
            Ok(Value::Message(inner))
        }
        (Type::String, Json::String(text)) => Ok(Value::String(text.clone())),
        (Type::String, _) => Err(wrong(place, "is a text: write it in quotes")),
        (Type::Bool, Json::Bool(value)) => Ok(Value::Bool(*value)),
        (Type::Bool, Json::String(text)) if text == "true" || text == "false" => {
            Ok(Value::Bool(text == "true"))
        }
        (Type::Bool, _) => Err(wrong(place, "is true or false")),
        (Type::Int64, json) => integer(field, json, place).map(Value::I64),
        (Type::Int32, json) => {
            let number = i32::try_from(integer(field, json, place)?);
            number.map(Value::I32).map_err(|_| wrong(place, "is an integer of 32 bits"))
        }
        (Type::Enum(descriptor), json) => {
            let number = match json {
                Json::String(text) => {
                    let name = text.to_uppercase().replace('-', "_");
                    let known = descriptor.get_value_by_name(&name).map(|value| value.number());
                    known.or_else(|| text.parse().ok())
                }
                json => json.as_i64().and_then(|number| number.try_into().ok()),
            };
            number.map(Value::EnumNumber).ok_or_else(|| {
                let names: Vec<String> =
                    descriptor.values().map(|value| value.name().to_owned()).collect();
                wrong(place, &format!("is one of {}", names.join(", ")))
            })
        }
        _ => Err(wrong(place, "has a type that this client cannot write")),
    }
}

/// A number, or a text that is one; of a size also one with a unit.
fn integer(field: &FieldDescriptor, json: &Json, place: &str) -> Result<i64> {
    let text = match json {
        Json::Number(number) => number.to_string(),
        Json::String(text) => text.clone(),
        _ => String::new(),
    };
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    match is_size(field) {
        true => size::parse(&text).map(|bytes| bytes as i64).map_err(|error| error.during(place)),
        false => Err(wrong(place, &format!("is an integer, which `{}` is not", shown(&text)))),
    }
}

/// Whether the field is a number of bytes.
pub(super) fn is_size(field: &FieldDescriptor) -> bool {
    let name = field.name();
    matches!(field.kind(), Type::Int64)
        && (name.ends_with("_bytes") || name.ends_with("_offset") || name.ends_with("_capacity"))
}

fn map_entries(field: &FieldDescriptor, json: &Json, place: &str) -> Result<Vec<(MapKey, Value)>> {
    let texts = |json: &Json| match json {
        Json::Object(entries) => entries
            .iter()
            .map(|(key, value)| Some((MapKey::String(key.clone()), value.as_str()?.to_owned())))
            .map(|entry| entry.map(|(key, text)| (key, Value::String(text))))
            .collect::<Option<Vec<_>>>(),
        _ => None,
    };
    // Which entry it is would say a secret's key.
    texts(json).ok_or_else(|| {
        let hint = if is_secret(field) { "" } else { ", such as {\"key\": \"value\"}" };
        wrong(place, &format!("is a map of texts: write a JSON object of texts{hint}"))
    })
}

/// The field of this name, as the protocol or as canonical JSON writes it.
pub(super) fn field_named(
    message: &MessageDescriptor,
    name: &str,
    place: &str,
) -> Result<FieldDescriptor> {
    let known = message.get_field_by_name(name).or_else(|| message.get_field_by_json_name(name));
    known.ok_or_else(|| {
        let place = if place.is_empty() { String::new() } else { format!(" (`{place}`)") };
        let names: Vec<String> = message.fields().map(|field| field.name().to_owned()).collect();
        let hint = match names.is_empty() {
            true => "it has no fields".to_owned(),
            false => format!("its fields are {}", names.join(", ")),
        };
        let (message, name) = (message.name(), shown(name));
        Error::new(Kind::Invalid, format!("{message}{place} has no field `{name}`")).hint(hint)
    })
}

fn set_time(message: &mut DynamicMessage, text: &str, place: &str) -> Result<()> {
    let time = humantime::parse_rfc3339(text)
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .ok_or_else(|| wrong(place, "is a time, such as 2026-11-22T12:00:00Z"))?;
    message.set_field_by_name("seconds", Value::I64(time.as_secs() as i64));
    message.set_field_by_name("nanos", Value::I32(time.subsec_nanos() as i32));
    Ok(())
}

/// The path of `name` in what is at `place`.
pub(super) fn beneath(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

pub(super) fn wrong(place: &str, why: &str) -> Error {
    Error::new(Kind::Invalid, format!("`{place}` {why}"))
}
