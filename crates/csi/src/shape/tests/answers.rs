//! Answers as JSON and as columns.

use super::*;
use serde_json::{Value, json};

fn answer(rpc: &str, json: &Value) -> DynamicMessage {
    let mut answer = DynamicMessage::new(Rpc::named(rpc).unwrap().answer());
    merge_json(&mut answer, json).unwrap();
    answer
}

fn header(columns: &Columns) -> Vec<&str> {
    columns.header.iter().map(String::as_str).collect()
}

#[test]
fn json_says_every_plain_field_and_only_those_messages_that_are_set() {
    let snapshot = json!({
        "size_bytes": 9_007_199_254_740_993_i64, "snapshot_id": "s", "source_volume_id": "v",
        "creation_time": "2026-11-22T12:00:00Z", "ready_to_use": false, "group_snapshot_id": "",
        "accessible_topology": [],
    });
    let given = json!({"snapshot": {
        "size_bytes": "9007199254740993", "snapshot_id": "s", "source_volume_id": "v",
        "creation_time": "2026-11-22T12:00:00Z",
    }});
    assert_eq!(to_json(&answer("CreateSnapshot", &given)), json!({"snapshot": snapshot}));
    assert_eq!(to_json(&answer("Probe", &json!({}))), json!({}));
    for probe in [json!({"ready": true}), json!({"ready": false})] {
        assert_eq!(to_json(&answer("Probe", &probe)), probe);
    }
    let odd = json!({"creation_time": {"seconds": -5, "nanos": 0}});
    let shown = to_json(&answer("CreateSnapshot", &json!({"snapshot": odd})));
    assert_eq!(shown["snapshot"]["creation_time"], odd["creation_time"]);
}

#[test]
fn a_simple_answer_is_shown_field_by_field_with_readable_sizes() {
    let volume = json!({"volume": {
        "volume_id": "v", "capacity_bytes": 3_u64 << 29,
        "content_source": {"snapshot": {"snapshot_id": "s"}},
        "accessible_topology": [{"segments": {"zone": "a", "rack": "1"}}],
        "volume_context": {"b": "2\u{1b}[31m", "a": "1"},
    }});
    let columns = columns(&[answer("CreateVolume", &volume)]);
    let field = |name: &str| {
        let field = columns.fields.iter().find(|(own, _)| own == name);
        field.map(|(_, text)| text.as_str())
    };
    assert!(columns.rows.is_empty());
    assert_eq!(field("capacity bytes"), Some("1.5 GiB"), "{columns:?}");
    assert_eq!(field("content source snapshot"), Some("s"), "{columns:?}");
    assert_eq!(field("volume context"), Some("a=1,b=2\\u{1b}[31m"));
}

#[test]
fn lists_have_columns_of_what_is_in_them() {
    let volumes = json!({"next_token": "7", "entries": [
        {
            "volume": {"volume_id": "a", "capacity_bytes": 1 << 20},
            "status": {"published_node_ids": ["n1", "n2"]},
        },
        {"volume": {"volume_id": "b", "accessible_topology": [{"segments": {"zone": "z"}}]}},
    ]});
    let shown = columns(&[answer("ListVolumes", &volumes)]);
    let names = ["volume id", "capacity bytes", "accessible topology", "published node ids"];
    assert_eq!(header(&shown), names);
    assert_eq!(shown.rows[0], ["a", "1 MiB", "", "n1,n2"]);
    assert_eq!(shown.rows[1], ["b", "0 B", "zone=z", ""]);
    assert_eq!(shown.fields, [("next token".to_owned(), "7".to_owned())]);

    let claimed = json!({"capabilities": [
        {"service": {"type": "CONTROLLER_SERVICE"}}, {"volume_expansion": {"type": "ONLINE"}},
    ]});
    let shown = columns(&[answer("GetPluginCapabilities", &claimed)]);
    assert_eq!(header(&shown), ["service", "volume expansion"]);
    let empty = columns(&[answer("ListSnapshots", &json!({}))]);
    assert!(empty.listed && empty.rows.is_empty() && empty.header.is_empty());
}

#[test]
fn a_streams_ranges_are_one_list() {
    let message = |offset: i64| {
        answer(
            "GetMetadataAllocated",
            &json!({
                "block_metadata_type": "FIXED_LENGTH", "volume_capacity_bytes": 1 << 30,
                "block_metadata": [{"byte_offset": offset, "size_bytes": 4096}],
            }),
        )
    };
    let shown = columns(&[message(0), message(1536)]);
    assert_eq!(shown.fields.len(), 2, "{shown:?}");
    assert_eq!(shown.rows, [["0", "4 KiB"], ["1536", "4 KiB"]]);
}

#[test]
fn only_usage_in_bytes_has_a_unit() {
    let usage = json!({"usage": [
        {"unit": "BYTES", "total": 1 << 30, "used": 1 << 20, "available": 0},
        {"unit": "INODES", "total": 65536, "used": 11, "available": 65525},
    ]});
    let shown = columns(&[answer("NodeGetVolumeStats", &usage)]);
    let at = |row: usize, name: &str| {
        let column = shown.header.iter().position(|own| own == name).unwrap();
        shown.rows[row][column].as_str()
    };
    assert_eq!((at(0, "total"), at(0, "used"), at(0, "available")), ("1 GiB", "1 MiB", "0 B"));
    assert_eq!((at(1, "total"), at(1, "unit")), ("65536", "INODES"));
}
