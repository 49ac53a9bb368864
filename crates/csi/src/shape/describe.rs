//! What a message is made of, in the words that a client takes.

use super::json::{beneath, is_size};
use super::{is_secret, marked};
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

/// One field of a message, as it is given on a command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldShape {
    /// Its path: `N` is the number of a list's element, `KEY` a map's key.
    pub path: String,
    /// Its type, such as `string`, `int64, a size` or the names of an enum.
    pub of: String,
    /// `secret`, `alpha`, and `one of NAME` for alternatives.
    pub marks: Vec<String>,
}

/// The fields of a message and of the messages in it, in the order of the protocol. A message that has
/// none of its own is a field too.
pub fn fields(message: &MessageDescriptor) -> Vec<FieldShape> {
    let mut shapes = Vec::new();
    collect(message, "", &[], &mut shapes);
    shapes
}

fn collect(message: &MessageDescriptor, place: &str, marks: &[String], to: &mut Vec<FieldShape>) {
    for field in message.fields() {
        let marks: Vec<String> = marks.iter().cloned().chain(own_marks(&field)).collect();
        let path = beneath(place, field.name());
        let path = match (field.is_map(), field.is_list()) {
            (true, _) => beneath(&path, "KEY"),
            (_, true) => beneath(&path, "N"),
            _ => path,
        };
        match inner(&field) {
            Some(inner) => collect(&inner, &path, &marks, to),
            None => to.push(FieldShape { path, of: type_name(&field), marks }),
        }
    }
}

/// The message whose fields are shown instead of the field.
fn inner(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let message = match field.kind() {
        Kind::Message(message) if !field.is_map() => message,
        _ => return None,
    };
    let own = message.package_name() == super::PACKAGE && message.fields().len() > 0;
    own.then_some(message)
}

fn own_marks(field: &FieldDescriptor) -> Vec<String> {
    let mut marks = Vec::new();
    if is_secret(field) {
        marks.push("secret".to_owned());
    }
    if marked(field.options(), "alpha_field") {
        marks.push("alpha".to_owned());
    }
    if let Some(oneof) = field.containing_oneof().filter(|oneof| oneof.fields().len() > 1) {
        marks.push(format!("one of {}", oneof.name()));
    }
    marks
}

fn type_name(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => value_name(&entry.map_entry_value_field()),
        _ => value_name(field),
    }
}

fn value_name(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Enum(of) => {
            let names: Vec<String> = of
                .values()
                .filter(|value| value.number() != 0)
                .map(|value| match marked(value.options(), "alpha_enum_value") {
                    true => format!("{} (alpha)", value.name()),
                    false => value.name().to_owned(),
                })
                .collect();
            names.join(" | ")
        }
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => "time".to_owned(),
            "google.protobuf.BoolValue" => "bool, or not set".to_owned(),
            "google.protobuf.Int64Value" => "int64, or not set".to_owned(),
            _ => "{}".to_owned(),
        },
        Kind::Int64 if is_size(field) => "int64, a size".to_owned(),
        kind => format!("{kind:?}").to_lowercase(),
    }
}
