//! Real sockets in real directories.

use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixStream as Plain};
use std::path::PathBuf;

/// Runs `test` with a directory to make sockets in.
fn within(test: impl AsyncFnOnce(PathBuf)) {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test(directory.path().to_owned()));
}

/// A socket file that a process left when it was killed.
fn abandon(path: &Path) {
    drop(std::os::unix::net::UnixListener::bind(path).unwrap());
    assert!(path.exists());
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

#[test]
fn the_socket_and_the_directory_made_for_it_are_private() {
    within(async |directory| {
        let path = directory.join("image.becket.dev/csi.sock");
        let _listener = bind_private(&path).unwrap();
        Plain::connect(&path).unwrap();
        assert_eq!((mode(&path), mode(&directory.join("image.becket.dev"))), (0o600, 0o700));
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "other files");
    });
}

#[test]
fn a_directory_that_is_there_keeps_its_mode_and_others_above_it_are_not_made() {
    within(async |directory| {
        let path = directory.join("x.sock");
        let before = mode(&directory);
        let _listener = bind_private(&path).unwrap();
        assert_eq!(mode(&directory), before);
        let deep = directory.join("a/b/x.sock");
        assert_eq!(bind_private(&deep).unwrap_err().kind(), Kind::Unavailable);
        assert!(!directory.join("a").exists());
        assert_eq!(bind(&directory.join("a/x.sock")).unwrap_err().kind(), Kind::Unavailable);
        assert!(!directory.join("a").exists());
    });
}

#[test]
fn a_stale_socket_is_replaced_and_one_that_is_listened_on_is_not() {
    within(async |directory| {
        let path = directory.join("x.sock");
        abandon(&path);
        let stale = identity(&path).unwrap().unwrap();
        let listener = bind_private(&path).unwrap();
        let own = identity(&path).unwrap().unwrap();
        assert_ne!(own, stale);
        let error = bind_private(&path).unwrap_err();
        assert_eq!(error.kind(), Kind::InUse);
        assert!(error.message().contains("another process listens at"), "{error}");
        assert_eq!(identity(&path).unwrap(), Some(own));
        drop(listener);
        bind_private(&path).unwrap();
    });
}

#[test]
fn a_listener_too_busy_to_accept_is_a_listener() {
    within(async |directory| {
        let path = directory.join("x.sock");
        let socket = UnixSocket::new_stream().unwrap();
        socket.bind(&path).unwrap();
        let _listener = socket.listen(0).unwrap();
        let _waiting = Plain::connect(&path).unwrap();
        assert_eq!(connect(&path), Err(Errno::AGAIN), "the backlog is not full");
        assert_eq!(bind_private(&path).unwrap_err().kind(), Kind::InUse);
    });
}

#[test]
fn what_is_no_socket_is_never_removed() {
    within(async |directory| {
        let path = directory.join("x.sock");
        let elsewhere = directory.join("elsewhere");
        abandon(&elsewhere);
        let make: [(&str, &dyn Fn()); 3] = [
            ("a file", &|| fs::write(&path, "kept").unwrap()),
            ("a link", &|| symlink(&elsewhere, &path).unwrap()),
            ("a directory", &|| fs::create_dir(&path).unwrap()),
        ];
        for (what, make) in make {
            make();
            assert_eq!(bind_private(&path).unwrap_err().kind(), Kind::Conflict, "{what}");
            assert_eq!(identity(&path).unwrap(), None, "{what}");
            let kept = fs::symlink_metadata(&path).unwrap();
            match kept.is_dir() {
                true => fs::remove_dir(&path).unwrap(),
                false => fs::remove_file(&path).unwrap(),
            }
        }
        assert!(elsewhere.exists());
        // A socket of another type, on which somebody listens in its own way.
        let _datagrams = UnixDatagram::bind(&path).unwrap();
        bind_private(&path).unwrap_err();
        assert!(path.exists());
    });
}

#[test]
fn only_the_very_socket_that_was_made_is_removed() {
    within(async |directory| {
        let path = directory.join("x.sock");
        let _listener = bind_private(&path).unwrap();
        let own = identity(&path).unwrap().unwrap();
        remove_own(&path, own).unwrap();
        assert!(!path.exists());
        remove_own(&path, own).unwrap();
        // A new one may well get the old one's inode number.
        let _next = bind_private(&path).unwrap();
        remove_own(&path, own).unwrap();
        assert!(path.exists(), "somebody else's socket was removed");
    });
}

#[test]
fn paths_that_no_socket_can_have_are_refused_with_a_reason() {
    within(async |directory| {
        let room = LONGEST_PATH - directory.as_os_str().len() - 1;
        bind_private(&directory.join("x".repeat(room))).unwrap();
        let error = bind_private(&directory.join("x".repeat(room + 1))).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid);
        assert!(error.message().contains("too long"), "{error}");
        for path in ["csi.sock", "", "/"] {
            assert_eq!(bind_private(Path::new(path)).unwrap_err().kind(), Kind::Invalid, "{path}");
        }
    });
}
