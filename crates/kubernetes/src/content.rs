//! What is due for a `VolumeSnapshotContent`, and how it says what became of that. Nothing here talks to
//! anybody.
//!
//! The object stands for one snapshot of a driver, as a persistent volume stands for a volume. The cluster's
//! own snapshot controller makes and binds it; whoever serves the driver cuts the snapshot, and deletes it.

use crate::driver::{Cut, Words};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Value, json};

/// The label that says on which node the snapshot is.
pub const NODE: &str = "snapshot.storage.kubernetes.io/managed-by";

/// The finalizer of contents whose snapshot may still be to be deleted.
pub const FINALIZER: &str = "snapshot.storage.kubernetes.io/volumesnapshotcontent-bound-protection";

/// The annotation that says that the driver may know of a snapshot of which this object does not.
pub const BEING_CUT: &str = "snapshot.storage.kubernetes.io/volumesnapshot-being-created";

/// The annotation by which the cluster says that the snapshot may go.
const BEING_DELETED: &str = "snapshot.storage.kubernetes.io/volumesnapshot-being-deleted";

/// The annotation of snapshots that are cut as part of a group.
const IN_GROUP: &str = "groupsnapshot.storage.k8s.io/volumeGroupSnapshotHandle";

/// The annotations that name the secret.
pub const SECRET: [&str; 2] = [
    "snapshot.storage.kubernetes.io/deletion-secret-name",
    "snapshot.storage.kubernetes.io/deletion-secret-namespace",
];

/// How often at most an error is written anew: each time comes back as a change.
const OFTEN: SignedDuration = SignedDuration::from_secs(60);

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// A snapshot is to be cut, or to be asked for until it is ready.
    Cut {
        /// Its name.
        name: String,
        /// The id of the volume it is of.
        volume: String,
    },
    /// It is said to be there, with this id.
    LookUp(String),
    /// It is ready, and the word that it is being cut is still there: who cut it did not come to take that away.
    Settle,
    /// The object may go, and before it the snapshot of this id, if there is one.
    Delete(Option<String>),
}

/// What is due for the content.
pub fn due(content: &DynamicObject) -> Due {
    let (spec, status) = (&content.data["spec"], &content.data["status"]);
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let given = text(&spec["source"]["snapshotHandle"]);
    let owner = text(&spec["volumeSnapshotRef"]["uid"]);
    let of_group = content.annotations().contains_key(IN_GROUP);
    if may_go(content, given.is_some() && owner.is_none()) {
        let alone = status["volumeGroupSnapshotHandle"].is_null();
        let own = text(&status["snapshotHandle"]).filter(|_| alone);
        return match is_guarded(content) {
            true => Due::Delete(own.filter(|_| spec["deletionPolicy"] == "Delete")),
            false => Due::Nothing,
        };
    }
    if status["readyToUse"] == true {
        return match content.annotations().contains_key(BEING_CUT) {
            true => Due::Settle,
            false => Due::Nothing,
        };
    }
    match (given, text(&spec["source"]["volumeHandle"]), owner) {
        (Some(id), _, _) => Due::LookUp(id),
        (None, Some(volume), Some(owner)) if !of_group => {
            Due::Cut { name: format!("snapshot-{owner}"), volume }
        }
        _ => Due::Nothing,
    }
}

/// True when the object is to go, and it is certain what of the driver's has to go with it.
fn may_go(content: &DynamicObject, never_bound: bool) -> bool {
    let annotated = |key| content.annotations().contains_key(key);
    content.metadata.deletion_timestamp.is_some()
        && (never_bound || annotated(BEING_DELETED) && !annotated(BEING_CUT))
}

/// True while the object waits for its snapshot to be deleted.
pub fn is_guarded(content: &DynamicObject) -> bool {
    content.finalizers().iter().any(|name| name == FINALIZER)
}

/// Where the content's snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On this node.
    Here,
    /// On another one.
    Elsewhere,
    /// Nobody has said.
    Unsaid,
}

/// Where the labels of a content say that its snapshot is. `node` is this one; `None` where snapshots are for
/// all nodes.
pub fn place(labels: &Words, node: Option<&str>) -> Place {
    match (labels.get(NODE), node) {
        (_, None) => Place::Here,
        (Some(named), Some(node)) if named == node => Place::Here,
        (Some(_), Some(_)) => Place::Elsewhere,
        (None, Some(_)) => Place::Unsaid,
    }
}

/// True for an id that no other node can have too: those made for Kubernetes end with a UUID.
pub fn is_of_one_node(id: &str) -> bool {
    const UUID: usize = 36;
    let end = id.len().checked_sub(UUID).and_then(|start| id.get(start..));
    end.is_some_and(|end| uuid::Uuid::try_parse(end).is_ok())
}

/// The content's status once the driver has told of the snapshot, as a merge patch.
pub fn told(content: &DynamicObject, cut: &Cut) -> Value {
    let held = &content.data["status"];
    let mut status = json!({"snapshotHandle": cut.id, "readyToUse": cut.is_ready});
    if held["creationTime"].is_null() {
        status["creationTime"] = json!(cut.nanoseconds);
    }
    if held["restoreSize"].is_null() && cut.bytes > 0 {
        status["restoreSize"] = json!(cut.bytes);
    }
    if let Some(group) = &cut.group {
        status["volumeGroupSnapshotHandle"] = json!(group);
    }
    if cut.is_ready {
        status["error"] = Value::Null;
    }
    json!({"status": status})
}

/// The content's status after a failure, as a merge patch; `None` where it says so already, or said something
/// else a moment ago.
pub fn failed(content: &DynamicObject, words: &str, now: Timestamp) -> Option<Value> {
    let held = &content.data["status"]["error"];
    let since = held["time"].as_str().and_then(|time| time.parse::<Timestamp>().ok());
    if held["message"] == words || since.is_some_and(|since| now.duration_since(since) < OFTEN) {
        return None;
    }
    let error = json!({"time": Time(now), "message": words});
    Some(json!({"status": {"readyToUse": false, "error": error}}))
}

/// The content's status when there is no snapshot any more, as a merge patch.
pub fn deleted() -> Value {
    json!({"status": {
        "snapshotHandle": null, "readyToUse": null, "creationTime": null, "restoreSize": null,
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(change: impl Fn(&mut Value)) -> DynamicObject {
        let mut whole = json!({
            "apiVersion": "snapshot.storage.k8s.io/v1",
            "kind": "VolumeSnapshotContent",
            "metadata": {"name": "snapcontent-u1", "annotations": {}, "finalizers": [FINALIZER]},
            "spec": {
                "driver": "image.becket.dev",
                "deletionPolicy": "Delete",
                "source": {"volumeHandle": "default/a"},
                "volumeSnapshotRef": {"name": "s", "namespace": "shop", "uid": "u1"},
            },
        });
        change(&mut whole);
        serde_json::from_value(whole).unwrap()
    }

    fn deleting(whole: &mut Value) {
        whole["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        whole["metadata"]["annotations"][BEING_DELETED] = json!("yes");
        whole["status"] = json!({"snapshotHandle": "default/s", "readyToUse": true});
    }

    #[test]
    fn a_snapshot_is_cut_once_and_deleted_when_the_cluster_says_so() {
        let cut = || Due::Cut { name: "snapshot-u1".to_owned(), volume: "default/a".to_owned() };
        let given = |it: &mut Value| it["spec"]["source"] = json!({"snapshotHandle": "default/s"});
        let id = || "default/s".to_owned();
        type Change<'a> = &'a dyn Fn(&mut Value);
        let cases: [(&str, Change<'_>, Due); 16] = [
            ("it is new", &|_| {}, cut()),
            ("it failed", &|it| it["status"] = json!({"readyToUse": false}), cut()),
            ("it is ready", &|it| it["status"] = json!({"readyToUse": true}), Due::Nothing),
            (
                "it is ready, and who cut it was killed before saying that it is done",
                &|it| {
                    it["status"] = json!({"readyToUse": true});
                    it["metadata"]["annotations"][BEING_CUT] = json!("yes");
                },
                Due::Settle,
            ),
            (
                "the same, and it may go otherwise",
                &|it| {
                    deleting(it);
                    it["metadata"]["annotations"][BEING_CUT] = json!("yes");
                },
                Due::Settle,
            ),
            (
                "it is not bound",
                &|it| it["spec"]["volumeSnapshotRef"]["uid"] = json!(""),
                Due::Nothing,
            ),
            (
                "a group cuts it",
                &|it| it["metadata"]["annotations"][IN_GROUP] = json!("g"),
                Due::Nothing,
            ),
            ("it was there before", &given, Due::LookUp(id())),
            ("it may go", &deleting, Due::Delete(Some(id()))),
            (
                "only the object may go",
                &|it| {
                    deleting(it);
                    it["spec"]["deletionPolicy"] = json!("Retain");
                },
                Due::Delete(None),
            ),
            (
                "its group deletes it",
                &|it| {
                    deleting(it);
                    it["status"]["volumeGroupSnapshotHandle"] = json!("g");
                },
                Due::Delete(None),
            ),
            (
                "the driver may still be cutting it",
                &|it| {
                    deleting(it);
                    it["metadata"]["annotations"][BEING_CUT] = json!("yes");
                    it["status"] = json!({});
                },
                cut(),
            ),
            (
                "somebody deleted the object, and the snapshot is in use",
                &|it| {
                    deleting(it);
                    it["metadata"]["annotations"] = json!({});
                },
                Due::Nothing,
            ),
            (
                "it was never bound",
                &|it| {
                    given(it);
                    it["spec"]["volumeSnapshotRef"] = json!({"name": "s"});
                    it["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                    it["status"] = json!({"snapshotHandle": "default/s"});
                },
                Due::Delete(Some(id())),
            ),
            (
                "all is done",
                &|it| {
                    deleting(it);
                    it["metadata"]["finalizers"] = json!([]);
                },
                Due::Nothing,
            ),
            ("nothing is said", &|it| it["spec"]["source"] = json!({}), Due::Nothing),
        ];
        for (what, change, wanted) in cases {
            assert_eq!(due(&content(change)), wanted, "{what}");
        }
    }

    #[test]
    fn only_an_id_with_a_uuid_is_of_one_node() {
        assert!(is_of_one_node("default/snapshot-1ca6ecea-bc3f-43b7-8da8-e5152a0f1b1b"));
        for id in ["", "default/monday", "1ca6ecea-bc3f-43b7-8da8-e5152a0f1b1", "ä/snapshot-ä"] {
            assert!(!is_of_one_node(id), "{id}");
        }
    }

    #[test]
    fn labels_say_where_a_snapshot_is() {
        let on = |node: &str| Words::from([(NODE.to_owned(), node.to_owned())]);
        assert_eq!(place(&on("n1"), Some("n1")), Place::Here);
        assert_eq!(place(&on("n2"), Some("n1")), Place::Elsewhere);
        assert_eq!(place(&Words::new(), Some("n1")), Place::Unsaid);
        assert_eq!(place(&on("n2"), None), Place::Here);
    }

    #[test]
    fn an_error_is_written_once_and_goes_when_the_snapshot_is_ready() {
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let patch = failed(&content(|_| {}), "no room", now).unwrap();
        let told_so = content(|it| it["status"] = patch["status"].clone());
        assert_eq!(told_so.data["status"]["error"]["message"], "no room");
        assert_eq!(failed(&told_so, "no room", now + OFTEN), None);
        assert_eq!(failed(&told_so, "other", now), None, "each change comes back");
        assert!(failed(&told_so, "other", now + OFTEN).is_some());
        let cut = Cut {
            id: "default/s".to_owned(),
            bytes: 5,
            nanoseconds: 7,
            is_ready: true,
            group: None,
        };
        let patch = told(&told_so, &cut);
        assert!(patch["status"]["error"].is_null() && patch["status"]["readyToUse"] == true);
        let held = content(|it| it["status"] = json!({"creationTime": 3, "restoreSize": 4}));
        let patch = told(&held, &cut);
        assert!(patch["status"].get("creationTime").is_none(), "{patch}");
        assert!(patch["status"].get("restoreSize").is_none(), "{patch}");
    }
}
