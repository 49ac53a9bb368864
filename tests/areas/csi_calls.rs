//! Requests, good and bad, and what they are answered.

use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use becket_csi::protocol::csi::volume_capability::{AccessType, MountVolume};
use becket_csi::protocol::csi::{
    CapacityRange, ControllerExpandVolumeRequest, ControllerModifyVolumeRequest,
    CreateSnapshotRequest, CreateVolumeRequest, DeleteVolumeRequest, GetCapacityRequest,
    ListVolumesRequest, NodeStageVolumeRequest, NodeUnpublishVolumeRequest, Topology,
    TopologyRequirement, ValidateVolumeCapabilitiesRequest, VolumeCapability,
};
use becket_tests::csi_driver::{block, mounted, refused, wanted};
use becket_tests::{CsiDriver, MIB, Node};
use std::collections::HashMap;
use tonic::Code;

fn map(entries: &[(&str, &str)]) -> HashMap<String, String> {
    entries.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn of_type(fs_type: &str, flags: &[&str]) -> VolumeCapability {
    let mount_flags = flags.iter().map(|flag| flag.to_string()).collect();
    let mount = MountVolume { fs_type: fs_type.into(), mount_flags, ..Default::default() };
    let whole = mounted(Mode::SingleNodeMultiWriter);
    VolumeCapability { access_type: Some(AccessType::Mount(mount)), ..whole }
}

fn on(node: &str) -> Topology {
    Topology { segments: map(&[("topology.becket.dev/node", node)]) }
}

fn range(required_bytes: u64, limit_bytes: u64) -> Option<CapacityRange> {
    let (required_bytes, limit_bytes) = (required_bytes as i64, limit_bytes as i64);
    Some(CapacityRange { required_bytes, limit_bytes })
}

#[test]
fn a_name_stands_for_one_request() {
    let node = Node::new();
    node.becket(&["pool", "create", "other", "--backend", "image"]).succeeds();
    let served = CsiDriver::start(&node, "image", &[]);
    let first = wanted("v", 16 * MIB);
    let made = served.create(first.clone());
    assert_eq!(made.volume_id, "default/v");
    let topology =
        |node: &str| TopologyRequirement { requisite: vec![on(node)], preferred: vec![] };
    let same = [
        first.clone(),
        CreateVolumeRequest { capacity_range: range(8 * MIB, 0), ..first.clone() },
        CreateVolumeRequest { capacity_range: range(0, 16 * MIB), ..first.clone() },
        CreateVolumeRequest { capacity_range: None, ..first.clone() },
        CreateVolumeRequest { volume_capabilities: vec![of_type("ext4", &[])], ..first.clone() },
        CreateVolumeRequest {
            accessibility_requirements: Some(topology("node-1")),
            ..first.clone()
        },
    ];
    for request in same {
        assert_eq!(served.create(request), made);
    }
    let others = [
        (
            "a larger size",
            CreateVolumeRequest { capacity_range: range(32 * MIB, 0), ..first.clone() },
        ),
        (
            "a lower limit",
            CreateVolumeRequest { capacity_range: range(0, 8 * MIB), ..first.clone() },
        ),
        (
            "raw block",
            CreateVolumeRequest {
                volume_capabilities: vec![block(Mode::SingleNodeWriter)],
                ..first.clone()
            },
        ),
        (
            "another filesystem",
            CreateVolumeRequest { volume_capabilities: vec![of_type("xfs", &[])], ..first.clone() },
        ),
        (
            "another parameter",
            CreateVolumeRequest { parameters: map(&[("provisioning", "thin")]), ..first.clone() },
        ),
        (
            "another pool",
            CreateVolumeRequest { parameters: map(&[("pool", "other")]), ..first.clone() },
        ),
    ];
    for (what, request) in others {
        let answer = served.ask(served.controller().create_volume(request));
        refused(answer, Code::AlreadyExists, what);
    }
}

#[test]
fn requests_that_no_volume_can_meet_are_refused_and_leave_nothing() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    let good = wanted("v", 16 * MIB);
    let capability =
        |capability| CreateVolumeRequest { volume_capabilities: vec![capability], ..good.clone() };
    let elsewhere = TopologyRequirement { requisite: vec![on("node-2")], preferred: vec![] };
    for (what, code, request) in [
        ("no name", Code::InvalidArgument, CreateVolumeRequest { name: "".into(), ..good.clone() }),
        (
            "a control character",
            Code::InvalidArgument,
            CreateVolumeRequest { name: "a\u{1}".into(), ..good.clone() },
        ),
        (
            "a long name",
            Code::InvalidArgument,
            CreateVolumeRequest { name: "x".repeat(129), ..good.clone() },
        ),
        (
            "no capability",
            Code::InvalidArgument,
            CreateVolumeRequest { volume_capabilities: vec![], ..good.clone() },
        ),
        ("an unknown filesystem", Code::InvalidArgument, capability(of_type("no-such-fs", &[]))),
        ("an unsafe flag", Code::InvalidArgument, capability(of_type("ext4", &["nobarrier"]))),
        ("many nodes", Code::InvalidArgument, capability(mounted(Mode::MultiNodeMultiWriter))),
        (
            "an unknown parameter",
            Code::InvalidArgument,
            CreateVolumeRequest { parameters: map(&[("colour", "red")]), ..good.clone() },
        ),
        (
            "a pool that is not there",
            Code::InvalidArgument,
            CreateVolumeRequest { parameters: map(&[("pool", "nowhere")]), ..good.clone() },
        ),
        (
            "too much for the pool",
            Code::ResourceExhausted,
            CreateVolumeRequest { capacity_range: range(1 << 60, 0), ..good.clone() },
        ),
        (
            "a limit between two sizes",
            Code::OutOfRange,
            CreateVolumeRequest { capacity_range: range(MIB + 1, MIB + 2), ..good.clone() },
        ),
        (
            "too small for its filesystem",
            Code::OutOfRange,
            CreateVolumeRequest { capacity_range: range(MIB, MIB), ..good.clone() },
        ),
        (
            "another node",
            Code::ResourceExhausted,
            CreateVolumeRequest { accessibility_requirements: Some(elsewhere), ..good.clone() },
        ),
        (
            "an unknown setting",
            Code::InvalidArgument,
            CreateVolumeRequest { mutable_parameters: map(&[("iops", "9")]), ..good.clone() },
        ),
    ] {
        refused(served.ask(served.controller().create_volume(request)), code, what);
    }
    assert!(served.volumes().is_empty());
    let hidden = std::fs::read_dir(node.path("state/pools/default/preparing/volumes")).unwrap();
    assert_eq!(hidden.count(), 0, "a preparation is left");
}

#[test]
fn any_name_makes_a_volume_of_its_own() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "directory", &[]);
    let long = "x".repeat(128);
    let names = ["plain", "a/b", "../../etc", ".hidden", "Ünïcode name", "plain ", "csi.x", &long];
    let mut ids = Vec::new();
    for name in names {
        let request =
            CreateVolumeRequest { parameters: map(&[("limit", "none")]), ..wanted(name, 16 * MIB) };
        let made = served.create(request.clone());
        assert!(made.volume_id.len() <= 128 && made.volume_id.starts_with("directory/"));
        assert_eq!(served.create(request), made);
        ids.push(made.volume_id);
    }
    let mut listed = served.volumes();
    listed.sort();
    ids.sort();
    assert_eq!(listed, ids);
}

#[test]
fn what_is_not_there_is_told_by_the_right_code() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    served.create(wanted("there", 16 * MIB));
    for id in ["fake-vol-id", "default/absent", "default/there/x", "default/../there"] {
        let delete = DeleteVolumeRequest { volume_id: id.into(), ..Default::default() };
        served.ask(served.controller().delete_volume(delete)).unwrap();
        let expand = ControllerExpandVolumeRequest {
            volume_id: id.into(),
            capacity_range: range(16 * MIB, 0),
            ..Default::default()
        };
        let expanded = served.ask(served.controller().controller_expand_volume(expand));
        refused(expanded, Code::NotFound, "expanding nothing");
        let validate = ValidateVolumeCapabilitiesRequest {
            volume_id: id.into(),
            volume_capabilities: vec![mounted(Mode::SingleNodeWriter)],
            ..Default::default()
        };
        let validated = served.ask(served.controller().validate_volume_capabilities(validate));
        refused(validated, Code::NotFound, "judging nothing");
        let snapshot = CreateSnapshotRequest {
            source_volume_id: id.into(),
            name: "s".into(),
            ..Default::default()
        };
        let taken = served.ask(served.controller().create_snapshot(snapshot));
        refused(taken, Code::NotFound, "a snapshot of nothing");
        let stage = NodeStageVolumeRequest {
            volume_id: id.into(),
            staging_target_path: node.text("csi/x"),
            volume_capability: Some(mounted(Mode::SingleNodeWriter)),
            ..Default::default()
        };
        let staged = served.ask(served.node().node_stage_volume(stage));
        refused(staged, Code::NotFound, "staging nothing");
        let unpublish =
            NodeUnpublishVolumeRequest { volume_id: id.into(), target_path: node.text("csi/x") };
        served.ask(served.node().node_unpublish_volume(unpublish)).unwrap();
    }
    // A pool that this node does not know proves nothing about what is in it.
    let delete = DeleteVolumeRequest { volume_id: "unknown/v".into(), ..Default::default() };
    let deleted = served.ask(served.controller().delete_volume(delete));
    refused(deleted, Code::Unavailable, "deleting from a pool that may be on another disk");
    assert_eq!(served.volumes(), ["default/there"]);
}

#[test]
fn pages_are_stable_and_bad_tokens_begin_again() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    let make = |name: &str| served.create(wanted(name, 16 * MIB)).volume_id;
    let ids: Vec<String> = ["a", "c", "e", "g"].iter().map(|name| make(name)).collect();
    let list = |max_entries, token: &str| {
        let starting_token = token.to_owned();
        let request = ListVolumesRequest { max_entries, starting_token };
        served.ask(served.controller().list_volumes(request))
    };
    let mut seen = Vec::new();
    let mut token = String::new();
    loop {
        let page = list(1, &token).unwrap();
        seen.extend(page.entries.into_iter().map(|entry| entry.volume.unwrap().volume_id));
        if seen.len() == 2 {
            make("b");
            make("f");
            let gone = DeleteVolumeRequest { volume_id: ids[1].clone(), ..Default::default() };
            served.ask(served.controller().delete_volume(gone)).unwrap();
        }
        token = page.next_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(seen, ["default/a", "default/c", "default/e", "default/f", "default/g"]);
    refused(list(0, "invalid-token"), Code::Aborted, "a token of nobody's");
    refused(list(-1, ""), Code::InvalidArgument, "fewer than no entries");
}

#[test]
fn capacity_is_told_for_here_and_for_what_is_possible() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    let ask = |request| served.ask(served.controller().get_capacity(request)).unwrap();
    let here = ask(GetCapacityRequest::default());
    assert!(here.available_capacity > 0);
    assert_eq!(here.maximum_volume_size, Some(here.available_capacity));
    served.create(wanted("v", 512 * MIB));
    let less = ask(GetCapacityRequest::default()).available_capacity;
    // Others write to this disk too, so only the order of it can be judged.
    assert!(less < here.available_capacity - (256 << 20), "{less} of {here:?}");
    let elsewhere = GetCapacityRequest { accessible_topology: Some(on("b")), ..Default::default() };
    assert_eq!(ask(elsewhere).available_capacity, 0);
    let impossible = GetCapacityRequest {
        volume_capabilities: vec![mounted(Mode::MultiNodeMultiWriter)],
        ..Default::default()
    };
    assert_eq!(ask(impossible).available_capacity, 0);
}

#[test]
fn a_modification_is_whole_or_nothing() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    let made = served.create(wanted("v", 16 * MIB));
    let modify = |settings: &[(&str, &str)]| {
        served.ask(served.controller().controller_modify_volume(ControllerModifyVolumeRequest {
            volume_id: made.volume_id.clone(),
            mutable_parameters: map(settings),
            ..Default::default()
        }))
    };
    let shown = || node.becket(&["volume", "show", "v", "-o", "json"]).succeeds().stdout;
    for _ in 0..2 {
        modify(&[("trashRetention", "2h"), ("mountOptions", "noatime")]).unwrap();
        assert!(shown().contains("7200") && shown().contains("noatime"), "{}", shown());
    }
    let before = shown();
    let half = modify(&[("trashRetention", "3h"), ("colour", "red")]);
    refused(half, Code::InvalidArgument, "an unknown setting");
    assert_eq!(shown(), before);
}
