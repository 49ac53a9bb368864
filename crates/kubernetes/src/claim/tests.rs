//! Claims as they come, and what becomes of them.

use super::*;
use serde_json::{Value, json};

fn claim(annotations: Value, spec: Value) -> PersistentVolumeClaim {
    let base = json!({
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "fast",
    });
    let mut whole = base;
    whole.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    serde_json::from_value(json!({
        "metadata": {"name": "data", "namespace": "shop", "uid": "u1", "annotations": annotations},
        "spec": whole,
    }))
    .unwrap()
}

fn class(more: Value) -> StorageClass {
    let mut whole = json!({"metadata": {"name": "fast"}, "provisioner": "image.becket.dev"});
    whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

const OURS: (&str, &str) = ("volume.kubernetes.io/storage-provisioner", "image.becket.dev");

#[test]
fn a_claim_is_served_where_it_is_wanted_and_only_there() {
    let node = |name: &str| json!({OURS.0: OURS.1, SELECTED_NODE: name});
    let (late, soon) = (json!({"volumeBindingMode": "WaitForFirstConsumer"}), json!({}));
    let own = json!({OURS.0: OURS.1});
    let cases = [
        ("the scheduler chose this node", node("n1"), json!({}), &late, Decision::Make),
        ("it chose another one", node("n2"), json!({}), &late, Decision::Leave),
        ("it has not chosen yet", own.clone(), json!({}), &late, Decision::Leave),
        ("no scheduler decides", own.clone(), json!({}), &soon, Decision::Compete),
        ("this node has taken it", node("n1"), json!({}), &soon, Decision::Make),
        ("another node has taken it", node("n2"), json!({}), &soon, Decision::Leave),
        ("it is bound", node("n1"), json!({"volumeName": "pv"}), &late, Decision::Leave),
        ("it is another's", json!({OURS.0: "other"}), json!({}), &soon, Decision::Leave),
        (
            "its data comes from a populator",
            node("n1"),
            json!({"dataSourceRef": {"apiGroup": "fill.example", "kind": "Dataset", "name": "d"}}),
            &late,
            Decision::Leave,
        ),
        (
            "its data comes from a snapshot",
            node("n1"),
            json!({"dataSourceRef":
                {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}}),
            &late,
            Decision::Make,
        ),
        ("nobody is named", json!({}), json!({}), &soon, Decision::Leave),
    ];
    let us = Us { driver: "image.becket.dev", interface: &Interface::Csi, node: Some("n1") };
    for (what, annotations, spec, binding, wanted) in cases {
        assert_eq!(
            decide(&claim(annotations, spec), &class(binding.clone()), us),
            wanted,
            "{what}"
        );
    }
    let mut deleted = claim(node("n1"), json!({}));
    deleted.metadata.deletion_timestamp =
        serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(decide(&deleted, &class(late.clone()), us), Decision::Leave, "it is being deleted");
}

#[test]
fn a_volume_for_all_nodes_is_made_by_whoever_serves_them_all() {
    let us = Us { driver: "image.becket.dev", interface: &Interface::Csi, node: None };
    let (late, soon) = (json!({"volumeBindingMode": "WaitForFirstConsumer"}), json!({}));
    let chosen = json!({OURS.0: OURS.1, SELECTED_NODE: "n7"});
    let own = json!({OURS.0: OURS.1});
    assert_eq!(decide(&claim(chosen, json!({})), &class(late.clone()), us), Decision::Make);
    assert_eq!(decide(&claim(own.clone(), json!({})), &class(soon), us), Decision::Make);
    assert_eq!(decide(&claim(own, json!({})), &class(late), us), Decision::Leave);
}

#[test]
fn what_a_claim_asks_for_is_read() {
    let parameters = json!({
        "parameters": {"pool": "fast", "csi.storage.k8s.io/fstype": "xfs"},
        "mountOptions": ["noatime"],
    });
    let modes = json!({"accessModes": ["ReadWriteOncePod", "ReadOnlyMany"]});
    let found = wanted(&claim(json!({}), modes), &class(parameters), Some("ext4")).unwrap();
    let form = Form::Mounted { filesystem: "xfs".to_owned(), flags: vec!["noatime".to_owned()] };
    assert_eq!(found.name, "pvc-u1");
    assert_eq!(found.bytes, 1 << 30);
    assert_eq!(found.uses[0], Use { form: form.clone(), mode: Mode::OnePod });
    assert_eq!(found.uses[1], Use { form, mode: Mode::ReadByMany });
    assert_eq!(found.parameters["pool"], "fast");
    let block = wanted(&claim(json!({}), json!({"volumeMode": "Block"})), &class(json!({})), None);
    assert_eq!(block.unwrap().uses[0].form, Form::Block);
    let plain = wanted(&claim(json!({}), json!({})), &class(json!({})), Some("ext4")).unwrap();
    let ext4 = Form::Mounted { filesystem: "ext4".to_owned(), flags: Vec::new() };
    assert_eq!(plain.uses[0].form, ext4);
}

#[test]
fn quantities_are_read_and_rounded_up() {
    let cases = [
        ("1", Some(1)),
        ("1Gi", Some(1 << 30)),
        ("1.5Gi", Some(3 << 29)),
        ("1G", Some(1_000_000_000)),
        ("1e3", Some(1000)),
        ("12E2", Some(1200)),
        ("1E", Some(1_000_000_000_000_000_000)),
        ("0.1", Some(1)),
        ("1500m", Some(2)),
        ("100e-1", Some(10)),
        ("16Ei", None),
        ("-1", None),
        ("1Xi", None),
        ("", None),
        ("Gi", None),
        ("1.2.3", None),
        ("1e99999", None),
    ];
    for (text, wanted) in cases {
        assert_eq!(bytes(text), wanted, "{text}");
    }
}

#[test]
fn a_deleted_claim_is_left_alone_unless_its_volume_is_half_made() {
    let whole = || claim(json!({}), json!({}));
    let mut deleted = whole();
    deleted.metadata.deletion_timestamp =
        serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    let mut other = whole();
    other.metadata.uid = Some("another".to_owned());
    let cases =
        [(Some(&whole()), false), (Some(&deleted), true), (Some(&other), true), (None, true)];
    for (found, wanted) in cases {
        assert_eq!(is_gone(&whole(), found), wanted, "{found:?}");
    }
}

#[test]
fn the_annotation_names_the_class_before_the_field_does() {
    let claim = |annotations: Value, spec: Value| -> PersistentVolumeClaim {
        serde_json::from_value(json!({"metadata": {"annotations": annotations}, "spec": spec}))
            .unwrap()
    };
    let named = json!({"storageClassName": "field"});
    assert_eq!(class_name(&claim(json!({}), named.clone())), Some("field"));
    assert_eq!(class_name(&claim(json!({CLASS: "old"}), named)), Some("old"));
    assert_eq!(class_name(&claim(json!({CLASS: "old"}), json!({}))), Some("old"));
    assert_eq!(class_name(&claim(json!({}), json!({"storageClassName": ""}))), None);
}
