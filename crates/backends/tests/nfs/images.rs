//! Volumes with a limit: image files on the server, for one node at a time.

use super::*;
use becket_core::Kind;
use becket_core::engine::Publication;
use becket_core::record::{Content, PoolRecord};
use becket_sys::mountinfo;
use std::io::Write;
use std::os::fd::AsFd;
use std::time::Instant;

/// Longer than a pod may take to end whose server is gone.
const BOUNDED: Duration = Duration::from_secs(60);

fn pool_on(node: &Node, share: &str) -> PoolRecord {
    node.engine().create_pool(&pool_at(share, &[])).unwrap()
}

fn stage(node: &Node, pool: &PoolRecord) -> becket_core::Result<()> {
    node.engine().stage(&pool.name, &named("v"), &node.target("staged"))
}

fn unstage(node: &Node, pool: &PoolRecord) -> becket_core::Result<()> {
    node.engine().unstage(&pool.name, &named("v"), &node.target("staged"))
}

fn is_attached() -> bool {
    let attached = becket_sys::loop_device::attached().unwrap();
    attached.iter().any(|(_, file)| file.ends_with("volumes/v/image-on-server"))
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < BOUNDED, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_image_is_full_at_its_size_and_grows_under_its_workload() {
    let Some(server) = Server::start() else { return };
    let (_, share) = server.directory();
    let node = Node::new();
    let (engine, pool) = (node.engine(), pool_on(&node, &share));
    engine.create(&pool.name, &image("v")).unwrap();
    stage(&node, &pool).unwrap();
    let path = node.target("staged").path();
    let fill = |name: &str| {
        let mut file = std::fs::File::create(path.join(name)).unwrap();
        let mut written = 0;
        while written < 200 << 20 && file.write_all(&[7; 1 << 20]).is_ok() {
            written += 1 << 20;
        }
        written
    };
    let first = fill("first");
    assert!((30 << 20..64 << 20).contains(&first), "64 MiB took {first} bytes");
    engine.expand(&pool.name, &named("v"), 128 << 20).unwrap();
    let second = fill("second");
    assert!((30 << 20..128 << 20).contains(&second), "64 MiB more took {second} bytes");
    let directory = std::fs::File::open(&path).unwrap();
    let total = becket_sys::space::of(directory.as_fd(), &path).unwrap().total;
    assert!(total <= 128 << 20, "it offers {total} bytes");
    drop(directory);
    unstage(&node, &pool).unwrap();
}

#[test]
fn what_an_image_cannot_be_is_refused() {
    let Some(server) = Server::start() else { return };
    let (directory, share) = server.directory();
    let node = Node::new();
    let (engine, pool) = (node.engine(), pool_on(&node, &share));
    let mut block = image("block");
    block.content = Some(Content::Block);
    let mut elsewhere = image("elsewhere");
    elsewhere.parameters.insert("subdirectory".to_owned(), "here".to_owned());
    let unlimited = NewVolume { size: 0, ..image("unlimited") };
    let mut directory_of_its_own = image("directory");
    directory_of_its_own.content = Some(Content::Directory);
    let mut plain = volume("plain");
    plain.content = Some(Content::Ext4);
    for new in [block, elsewhere, unlimited, directory_of_its_own, plain] {
        let error = engine.create(&pool.name, &new).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{}: {error}", new.name);
    }
    // Without the server's locks, two nodes could have one image.
    let old = Node::new();
    let path = directory.to_string_lossy().into_owned();
    let more = [("version", "3"), ("options", "nolock")];
    let pool = old.engine().create_pool(&pool_at(&path, &more)).unwrap();
    let error = old.engine().create(&pool.name, &image("v")).unwrap_err();
    assert_eq!(error.kind(), Kind::WrongState, "{error}");
    assert!(error.advice().unwrap().contains("NFS 4"), "{error}");
}

#[test]
fn an_image_is_on_one_node_at_a_time() {
    let Some(server) = Server::start() else { return };
    let (_, share) = server.directory();
    let (one, two) = (Node::new(), Node::new());
    let pool = pool_on(&one, &share);
    assert_eq!(pool_on(&two, &share).uuid, pool.uuid);
    one.engine().create(&pool.name, &image("v")).unwrap();
    stage(&one, &pool).unwrap();
    std::fs::write(one.target("staged").path().join("file"), b"of one").unwrap();
    // Both are nodes of one kernel here, which would find the other's device: to a kernel of its own the
    // device is not there, and the lock is all it sees.
    let (other, hidden) = (two.engine(), hide_devices());
    for _ in 0..2 {
        let error = stage(&two, &pool).unwrap_err();
        assert_eq!(error.kind(), Kind::InUse, "{error}");
        assert!(error.message().contains("another node"), "{error}");
    }
    for (what, kind) in [
        ("deleted", other.delete(&pool.name, &named("v")).unwrap_err().kind()),
        ("copied", other.create_snapshot(&pool.name, &named("s"), &named("v")).unwrap_err().kind()),
    ] {
        assert_eq!(kind, Kind::InUse, "an image in use was {what}");
    }
    drop(hidden);
    unstage(&one, &pool).unwrap();
    until("the device goes", || !is_attached());
    stage(&two, &pool).unwrap();
    let file = two.target("staged").path().join("file");
    assert_eq!(std::fs::read(file).unwrap(), b"of one");
    unstage(&two, &pool).unwrap();
    assert!(other.delete(&pool.name, &named("v")).unwrap());
}

/// Shows no loop device to this process, and to those that it starts, until dropped.
fn hide_devices() -> impl Drop {
    struct Hidden;
    impl Drop for Hidden {
        fn drop(&mut self) {
            server::must("umount /sys/block");
        }
    }
    server::must("mount -t tmpfs tmpfs /sys/block");
    Hidden
}

#[test]
fn a_pod_ends_without_its_server_and_no_other_node_gets_the_image_before_it_is_written() {
    let Some(server) = Server::start() else { return };
    let (_, share) = server.directory();
    let (one, two) = (Node::new(), Node::new());
    let pool = pool_on(&one, &share);
    pool_on(&two, &share);
    let (engine, target) = (one.engine(), one.target("pod"));
    engine.create(&pool.name, &image("v")).unwrap();
    stage(&one, &pool).unwrap();
    let how = Publication::default();
    engine.publish(&pool.name, &named("v"), &one.target("staged"), &target, &how).unwrap();
    let file = target.path().join("file");
    std::fs::write(&file, b"synced").unwrap();
    std::fs::File::open(&file).unwrap().sync_all().unwrap();
    std::fs::write(target.path().join("late"), vec![3; 1_000_000]).unwrap();
    let hung = server.hang();
    let begun = Instant::now();
    let usage = engine.usage(&pool.name, &named("v"), &target).unwrap_err();
    assert_eq!(usage.kind(), Kind::Unavailable, "{usage}");
    engine.withdraw(&pool.name, &named("v"), &target).unwrap();
    unstage(&one, &pool).unwrap();
    eprintln!("    the pod ended after {} ms", begun.elapsed().as_millis());
    assert!(begun.elapsed() < BOUNDED, "the pod took {:?}", begun.elapsed());
    let left = mountinfo::read().unwrap();
    assert!(!left.iter().any(|entry| entry.point.starts_with(one.root())), "a mount is left");
    assert!(is_attached(), "the device went without what was written to it");
    assert_eq!(stage(&two, &pool).unwrap_err().kind(), Kind::Unavailable);
    drop(hung);
    server.resume_with_grace();
    // The kernel writes the rest, and lets go of the image.
    until("the device goes", || !is_attached());
    stage(&two, &pool).unwrap();
    let staged = two.target("staged").path();
    assert_eq!(std::fs::read(staged.join("file")).unwrap(), b"synced");
    assert_eq!(std::fs::read(staged.join("late")).unwrap(), vec![3; 1_000_000]);
    unstage(&two, &pool).unwrap();
}

#[test]
fn who_has_lost_the_image_cannot_write_to_it_any_more() {
    let Some(server) = Server::start() else { return };
    let (directory, share) = server.directory();
    let node = Node::new();
    let (engine, pool) = (node.engine(), pool_on(&node, &share));
    engine.create(&pool.name, &image("v")).unwrap();
    stage(&node, &pool).unwrap();
    let staged = node.target("staged").path();
    let write = |name: &str| {
        let mut file = std::fs::File::create(staged.join(name))?;
        file.write_all(&[5; 100_000])?;
        file.sync_all()
    };
    write("before").unwrap();
    // On the server, as another node that wants to attach it.
    let path = directory.join("volumes/v/image-on-server");
    let other = std::fs::File::options().read(true).write(true).open(&path).unwrap();
    let claim = || becket_sys::range_lock::attempt(&other, 0, false, &path).unwrap();
    assert!(!claim(), "an image that is attached is free");
    // A server that does not wait for its clients is what a node finds that was cut off for too long.
    server.stop();
    server.resume();
    until("the server forgets the lock", claim);
    let before = std::fs::read(&path).unwrap();
    write("after").unwrap_err();
    assert!(before == std::fs::read(&path).unwrap(), "another node's image was written to");
    let _ = unstage(&node, &pool);
    until("the device goes", || !is_attached());
    assert!(before == std::fs::read(&path).unwrap(), "another node's image was written to");
    drop(other);
    stage(&node, &pool).unwrap();
    assert_eq!(std::fs::read(staged.join("before")).unwrap(), [5; 100_000]);
    unstage(&node, &pool).unwrap();
}
