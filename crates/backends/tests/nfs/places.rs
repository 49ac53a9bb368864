//! Where volumes lie on the server, and what is left of them there.

use super::*;
use becket_core::Kind;
use becket_core::engine::Publication;
use becket_core::record::{Origin, OriginKind, PoolRecord};
use becket_sys::mountinfo;

struct Place {
    _server: Server,
    directory: PathBuf,
    node: Node,
    pool: PoolRecord,
}

fn place() -> Option<Place> {
    let server = Server::start()?;
    let (directory, share) = server.directory();
    let node = Node::new();
    let pool = node.engine().create_pool(&pool_at(&share, &[])).unwrap();
    Some(Place { _server: server, directory, node, pool })
}

fn with(name: &str, parameters: &[(&str, &str)]) -> NewVolume {
    let mut new = volume(name);
    for (key, value) in parameters {
        new.parameters.insert((*key).to_owned(), (*value).to_owned());
    }
    new
}

const CLAIM: [(&str, &str); 3] =
    [("subdirectory", "{namespace}/{claim}"), ("namespace", "web"), ("claim", "logs")];

impl Place {
    fn create(&self, name: &str, parameters: &[(&str, &str)]) -> becket_core::Result<()> {
        self.node.engine().create(&self.pool.name, &with(name, parameters)).map(drop)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let (engine, pool, name) = (self.node.engine(), &self.pool.name, named(name));
        let (staging, target) = (self.node.target("staged"), self.node.target("pod"));
        engine.stage(pool, &name, &staging).unwrap();
        engine.publish(pool, &name, &staging, &target, &Publication::default()).unwrap();
        std::fs::write(target.path().join("file"), bytes).unwrap();
        let table = mountinfo::read().unwrap();
        let source = table.iter().find(|entry| entry.point == target.path()).unwrap();
        let source = source.source.to_string_lossy().into_owned();
        engine.withdraw(pool, &name, &target).unwrap();
        engine.unstage(pool, &name, &staging).unwrap();
        source
    }

    fn read(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.directory.join(path)).ok()
    }
}

#[test]
fn a_volume_lies_in_its_subdirectory_and_comes_home_to_the_trash() {
    let Some(place) = place() else { return };
    let engine = place.node.engine();
    place.create("v", &CLAIM).unwrap();
    place.create("v", &CLAIM).unwrap();
    assert!(place.write("v", b"data").ends_with("/web/logs"));
    assert_eq!(place.read("web/logs/file").unwrap(), b"data");
    assert_eq!(place.create("w", &CLAIM).unwrap_err().kind(), Kind::Conflict);
    assert!(engine.delete(&place.pool.name, &named("v")).unwrap());
    assert!(!place.directory.join("web").exists(), "an empty parent is left");
    let trash = engine.trash(&place.pool.name).unwrap();
    engine.restore_trash(&place.pool.name, trash[0].id).unwrap();
    assert!(place.write("v", b"again").ends_with("/volumes/v/data"));
    assert!(engine.delete(&place.pool.name, &named("v")).unwrap());
    // The neighbour is nobody's business.
    std::fs::create_dir_all(place.directory.join("web/other")).unwrap();
    place.create("v", &CLAIM).unwrap();
    assert!(engine.delete(&place.pool.name, &named("v")).unwrap());
    assert!(place.directory.join("web/other").is_dir());
}

#[test]
fn what_is_to_be_kept_is_kept() {
    let Some(place) = place() else { return };
    let engine = place.node.engine();
    for (name, parameters, kept) in [
        ("a", &[CLAIM.as_slice(), &[("onDelete", "retain")]].concat(), "web/logs/file"),
        ("b", &vec![("onDelete", "archive")], "archived-b/data/file"),
        ("b", &vec![("onDelete", "retain")], "file"),
    ] {
        place.create(name, parameters).unwrap();
        place.write(name, kept.as_bytes());
        assert!(engine.delete(&place.pool.name, &named(name)).unwrap());
        assert!(!engine.delete(&place.pool.name, &named(name)).unwrap());
        if kept != "file" {
            assert_eq!(place.read(kept).unwrap(), kept.as_bytes());
        }
    }
    assert_eq!(place.read("archived-b/data/file").unwrap(), b"archived-b/data/file");
    let archived = std::fs::read_dir(&place.directory).unwrap();
    let archived = archived.filter(|entry| {
        entry.as_ref().unwrap().file_name().to_string_lossy().starts_with("archived-b")
    });
    assert_eq!(archived.count(), 2, "one archive took the other's place");
    assert!(engine.trash(&place.pool.name).unwrap().is_empty());
}

#[test]
fn no_subdirectory_leads_out_of_the_share_or_into_the_pool() {
    let Some(place) = place() else { return };
    for path in
        ["../x", "/etc", "a/../b", "volumes/v", "trash", "{claim}", "{uid}", "", "archived-x"]
    {
        let error = place.create("v", &[("subdirectory", path)]).unwrap_err();
        assert_eq!(error.kind(), Kind::Invalid, "{path}: {error}");
    }
    std::os::unix::fs::symlink("/etc", place.directory.join("link")).unwrap();
    for path in ["link", "link/x"] {
        let made = place.create("v", &[("subdirectory", path)]);
        assert!(made.is_err(), "{path} was taken");
    }
    assert!(!Path::new("/etc/x").exists());
    // A link that is put in a volume's place later is not followed either.
    place.create("v", &CLAIM).unwrap();
    let data = place.directory.join("web/logs");
    std::fs::rename(&data, place.directory.join("web/away")).unwrap();
    std::os::unix::fs::symlink("/etc", &data).unwrap();
    let engine = place.node.engine();
    let staged = engine.stage(&place.pool.name, &named("v"), &place.node.target("staged"));
    assert_eq!(staged.unwrap_err().kind(), Kind::Invalid);
}

#[test]
fn snapshots_and_clones_have_what_the_volume_had() {
    let Some(place) = place() else { return };
    let (engine, pool) = (place.node.engine(), &place.pool.name);
    eprintln!("    shares blocks: {}", engine.abilities(pool).unwrap().shares_blocks);
    place.create("v", &CLAIM).unwrap();
    place.write("v", &vec![7; 3_000_000]);
    engine.create_snapshot(pool, &named("s"), &named("v")).unwrap();
    place.write("v", b"later");
    for (name, kind, from, bytes) in [
        ("restored", OriginKind::Snapshot, "s", vec![7; 3_000_000]),
        ("clone", OriginKind::Volume, "v", b"later".to_vec()),
    ] {
        let mut new = volume(name);
        new.origin = Some(Origin::named(kind, named(from)));
        engine.create(pool, &new).unwrap();
        assert_eq!(place.read(&format!("volumes/{name}/data/file")).unwrap(), bytes);
    }
}

#[test]
fn two_nodes_have_one_pool_and_keep_each_other_out() {
    let Some(server) = Server::start() else { return };
    let (_, share) = server.directory();
    let (one, two) = (Node::new(), Node::new());
    let make = |node: &Node| node.engine().create_pool(&pool_at(&share, &[])).unwrap();
    let made = at_once(|| make(&one), || make(&two));
    assert_eq!(made.0.uuid, made.1.uuid, "two nodes made two pools of one share");
    let made = made.0;
    let make = |node: &Node| node.engine().create(&made.name, &volume("v")).unwrap();
    let volumes = at_once(|| make(&one), || make(&two));
    assert_eq!(volumes.0.uuid, volumes.1.uuid, "two nodes made one volume twice");
    assert!(two.engine().delete(&made.name, &named("v")).unwrap());
    assert!(one.engine().find_volume(&made.name, &named("v")).unwrap().is_none());
}

fn at_once<T: Send>(one: impl FnOnce() -> T + Send, two: impl FnOnce() -> T) -> (T, T) {
    std::thread::scope(|scope| {
        let one = scope.spawn(one);
        let two = two();
        (one.join().unwrap(), two)
    })
}
