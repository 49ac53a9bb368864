//! The whole life, against a driver that can all, one that can little, and some that do it badly.

use crate::{Ground, run};
use becket_csi::client::Code;
use becket_csi::fake::{Driver, Serving};
use serde_json::{Value, json};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

/// The steps, as `step call outcome`.
fn steps(report: &Value) -> Vec<String> {
    let text = |step: &Value, name: &str| step[name].as_str().unwrap().to_owned();
    let steps = report.as_array().unwrap().iter();
    steps.map(|one| ["step", "call", "outcome"].map(|name| text(one, name)).join(" ")).collect()
}

impl Ground {
    /// Nothing of a life is there any more, at the driver and in the temporary directory.
    fn nothing_left(&self) {
        assert_eq!(self.serving.driver().left(), Vec::<String>::new());
        assert_eq!(std::fs::read_dir(self.path().join("tmp")).unwrap().count(), 0);
    }
}

#[test]
fn a_driver_that_can_all_is_led_through_all_and_nothing_is_left() {
    for kind in [&[][..], &["--block"]] {
        let ground = Ground::new(|driver| driver);
        let arguments = ["lifecycle", "--size", "4Mi", "--parameter", "a=b", "-o", "json"];
        let ran = ground.run(&[&arguments[..], kind].concat()).ends(0);
        assert!(ran.stderr.contains("create again "), "{}", ran.stderr);
        let steps = steps(&ran.json());
        for step in [
            "create again CreateVolume OK",
            "validate ValidateVolumeCapabilities OK",
            "list ListVolumes OK",
            "attach ControllerPublishVolume OK",
            "stage NodeStageVolume OK",
            "publish NodePublishVolume OK",
            "write here OK",
            "stats NodeGetVolumeStats OK",
            "publish 2nd NodePublishVolume OK",
            "list snapshots ListSnapshots OK",
            "expand at node NodeExpandVolume OK",
            "restore CreateVolume OK",
            "clone CreateVolume OK",
            "compare here OK",
            "delete DeleteVolume OK",
            "delete snapshot DeleteSnapshot OK",
        ] {
            assert!(steps.iter().any(|own| own == step), "no {step} in {steps:#?}");
        }
        assert!(steps.iter().all(|step| step.ends_with(" OK")), "{steps:#?}");
        ground.nothing_left();
        let stage = &ground.asked("NodeStageVolume")[0];
        assert_eq!(stage["publish_context"], json!({"attached": "yes"}));
        let mode = &stage["volume_capability"]["access_mode"]["mode"];
        assert_eq!(mode, "SINGLE_NODE_MULTI_WRITER");
        let create = &ground.asked("CreateVolume")[0];
        assert_eq!(create["parameters"], json!({"a": "b"}));
        assert!(create["accessibility_requirements"]["requisite"][0]["segments"].is_object());
    }
}

#[test]
fn what_the_driver_does_not_claim_is_skipped_and_said() {
    let ground = Ground::new(|driver| {
        [
            "PUBLISH_UNPUBLISH_VOLUME",
            "STAGE_UNSTAGE_VOLUME",
            "CREATE_DELETE_SNAPSHOT",
            "CLONE_VOLUME",
        ]
        .into_iter()
        .chain(["SINGLE_NODE_MULTI_WRITER", "LIST_VOLUMES", "GET_VOLUME_STATS", "EXPAND_VOLUME"])
        .fold(driver, Driver::without)
    });
    let steps = steps(&ground.run(&["lifecycle", "--size", "4Mi", "-o", "json"]).json());
    let skipped: Vec<&str> =
        steps.iter().filter_map(|step| step.strip_suffix("  skipped")).collect();
    let expected =
        ["list", "attach", "stage", "stats", "publish 2nd", "snapshot", "expand", "clone"];
    assert_eq!(skipped, expected, "{steps:#?}");
    let mode = &ground.asked("NodePublishVolume")[0]["volume_capability"]["access_mode"]["mode"];
    assert_eq!(mode, "SINGLE_NODE_WRITER");
    ground.nothing_left();
    // Three volumes are not attached, and it is said once.
    let ground = Ground::new(|driver| driver.without("PUBLISH_UNPUBLISH_VOLUME"));
    let ran = ground.run(&["lifecycle", "--size", "4Mi"]).ends(0);
    assert_eq!(ran.stdout.matches("PUBLISH_UNPUBLISH_VOLUME").count(), 1, "{}", ran.stdout);
    let ground = Ground::new(|driver| driver.without("CONTROLLER_SERVICE"));
    ground.run(&["lifecycle"]).ends(0).says("does not claim CREATE_DELETE_VOLUME");
    ground.nothing_left();
}

#[test]
fn a_call_that_fails_ends_the_life_with_its_code_and_takes_everything_back() {
    for (rpc, code) in [
        ("GetPluginInfo", Code::Unavailable),
        ("CreateVolume", Code::ResourceExhausted),
        ("ValidateVolumeCapabilities", Code::Internal),
        ("ControllerPublishVolume", Code::FailedPrecondition),
        ("NodeStageVolume", Code::PermissionDenied),
        ("NodePublishVolume", Code::Aborted),
        ("CreateSnapshot", Code::OutOfRange),
        ("NodeExpandVolume", Code::DataLoss),
    ] {
        let ground = Ground::new(|driver| driver.refusing(rpc, code, "not today"));
        let ran = ground.run(&["lifecycle", "--size", "4Mi"]).ends(code as i32);
        assert!(ran.stderr.contains(&format!("error: {rpc} answered ")), "{}", ran.stderr);
        assert!(ran.stdout.contains("not today"), "{}", ran.stdout);
        ground.nothing_left();
    }
    // What cannot be taken back is the error too; the rest goes.
    let refusing = |driver: Driver| driver.refusing("DeleteSnapshot", Code::Internal, "never");
    let ground = Ground::new(refusing);
    ground.run(&["lifecycle", "--size", "4Mi"]).ends(13).says("DeleteSnapshot answered INTERNAL");
    assert_eq!(ground.serving.driver().left().len(), 1);
    assert_eq!(std::fs::read_dir(ground.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_copy_with_another_content_is_found_though_the_driver_says_ok() {
    let ground = Ground::new(Driver::spoiling_copies);
    ground
        .run(&["lifecycle", "--size", "4Mi"])
        .ends(65)
        .says("has another content, from byte 0 on");
    ground.nothing_left();
}

#[test]
fn a_driver_that_expands_offline_only_has_its_volume_taken_down_for_it() {
    let ground = Ground::new(|driver| driver.without("ONLINE"));
    ground.run(&["lifecycle", "--size", "4Mi"]).ends(0);
    let rpcs: Vec<String> =
        ground.serving.driver().asked().into_iter().map(|asked| asked.rpc).collect();
    let at = rpcs.iter().position(|rpc| rpc == "ControllerExpandVolume").unwrap();
    assert_eq!(rpcs[at - 1], "ControllerUnpublishVolume");
    let after = ["ControllerPublishVolume", "NodeStageVolume", "NodePublishVolume"];
    assert_eq!(rpcs[at + 1..at + 4], after);
    ground.nothing_left();
}

#[test]
fn a_driver_that_refuses_a_volume_in_use_gets_it_unused() {
    for rpc in ["ControllerExpandVolume", "NodeExpandVolume"] {
        let busy = |driver: Driver| driver.refusing_once(rpc, Code::FailedPrecondition, "in use");
        let ground = Ground::new(busy);
        ground.run(&["lifecycle", "--size", "4Mi"]).ends(0).says("wants the volume unused first");
        let rpcs: Vec<String> =
            ground.serving.driver().asked().into_iter().map(|asked| asked.rpc).collect();
        let at = rpcs.iter().rposition(|rpc| rpc == "ControllerExpandVolume").unwrap();
        assert_eq!(rpcs[at - 1], "ControllerUnpublishVolume");
        assert_eq!(rpcs[at + 1], "ControllerPublishVolume");
        assert_eq!(rpcs[at + 4], "NodeExpandVolume");
        ground.nothing_left();
    }
    let busy =
        |driver: Driver| driver.refusing_once("CreateSnapshot", Code::FailedPrecondition, "in use");
    let ground = Ground::new(busy);
    let steps = steps(&ground.run(&["lifecycle", "--size", "4Mi", "-o", "json"]).json());
    let at = steps.iter().position(|step| step == "snapshot in use  skipped").unwrap();
    assert_eq!(steps[at - 1], "snapshot CreateSnapshot FAILED_PRECONDITION");
    assert_eq!(steps[at + 1], "unpublish NodeUnpublishVolume OK");
    ground.nothing_left();
    let never = |driver: Driver| {
        driver.refusing("NodeExpandVolume", Code::FailedPrecondition, "not even so")
    };
    let ground = Ground::new(never);
    ground.run(&["lifecycle", "--size", "4Mi"]).ends(9);
    ground.nothing_left();
}

#[test]
fn the_controller_and_the_node_may_be_at_two_endpoints() {
    let ground = Ground::new(|driver| driver);
    let driver = Arc::new(Driver::new(&ground.path().join("driver")));
    let sockets = ["controller.sock", "node.sock"].map(|name| ground.path().join(name));
    let [controller, node] = sockets.map(|path| Serving::start(Arc::clone(&driver), &path));
    let (controller_at, node_at) = (controller.endpoint(), node.endpoint());
    let mut command = ground.command(&["lifecycle", "--size", "4Mi"]);
    command.env_remove("CSI_ENDPOINT");
    command.args(["--controller-endpoint", &controller_at, "--node-endpoint", &node_at]);
    run(command).ends(0);
    assert_eq!(driver.left(), Vec::<String>::new());
    assert!(driver.asked().len() > 30 && ground.serving.driver().asked().is_empty());
}

#[test]
fn what_is_to_be_kept_stays_and_is_named() {
    let ground = Ground::new(|driver| driver);
    let (staging, targets) = (ground.path().join("staging"), ground.path().join("targets"));
    let ran = ground.run(&[
        "lifecycle",
        "--keep",
        "--name=mine",
        "--size=4Mi",
        "--staging-dir",
        staging.to_str().unwrap(),
        "--target-dir",
        targets.to_str().unwrap(),
    ]);
    let ran = ran.ends(0).says("kept: volume vol-mine\n");
    assert!(ran.stderr.contains("/targets/mine/target\n"), "{}", ran.stderr);
    assert!(targets.join("mine/target/becket-lifecycle").exists());
    assert!(staging.join("mine-clone-staging").exists());
    assert_eq!(std::fs::read_dir(ground.path().join("tmp")).unwrap().count(), 0);
}

#[test]
fn a_signal_ends_the_life_after_its_call_and_takes_everything_back() {
    let slow = |driver: Driver| driver.delaying("NodePublishVolume", Duration::from_millis(500));
    let ground = Ground::new(slow);
    let mut command = ground.command(&["lifecycle", "--size", "4Mi"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while ground.asked("NodeStageVolume").is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&child),
        rustix::process::Signal::INT,
    )
    .unwrap();
    let output = child.wait_with_output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{words}");
    assert!(words.contains("interrupted") && !words.contains("CreateSnapshot"), "{words}");
    ground.nothing_left();
}
