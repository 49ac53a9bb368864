//! The client against a driver at a real socket.

use super::*;
use crate::fake::{Driver, Serving};
use crate::shape::merge_json;
use serde_json::json;
use std::time::Instant;

const DEADLINE: Duration = Duration::from_secs(20);

struct Ground {
    client: Client,
    serving: Serving,
    _root: tempfile::TempDir,
}

fn ground(change: impl FnOnce(Driver) -> Driver, deadline: Duration) -> Ground {
    let root = tempfile::tempdir().unwrap();
    let driver = change(Driver::new(root.path()));
    let serving = Serving::start(driver, &root.path().join("csi.sock"));
    let client = Client::connect(&serving.endpoint().parse().unwrap(), deadline).unwrap();
    Ground { client, serving, _root: root }
}

impl Ground {
    fn call(&self, rpc: &str, request: serde_json::Value) -> Answer {
        let rpc = Rpc::named(rpc).unwrap();
        let mut message = rpc.empty_request();
        merge_json(&mut message, &request).unwrap();
        self.client.call(&rpc, &message)
    }
}

#[test]
fn every_rpc_reaches_its_own_method_and_those_that_are_not_there_say_so() {
    let ground = ground(|driver| driver, DEADLINE);
    for rpc in Rpc::all() {
        let answer = ground.client.call(&rpc, &rpc.empty_request());
        let status = &answer.outcome.status;
        assert!(status.answered, "{}: {status:?}", rpc.name());
        assert!(!answer.outcome.elapsed.is_zero());
    }
    let asked: Vec<String> =
        ground.serving.driver().asked().into_iter().map(|one| one.rpc).collect();
    assert_eq!(asked, Rpc::all().map(|rpc| rpc.name().to_owned()).collect::<Vec<_>>());
}

#[test]
fn a_request_arrives_whole_and_the_answer_comes_back_as_json() {
    let ground = ground(|driver| driver, DEADLINE);
    let request = json!({
        "name": "one", "capacity_range": {"required_bytes": 1 << 20},
        "volume_capabilities": [{"block": {}, "access_mode": {"mode": "SINGLE_NODE_WRITER"}}],
        "parameters": {"a": "b"}, "secrets": {"user": "hush"},
    });
    let answer = ground.call("CreateVolume", request.clone());
    assert_eq!(answer.outcome.status, Status::ok());
    let volume = &answer.values()[0]["volume"];
    assert_eq!(
        (&volume["volume_id"], &volume["capacity_bytes"]),
        (&json!("vol-one"), &json!(1 << 20))
    );
    assert_eq!(volume["volume_context"], json!({"kind": "block"}));
    let asked = &ground.serving.driver().asked()[0];
    for field in ["name", "parameters", "secrets"] {
        assert_eq!(asked.request[field], request[field]);
    }
}

#[test]
fn a_refusal_is_told_with_code_and_message() {
    let ground = ground(|driver| driver, DEADLINE);
    let answer = ground.call("NodeUnpublishVolume", json!({"volume_id": "x", "target_path": "/x"}));
    let status = answer.outcome.status;
    assert_eq!((status.code, status.message.as_str()), (Code::NotFound, "volume x does not exist"));
    assert!(answer.messages.is_empty());
    let refused = Refused { rpc: "NodeUnpublishVolume".to_owned(), status };
    assert_eq!(
        refused.to_string(),
        "NodeUnpublishVolume answered NOT_FOUND: volume x does not exist"
    );
}

#[test]
fn a_stream_hands_over_what_came_before_it_broke() {
    let ground = ground(|driver| driver, DEADLINE);
    let whole = ground.call("GetMetadataAllocated", json!({"snapshot_id": "s"}));
    assert!(whole.outcome.status.is_ok());
    let offsets: Vec<_> = whole
        .values()
        .iter()
        .map(|message| message["block_metadata"][0]["byte_offset"].clone())
        .collect();
    assert_eq!(offsets, [json!(0), json!(65536)]);
    let broken = ground.call("GetMetadataAllocated", json!({"snapshot_id": "broken"}));
    assert_eq!(broken.messages.len(), 2);
    assert_eq!(broken.outcome.status.code, Code::OutOfRange);
    let rpc = Rpc::named("GetMetadataAllocated").unwrap();
    let mut seen = 0;
    let outcome = ground.client.call_each(&rpc, &rpc.empty_request(), &mut |_| {
        seen += 1;
        ControlFlow::Break(())
    });
    assert_eq!((seen, outcome.status.is_ok()), (1, true));
}

#[test]
fn a_driver_that_dawdles_is_not_waited_for_and_the_connection_still_works() {
    let slow = |driver: Driver| driver.delaying("Probe", Duration::from_secs(600));
    let ground = ground(slow, Duration::from_millis(200));
    let start = Instant::now();
    let answer = ground.call("Probe", json!({}));
    assert!(start.elapsed() < DEADLINE);
    let status = answer.outcome.status;
    assert_eq!((status.code, status.answered), (Code::DeadlineExceeded, false));
    assert!(ground.call("GetPluginInfo", json!({})).outcome.status.is_ok());
}

#[test]
fn a_driver_that_has_gone_is_unavailable() {
    let Ground { client, serving, _root } = ground(|driver| driver, DEADLINE);
    let endpoint = serving.endpoint();
    drop(serving);
    let rpc = Rpc::named("Probe").unwrap();
    let status = client.call(&rpc, &rpc.empty_request()).outcome.status;
    assert_eq!((status.code, status.answered), (Code::Unavailable, false), "{}", status.message);
    let error = Client::connect(&endpoint.parse().unwrap(), DEADLINE).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
}

#[test]
fn capabilities_unlock_exactly_what_they_are_for() {
    let ground = ground(|driver| driver.without("LIST_SNAPSHOTS").without("ONLINE"), DEADLINE);
    let found = Capabilities::read(&ground.client, &ground.client).unwrap();
    assert!(found.plugin.contains("CONTROLLER_SERVICE") && found.node.contains("EXPAND_VOLUME"));
    assert_eq!(found.expansion, ["OFFLINE".to_owned()].into());
    let unlocked = |name: &str| found.has(need(&Rpc::named(name).unwrap()));
    for name in ["Probe", "CreateVolume", "DeleteSnapshot", "NodePublishVolume", "NodeStageVolume"]
    {
        assert!(unlocked(name), "{name}");
    }
    for name in ["ListSnapshots", "GetSnapshot", "GetMetadataDelta", "CreateVolumeGroupSnapshot"] {
        assert!(!unlocked(name), "{name}");
    }
    let refusing =
        |driver: Driver| driver.refusing("NodeGetCapabilities", Code::Internal, "broken");
    let ground = self::ground(refusing, DEADLINE);
    let refused = Capabilities::read(&ground.client, &ground.client).unwrap_err();
    assert_eq!(
        (refused.rpc.as_str(), refused.status.code),
        ("NodeGetCapabilities", Code::Internal)
    );
}

#[test]
fn what_unlocks_an_rpc_is_a_capability_of_the_protocol() {
    let names = |of: &str| -> Vec<String> {
        let full = format!("csi.v1.{of}");
        let values = crate::shape::descriptors().get_enum_by_name(&full).unwrap();
        values.values().map(|value| value.name().to_owned()).collect()
    };
    let mut capabilities = 0;
    for rpc in Rpc::all() {
        let (of, name) = match need(&rpc) {
            Need::Nothing => continue,
            Need::Plugin(name) => ("PluginCapability.Service.Type", name),
            Need::Controller(name) => ("ControllerServiceCapability.RPC.Type", name),
            Need::Group(name) => ("GroupControllerServiceCapability.RPC.Type", name),
            Need::Node(name) => ("NodeServiceCapability.RPC.Type", name),
        };
        assert!(names(of).contains(&name.to_owned()), "{name} of {of}, for {}", rpc.name());
        capabilities += 1;
    }
    assert_eq!(capabilities, 29);
}

#[test]
fn many_calls_are_numbered_run_at_the_same_time_and_counted_by_code() {
    let slow = |driver: Driver| driver.delaying("CreateVolume", Duration::from_millis(100));
    let ground = ground(slow, DEADLINE);
    let rpc = Rpc::named("CreateVolume").unwrap();
    let mut request = rpc.empty_request();
    merge_json(&mut request, &json!({"name": "load-{n}"})).unwrap();
    let load = ground.client.load(&rpc, Plan { calls: 20, at_once: 20 }, &request);
    assert_eq!((load.latencies.len(), load.codes["OK"].0), (20, 20));
    assert!(load.failure.is_none() && load.latencies.is_sorted());
    let at_once = ground.serving.driver().most_at_once();
    assert!((2..=20).contains(&at_once), "{at_once}");
    assert!(
        load.percentile(0.0) == load.latencies[0] && load.percentile(50.0) == load.latencies[9]
    );
    assert_eq!(load.percentile(100.0), load.latencies[19]);
    let mut names: Vec<String> = ground.serving.driver().left();
    names.sort();
    let mut expected: Vec<String> = (1..=20).map(|number| format!("vol-load-{number}")).collect();
    expected.sort();
    assert_eq!(names, expected);
    let load = ground.client.load(&rpc, Plan { calls: 5, at_once: 2 }, &rpc.empty_request());
    assert_eq!(load.codes.keys().collect::<Vec<_>>(), [&"INVALID_ARGUMENT"]);
    assert_eq!(load.failure.unwrap().message, "a volume needs a name");
}
