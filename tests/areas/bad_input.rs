//! What is wrong with a callout's arguments is said, and nothing is changed.

use becket_tests::{Flex, Node, Options, volume};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

/// A node with the volume `v`, so that nothing fails for the lack of one.
fn node() -> Node {
    let node = Node::new();
    node.make_volume("v", "16Mi");
    node
}

/// Makes callouts that must fail with these words, and looks at the node after each.
fn refuse(node: &Node, driver: &str, cases: &[(Vec<&str>, &[&str])]) {
    let before = node.fingerprint();
    for (arguments, words) in cases {
        let reply = node.callout(driver, arguments).fails(words);
        node.unchanged_since(&before, &reply.call);
    }
}

/// The arguments that each callout takes, all of them good.
fn callouts(directory: &str, json: &str) -> Vec<(&'static str, Vec<String>)> {
    let table: [(&str, &[&str]); 12] = [
        ("init", &[]),
        ("getvolumename", &[json]),
        ("attach", &[json, "node-1"]),
        ("isattached", &[json, "node-1"]),
        ("waitforattach", &["", json]),
        ("mountdevice", &[directory, "", json]),
        ("mount", &[directory, json]),
        ("unmount", &[directory]),
        ("unmountdevice", &[directory]),
        ("detach", &["vol", "node-1"]),
        ("expandvolume", &[json, directory, "33554432", "16777216"]),
        ("expandfs", &[json, "", directory, "33554432", "16777216"]),
    ];
    let owned = |words: &[&str]| words.iter().map(|word| word.to_string()).collect();
    table.iter().map(|(name, arguments)| (*name, owned(arguments))).collect()
}

#[test]
fn each_callout_wants_all_its_arguments_and_no_more() {
    let node = node();
    let directory = node.pod("a");
    for attachable in [&[][..], &["--attachable"]] {
        node.install(attachable).succeeds();
        let before = node.fingerprint();
        for (name, arguments) in callouts(&directory, &volume("v").json()) {
            let mut tries: Vec<Vec<&str>> = Vec::new();
            for count in 0..arguments.len() {
                tries.push(arguments[..count].iter().map(String::as_str).collect());
            }
            let all = arguments.iter().map(String::as_str);
            tries.push(all.chain(["one-more"]).collect());
            for given in tries {
                let reply = node.image(&[&[name], given.as_slice()].concat());
                node.unchanged_since(&before, &reply.clone().fails(&[name, "takes"]).call);
            }
        }
    }
    for flex in [Flex::Command, Flex::Installed] {
        node.callout_by::<&str>(flex, "image", &[]).fails(&["no callout"]);
    }
}

#[test]
fn a_word_that_is_no_callout_is_not_supported() {
    let node = Node::installed(&[]);
    let before = node.fingerprint();
    let long = "x".repeat(100_000);
    for word in
        ["waitfordetach", "INIT", "", " init", "--help", "-h", "--version", "help", "\n", &long]
    {
        for flex in [Flex::Command, Flex::Installed] {
            node.callout_by(flex, "image", &[word]).is_not_supported();
            node.callout_by(flex, "directory", &[word, "{}", "x"]).is_not_supported();
        }
    }
    node.unchanged_since(&before, "a word that is no callout");
}

#[test]
fn arguments_that_are_no_text_are_refused() {
    let node = node();
    node.install(&["--attachable"]).succeeds();
    let directory = node.pod("a");
    let before = node.fingerprint();
    let bad = || OsString::from_vec(vec![b'/', 0xff, 0xfe]);
    for (name, arguments) in callouts(&directory, &volume("v").json()) {
        for index in 0..arguments.len() {
            // The text of a device or a node's name is not used, but is text all the same.
            let mut given: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            given[index] = bad();
            given.insert(0, name.into());
            let reply = node.callout("image", &given).fails(&[]);
            node.unchanged_since(&before, &reply.call);
        }
    }
}

#[test]
fn only_plain_paths_below_the_kubelets_root_are_taken() {
    let node = node();
    let good = node.pod("a");
    let (kubelet, state) = (node.text("kubelet"), node.text("state"));
    std::fs::create_dir(node.path("kubelet2")).unwrap();
    std::fs::create_dir(node.path("outside")).unwrap();
    let json = volume("v").json();
    let new = volume("new").size("16Mi").json();
    let dotted = [
        format!("{kubelet}/../outside"),
        format!("{kubelet}/pods/../../outside"),
        format!("{good}/.."),
        format!("{good}/../../../../../../../../../../etc"),
    ];
    let outside = [
        "/".to_owned(),
        "/etc".to_owned(),
        node.text("outside"),
        node.text("kubelet2/pods"),
        state.clone(),
        format!("{state}/pools/default"),
    ];
    let relative = ["", "pods/a", ".", "..", "kubelet", "-v", "~"];
    let mut cases: Vec<(String, &[&str])> = vec![
        (kubelet.clone(), &["the root itself"]),
        (format!("{kubelet}/"), &["the root itself"]),
    ];
    cases.extend(dotted.map(|path| (path, &["refused", "`..`"][..])));
    cases.extend(outside.map(|path| (path, &["refused", "not below", "kubelet-root"][..])));
    cases.extend(relative.map(|path| (path.to_owned(), &["refused", "not absolute"][..])));
    for (path, words) in &cases {
        let table = [
            (vec!["mount", path, &json], *words),
            (vec!["mount", path, &new], *words),
            (vec!["unmount", path], *words),
        ];
        refuse(&node, "image", &table);
    }
    node.install(&["--attachable"]).succeeds();
    for (path, words) in &cases {
        let table = [
            (vec!["mountdevice", path, "", &json], *words),
            (vec!["unmountdevice", path], *words),
            (vec!["mount", path, &json], *words),
        ];
        refuse(&node, "image", &table);
    }
}

#[test]
fn no_link_and_no_file_is_mounted_over_or_followed() {
    let node = node();
    let good = node.pod("a");
    std::fs::create_dir_all(node.path("outside/volumes/becket~image/vol")).unwrap();
    std::fs::write(node.path("outside/file"), "precious").unwrap();
    let link = |to: &str, at: &str| {
        std::os::unix::fs::symlink(to, node.path(at)).unwrap();
        node.text(at)
    };
    let beside = format!("{good}/../beside");
    std::fs::create_dir(&beside).unwrap();
    std::fs::write(node.path("kubelet/file"), "precious").unwrap();
    let last = link("../../../../../outside", "kubelet/pods/a/volumes/becket~image/last");
    let inside = link("beside", "kubelet/pods/a/volumes/becket~image/inside");
    let dangling = link("nowhere", "kubelet/pods/a/volumes/becket~image/dangling");
    let to_root = link("/", "kubelet/pods/a/volumes/becket~image/to-root");
    link("../../outside", "kubelet/pods/middle");
    link(&node.text("outside"), "kubelet/pods/absolute");
    let middle = node.text("kubelet/pods/middle/volumes/becket~image/vol");
    let absolute = node.text("kubelet/pods/absolute/volumes/becket~image/vol");
    let through_file = node.text("kubelet/file/vol");
    let missing_behind_link = node.text("kubelet/pods/middle/none/vol");
    let json = volume("v").json();
    let new = volume("new").size("16Mi").json();
    for path in [
        &last,
        &inside,
        &dangling,
        &to_root,
        &middle,
        &absolute,
        &through_file,
        &missing_behind_link,
    ] {
        let words: &[&str] = &["refused", "link or a file"];
        let cases = [
            (vec!["mount", path.as_str(), &json], words),
            (vec!["mount", path, &new], words),
            (vec!["unmount", path], words),
        ];
        refuse(&node, "image", &cases);
    }
    let file = node.text("kubelet/file");
    let words: &[&str] = &["kubelet/file", "directory"];
    refuse(&node, "image", &[(vec!["mount", &file, &json], words)]);
    refuse(&node, "image", &[(vec!["mount", &file, &new], words)]);
}

#[test]
fn only_one_flat_object_of_strings_is_taken() {
    let node = node();
    node.install(&["--attachable"]).succeeds();
    let directory = node.pod("a");
    let deep = "[".repeat(60_000);
    let deep_object = "{\"a\":".repeat(20_000);
    let bad: [(&str, &[&str]); 21] = [
        ("", &["flat JSON object"]),
        (" ", &["flat JSON object"]),
        ("x", &["flat JSON object"]),
        ("{", &["flat JSON object"]),
        ("{\"name\":\"v\"", &["flat JSON object"]),
        ("{\"name\":\"v\"}}", &["flat JSON object"]),
        ("{\"name\":\"v\"}{\"name\":\"v\"}", &["flat JSON object"]),
        ("{'name':'v'}", &["flat JSON object"]),
        ("\u{feff}{\"name\":\"v\"}", &["flat JSON object"]),
        ("{\"name\":\"a\nb\"}", &["flat JSON object"]),
        ("{\"name\":\"\\ud800\"}", &["flat JSON object"]),
        ("null", &["flat JSON object"]),
        ("true", &["flat JSON object"]),
        ("\"name\"", &["flat JSON object"]),
        ("[\"name\",\"v\"]", &["flat JSON object"]),
        ("{\"name\":\"v\",\"size\":16777216}", &["`size` is a number"]),
        ("{\"name\":[\"v\"]}", &["`name` is a list"]),
        ("{\"name\":{\"v\":\"v\"}}", &["`name` is an object"]),
        ("{\"name\":\"v\",\"kubernetes.io/readwrite\":true}", &["readwrite` is a boolean"]),
        (&deep, &["flat JSON object"]),
        (&deep_object, &["flat JSON object"]),
    ];
    let before = node.fingerprint();
    for (json, words) in bad {
        for (name, arguments) in callouts(&directory, json) {
            if arguments.iter().any(|argument| argument == json) && !json.is_empty() {
                let arguments = arguments.iter().map(String::as_str);
                let arguments: Vec<&str> = std::iter::once(name).chain(arguments).collect();
                let reply = node.image(&arguments).fails(words);
                node.unchanged_since(&before, &reply.call);
            }
        }
    }
    refuse(&node, "image", &[(vec!["mount", &directory, ""], &["flat JSON object"])]);
}

#[test]
fn an_option_that_is_given_twice_is_refused() {
    let node = node();
    let directory = node.pod("a");
    for json in [
        r#"{"name":"v","name":"v"}"#,
        r#"{"name":"v","name":"other","size":"16Mi"}"#,
        r#"{"name":"v","kubernetes.io/readwrite":"ro","kubernetes.io/readwrite":"rw"}"#,
    ] {
        refuse(&node, "image", &[(vec!["mount", &directory, json], &["twice"])]);
    }
}

#[test]
fn an_argument_as_long_as_the_kernel_passes_is_answered() {
    let node = node();
    let directory = node.pod("a");
    let long = "x".repeat(120_000);
    let hostile = "\u{1}\"\\".repeat(9_000);
    let cases: [(Options, &[&str]); 6] = [
        (volume(&long), &["not a name", "120000 bytes"]),
        (volume("v").with("pool", &long), &["not a name"]),
        (volume("v").with(&long, "x"), &["is not known"]),
        (volume("v").with("size", &long), &["not a size"]),
        (volume("v").fs_type(&long), &["is not known"]),
        (volume("v").with("kubernetes.io/readwrite", &hostile), &["neither ro nor rw"]),
    ];
    for (options, words) in cases {
        refuse(&node, "image", &[(vec!["mount", &directory, &options.json()], words)]);
    }
    let long_path = format!("{}/{}", directory, "x/".repeat(50_000));
    refuse(&node, "image", &[(vec!["mount", &long_path, &volume("v").json()], &["refused"])]);
    refuse(&node, "image", &[(vec!["unmount", &long_path], &["refused"])]);
    refuse(&node, "image", &[(vec!["expandfs", "{}", "", "/", &long, "1"], &["new size"])]);
}
