//! The command line: data on stdout, words on stderr, and what each command does.

use becket_tests::{MIB, Node, volume};
use serde_json::{Value, json};

/// The names in a list.
fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

/// Runs a command with `-o json` and reads what it says.
fn json_of(node: &Node, arguments: &[&str]) -> Value {
    node.becket(&[arguments, &["-o", "json"]].concat()).json()
}

#[test]
fn pools_volumes_snapshots_and_trash_live_their_lives() {
    let node = Node::new();
    let pool = json_of(&node, &["pool", "create", "p", "--backend", "image"]);
    assert_eq!((&pool["name"], &pool["backend"]), (&json!("p"), &json!("image")));
    for field in ["total", "free", "promised", "held", "availableThin", "availableThick"] {
        assert!(pool["capacity"][field].is_u64(), "{field} of {pool}");
    }
    let at = |arguments: &[&str]| json_of(&node, &[arguments, &["--pool", "p"]].concat());
    let made = at(&["volume", "create", "v", "--size", "16Mi"]);
    assert_eq!(
        (&made["size"], &made["content"], &made["pool"]),
        (&json!(16 * MIB), &json!("ext4"), &json!("p"))
    );
    assert_eq!(made["uuid"], at(&["volume", "create", "v", "--size", "16Mi"])["uuid"]);
    at(&["volume", "create", "raw", "--size", "8Mi", "--block"]);
    at(&["volume", "create", "full", "--size", "8Mi", "--thick"]);
    assert_eq!(names(&at(&["volume", "list"])), ["full", "raw", "v"]);
    assert_eq!(at(&["volume", "show", "raw"])["content"], "block");
    assert_eq!(at(&["volume", "show", "full"])["provisioning"], "thick");
    assert_eq!(at(&["volume", "show", "full"])["allocated"], 8 * MIB);
    assert_eq!(at(&["volume", "expand", "raw", "--size", "12Mi"])["size"], 12 * MIB);
    assert_eq!(json_of(&node, &["pool", "show", "p"])["capacity"]["promised"], 36 * MIB);

    let pod = node.pod("a");
    let on_p = |name: &str| volume(name).with("pool", "p").json();
    node.image(&["mount", &pod, &on_p("v")]).succeeds();
    std::fs::write(format!("{pod}/file"), "then").unwrap();
    assert_eq!(at(&["volume", "show", "v"])["mounts"].as_array().unwrap().len(), 2);
    let snapshot = at(&["snapshot", "create", "s", "--volume", "v"]);
    assert_eq!((&snapshot["volume"], &snapshot["size"]), (&json!("v"), &json!(16 * MIB)));
    std::fs::write(format!("{pod}/file"), "now").unwrap();
    node.image(&["unmount", &pod]).succeeds();
    at(&["volume", "create", "restored", "--from-snapshot", "s"]);
    at(&["volume", "create", "cloned", "--from-volume", "v", "--size", "32Mi"]);
    for (name, text) in [("restored", "then"), ("cloned", "now"), ("v", "now")] {
        node.image(&["mount", &pod, &on_p(name)]).succeeds();
        assert_eq!(std::fs::read_to_string(format!("{pod}/file")).unwrap(), text);
        node.image(&["unmount", &pod]).succeeds();
    }

    let gone = ["restored", "cloned", "full", "raw", "v"];
    for name in gone {
        node.becket(&["volume", "delete", name, "--pool", "p"]).succeeds();
        // Again, as a retry would.
        node.becket(&["volume", "delete", name, "--pool", "p"]).succeeds();
    }
    node.becket(&["snapshot", "delete", "s", "--pool", "p"]).succeeds();
    assert_eq!((at(&["volume", "list"]), at(&["snapshot", "list"])), (json!([]), json!([])));
    let trash = at(&["trash", "list"]);
    assert_eq!(trash.as_array().unwrap().len(), 6);
    let of_v = trash.as_array().unwrap().iter().find(|one| one["name"] == "v").unwrap();
    let id = of_v["id"].as_str().unwrap();
    node.becket(&["trash", "restore", id, "--pool", "p"]).succeeds();
    node.becket(&["trash", "restore", id, "--pool", "p"]).fails(1, &[id]);
    assert_eq!(names(&at(&["volume", "list"])), ["v"]);
    // A day has not passed.
    assert_eq!(at(&["trash", "empty"]), json!([]));
    node.becket(&["pool", "delete", "p"]).fails(1, &["1 volumes", "hint: "]);
    node.becket(&["volume", "delete", "v", "--pool", "p"]).succeeds();
    node.becket(&["pool", "delete", "p"]).fails(1, &["in the trash", "trash empty --all"]);
    assert_eq!(at(&["trash", "empty", "--all"]).as_array().unwrap().len(), 6);
    node.becket(&["pool", "delete", "p"]).succeeds();
    assert_eq!(json_of(&node, &["pool", "list"]), json!([]));
    assert!(!node.path("state/pools/p").exists());
}

#[test]
fn errors_say_what_and_what_to_do_and_leave_stdout_alone() {
    let node = Node::new();
    node.make_volume("v", "16Mi");
    let pod = node.pod("a");
    node.image(&["mount", &pod, &volume("v").json()]).succeeds();
    let before = node.fingerprint();
    let usage = ["error: "];
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&["volume", "show", "none"], 1, &["`none` does not exist", "\nhint: `becket volume list"]),
        (&["volume", "create", "w"], 1, &["needs a size"]),
        (&["volume", "create", "v", "--size", "32Mi"], 1, &["another size", "\nhint: expand it"]),
        (&["volume", "create", "v", "--size", "16Mi", "--thick"], 1, &["made differently"]),
        (&["volume", "create", "w", "--size", "1Mi"], 1, &["too small", "\nhint: "]),
        (&["volume", "create", "w", "--size", "7Ei"], 1, &["cannot promise", "\nhint: "]),
        (&["volume", "create", "w", "--from-snapshot", "none"], 1, &["`none` does not exist"]),
        (&["volume", "create", "w", "--from-volume", "w"], 1, &["clone of itself"]),
        (&["volume", "create", "w", "--from-volume", "v", "--size", "8Mi"], 1, &["smaller"]),
        (&["volume", "delete", "v"], 1, &["in use", "\nhint: "]),
        (&["volume", "list", "--pool", "none"], 1, &["pool `none`", "\nhint: "]),
        (&["volume", "expand", "none", "--size", "1Gi"], 1, &["`none` does not exist"]),
        (&["snapshot", "create", "s", "--volume", "none"], 1, &["`none` does not exist"]),
        (&["pool", "create", "p", "--backend", "tape"], 1, &["`tape` is not known", "\nhint: "]),
        (&["pool", "create", "p", "--backend", "image", "--overcommit", "0"], 1, &["out of range"]),
        (&["pool", "create", "p", "--backend", "image", "--path", "here"], 1, &["absolute"]),
        (&["pool", "show", "none"], 1, &["`none` does not exist"]),
        (&["flex", "tape", "init"], 1, &["`tape` is not known", "\nhint: "]),
        (&["uninstall", "--flex", "image", "--plugin-dir", "/none/x", "--no"], 2, &usage),
        (&["volume", "create", "../w", "--size", "16Mi"], 2, &["is not a name"]),
        (&["volume", "create", "w", "--size", "lots"], 2, &["is not a size"]),
        (&["volume", "create", "w", "--size", "0"], 2, &["size is 0"]),
        (&["volume", "create", "w", "--filesystem", "zfs"], 2, &usage),
        (&["volume", "create", "w", "--block", "--filesystem", "xfs"], 2, &usage),
        (&["trash", "restore", "not-an-id"], 2, &usage),
        (&["nonsense"], 2, &usage),
    ];
    for (arguments, code, words) in cases {
        for form in ["table", "json"] {
            let ran = node.becket(&[arguments, &["-o", form][..]].concat()).fails(*code, words);
            assert!(!ran.stderr.contains('\x1b'), "{}: colour in {:?}", ran.call, ran.stderr);
            node.unchanged_since(&before, &ran.call);
        }
    }
    node.image(&["unmount", &pod]).succeeds();
}

#[test]
fn words_go_to_stderr_and_tables_to_stdout() {
    let node = Node::new();
    let made = node.becket(&["volume", "create", "v", "--size", "16Mi"]).succeeds();
    assert_eq!(made.stderr, "volume `v` is ready\n");
    assert!(made.stdout.starts_with("name ") && made.stdout.contains("16 MiB"), "{}", made.stdout);
    let smaller = node.becket(&["volume", "expand", "v", "--size", "4Mi"]).succeeds();
    assert!(smaller.stderr.contains("never shrink"), "{}", smaller.stderr);
    let list = node.becket(&["volume", "list"]).succeeds();
    assert_eq!((list.stderr.as_str(), list.stdout.lines().count()), ("", 2));
    for (arguments, header) in [
        (["pool", "list"], "NAME     BACKEND"),
        (["volume", "list"], "NAME  SIZE"),
        (["snapshot", "list"], "NAME  VOLUME"),
        (["trash", "list"], "ID  KIND"),
        (["completions", "bash"], "_becket()"),
    ] {
        let ran = node.becket(&arguments).succeeds();
        assert!(ran.stdout.starts_with(header), "{}: {}", ran.call, ran.stdout);
        // A reader that went away is no error.
        let mut command = node.command();
        let (reader, writer) = std::io::pipe().unwrap();
        command.args(arguments).stdout(writer).stderr(std::process::Stdio::piped());
        drop(reader);
        let output = command.output().unwrap();
        assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]), "{arguments:?}");
    }
}

#[test]
fn help_manual_and_completions_know_every_command() {
    let node = Node::new();
    let commands = [
        "demo",
        "pool",
        "volume",
        "snapshot",
        "trash",
        "reconcile",
        "flex",
        "install",
        "uninstall",
        "completions",
        "man",
    ];
    let help = node.becket(&["--help"]).succeeds().stdout;
    for command in commands {
        let line = help.lines().find(|line| line.trim_start().starts_with(command));
        assert!(line.is_some_and(|line| line.len() > 25), "`{command}` is not in:\n{help}");
        let own = node.becket(&[command, "--help"]).succeeds();
        assert!(own.stdout.contains("Usage: becket") && own.stderr.is_empty(), "{own:?}");
    }
    assert!(node.becket(&["--version"]).succeeds().stdout.starts_with("becket "));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = node.becket(&["completions", shell]).succeeds();
        assert_eq!(script.stderr, "");
        for command in commands {
            assert!(script.stdout.contains(command), "`{command}` for {shell}");
        }
    }
    let bash = std::process::Command::new("bash").arg("-n").arg(write_completions(&node)).status();
    assert!(bash.unwrap().success());
    let manual = node.text("manual/pages");
    node.becket(&["man", &manual]).succeeds();
    for page in ["becket.1", "becket-pool.1", "becket-volume-create.1", "becket-install.1"] {
        let text = std::fs::read_to_string(format!("{manual}/{page}")).unwrap();
        assert!(text.contains(".TH"), "{page}");
    }
    // None of that needs or makes a state directory.
    assert_eq!(std::fs::read_dir(node.path("state")).unwrap().count(), 0);
}

fn write_completions(node: &Node) -> std::path::PathBuf {
    let path = node.path("completions.bash");
    std::fs::write(&path, node.becket(&["completions", "bash"]).stdout).unwrap();
    path
}

#[test]
fn a_pool_is_adopted_by_its_path_with_all_that_is_in_it() {
    let node = Node::new();
    let place = node.text("disk/pool");
    std::fs::create_dir(node.path("disk")).unwrap();
    let create = ["pool", "create", "p", "--backend", "image", "--path", &place];
    let first = json_of(&node, &create);
    node.becket(&["volume", "create", "v", "--size", "16Mi", "--pool", "p"]).succeeds();
    let second = node.text("second/state");
    let at = |arguments: &[&str]| node.becket(&[&["--state-dir", &second], arguments].concat());
    let adopted = at(&[&create[..], &["-o", "json"]].concat()).json();
    assert_eq!(adopted["uuid"], first["uuid"]);
    assert_eq!(names(&at(&["volume", "list", "--pool", "p", "-o", "json"]).json()), ["v"]);
    // Under another name or backend it is not.
    let before = node.fingerprint();
    for (name, backend) in [("other", "image"), ("p", "directory")] {
        let place = ["--path", &place];
        let arguments = ["pool", "create", name, "--backend", backend];
        let third = ["--state-dir", &node.text("second/state"), arguments[0]];
        let ran = node.becket(&[&third[..], &arguments[1..], &place].concat());
        ran.fails(1, &["already"]);
    }
    node.becket(&["pool", "create", "p", "--backend", "image", "--path", "/elsewhere"])
        .fails(1, &["exists at"]);
    node.unchanged_since(&before, "refused adoptions");
}

#[test]
fn a_directory_with_somebodys_files_does_not_become_a_pool() {
    let node = Node::new();
    std::fs::create_dir_all(node.path("home/user")).unwrap();
    std::fs::write(node.path("home/notes"), "mine").unwrap();
    std::fs::write(node.path("file"), "mine").unwrap();
    std::fs::create_dir_all(node.path("fresh/lost+found")).unwrap();
    let before = node.fingerprint();
    for (path, words) in [("home", "not empty"), ("file", "file"), ("file/pool", "file")] {
        for backend in ["image", "directory"] {
            let path = node.text(path);
            node.becket(&["pool", "create", "p", "--backend", backend, "--path", &path])
                .fails(1, &[words]);
        }
    }
    node.becket(&["pool", "create", "p", "--backend", "image", "--path", "/"]).fails(1, &["empty"]);
    let changes = before.changes(&node.fingerprint());
    assert!(changes.iter().all(|change| change.ends_with("/state/pools")), "{changes:?}");
    // What a new filesystem has in it is nobody's.
    let fresh = node.text("fresh");
    node.becket(&["pool", "create", "p", "--backend", "image", "--path", &fresh]).succeeds();
}

#[test]
fn reconciling_reports_what_it_does_not_know_and_removes_nothing() {
    let node = Node::new();
    node.make_volume("v", "16Mi");
    assert_eq!(json_of(&node, &["reconcile"]), json!([]));
    std::fs::create_dir(node.path("state/pools/default/volumes/strange")).unwrap();
    std::fs::write(node.path("state/pools/default/volumes/strange/data"), "whose?").unwrap();
    let before = node.fingerprint();
    let ran = node.becket(&["reconcile", "-o", "json"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("strange") && ran.stdout.contains("look"), "{}", ran.stdout);
    node.unchanged_since(&before, "reconcile");
}
