//! Assignments as people type them: `capacity_range.required_bytes=1Gi`.

use super::is_secret;
use super::json::{beneath, field_named, merge_field, value, wrong};
use becket_core::{Error, Kind, Result};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind as Type, MapKey, ReflectMessage, Value};
use serde_json::Value as Json;

/// Sets one field of the message: `path=value`.
///
/// The path is made of fields' names and, for the elements of lists, numbers; what follows a map's name
/// is the key, dots included. The value is read by the field's type. Messages, lists and maps as a whole
/// are given as JSON; a message that has no value (`block=`) is set with nothing in it.
///
/// `Invalid` for what does not fit. `Denied` for a field that holds secrets: what is typed here, other
/// users of the host can read in the list of processes.
pub fn assign(message: &mut DynamicMessage, assignment: &str) -> Result<()> {
    let (path, text) = assignment.split_once('=').ok_or_else(|| {
        let shown = becket_core::error::shown(assignment);
        Error::new(Kind::Invalid, format!("`{shown}` is no input"))
            .hint("write PATH=VALUE, a JSON object, @FILE, or - for stdin")
    })?;
    set(message, path, text, "")
}

fn set(message: &mut DynamicMessage, path: &str, text: &str, place: &str) -> Result<()> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = field_named(&message.descriptor(), name, place)?;
    let place = beneath(place, field.name());
    if is_secret(&field) {
        return Err(Error::new(
            Kind::Denied,
            format!("`{place}` is not taken from the command line"),
        )
        .hint("other users of this host could read it there; write it to a file for --secrets"));
    }
    let Some(rest) = rest else {
        return whole(message, &field, text, &place);
    };
    if field.is_map() {
        if let Some(map) = message.get_field_mut(&field).as_map_mut() {
            map.insert(MapKey::String(rest.to_owned()), Value::String(text.to_owned()));
        }
        return Ok(());
    }
    if field.is_list() {
        return element(message, &field, rest, text, &place);
    }
    match message.get_field_mut(&field) {
        Value::Message(inner) => set(inner, rest, text, &place),
        _ => Err(wrong(&place, &format!("has no `{rest}` in it"))),
    }
}

/// A field as a whole.
fn whole(
    message: &mut DynamicMessage,
    field: &FieldDescriptor,
    text: &str,
    place: &str,
) -> Result<()> {
    let composed = field.is_list() || matches!(field.kind(), Type::Message(_));
    let json = match (composed, text) {
        (true, "") if field.is_list() => Json::Array(Vec::new()),
        (true, "") => Json::Object(serde_json::Map::new()),
        (true, text) => serde_json::from_str(text).map_err(|_| {
            let fields = if field.is_list() { "elements" } else { "fields" };
            wrong(place, &format!("takes JSON as a whole; or give its {fields} one by one"))
        })?,
        (false, text) => Json::String(text.to_owned()),
    };
    merge_field(message, field, &json, place)
}

/// One element of a list, or something in it. The next one after the last is added.
fn element(
    message: &mut DynamicMessage,
    field: &FieldDescriptor,
    path: &str,
    text: &str,
    place: &str,
) -> Result<()> {
    let (number, rest) =
        path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let Some(list) = message.get_field_mut(field).as_list_mut() else {
        return Err(wrong(place, "is no list"));
    };
    let at: usize = number.parse().ok().filter(|at| *at <= list.len()).ok_or_else(|| {
        wrong(place, &format!("has {} elements: the next one is number {0}", list.len()))
    })?;
    let place = beneath(place, number);
    let json = match (field.kind(), rest, text) {
        (Type::Message(descriptor), Some(rest), text) => {
            if at == list.len() {
                list.push(Value::Message(DynamicMessage::new(descriptor)));
            }
            let Value::Message(inner) = &mut list[at] else {
                return Err(wrong(&place, "is no message"));
            };
            return set(inner, rest, text, &place);
        }
        (Type::Message(_), None, text) => serde_json::from_str(text)
            .map_err(|_| wrong(&place, "takes JSON as a whole; or give its fields one by one"))?,
        (_, Some(rest), _) => return Err(wrong(&place, &format!("has no `{rest}` in it"))),
        (_, None, text) => Json::String(text.to_owned()),
    };
    let value = value(field, &json, &place)?;
    match list.get_mut(at) {
        Some(slot) => *slot = value,
        None => list.push(value),
    }
    Ok(())
}
