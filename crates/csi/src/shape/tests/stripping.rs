//! No secret is in any line of a log.

use super::*;
use prost_reflect::prost::Message as _;
use prost_reflect::prost_types::field_descriptor_proto::{Label, Type};
use prost_reflect::prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto};
use prost_reflect::{FieldDescriptor, Kind as Of, MapKey, Value};

/// Fills messages with values that can be told from each other, and remembers which may be shown.
#[derive(Default)]
struct Filling {
    /// Which of the alternatives of a oneof is taken.
    alternative: usize,
    count: i64,
    shown: Vec<String>,
    hidden: Vec<String>,
}

impl Filling {
    fn message(&mut self, descriptor: &MessageDescriptor, hidden: bool) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        for field in descriptor.fields() {
            let chosen = field.containing_oneof().is_none_or(|oneof| {
                oneof.fields().nth(self.alternative % oneof.fields().len()) == Some(field.clone())
            });
            if chosen {
                let sensitive = field.name() == "mount_flags" || field.name() == "secrets";
                let value = self.field(&field, hidden || sensitive);
                message.set_field(&field, value);
            }
        }
        message
    }

    fn field(&mut self, field: &FieldDescriptor, hidden: bool) -> Value {
        if field.is_map() {
            let entry = |filling: &mut Filling| {
                (MapKey::String(filling.text(hidden)), Value::String(filling.text(hidden)))
            };
            let tokens = "csi.storage.k8s.io/serviceAccount.tokens".to_owned();
            let token = (MapKey::String(tokens), Value::String(self.text(true)));
            return Value::Map([entry(self), entry(self), token].into());
        }
        match field.is_list() {
            true => Value::List(vec![
                self.value(&field.kind(), hidden),
                self.value(&field.kind(), hidden),
            ]),
            false => self.value(&field.kind(), hidden),
        }
    }

    fn value(&mut self, kind: &Of, hidden: bool) -> Value {
        match kind {
            Of::String => Value::String(self.text(hidden)),
            Of::Int64 => Value::I64(self.number(hidden)),
            Of::Int32 => Value::I32(self.number(hidden) as i32),
            Of::Bool => Value::Bool(true),
            Of::Enum(of) => {
                let last = of.values().last().unwrap();
                self.note(last.name().to_owned(), hidden);
                Value::EnumNumber(last.number())
            }
            Of::Message(inner) => Value::Message(self.message(inner, hidden)),
            other => panic!("the protocol has got fields of type {other:?}"),
        }
    }

    fn text(&mut self, hidden: bool) -> String {
        self.count += 1;
        let text = format!("value-{}-end", self.count);
        self.note(text.clone(), hidden);
        text
    }

    fn number(&mut self, hidden: bool) -> i64 {
        self.count += 1;
        let number = 700_000_000 + self.count;
        self.note(number.to_string(), hidden);
        number
    }

    fn note(&mut self, text: String, hidden: bool) {
        if hidden { self.hidden.push(text) } else { self.shown.push(text) }
    }

    /// What is to be shown is, and nothing else.
    fn judge(&self, name: &str, line: &str) {
        for text in &self.shown {
            assert!(line.contains(text), "{name}: no {text} in {line}");
        }
        for text in &self.hidden {
            assert!(!line.contains(text), "{name}: {text} in {line}");
        }
        assert!(!line.contains('\n'), "{name}: {line}");
    }
}

#[test]
fn no_message_of_the_protocol_shows_a_secret_and_every_one_shows_the_rest() {
    let (mut messages, mut secrets) = (0, 0);
    let all = descriptors().all_messages();
    for descriptor in all.filter(|one| one.package_name() == PACKAGE && !one.is_map_entry()) {
        for alternative in 0..3 {
            let mut filling = Filling { alternative, ..Filling::default() };
            let message = filling.message(&descriptor, false);
            let line = line_of_bytes(descriptor.full_name(), &message.encode_to_vec());
            filling.judge(descriptor.full_name(), &line);
            // The field that the specification marks is the one that was filled with secrets.
            for field in descriptor.fields() {
                assert_eq!(is_secret(&field), field.name() == "secrets", "{}", field.full_name());
            }
            if !filling.hidden.is_empty() {
                secrets += 1;
                assert!(line.contains(STRIPPED), "{}: {line}", descriptor.full_name());
            }
        }
        messages += 1;
    }
    // Otherwise this test has looked at something else.
    assert!(messages > 100 && secrets > 3 * 30, "{messages} messages, {secrets} with secrets");
}

#[test]
fn a_generated_message_is_shown_like_one_that_knows_its_type() {
    use crate::protocol::csi;
    let pairs = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    let request = csi::NodeStageVolumeRequest {
        volume_id: "v\n\"1\"".to_owned(),
        publish_context: pairs("x/serviceaccount.tokens.y", "hidden"),
        secrets: pairs("hidden", "hidden"),
        volume_capability: Some(csi::VolumeCapability {
            access_type: Some(csi::volume_capability::AccessType::Mount(
                csi::volume_capability::MountVolume {
                    fs_type: "xfs".to_owned(),
                    mount_flags: vec!["password=hidden".to_owned()],
                    ..Default::default()
                },
            )),
            access_mode: Some(csi::volume_capability::AccessMode { mode: 1 }),
        }),
        ..Default::default()
    };
    assert_eq!(
        line(&request, "csi.v1.NodeStageVolumeRequest"),
        "volume_id=\"v\\n\\\"1\\\"\" \
         publish_context={\"x/serviceaccount.tokens.y\"=<stripped>} \
         volume_capability={mount={fs_type=\"xfs\" mount_flags=<stripped>} \
         access_mode={mode=SINGLE_NODE_WRITER}} secrets=<stripped>"
    );
}

#[test]
fn a_secret_deep_in_a_message_of_another_package_is_stripped_too() {
    let field = |name: &str, number, label: Label| FieldDescriptorProto {
        name: Some(name.to_owned()),
        number: Some(number),
        label: Some(label.into()),
        r#type: Some(Type::Message.into()),
        type_name: Some(".csi.v1.NodeStageVolumeRequest".to_owned()),
        ..Default::default()
    };
    let outer = DescriptorProto {
        name: Some("Outer".to_owned()),
        field: vec![field("one", 1, Label::Optional), field("many", 2, Label::Repeated)],
        ..Default::default()
    };
    let file = FileDescriptorProto {
        name: Some("outer.proto".to_owned()),
        package: Some("test".to_owned()),
        syntax: Some("proto3".to_owned()),
        dependency: vec!["csi.proto".to_owned()],
        message_type: vec![outer],
        ..Default::default()
    };
    let mut pool = descriptors().clone();
    pool.add_file_descriptor_proto(file).unwrap();
    let mut filling = Filling::default();
    let message = filling.message(&pool.get_message_by_name("test.Outer").unwrap(), false);
    assert!(filling.hidden.len() > 10);
    filling.judge("Outer", &line_of(&message));
}

#[test]
fn a_line_is_short_whatever_is_in_it() {
    let long = request("CreateVolume", serde_json::json!({"name": "x".repeat(10_000)}));
    let line = line_of(&long);
    assert!(line.len() < 300 && line.contains('…'), "{line}");
    let ids: Vec<String> = (0..1000).map(|number| format!("id-{number}")).collect();
    let many = request("CreateVolumeGroupSnapshot", serde_json::json!({"source_volume_ids": ids}));
    let line = line_of(&many);
    assert!(line.contains("\"id-15\" … 984 more]") && !line.contains("id-16"), "{line}");
    let wide = vec![serde_json::json!({"mount": {"fs_type": "é".repeat(500)}}); 100];
    let line = line_of(&request("CreateVolume", serde_json::json!({"volume_capabilities": wide})));
    assert!(line.chars().count() <= 4097, "{}", line.len());
}

#[test]
fn what_the_descriptors_do_not_know_is_not_shown() {
    let garbage = line_of_bytes("csi.v1.NodeStageVolumeRequest", b"\xff\xffsecret");
    assert_eq!(garbage, "<8 bytes that are no csi.v1.NodeStageVolumeRequest>");
    // Field 200, as a later version may have it.
    let mut later = request("DeleteVolume", serde_json::json!({"volume_id": "v"})).encode_to_vec();
    later.extend([0xc2, 0x0c, 6]);
    later.extend(b"secret");
    assert_eq!(line_of_bytes("csi.v1.DeleteVolumeRequest", &later), "volume_id=\"v\"");
    assert!(line_of_bytes("csi.v1.Nonsense", b"secret").starts_with("<6 bytes"));
}
