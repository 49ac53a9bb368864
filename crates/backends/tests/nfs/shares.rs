//! Shares that are no pool's: a server and a path, as in the classic FlexVolume example.

use super::*;
use becket_core::Kind;
use becket_core::engine::{Publication, Share};
use becket_core::mount_flags::MountFlags;
use becket_core::record::Content;
use becket_sys::mountinfo;

fn entry(path: &Path) -> Option<mountinfo::Entry> {
    mountinfo::read().unwrap().into_iter().find(|entry| entry.point == path)
}

fn share(path: &str, version: Option<&str>) -> Share {
    Share {
        server: "127.0.0.1".to_owned(),
        share: path.to_owned(),
        version: version.map(str::to_owned),
    }
}

#[test]
fn a_share_is_mounted_as_it_is_and_unmounted() {
    let Some(server) = Server::start() else { return };
    let (directory, path) = server.directory();
    std::fs::write(directory.join("there"), b"before us").unwrap();
    let node = Node::new();
    let (engine, target) = (node.engine(), node.target("pod"));
    let flags = MountFlags::read(&["timeo=50,noatime"], Content::Directory).unwrap();
    let how = Publication { flags, ..Publication::default() };
    for _ in 0..2 {
        engine.mount_static("nfs", &share(&path, None), &target, &how).unwrap();
    }
    let mounted = entry(&target.path()).unwrap();
    assert_eq!(mounted.source, Path::new(&format!("127.0.0.1:{path}")));
    assert!(mounted.has("vers=4.2") && mounted.has("timeo=50"), "{}", mounted.options);
    assert_eq!(std::fs::read(target.path().join("there")).unwrap(), b"before us");
    assert!(engine.share_usage(&target).unwrap().total > 0);
    std::fs::write(target.path().join("new"), b"").unwrap();
    let reader = Publication { readonly: true, ..Publication::default() };
    let other = engine.mount_static("nfs", &share(&path, None), &target, &reader);
    assert_eq!(other.unwrap_err().kind(), Kind::Conflict);
    for _ in 0..2 {
        engine.unmount(&target).unwrap();
    }
    assert!(entry(&target.path()).is_none());
    assert_eq!(engine.share_usage(&target).unwrap_err().kind(), Kind::NotFound);

    engine.mount_static("nfs", &share(&path, Some("4.1")), &target, &reader).unwrap();
    let error = std::fs::write(target.path().join("more"), b"").unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
    let elsewhere = engine.mount_static("nfs", &share("/", None), &target, &reader);
    assert_eq!(elsewhere.unwrap_err().kind(), Kind::WrongState);
    engine.unpublish(&target).unwrap();
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 2, "something was left");
}

#[test]
fn without_a_version_the_newest_that_the_server_has_is_taken() {
    let Some(server) = Server::start() else { return };
    let (directory, path) = server.directory();
    let node = Node::new();
    let (engine, target) = (node.engine(), node.target("pod"));
    let how = Publication::default();
    server.stop();
    server.resume_with("-N 4.2");
    let mount = |version| engine.mount_static("nfs", &share(&path, version), &target, &how);
    let error = mount(Some("4.2")).unwrap_err();
    assert_eq!(error.kind(), Kind::WrongState, "{error}");
    mount(None).unwrap();
    assert!(entry(&target.path()).unwrap().has("vers=4.1"));
    engine.unpublish(&target).unwrap();
    server.stop();
    server.resume();
    // What only NFSv3 knows by this path.
    let path = directory.to_string_lossy().into_owned();
    engine.mount_static("nfs", &share(&path, None), &target, &how).unwrap();
    assert!(entry(&target.path()).unwrap().has("vers=3"));
    engine.unpublish(&target).unwrap();
}

#[test]
fn the_group_gets_to_write_unless_the_server_squashes_root() {
    use std::os::unix::fs::MetadataExt;
    let Some(server) = Server::start() else { return };
    let (directory, path) = server.directory();
    let node = Node::new();
    let (engine, target) = (node.engine(), node.target("pod"));
    let how = Publication { group: Some(4321), ..Publication::default() };
    engine.mount_static("nfs", &share(&path, None), &target, &how).unwrap();
    assert_eq!(std::fs::metadata(&directory).unwrap().gid(), 4321);
    engine.unpublish(&target).unwrap();
    let error = engine.mount_static("nfs", &share("/squashed", None), &target, &how).unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(error.advice().unwrap().contains("no_root_squash"), "{error}");
    assert!(entry(&target.path()).is_none(), "a failed mount was left");
}
