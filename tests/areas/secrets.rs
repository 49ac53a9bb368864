//! Secrets that the kubelet hands over reach no reply, no log line and no file.

use becket_tests::{Node, Options, volume};
use std::os::unix::fs::PermissionsExt;

const SECRET: &str = "c2VjcmV0LW9mLXRoZS1wb2Q=";

fn with_secret(options: Options) -> Options {
    options.with("kubernetes.io/secret/password", SECRET)
}

#[test]
fn no_reply_and_no_log_line_holds_a_secret() {
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("becket.log");
    let node = Node::installed(&["--log-file", log.to_str().unwrap()]);
    let pod = node.pod("a");
    let good = with_secret(volume("v").size("16Mi")).json();
    let mut replies = vec![node.image(&["mount", &pod, &good]).succeeds()];
    let wrong: Vec<String> = vec![
        with_secret(volume("missing")).json(),
        with_secret(volume("..")).json(),
        with_secret(volume("v").with("sise", "1")).json(),
        with_secret(volume("v").fs_type("zfs")).json(),
        with_secret(volume("v").with("kubernetes.io/readwrite", "no")).json(),
        with_secret(volume("v")).read_only().json(),
        format!("{good} "),
        good.trim_end_matches('}').to_owned(),
        good.replace("\":\"", "\" \""),
        good.replace(SECRET, &format!("{SECRET}\"x")),
        good.replace(SECRET, &format!("{SECRET}\n")),
        good.replace(&format!("\"{SECRET}\""), &format!("[\"{SECRET}\"]")),
        good.replace(&format!("\"{SECRET}\""), &format!("{{\"{SECRET}\":1}}")),
        good.replace(&format!("\"{SECRET}\""), SECRET),
        format!("{good}{good}"),
        format!("\"{SECRET}\""),
        format!("[\"{SECRET}\"]"),
        SECRET.to_owned(),
    ];
    for json in &wrong {
        replies.push(node.image(&["mount", &pod, json]));
        replies.push(node.image(&["mount", "relative", json]));
        replies.push(node.image(&["mount", &pod, json, "one-more"]));
        replies.push(node.image(&["mount", json]));
        replies.push(node.image(&["unmount", &pod, json]));
        replies.push(node.image(&["getvolumename", json]));
        replies.push(node.image(&["attach", json, "node-1"]));
        replies.push(node.image(&["attach", json]));
        replies.push(node.image(&["expandfs", json, "", &pod, "x", "1"]));
        replies.push(node.image(&["unheard-of", json]));
    }
    replies.push(node.image(&["unmount", &pod]).succeeds());
    let failures = replies.iter().filter(|reply| reply.status() == "Failure").count();
    assert!(failures > 100, "{failures} failures of {}", replies.len());
    for reply in &replies {
        assert!(!reply.text.contains(&SECRET[..12]), "{}: {}", reply.call, reply.text);
    }
    let lines = std::fs::read_to_string(&log).unwrap();
    assert!(lines.lines().count() > failures, "{lines}");
    assert!(lines.contains("` done in") && lines.contains("` failed after"), "{lines}");
    assert!(!lines.contains(&SECRET[..12]), "{lines}");
    let mode = std::fs::metadata(&log).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "others can read the log: {mode:o}");
    assert_no_file_holds(&node, SECRET);
}

fn assert_no_file_holds(node: &Node, text: &str) {
    let found =
        std::process::Command::new("grep").args(["-rlaF", text]).arg(node.path("")).output();
    assert_eq!(String::from_utf8_lossy(&found.unwrap().stdout), "");
}

#[test]
fn the_log_file_cannot_be_made_to_forge_lines() {
    let place = tempfile::tempdir().unwrap();
    let log = place.path().join("becket.log");
    let node = Node::installed(&["--log-file", log.to_str().unwrap()]);
    let pod = node.pod("a");
    let forged = "x\n2026-01-01T00:00:00.000Z INFO becket-image[1] mount done in 0 ms";
    node.image(&["mount", &pod, &volume(forged).json()]).fails(&["not a name"]);
    node.image(&["mount", forged, &volume("v").json()]).fails(&["refused"]);
    node.image(&[forged]).is_not_supported();
    let lines = std::fs::read_to_string(&log).unwrap();
    assert!(lines.lines().all(|line| !line.starts_with("2026-01-01T00:00:00.000Z")), "{lines}");
}

#[test]
fn a_log_that_cannot_be_written_is_done_without() {
    let node = Node::installed(&["--log-file", "/nowhere/at/all.log"]);
    let pod = node.pod("a");
    node.image(&["mount", &pod, &volume("v").size("16Mi").json()]).succeeds();
    node.image(&["unmount", &pod]).succeeds();
}
