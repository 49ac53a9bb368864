//! The process: its sockets, its modes, its end, its log, and many calls at once.

use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use becket_csi::protocol::csi::{
    CreateVolumeRequest, DeleteVolumeRequest, ListVolumesRequest, NodeGetInfoRequest,
    NodeStageVolumeRequest, ProbeRequest,
};
use becket_tests::csi_driver::{mounted, refused, wanted};
use becket_tests::{CsiDriver, MIB, Node, until};
use rustix::process::Signal;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use tonic::Code;

#[test]
fn the_socket_is_private_replaced_when_stale_and_gone_at_the_end() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    let socket = served.socket.clone();
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o077, 0);
    let beside: Vec<_> = std::fs::read_dir(socket.parent().unwrap()).unwrap().collect();
    assert_eq!(beside.len(), 1, "the directory is the caller's");
    // One driver, one process.
    let second = node.becket(&[
        "serve",
        "--node-id",
        "node-1",
        "--drivers",
        "image",
        "--endpoint",
        &format!("unix://{}", socket.display()),
    ]);
    assert!(second.code != 0 && second.stderr.contains("listens at"), "{}", second.stderr);
    assert_eq!(served.end(Signal::KILL), 137);
    assert!(socket.exists());
    let served = CsiDriver::start(&node, "image", &[]);
    assert_eq!(served.end(Signal::TERM), 0);
    assert!(!socket.exists(), "the socket is left");
}

#[test]
fn each_half_serves_its_own_calls() {
    let node = Node::new();
    let controller = CsiDriver::start(&node, "image", &["--mode", "controller"]);
    let made = controller.create(wanted("v", 16 * MIB));
    let asked = controller.ask(controller.node().node_get_info(NodeGetInfoRequest {}));
    refused(asked, Code::Unimplemented, "a node's call at a controller");
    drop(controller);
    let half = CsiDriver::start(&node, "image", &["--mode", "node"]);
    let asked = half.ask(half.controller().list_volumes(ListVolumesRequest::default()));
    refused(asked, Code::Unimplemented, "a controller's call at a node");
    half.mount(&node, &made, "csi/target");
    half.unmount(&node, &made, "csi/target");
}

#[test]
fn probe_says_no_while_the_pool_is_not_in_order() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    let probe = || served.ask(served.identity().probe(ProbeRequest {}));
    assert_eq!(probe().unwrap().ready, Some(true));
    let record = node.path("state/pools/default/pool.json");
    let aside = node.path("state/pools/default/pool.aside");
    std::fs::rename(&record, &aside).unwrap();
    refused(probe(), Code::FailedPrecondition, "a pool without its record");
    std::fs::rename(&aside, &record).unwrap();
    assert_eq!(probe().unwrap().ready, Some(true));
}

/// Volumes are staged and published whether or not there is anybody to provision for.
#[test]
fn a_driver_serves_on_while_the_api_server_is_not_reached() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &["--kubernetes", "on"]);
    let volume = served.create(wanted("v", 16 * MIB));
    served.mount(&node, &volume, "target");
    assert!(until(|| served.logged().contains("no way to the API server")), "{}", served.logged());
    served.unmount(&node, &volume, "target");
}

#[test]
fn health_and_metrics_are_told_where_that_was_asked_for() {
    let node = Node::new();
    // A port that is free now; nobody else in the sandbox takes one in between.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let served = CsiDriver::start(&node, "image", &["--metrics", &format!("127.0.0.1:{port}")]);
    let get = |path: &str| {
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    served.create(wanted("v", 16 * MIB));
    assert!(
        get("/healthz").starts_with("HTTP/1.1 200")
            && get("/healthz").contains("image.becket.dev: ok")
    );
    let metrics = get("/metrics");
    for line in [
        "csi_plugin_operations_seconds_count{driver_name=\"image.becket.dev\",method_name=\"CreateVolume\",grpc_status_code=\"Ok\"} 1",
        "becket_pool_bytes{driver_name=\"image.becket.dev\",pool=\"default\",what=\"promised\"} 16777216",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
    assert!(get("/").starts_with("HTTP/1.1 404"));
    let record = node.path("state/pools/default/pool.json");
    let aside = node.path("state/pools/default/pool.aside");
    std::fs::rename(&record, &aside).unwrap();
    assert!(get("/healthz").starts_with("HTTP/1.1 503"));
    // A new process could not use the pool either.
    assert!(get("/livez").starts_with("HTTP/1.1 200"));
    std::fs::rename(&aside, &record).unwrap();
}

#[test]
fn no_secret_reaches_the_log_and_every_call_has_its_number() {
    const SECRET: &str = "hunter2-of-the-cluster";
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    let secrets = HashMap::from([(SECRET.to_owned(), SECRET.to_owned())]);
    let good = CreateVolumeRequest { secrets: secrets.clone(), ..wanted("v", 16 * MIB) };
    let bad = CreateVolumeRequest { name: String::new(), ..good.clone() };
    let id = served.create(good).volume_id;
    refused(served.ask(served.controller().create_volume(bad)), Code::InvalidArgument, "no name");
    let stage = NodeStageVolumeRequest {
        volume_id: "default/absent".into(),
        staging_target_path: node.text("csi/x"),
        volume_capability: Some(mounted(Mode::SingleNodeWriter)),
        secrets: secrets.clone(),
        ..Default::default()
    };
    refused(served.ask(served.node().node_stage_volume(stage)), Code::NotFound, "staging nothing");
    let delete = DeleteVolumeRequest { volume_id: id, secrets };
    served.ask(served.controller().delete_volume(delete)).unwrap();
    let log = served.logged();
    assert!(!log.contains(&SECRET[..8]), "{log}");
    assert!(log.contains("secrets=<stripped>"), "{log}");
    for line in log.lines().filter(|line| line.contains("rpc=")) {
        assert!(line.starts_with("time=") && line.contains(" request="), "{line}");
    }
}

#[test]
fn a_cancelled_call_is_finished_and_a_second_one_meanwhile_is_aborted() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    // The volume's lock is held as by another process in the middle of its work.
    served.create(wanted("v", 16 * MIB));
    let pool = node.becket(&["pool", "show", "default", "-o", "json"]).succeeds().stdout;
    let uuid = pool.split("\"uuid\": \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let lock = node.path(format!("state/locks/{uuid}/volume-v.lock"));
    let held =
        std::fs::File::options().create(true).write(true).truncate(false).open(lock).unwrap();
    held.lock().unwrap();
    let again = served.ask(served.controller().create_volume(wanted("v", 16 * MIB)));
    refused(again, Code::Aborted, "a call for a volume in work");
    drop(held);
    served.create(wanted("v", 16 * MIB));
    // A caller that goes away while its volume is being made.
    let mut client = served.controller();
    let request = wanted("left", 300 * MIB);
    served.run(async {
        let call = client.create_volume(request);
        assert!(tokio::time::timeout(Duration::from_millis(1), call).await.is_err());
    });
    let listed = || served.volumes().len();
    // Either it never began, or it is whole by itself in a while.
    until(|| listed() == 2);
    let made = served.create(wanted("left", 300 * MIB));
    assert_eq!((made.volume_id.as_str(), listed()), ("default/left", 2));
}

#[test]
fn two_hundred_calls_at_once_take_few_threads_and_all_are_answered() {
    let node = Node::new();
    let served = CsiDriver::start(&node, "image", &[]);
    let threads = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", served.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("Threads:")).unwrap();
        line.trim().parse::<usize>().unwrap()
    };
    let most = served.run(async {
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..200 {
            let mut client = served.controller();
            let request = wanted(&format!("v{}", number % 100), 16 * MIB);
            calls.spawn(async move { client.create_volume(request).await.map(drop) });
        }
        let mut most = 0;
        while let Some(answer) = calls.join_next().await {
            most = most.max(threads());
            if let Err(status) = answer.unwrap() {
                assert_eq!(status.code(), Code::Aborted, "{status}");
            }
        }
        most
    });
    assert!(most <= becket_csi::work::ALL_THREADS + 3, "{most} threads");
    assert_eq!(served.volumes().len(), 100);
}
