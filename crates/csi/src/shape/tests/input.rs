//! What people type becomes the message that they mean, or an error that says why not.

use super::*;
use serde_json::json;

fn assigned(rpc: &str, assignments: &[&str]) -> Result<DynamicMessage> {
    let mut message = Rpc::named(rpc)?.empty_request();
    assignments.iter().try_for_each(|assignment| assign(&mut message, assignment))?;
    Ok(message)
}

#[test]
fn assignments_make_the_same_message_as_json() {
    let typed = assigned(
        "CreateVolume",
        &[
            "name=v=1",
            "capacity_range.required_bytes=1Gi",
            "capacityRange.limitBytes=-1",
            "volume_capabilities.0.mount.fs_type=xfs",
            "volume_capabilities.0.mount.mount_flags.0=noatime",
            "volume_capabilities.0.access_mode.mode=single-node-writer",
            "volume_capabilities.1={\"block\": {}, \"access_mode\": {\"mode\": 99}}",
            "parameters.csi.storage.k8s.io/fstype=xfs",
            "mutable_parameters={\"a\": \"b\"}",
            "mutable_parameters.c=",
            "volume_content_source.volume.volume_id=origin",
            "volume_content_source.snapshot.snapshot_id=snap",
        ],
    );
    let written = request(
        "CreateVolume",
        json!({
            "name": "v=1",
            "capacity_range": {"required_bytes": "1073741824", "limit_bytes": -1},
            "volumeCapabilities": [
                {
                    "mount": {"fs_type": "xfs", "mount_flags": ["noatime"]},
                    "access_mode": {"mode": "SINGLE_NODE_WRITER"},
                },
                {"block": {}, "access_mode": {"mode": 99}},
            ],
            "parameters": {"csi.storage.k8s.io/fstype": "xfs"},
            "mutable_parameters": {"a": "b", "c": ""},
            "volume_content_source": {"snapshot": {"snapshot_id": "snap"}},
        }),
    );
    assert_eq!(typed.unwrap(), written);
}

#[test]
fn a_later_input_fills_up_and_replaces_an_earlier_one() {
    let mut message = request(
        "NodePublishVolume",
        json!({
            "volume_id": "v", "volume_context": {"a": "1", "b": "1"}, "readonly": true,
            "volume_capability": {"mount": {"fs_type": "ext4", "mount_flags": ["x", "y"]}},
        }),
    );
    let more = json!({
        "volume_id": "w", "volume_context": {"b": "2"}, "readonly": null,
        "volume_capability": {"mount": {"mount_flags": ["z"]}},
    });
    merge_json(&mut message, &more).unwrap();
    assign(&mut message, "volume_capability.mount.volume_mount_group=7").unwrap();
    let json = to_json(&message);
    assert_eq!((&json["volume_id"], &json["readonly"]), (&json!("w"), &json!(false)));
    assert_eq!(json["volume_context"], json!({"a": "1", "b": "2"}));
    let mount = json!({"fs_type": "ext4", "mount_flags": ["z"], "volume_mount_group": "7"});
    assert_eq!(json["volume_capability"]["mount"], mount);
    assign(&mut message, "volume_capability.block=").unwrap();
    assert_eq!(to_json(&message)["volume_capability"], json!({"block": {}}));
}

#[test]
fn what_does_not_fit_says_where_and_what_would() {
    for (assignment, words) in [
        ("nme=v", "CreateVolumeRequest has no field `nme`"),
        ("capacity_range.bytes=1", "CapacityRange (`capacity_range`) has no field `bytes`"),
        ("capacity_range.required_bytes=1GB", "capacity_range.required_bytes: `1GB` is not a size"),
        ("capacity_range.required_bytes=", "capacity_range.required_bytes: `` is not a size"),
        ("name.first=v", "`name` has no `first` in it"),
        ("name", "`name` is no input"),
        ("volume_capabilities.1.block=", "`volume_capabilities` has 0 elements"),
        ("volume_capabilities.x=1", "`volume_capabilities` has 0 elements"),
        ("volume_capabilities=1", "`volume_capabilities` is a list"),
        ("volume_capabilities={", "`volume_capabilities` takes JSON"),
        ("volume_capabilities.0.mount={\"x\":1}", "has no field `x`"),
        ("volume_capabilities.0.access_mode.mode=often", "is one of UNKNOWN, SINGLE_NODE_WRITER"),
        ("parameters=a", "`parameters` takes JSON"),
        ("parameters={\"a\": 1}", "`parameters` is a map of texts"),
    ] {
        let error = assigned("CreateVolume", &[assignment]).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{assignment}");
        assert!(error.message().contains(words), "{assignment}: {error}");
    }
    let unknown = assigned("DeleteVolume", &["id=v"]).unwrap_err();
    assert_eq!(unknown.advice(), Some("its fields are volume_id, secrets"));
    let error = assigned("ListVolumes", &["max_entries=3000000000"]).unwrap_err();
    assert!(error.message().contains("32 bits"), "{error}");
}

#[test]
fn a_secret_is_not_taken_from_the_command_line_and_no_error_shows_one() {
    for assignment in ["secrets.key=hush", "secrets={\"key\": \"hush\"}"] {
        let error = assigned("DeleteVolume", &[assignment]).unwrap_err();
        assert_eq!(error.kind(), Kind::Denied);
        assert!(!error.to_string().contains("hush") && !error.to_string().contains("key"));
    }
    let mut message = Rpc::named("DeleteVolume").unwrap().empty_request();
    for secrets in [json!({"key": ["hush"]}), json!({"key": {"key": "hush"}}), json!("hush")] {
        let error = merge_json(&mut message, &json!({"secrets": secrets})).unwrap_err();
        assert!(!error.to_string().contains("hush") && !error.to_string().contains("key"));
    }
}

#[test]
fn secrets_are_filled_in_found_and_left_alone_by_numbering() {
    let mut message = request("ListSnapshots", json!({"starting_token": "a{n}b{n}"}));
    assert!(!has_secrets(&message) && secret_texts(&message).is_empty());
    fill_secrets(&mut message, &[("user".to_owned(), "hush{n}".to_owned())].into());
    assert!(has_secrets(&message));
    let seventh = numbered(&message, 7);
    assert_eq!(to_json(&seventh)["starting_token"], "a7b7");
    assert_eq!(secret_texts(&seventh), ["hush{n}"]);
    // An RPC that takes none gets none.
    let mut message = request("NodeUnstageVolume", json!({}));
    fill_secrets(&mut message, &[("user".to_owned(), "hush".to_owned())].into());
    assert!(!has_secrets(&message));
}
