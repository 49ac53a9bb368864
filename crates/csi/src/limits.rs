//! Limits that hold for every field of every request (section "Size Limits" of the specification).

use crate::shape;
use becket_core::{Error, Kind, Result};
use prost::{Message, Name};
use prost_reflect::{DynamicMessage, FieldDescriptor, Value};

/// Bytes of a string.
const STRING: usize = 128;

/// Bytes of a node's id.
const NODE_ID: usize = 256;

/// Bytes of a path, the NUL at its end counted.
const PATH: usize = 4096;

/// Bytes of all keys and values of a map, and of all mount flags.
const MAP: usize = 4096;

/// `Invalid`, naming the first field that is too large, or a name with characters that none may have.
pub fn check<M: Message + Name>(message: &M) -> Result<()> {
    let descriptor = shape::message(&M::full_name())?;
    let message = DynamicMessage::decode(descriptor, message.encode_to_vec().as_slice());
    check_message(&message.map_err(|error| Error::new(Kind::Invalid, error.to_string()))?)
}

fn check_message(message: &DynamicMessage) -> Result<()> {
    for (field, value) in message.fields() {
        check_field(&field, value)?;
    }
    Ok(())
}

fn check_field(field: &FieldDescriptor, value: &Value) -> Result<()> {
    match value {
        Value::String(text) => check_text(field, text),
        Value::Message(message) => check_message(message),
        Value::List(items) if field.name() == "mount_flags" => {
            within(field, items.iter().filter_map(Value::as_str).map(str::len).sum(), MAP)
        }
        Value::List(items) => items.iter().try_for_each(|item| check_field(field, item)),
        // Secrets are what Kubernetes hands on from a Secret, whose size is its own affair.
        Value::Map(_) if shape::is_secret(field) => Ok(()),
        Value::Map(entries) => {
            let sizes = entries.iter().map(|(key, value)| {
                key.as_str().map_or(0, str::len) + value.as_str().map_or(0, str::len)
            });
            within(field, sizes.sum(), MAP)
        }
        _ => Ok(()),
    }
}

fn check_text(field: &FieldDescriptor, text: &str) -> Result<()> {
    let most = match field.name() {
        name if name.ends_with("_path") => PATH - 1,
        "node_id" => NODE_ID,
        _ => STRING,
    };
    within(field, text.len(), most)?;
    match text.chars().find(|letter| is_control(*letter)) {
        Some(letter) => Err(Error::new(
            Kind::Invalid,
            format!("`{}` contains the character {letter:?}", field.name()),
        )),
        None => Ok(()),
    }
}

/// U+0000-0008, 000B, 000C, 000E-001F and 007F-009F, which no name may have (`CreateVolumeRequest.name`)
/// and no other text has a use for.
fn is_control(letter: char) -> bool {
    letter.is_control() && !matches!(letter, '\t' | '\n' | '\r')
}

fn within(field: &FieldDescriptor, bytes: usize, most: usize) -> Result<()> {
    match bytes <= most {
        true => Ok(()),
        false => Err(Error::new(
            Kind::Invalid,
            format!("`{}` has {bytes} bytes, and {most} are the most", field.name()),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::csi::{CreateVolumeRequest, NodePublishVolumeRequest};
    use std::collections::HashMap;

    fn large(bytes: usize) -> HashMap<String, String> {
        HashMap::from([("k".to_owned(), "v".repeat(bytes - 1))])
    }

    #[test]
    fn what_is_within_the_limits_passes_and_what_is_not_is_named() {
        let named = |name: &str| CreateVolumeRequest { name: name.into(), ..Default::default() };
        for good in ["", "ünï code\t", &"x".repeat(STRING)] {
            assert!(check(&named(good)).is_ok(), "{good:?}");
        }
        for bad in ["\u{0}", "a\u{b}", "\u{1f}", "\u{7f}", "\u{9f}", &"x".repeat(STRING + 1)] {
            let error = check(&named(bad)).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.message().starts_with("`name`"), "{error}");
        }
        let publish = |context, secrets, path: usize| NodePublishVolumeRequest {
            volume_context: large(context),
            secrets: large(secrets),
            target_path: "/".repeat(path),
            ..Default::default()
        };
        assert!(check(&publish(MAP, 10 * MAP, PATH - 1)).is_ok());
        assert!(check(&publish(MAP + 1, 1, 1)).is_err());
        assert!(check(&publish(1, 1, PATH)).is_err());
    }
}
