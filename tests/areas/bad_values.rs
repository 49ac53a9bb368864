//! Options with values that no volume can have: what is wrong is said, and nothing is changed.

use becket_tests::{Node, Options, volume};

/// Mounts with options that must be refused with these words; nothing may change by it.
fn refuse_mounts(node: &Node, driver: &str, cases: &[(Options, &[&str])]) {
    let directory = node.pod_of(driver, "a");
    let before = node.fingerprint();
    for (options, words) in cases {
        let reply = node.callout(driver, &["mount", &directory, &options.json()]).fails(words);
        node.unchanged_since(&before, &reply.call);
    }
}

fn node() -> Node {
    let node = Node::new();
    node.make_volume("v", "16Mi");
    node
}

#[test]
fn names_are_one_plain_path_component() {
    let node = node();
    let long = "x".repeat(129);
    let bad = [
        "a/b",
        "/a",
        "/",
        "..",
        ".",
        "../v",
        "v/..",
        ".hidden",
        "-flag",
        "--",
        "_v",
        "a b",
        " v",
        "v ",
        "a\nb",
        "a\tb",
        "a\u{0}b",
        "a\u{7f}",
        "a\u{1b}[31m",
        "é",
        "ｖ",
        "a\u{200b}",
        "a\\b",
        "a:b",
        "a;b",
        "$(id)",
        "`id`",
        "a*",
        "a?",
        "%2e%2e",
        "\u{202e}v",
        &long,
    ];
    for name in bad {
        let cases: [(Options, &[&str]); 3] = [
            (volume(name), &["is not a name"]),
            (volume(name).size("16Mi"), &["is not a name"]),
            (volume("v").with("pool", name), &["is not a name"]),
        ];
        refuse_mounts(&node, "image", &cases);
        let (json, pod) = (volume(name).json(), node.pod("a"));
        let before = node.fingerprint();
        let reply = node.image(&["expandfs", &json, "", &pod, "33554432", "1"]);
        node.unchanged_since(&before, &reply.fails(&["is not a name"]).call);
    }
}

#[test]
fn a_volume_or_pool_that_is_not_there_is_named_with_the_way_out() {
    let node = node();
    let cases: [(Options, &[&str]); 5] = [
        (volume("missing"), &["`missing`", "does not exist", "becket volume create", "size"]),
        (volume("v").with("pool", "nowhere"), &["`nowhere`", "does not exist", "pool create"]),
        (volume("x").size("16Mi").with("pool", "nowhere"), &["`nowhere`", "pool create"]),
        (volume(""), &["`name` is missing"]),
        (Options::default().size("16Mi"), &["`name` is missing"]),
    ];
    refuse_mounts(&node, "image", &cases);
    let pod = node.pod("a");
    let before = node.fingerprint();
    for name in ["missing", "V"] {
        let json = volume(name).json();
        node.image(&["expandfs", &json, "", &pod, "33554432", "1"]).fails(&[name, "not exist"]);
    }
    node.unchanged_since(&before, "growing a volume that is not there");
}

#[test]
fn sizes_that_no_volume_can_have_are_refused() {
    let node = node();
    let invalid = [
        "x", "16 Mi", "16MB", "1e9", "0x10", "NaN", "inf", "1.2.3", "--1", "+1", "1Mi1", "١", "Mi",
    ];
    let out_of_range =
        ["0", "0Gi", "-1", "-1Gi", "9223372036854775808", "8Ei", "18446744073709551616"];
    let mut cases: Vec<(Options, &[&str])> = Vec::new();
    let new = |size: &str| volume("new").size(size);
    cases.extend(invalid.map(|size| (new(size), &["is not a size", "10Gi"][..])));
    cases.extend(out_of_range.map(|size| (new(size), &["size"][..])));
    // Also where the volume exists and the size would not be needed.
    cases.extend(invalid.map(|size| (volume("v").size(size), &["is not a size"][..])));
    cases.push((new("7Ei"), &["cannot promise", "7 EiB"]));
    cases.push((new("9223372036854775807"), &["8 EiB"]));
    cases.push((new("100Ti").with("provisioning", "thick"), &["cannot promise"]));
    cases.push((new("1"), &["too small", "needs at least"]));
    cases.push((new("16Mi").fs_type("xfs"), &["too small", "needs at least"]));
    cases.push((new("16Mi").fs_type("btrfs"), &["too small", "needs at least"]));
    refuse_mounts(&node, "image", &cases);
}

#[test]
fn an_expansion_to_an_impossible_size_changes_nothing() {
    let node = node();
    let json = volume("v").json();
    let pod = node.pod("a");
    let table: [(&str, &[&str]); 10] = [
        ("0", &["zero"]),
        ("-1", &["negative"]),
        ("9223372036854775808", &["too large"]),
        ("99999999999999999999999999", &["too large"]),
        ("8Ei", &["not a number of bytes"]),
        ("1e3", &["not a number of bytes"]),
        ("", &["not a number of bytes"]),
        ("ten\n", &["not a number of bytes"]),
        ("9223372036854775807", &["more than pool", "could hold"]),
        ("1125899906842624", &["more than pool", "could hold"]),
    ];
    let before = node.fingerprint();
    for (bytes, words) in table {
        for arguments in [
            ["expandfs", &json, "", &pod, bytes, "16777216"].as_slice(),
            ["expandvolume", &json, &pod, bytes, "16777216"].as_slice(),
        ] {
            let reply = node.image(arguments).fails(words);
            node.unchanged_since(&before, &reply.call);
        }
    }
    let old = node.image(&["expandfs", &json, "", &pod, "33554432", "x"]).fails(&["old size"]);
    node.unchanged_since(&before, &old.call);
}

#[test]
fn words_that_are_none_of_those_known_are_refused() {
    let node = node();
    let mut cases: Vec<(Options, &[&str])> = Vec::new();
    for kind in
        ["zfs", "EXT4", "ext4 ", "ext3", "vfat", "auto", "none", "../ext4", "ext4,xfs", "-t"]
    {
        cases.push((volume("v").fs_type(kind), &["filesystem type", "not known", "ext4"]));
    }
    for group in ["x", "-1", "1.5", " 5", "4294967295", "4294967296", "0x10", "root"] {
        cases.push((volume("v").with("kubernetes.io/fsGroup", group), &["fsGroup", "group id"]));
        let newer = volume("v").with("kubernetes.io/mounterArgs.FsGroup", group);
        cases.push((newer, &["fsGroup", "group id"]));
    }
    for access in ["RO", "rw ", "true", "readonly", "ro,rw", "wr"] {
        cases.push((volume("v").with("kubernetes.io/readwrite", access), &["neither ro nor rw"]));
    }
    for provisioning in ["THICK", "thick ", "fat", "true"] {
        let options = volume("v").with("provisioning", provisioning);
        cases.push((options, &["neither thin nor thick"]));
    }
    for (key, value) in
        [("sise", "1Gi"), ("template", "{pod}"), ("", "x"), ("Name", "v"), ("a\nb", "c")]
    {
        cases.push((volume("v").with(key, value), &["option", "is not known", "name, pool, size"]));
    }
    cases.push((volume("v").fs_type("xfs"), &["`v` is ext4, not xfs"]));
    refuse_mounts(&node, "image", &cases);
    let new: Vec<_> = cases
        .into_iter()
        .map(|(options, words)| (options.with("name", "new").with("size", "16Mi"), words))
        .filter(|(_, words)| !words[0].starts_with("`v`"))
        .collect();
    refuse_mounts(&node, "image", &new);
}

#[test]
fn a_template_leads_nowhere_but_into_the_volume() {
    let node = Node::new();
    node.make_directory_pool();
    let made = volume("made").with("limit", "none").with("template", "{namespace}/{pod}");
    let first = node.pod_of("directory", "first");
    node.directory(&["mount", &first, &made.clone().pod("web", "p", "u").json()]).succeeds();
    node.directory(&["unmount", &first]).succeeds();
    let mut cases: Vec<(Options, &[&str])> = Vec::new();
    for template in [
        "..",
        "../x",
        "a/../../b",
        "/etc",
        "a//b",
        "./a",
        "a/",
        ".hidden",
        "{pod",
        "{unknown}",
        "{}",
        "{Pod}",
        "{{pod}}",
        "a b",
        "a\nb",
        "{pod}/..",
        "1/2/3/4/5/6/7/8/9",
        "$(id)",
        "é",
    ] {
        let new = volume("new").with("limit", "none").with("template", template);
        cases.push((new.pod("web", "p", "u"), &["template", "refused"]));
    }
    let long = "x".repeat(300);
    for pod in ["..", ".", "a/b", "../../../etc", "/etc", ".x", "a\nb", "a b", "é", "a\u{0}", &long]
    {
        cases.push((made.clone().pod("web", pod, "u"), &["template", "refused"]));
        cases.push((made.clone().pod(pod, "p", "u"), &["template", "refused"]));
        let new = made.clone().with("name", "new").pod("web", pod, "u");
        cases.push((new, &["template", "refused"]));
    }
    cases.push((made.clone(), &["does not tell", "namespace"]));
    cases.push((made.clone().pod("web", "", "u"), &["does not tell", "`pod`"]));
    cases.push((made.clone().with("name", "new"), &["does not tell", "namespace"]));
    let other = volume("made").with("limit", "none").with("template", "{uid}").pod("n", "p", "u");
    cases.push((other, &["another `template`"]));
    refuse_mounts(&node, "directory", &cases);
}

#[test]
fn parameters_of_a_directory_are_checked_before_it_is_made() {
    let node = Node::new();
    node.make_directory_pool();
    let new = || volume("new").with("limit", "none");
    let long = "x".repeat(100_000);
    let cases: [(Options, &[&str]); 9] = [
        (new().with("limit", "soft"), &["does not exist"]),
        (new().with("size", "16Mi").with("limit", "soft"), &["`limit` cannot be `soft`"]),
        (new().with("onUnmount", "destroy"), &["`onUnmount` cannot be `destroy`"]),
        (new().with("onUnmount", &long), &["`onUnmount` cannot be"]),
        (new().with("size", "-5Gi"), &["size"]),
        (new().with("provisioning", "thick"), &["is not known"]),
        (volume("new"), &["does not exist"]),
        (volume("new").with("limit", "hard"), &["does not exist"]),
        (volume("new").with("pool", "default"), &["does not exist"]),
    ];
    refuse_mounts(&node, "directory", &cases);
}

#[test]
fn a_size_that_cannot_be_enforced_is_refused() {
    let node = Node::new();
    node.make_directory_pool();
    // A tmpfs never enforces project quotas.
    let pool = node.text("unlimited");
    std::fs::create_dir(&pool).unwrap();
    becket_tests::mount(&["-t", "tmpfs", "tmpfs", &pool]);
    let place = format!("{pool}/pool");
    node.becket(&["pool", "create", "ram", "--backend", "directory", "--path", &place]).succeeds();
    let options = volume("new").with("pool", "ram").size("16Mi");
    refuse_mounts(&node, "directory", &[(options, &["cannot be limited", "quota", "limit: none"])]);
    let listed = node.becket(&["volume", "list", "--pool", "ram", "-o", "json"]).json();
    assert_eq!(listed, serde_json::json!([]));
    node.becket(&["pool", "delete", "ram"]).succeeds();
    becket_tests::unmount(std::path::Path::new(&pool));
}

#[test]
fn the_name_of_the_volume_in_kubernetes_leads_nowhere_either() {
    let node = node();
    node.install(&["--attachable"]).succeeds();
    let named = |name: &str| volume("v").with("kubernetes.io/pvOrVolumeName", name);
    let cases: [(Options, &[&str]); 6] = [
        (named("../../../x"), &["refused"]),
        (named(".."), &["refused"]),
        (named("/etc"), &["refused"]),
        (named("a/../../b"), &["refused"]),
        (named("other"), &["not staged"]),
        (named(""), &["pvOrVolumeName"]),
    ];
    refuse_mounts(&node, "image", &cases);
}
