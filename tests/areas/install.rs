//! Installing, upgrading, refreshing and uninstalling the drivers.

use becket_tests::{Node, status_of, until, volume};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::{File, FileTimes};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What `install` says of each driver.
fn outcomes(done: &serde_json::Value) -> Vec<&str> {
    done.as_array().unwrap().iter().map(|one| one["outcome"].as_str().unwrap()).collect()
}

/// The driver is there whole, works, and nothing else is beside it.
fn is_whole(node: &Node, driver: &str) {
    let executable = node.executable(driver);
    assert_eq!(names(executable.parent().unwrap()), [".install.json", driver]);
    let about = executable.metadata().unwrap();
    assert_eq!(about.mode() & 0o7777, 0o755);
    assert!(std::fs::read(&executable).unwrap() == std::fs::read(becket_tests::binary()).unwrap());
    node.callout(driver, &["init"]).succeeds();
}

#[test]
fn an_installed_driver_is_whole_and_knows_its_node() {
    let node = Node::new();
    assert_eq!(outcomes(&node.install(&["-o", "json"]).json()), ["installed", "installed"]);
    is_whole(&node, "image");
    is_whole(&node, "directory");
    assert_eq!(names(&node.path("plugins")), ["becket~directory", "becket~image"]);
    // With nothing in its environment it finds this node's directories.
    let pod = node.pod("a");
    node.image(&["mount", &pod, &volume("v").size("16Mi").json()]).succeeds();
    assert!(node.stored("v", "data").exists());
    node.image(&["unmount", &pod]).succeeds();
}

#[test]
fn an_upgrade_replaces_the_executable_in_one_step() {
    let node = Node::installed(&[]);
    let (executable, before) = (node.executable("image"), node.executable("image").metadata());
    let directory = executable.parent().unwrap().metadata().unwrap().ino();
    // As an older version would be, and running. Written by a process of its own, because one that
    // another test starts meanwhile could hold the file open for writing.
    let write = r#"printf '#!/bin/sh\nexec sleep 60\n' > "$1""#;
    assert!(
        Command::new("sh").args(["-c", write, "sh"]).arg(&executable).status().unwrap().success()
    );
    let running = Running(Command::new(&executable).stdin(Stdio::null()).spawn().unwrap());
    let done = node.install(&["--attachable", "-o", "json"]).json();
    assert_eq!(outcomes(&done), ["upgraded", "upgraded"]);
    is_whole(&node, "image");
    assert_ne!(executable.metadata().unwrap().ino(), before.unwrap().ino());
    assert_eq!(executable.parent().unwrap().metadata().unwrap().ino(), directory);
    assert_eq!(node.image(&["init"]).value["capabilities"]["attach"], true);
    drop(running);
}

#[test]
fn a_directory_that_is_no_plugin_directory_is_refused() {
    let node = Node::new();
    let kubelet = node.text("kubelet");
    let make = |path: &str| {
        std::fs::create_dir_all(node.path(path).parent().unwrap()).unwrap();
        std::fs::write(node.path(path), "x").unwrap();
    };
    make("stray/notes.txt");
    make("home/user/file");
    make("file");
    std::fs::create_dir(node.path("noexec")).unwrap();
    becket_tests::mount(&["-t", "tmpfs", "-o", "noexec", "tmpfs", &node.text("noexec")]);
    let before = node.fingerprint();
    for (directory, words) in [
        ("/".to_owned(), "it is the root"),
        (node.text("stray"), "`notes.txt`"),
        (node.text("home"), "`user`"),
        (node.text("file"), "file"),
        (node.text("file/below"), "file"),
        (node.text("noexec"), "noexec"),
    ] {
        let place = ["--plugin-dir", &directory, "--kubelet-root", &kubelet];
        let ran = node.becket(&[&["install", "--flex", "image"], &place[..]].concat());
        node.unchanged_since(&before, &ran.fails(1, &[words]).call);
    }
    becket_tests::unmount(&node.path("noexec"));
    let place = ["--plugin-dir", &node.text("plugins"), "--kubelet-root", &kubelet];
    for (arguments, words) in [
        (vec!["install", "--flex", "nfs3"], "`nfs3` is not known"),
        (vec!["install", "--flex", "image,"], "is not known"),
        (vec!["install", "--flex", "directory", "--attachable"], "attachable"),
        (vec!["install", "--flex", "../image"], "is not known"),
    ] {
        node.becket(&[arguments.as_slice(), &place].concat()).fails(1, &[words, "hint: "]);
    }
    assert_eq!(names(&node.path("plugins")), Vec::<String>::new());
}

#[test]
fn a_driver_is_not_uninstalled_under_its_pods() {
    let node = Node::installed(&["--attachable"]);
    let plugins = node.text("plugins");
    let uninstall =
        |drivers: &str| node.becket(&["uninstall", "--flex", drivers, "--plugin-dir", &plugins]);
    let (device, pod) = (node.device_directory(), node.pod("a"));
    let json = volume("v").size("16Mi").json();
    node.image(&["waitforattach", "", &json]).succeeds();
    node.image(&["mountdevice", &device, "", &json]).succeeds();
    node.image(&["mount", &pod, &json]).succeeds();
    let before = node.fingerprint();
    let in_use = |words: &str| {
        // Neither of both goes when one of them cannot.
        for drivers in ["image", "image,directory", "directory,image"] {
            let ran = uninstall(drivers).fails(1, &["`becket/image`", words, "hint: "]);
            node.unchanged_since(&before, &ran.call);
        }
    };
    in_use("and 1 more");
    uninstall("directory").succeeds();
    node.install(&["--attachable"]).succeeds();
    node.image(&["unmount", &pod]).succeeds();
    uninstall("image").fails(1, &["has a volume mounted at"]);
    node.image(&["unmountdevice", &device]).succeeds();
    uninstall("image,directory").succeeds();
    assert_eq!(names(&node.path("plugins")), Vec::<String>::new());
    let again = uninstall("image,directory").succeeds();
    assert!(again.stdout.contains("not installed"), "{}", again.stdout);
}

#[test]
fn only_files_of_our_own_are_removed() {
    let node = Node::new();
    let make = |path: &str| {
        std::fs::create_dir_all(node.path(path).parent().unwrap()).unwrap();
        std::fs::write(node.path(path), "#!/bin/sh\n").unwrap();
        std::fs::set_permissions(node.path(path), PermissionsExt::from_mode(0o755)).unwrap();
    };
    make("plugins/acme~log/log");
    make("plugins/acme~log/helper");
    make("plugins/.hidden/file");
    let others = node.fingerprint();
    let plugins = node.text("plugins");
    let arguments = ["uninstall", "--flex", "image,directory", "--plugin-dir", &plugins];
    node.install(&[]).succeeds();
    node.becket(&arguments).succeeds();
    node.unchanged_since(&others, "install and uninstall");
    // A driver of our name that somebody else put there.
    make("plugins/becket~image/image");
    let before = node.fingerprint();
    node.becket(&arguments).fails(1, &["not installed by becket"]);
    node.unchanged_since(&before, "an uninstall of somebody's driver");
    node.install(&[]).fails(1, &["not installed by becket"]);
    node.unchanged_since(&before, "an installation over somebody's driver");
    std::fs::remove_dir_all(node.path("plugins/becket~image")).unwrap();
    // Somebody's file beside our own.
    node.install(&[]).succeeds();
    for stray in ["notes.txt", "image.bak", "directory/file"] {
        make(&format!("plugins/becket~image/{stray}"));
        let name = stray.split('/').next().unwrap();
        let before = node.fingerprint();
        node.becket(&arguments).fails(1, &[name, "hint: "]);
        node.unchanged_since(&before, "an uninstall beside a stray file");
        let path = node.path("plugins/becket~image").join(name);
        if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }
            .unwrap();
    }
    node.becket(&arguments).succeeds();
    node.unchanged_since(&others, "all of it");
}

#[test]
fn what_a_killed_installation_left_is_cleaned_by_the_next_one() {
    let node = Node::new();
    let make = |path: &str| {
        std::fs::create_dir_all(node.path(path).parent().unwrap()).unwrap();
        std::fs::write(node.path(path), "half").unwrap();
    };
    for left in [".install.json", ".executable.new", "image"] {
        make(&format!("plugins/.becket~image.new/{left}"));
    }
    node.install(&[]).succeeds();
    is_whole(&node, "image");
    make("plugins/becket~image/.image.new");
    node.install(&[]).succeeds();
    is_whole(&node, "image");
    assert_eq!(names(&node.path("plugins")), ["becket~directory", "becket~image"]);
    // And whenever it is really killed, a driver is there whole or not at all.
    for micros in (0..9000).step_by(500) {
        let node = Node::new();
        let mut child = start_install(&node, &[]);
        std::thread::sleep(Duration::from_micros(micros));
        child.kill().unwrap();
        child.wait().unwrap();
        for driver in ["image", "directory"] {
            if node.path(format!("plugins/becket~{driver}")).exists() {
                is_whole(&node, driver);
            }
        }
        node.install(&[]).succeeds();
        is_whole(&node, "image");
        assert_eq!(names(&node.path("plugins")), ["becket~directory", "becket~image"]);
    }
}

fn start_install(node: &Node, extra: &[&str]) -> Child {
    let mut command = node.command();
    command.args(["install", "--flex", "image,directory", "--plugin-dir", &node.text("plugins")]);
    command.args(["--kubelet-root", &node.text("kubelet")]).args(extra);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Removes a directory with what is in it, while somebody may be putting things back.
fn wipe(directory: &Path) {
    assert!(until(|| std::fs::remove_dir_all(directory).is_ok()));
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn refreshing_touches_the_drivers_and_puts_a_wiped_one_back() {
    let node = Node::new();
    let mut child = Running(start_install(&node, &["--refresh", "100ms"]));
    let long_ago = SystemTime::now() - Duration::from_secs(100_000);
    let old = FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
    let executables: Vec<PathBuf> = ["image", "directory"].map(|name| node.executable(name)).into();
    assert!(until(|| executables.iter().all(|path| path.exists())));
    for path in &executables {
        File::open(path).unwrap().set_times(old).unwrap();
        let fresh = || {
            let about = path.metadata().unwrap();
            about.modified().unwrap() > long_ago + Duration::from_secs(50_000)
                && about.accessed().unwrap() > long_ago + Duration::from_secs(50_000)
        };
        assert!(until(fresh), "{} keeps its times", path.display());
    }
    std::fs::remove_file(&executables[0]).unwrap();
    assert!(until(|| executables[0].exists()));
    wipe(executables[1].parent().unwrap());
    assert!(until(|| executables[1].exists()));
    wipe(&node.path("plugins"));
    assert!(until(|| executables.iter().all(|path| path.exists())));
    is_whole(&node, "image");
    assert!(until(|| names(&node.path("plugins")) == ["becket~directory", "becket~image"]));
    kill_process(Pid::from_child(&child.0), Signal::TERM).unwrap();
    // By a handler of its own: to the first process of a container a signal without one does nothing.
    assert_eq!(status_of(child.0.wait().unwrap()), 0);
}

#[test]
fn links_to_the_kubelets_root_and_the_state_directory_are_no_obstacle() {
    let node = Node::new();
    for part in ["state", "kubelet", "plugins"] {
        std::os::unix::fs::symlink(part, node.path(format!("linked-{part}"))).unwrap();
    }
    let (plugins, kubelet) = (node.text("linked-plugins"), node.text("linked-kubelet"));
    let state = node.text("linked-state");
    let install = ["--state-dir", &state, "install", "--flex", "image", "--plugin-dir", &plugins];
    node.becket(&[&install[..], &["--kubelet-root", &kubelet]].concat()).succeeds();
    let json = volume("v").size("16Mi").json();
    let real = node.pod("a");
    let linked = real.replace("/kubelet/", "/linked-kubelet/");
    for pod in [&real, &linked] {
        node.image(&["mount", pod, &json]).succeeds();
        node.image(&["mount", pod, &json]).succeeds();
        assert!(node.is_mounted(&real));
        let uninstall = ["uninstall", "--flex", "image", "--plugin-dir", &plugins];
        node.becket(&uninstall).fails(1, &["mounted"]);
        node.image(&["unmount", pod]).succeeds();
        node.at_rest();
    }
    // The command line, told of the link only.
    let at = |arguments: &[&str]| node.becket(&[&["--state-dir", &state], arguments].concat());
    node.image(&["mount", &real, &json]).succeeds();
    at(&["volume", "delete", "v"]).fails(1, &["in use"]);
    assert_eq!(at(&["volume", "show", "v", "-o", "json"]).json()["mounts"][1], real.as_str());
    node.image(&["unmount", &real]).succeeds();
}

/// Manifests that were written for another driver name that one, and run as they are.
#[test]
fn a_driver_answers_under_another_vendors_name() {
    let node = Node::installed(&["--vendor", "kubernetes.io", "--attachable"]);
    assert_eq!(names(&node.path("plugins")), ["kubernetes.io~directory", "kubernetes.io~image"]);
    let below = "kubelet/plugins/kubernetes.io/flexvolume/kubernetes.io/image/mounts/vol";
    let (device, pod) =
        (node.text(below), node.text("kubelet/pods/a/volumes/kubernetes.io~image/vol"));
    for directory in [&device, &pod] {
        std::fs::create_dir_all(directory).unwrap();
    }
    let json = volume("v").size("16Mi").json();
    let driver = node.path("plugins/kubernetes.io~image/image");
    let callout = |arguments: &[&str]| {
        let output = Command::new(&driver).args(arguments).output().unwrap();
        let reply = String::from_utf8(output.stdout).unwrap();
        assert!(reply.contains(r#""status":"Success""#), "{arguments:?}: {reply}");
    };
    callout(&["waitforattach", "", &json]);
    callout(&["mountdevice", &device, "", &json]);
    callout(&["mount", &pod, &json]);
    std::fs::write(format!("{pod}/file"), "data").unwrap();
    let plugins = node.text("plugins");
    let uninstall = |vendor: &str| {
        let what = ["uninstall", "--flex", "image", "--plugin-dir", &plugins, "--vendor", vendor];
        node.becket(&what)
    };
    uninstall("kubernetes.io").fails(1, &["`kubernetes.io/image`", "mounted at"]);
    assert!(uninstall("becket").succeeds().stdout.contains("not installed"));
    callout(&["unmount", &pod]);
    callout(&["unmountdevice", &device]);
    uninstall("kubernetes.io").succeeds();
    assert_eq!(names(&node.path("plugins")), ["kubernetes.io~directory"]);
    for wrong in ["", "a~b", "../x", ".hidden", "A"] {
        uninstall(wrong).fails(2, &["--vendor"]);
    }
    node.at_rest();
}
