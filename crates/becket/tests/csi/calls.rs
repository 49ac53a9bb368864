//! Single calls, measured calls, and what is said about RPCs.

use crate::{Ground, Ran, run};
use becket_csi::client::Code;
use serde_json::{Value, json};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

#[test]
fn a_request_is_made_of_all_inputs_in_their_order() {
    let ground = Ground::new(|driver| driver);
    let file = ground.path().join("request.json");
    let from_file = json!({"name": "file", "parameters": {"a": "file", "b": "file"}});
    std::fs::write(&file, from_file.to_string()).unwrap();
    let at_file = format!("@{}", file.display());
    let mut command = ground.command(&[
        "create-volume",
        "{\"name\": \"json\", \"capacityRange\": {\"requiredBytes\": \"1Mi\"}}",
        &at_file,
        "-",
        "volume_capabilities.0.block=",
        "volume_capabilities.0.access_mode.mode=SINGLE_NODE_WRITER",
        "parameters.c=typed",
        "-o",
        "json",
    ]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let stdin = json!({"parameters": {"b": "stdin"}, "capacity_range": {"limit_bytes": "2Mi"}});
    child.stdin.take().unwrap().write_all(stdin.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let volume: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(volume["volume"]["volume_id"], "vol-file");
    let request = &ground.asked("CreateVolume")[0];
    assert_eq!(request["parameters"], json!({"a": "file", "b": "stdin", "c": "typed"}));
    let range = json!({"required_bytes": 1 << 20, "limit_bytes": 2 << 20});
    assert_eq!(request["capacity_range"], range);
    assert_eq!(request["volume_capabilities"][0]["block"], json!({}));
}

#[test]
fn answers_are_tables_for_people() {
    let ground = Ground::new(|driver| driver);
    ground.run(&["CreateVolume", "name=a", "capacity_range.required_bytes=3Mi"]).ends(0);
    let list = ground.run(&["list-volumes"]).ends(0);
    let mut lines = list.stdout.lines();
    assert!(lines.next().unwrap().starts_with("VOLUME ID  CAPACITY BYTES  "), "{}", list.stdout);
    assert!(lines.next().unwrap().starts_with("vol-a      3 MiB "), "{}", list.stdout);
    let info = ground.run(&["GetPluginInfo"]).ends(0).says("GetPluginInfo answered OK in ");
    assert!(info.stdout.contains("name            fake.becket.dev\n"), "{}", info.stdout);
    let empty = ground.run(&["ListSnapshots"]).ends(0).says("the list is empty");
    assert_eq!(empty.stdout, "");
    let claimed = ground.run(&["NodeGetCapabilities"]).ends(0);
    assert!(claimed.stdout.starts_with("TYPE\nSTAGE_UNSTAGE_VOLUME\n"), "{}", claimed.stdout);
    let ranges = ground.run(&["GetMetadataAllocated", "starting_offset=4Ki"]).ends(0);
    assert!(ranges.stdout.ends_with(
        "BYTE OFFSET  SIZE BYTES\n\
         4096         4 KiB\n\
         12288        4 KiB\n\
         69632        4 KiB\n\
         77824        4 KiB\n"
    ));
}

#[test]
fn the_exit_status_is_the_code_that_the_driver_answered() {
    let ground = Ground::new(|driver| {
        driver.refusing("Probe", Code::Unauthenticated, "who\u{1b}[31m are you").refusing(
            "NodeGetInfo",
            Code::Cancelled,
            "",
        )
    });
    let unknown = ground.run(&["NodeUnpublishVolume", "volume_id=x", "target_path=/x"]).ends(5);
    let words = "error: NodeUnpublishVolume answered NOT_FOUND: volume x does not exist\n";
    assert_eq!((unknown.stderr.as_str(), unknown.stdout.as_str()), (words, ""));
    ground.run(&["Probe"]).ends(16).says("UNAUTHENTICATED: who\\u{1b}[31m are you");
    ground.run(&["NodeGetInfo"]).ends(1).says("NodeGetInfo answered CANCELLED, without a message");
    ground.run(&["NodeGetVolumeHealth"]).ends(5);
    ground.run(&["GetSnapshot"]).ends(5);
    let missing = ground.run(&["CreateVolumeGroupSnapshot"]);
    missing.ends(5);
}

#[test]
fn a_stream_is_one_json_object_a_line_also_when_it_breaks() {
    let ground = Ground::new(|driver| driver);
    let ran = ground.run(&["GetMetadataAllocated", "snapshot_id=broken", "-o", "json"]).ends(11);
    let offsets: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|message| message["block_metadata"][0]["byte_offset"].clone())
        .collect();
    assert_eq!(offsets, [json!(0), json!(65536)]);
    ran.says("GetMetadataAllocated answered OUT_OF_RANGE: the rest is beyond the end");
}

#[test]
fn wrong_use_is_told_from_every_code_and_says_what_would_be_right() {
    let ground = Ground::new(|driver| driver);
    ground.run(&[]).ends(64).says("it is not said which RPC to call");
    ground.run(&["StageVolume"]).ends(64).says("names like it: NodeStageVolume");
    ground.run(&["DeleteVolume", "id=x"]).ends(64).says("its fields are volume_id, secrets");
    ground.run(&["DeleteVolume", "{"]).ends(64).says("cannot read JSON");
    ground.run(&["DeleteVolume", "@/no/such/file"]).ends(64).says("cannot read `/no/such/file`");
    ground.run(&["DeleteVolume", "--no-such-option"]).ends(64);
    ground.run(&["Probe", "--endpoint", "csi.sock"]).ends(64).says("is not an endpoint");
    ground.run(&["Probe", "--concurrency", "3"]).ends(64).says("--repeat");
    ground.run(&["describe", "Nonsense"]).ends(64);
    let mut nowhere = ground.command(&["Probe"]);
    nowhere.env_remove("CSI_ENDPOINT");
    run(nowhere).ends(64).says("hint: give --endpoint");
    assert!(ground.serving.driver().asked().is_empty());
    // Other commands keep the usual status.
    let other =
        Command::new(env!("CARGO_BIN_EXE_becket")).args(["volume", "csi"]).output().unwrap();
    assert_eq!(other.status.code(), Some(2));
}

#[test]
fn a_driver_that_is_not_there_or_does_not_answer_is_told_from_one_that_refuses() {
    let slow = std::time::Duration::from_secs(600);
    let ground = Ground::new(|driver| driver.delaying("Probe", slow));
    let socket = format!("unix://{}/none.sock", ground.path().display());
    ground
        .run(&["Probe", "--endpoint", &socket])
        .ends(14)
        .says("error: cannot connect to `unix://");
    let late = ground.run(&["Probe", "--timeout", "200ms"]).ends(4);
    late.says("Probe got no answer: DEADLINE_EXCEEDED: nothing within 200ms").says("--timeout");
}

/// Nothing that was written may have the secret.
fn keeps(ran: Ran, secret: &str) -> Ran {
    assert!(!ran.stdout.contains(secret) && !ran.stderr.contains(secret), "{}", ran.stderr);
    ran
}

#[test]
fn secrets_reach_the_driver_and_no_output_even_when_the_driver_tells_them() {
    let told = "no login with hush-hush";
    let ground = Ground::new(|driver| driver.refusing("DeleteVolume", Code::Internal, told));
    let file = ground.path().join("secrets.yaml");
    std::fs::write(
        &file,
        "CreateVolumeSecret:\n  key: hush-hush\nDeleteVolumeSecret:\n  key: hush-hush\n",
    )
    .unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let secrets = file.to_str().unwrap();
    let ran = ground.run(&["CreateVolume", "name=hush-hush", "--secrets", secrets, "-v"]).ends(0);
    let ran =
        keeps(ran.says("others can read the secrets").says("secrets=<stripped>"), "key: hush");
    assert!(!ran.stdout.contains("hush-hush") && ran.stdout.contains("vol-<stripped>"));
    assert_eq!(ground.asked("CreateVolume")[0]["secrets"], json!({"key": "hush-hush"}));
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let ran = ground.run(&["DeleteVolume", "volume_id=v", "--secrets", secrets]).ends(13);
    let ran = keeps(ran, "hush-hush").says("no login with <stripped>");
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
    let ran = ground.run(&["DeleteVolume", "--secrets", secrets, "--repeat", "2"]).ends(13);
    keeps(ran, "hush-hush");
    let flat = ground.path().join("secrets.json");
    std::fs::write(&flat, "{\"user\": \"hush-json\"}").unwrap();
    ground.run(&["NodeStageVolume", "--secrets", flat.to_str().unwrap()]).ends(5);
    assert_eq!(ground.asked("NodeStageVolume")[0]["secrets"], json!({"user": "hush-json"}));
}

#[test]
fn secrets_are_not_taken_from_argv_but_from_files_and_stdin() {
    let ground = Ground::new(|driver| driver);
    for input in ["secrets.key=hush-hush", "{\"secrets\": {\"key\": \"hush-hush\"}}"] {
        keeps(ground.run(&["DeleteVolume", input]).ends(64).says("--secrets"), "hush-hush");
    }
    let broken = ground.path().join("broken.json");
    std::fs::write(&broken, "{\"secrets\": \"hush-hush\", \"key\"").unwrap();
    for arguments in [
        ["DeleteVolume", "--secrets", broken.to_str().unwrap()],
        ["DeleteVolume", "volume_id=v", &format!("@{}", broken.display())],
    ] {
        keeps(ground.run(&arguments).ends(64), "hush-hush");
    }
    assert!(ground.asked("DeleteVolume").is_empty());
    let whole = ground.path().join("whole.json");
    std::fs::write(&whole, "{\"volume_id\": \"v\", \"secrets\": {\"key\": \"hush-hush\"}}")
        .unwrap();
    let at_file = format!("@{}", whole.display());
    keeps(ground.run(&["DeleteVolume", &at_file, "-v"]).ends(0), "hush-hush");
    assert_eq!(ground.asked("DeleteVolume")[0]["secrets"], json!({"key": "hush-hush"}));
}

#[test]
fn rpcs_are_listed_with_what_the_driver_unlocks_and_described() {
    let ground = Ground::new(|driver| driver.without("LIST_SNAPSHOTS"));
    let list = ground.run(&["list", "-o", "json"]).json();
    assert_eq!(list.as_array().unwrap().len(), 36);
    let unlocked = |name: &str| {
        let rpc = list.as_array().unwrap().iter().find(|rpc| rpc["rpc"] == name).unwrap();
        rpc["unlocked"].clone()
    };
    assert_eq!((unlocked("ListSnapshots"), unlocked("ListVolumes")), (json!(false), json!(true)));
    let mut alone = ground.command(&["list"]);
    alone.env_remove("CSI_ENDPOINT");
    let alone = run(alone).ends(0);
    assert!(!alone.stdout.contains("DRIVER") && alone.stdout.lines().count() == 37);
    let socket = format!("unix://{}/none.sock", ground.path().display());
    let unreachable = ground.run(&["--endpoint", &socket, "list"]).ends(14).says("cannot connect");
    assert_eq!(unreachable.stdout.lines().count(), 37);

    let described = ground.run(&["describe", "node-stage-volume"]).ends(0).stdout;
    assert!(described.starts_with("Node.NodeStageVolume, needs: node STAGE_UNSTAGE_VOLUME\n"));
    assert!(described.lines().any(|line| {
        line.starts_with("secrets.KEY ") && line.contains(" secret ") && line.ends_with(" string")
    }));
    let described = ground.run(&["describe", "GetMetadataDelta", "-o", "json"]).json();
    assert_eq!((&described["streams"], &described["alpha"]), (&json!(true), &json!(true)));
    assert_eq!(described["request"][0]["path"], "base_snapshot_id");
}

#[test]
fn repeated_calls_are_numbered_and_measured() {
    let ground = Ground::new(|driver| driver);
    let create = ["CreateVolume", "name=load-{n}", "--repeat", "10", "--concurrency", "3"];
    let load = ground.run(&[&create[..], &["-o", "json"]].concat()).json();
    assert_eq!((&load["calls"], &load["codes"]), (&json!(10), &json!({"OK": 10})));
    let milliseconds = |name: &str| load["milliseconds"][name].as_f64().unwrap();
    assert!(milliseconds("min") <= milliseconds("median"));
    assert!(milliseconds("median") <= milliseconds("p95") && milliseconds("p99") > 0.0);
    let mut names: Vec<String> = ground
        .asked("CreateVolume")
        .iter()
        .map(|request| request["name"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 10);
    assert!(names.contains(&"load-1".to_owned()) && names.contains(&"load-10".to_owned()));
    let ran = ground.run(&["NodeExpandVolume", "volume_id=x{n}", "--repeat", "3"]).ends(5);
    assert!(ran.stdout.ends_with("NOT_FOUND  3      volume x1 does not exist\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("\nmedian "), "{}", ran.stdout);
}
