//! What the descriptors are good for, tried on every message of the protocol.

mod answers;
mod input;
mod stripping;

use super::*;

/// A request of the RPC, from JSON.
fn request(rpc: &str, json: serde_json::Value) -> DynamicMessage {
    let mut request = Rpc::named(rpc).unwrap().empty_request();
    merge_json(&mut request, &json).unwrap();
    request
}

#[test]
fn an_rpc_is_found_by_each_of_its_names_and_nothing_else_is_one() {
    for name in [
        "NodeStageVolume",
        "nodestagevolume",
        "node-stage-volume",
        "NODE_STAGE_VOLUME",
        "Node.NodeStageVolume",
        "node/node-stage-volume",
        "/csi.v1.Node/NodeStageVolume",
    ] {
        let rpc = Rpc::named(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((rpc.name(), rpc.service().as_str()), ("NodeStageVolume", "Node"), "{name}");
        assert_eq!(rpc.path(), "/csi.v1.Node/NodeStageVolume");
        assert_eq!(rpc.request().full_name(), "csi.v1.NodeStageVolumeRequest");
    }
    for name in ["", "Stage", "Controller.NodeStageVolume", "GetPluginInfo2", "Register.GetInfo"] {
        assert_eq!(Rpc::named(name).unwrap_err().kind(), Kind::Invalid, "{name}");
    }
    let unknown = Rpc::named("list-snapshot").unwrap_err();
    assert!(unknown.advice().unwrap().contains("ListSnapshots"), "{unknown}");
}

#[test]
fn there_are_36_rpcs_and_two_of_them_stream() {
    assert_eq!(Rpc::all().count(), 36);
    let streams: Vec<String> =
        Rpc::all().filter(Rpc::streams).map(|rpc| rpc.name().to_owned()).collect();
    assert_eq!(streams, ["GetMetadataAllocated", "GetMetadataDelta"]);
    let alpha: Vec<String> =
        Rpc::all().filter(Rpc::alpha).map(|rpc| rpc.name().to_owned()).collect();
    assert_eq!(
        alpha,
        [
            "ControllerListVolumeHealth",
            "ControllerGetVolumeHealth",
            "GetSnapshot",
            "ControllerGetVolume",
            "NodeGetVolumeHealth",
            "NodeGetStorageHealth",
            "GetMetadataAllocated",
            "GetMetadataDelta",
        ]
    );
}

#[test]
fn a_description_has_every_path_that_can_be_typed() {
    let shapes = fields(&Rpc::named("CreateVolume").unwrap().request());
    let of = |path: &str| {
        let shape = shapes.iter().find(|shape| shape.path == path);
        let shape = shape.unwrap_or_else(|| panic!("no {path} in {shapes:#?}"));
        (shape.of.as_str(), shape.marks.join(", "))
    };
    assert_eq!(of("name"), ("string", String::new()));
    assert_eq!(of("capacity_range.required_bytes"), ("int64, a size", String::new()));
    assert_eq!(of("secrets.KEY"), ("string", "secret".to_owned()));
    assert_eq!(of("volume_capabilities.N.block"), ("{}", "one of access_type".to_owned()));
    let mode = of("volume_capabilities.N.access_mode.mode").0;
    assert!(mode.contains("SINGLE_NODE_WRITER | ") && mode.contains("MULTI_WRITER (alpha)"));
    assert!(!mode.contains("UNKNOWN"));
    let expand = fields(&Rpc::named("NodeExpandVolume").unwrap().request());
    let secrets = expand.iter().find(|shape| shape.path == "secrets.KEY").unwrap();
    assert_eq!(secrets.marks, ["secret", "alpha"]);
}
