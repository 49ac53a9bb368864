//! What becomes of a message's secrets before it is sent, and which they are.

use super::is_secret;
use prost_reflect::{DynamicMessage, MapKey, ReflectMessage, Value};
use std::collections::BTreeMap;

/// Adds the secrets to every field of the message that takes some.
pub fn fill_secrets(message: &mut DynamicMessage, secrets: &BTreeMap<String, String>) {
    let descriptor = message.descriptor();
    for field in descriptor.fields().filter(|field| is_secret(field) && field.is_map()) {
        if let Some(map) = message.get_field_mut(&field).as_map_mut() {
            map.extend(
                secrets
                    .iter()
                    .map(|(key, text)| (MapKey::String(key.clone()), Value::String(text.clone()))),
            );
        }
    }
}

/// Whether a secret field is set anywhere in the message.
pub fn has_secrets(message: &DynamicMessage) -> bool {
    message.fields().any(|(field, value)| is_secret(&field) || messages(value).any(has_secrets))
}

/// Every text of the message's secret fields: what no output may show. Keys are not among them.
pub fn secret_texts(message: &DynamicMessage) -> Vec<String> {
    let mut texts = Vec::new();
    for (field, value) in message.fields() {
        match is_secret(&field) {
            true => texts.extend(strings(value)),
            false => texts.extend(messages(value).flat_map(secret_texts)),
        }
    }
    texts
}

/// The message with `{n}` replaced by the number in all its texts, keys of maps and secrets excepted.
pub fn numbered(message: &DynamicMessage, number: u64) -> DynamicMessage {
    let mut message = message.clone();
    for (field, value) in message.fields_mut() {
        if !is_secret(&field) {
            number_value(value, number);
        }
    }
    message
}

fn number_value(value: &mut Value, number: u64) {
    match value {
        Value::String(text) if text.contains("{n}") => {
            *text = text.replace("{n}", &number.to_string());
        }
        Value::Message(message) => *message = numbered(message, number),
        Value::List(values) => values.iter_mut().for_each(|value| number_value(value, number)),
        Value::Map(values) => values.values_mut().for_each(|value| number_value(value, number)),
        _ => {}
    }
}

/// The messages that the value is made of.
fn messages(value: &Value) -> Box<dyn Iterator<Item = &DynamicMessage> + '_> {
    match value {
        Value::Message(message) => Box::new(std::iter::once(message)),
        Value::List(values) => Box::new(values.iter().flat_map(messages)),
        Value::Map(values) => Box::new(values.values().flat_map(messages)),
        _ => Box::new(std::iter::empty()),
    }
}

fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::List(values) => values.iter().flat_map(strings).collect(),
        Value::Map(values) => values.values().flat_map(strings).collect(),
        _ => Vec::new(),
    }
}
