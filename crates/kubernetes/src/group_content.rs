//! What is due for a `VolumeGroupSnapshotContent`, and how it says what became of that. Nothing here talks to
//! anybody.
//!
//! The object stands for snapshots of several volumes, cut at one moment. The cluster's own snapshot controller
//! makes it, and from what it says in the end a `VolumeSnapshotContent` for each of them.

use crate::driver::{Cut, Group};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Value, json};

/// The finalizer of contents whose snapshots may still be to be deleted.
pub const FINALIZER: &str =
    "groupsnapshot.storage.kubernetes.io/volumegroupsnapshotcontent-bound-protection";

/// The annotation that says that the driver may know of a group of which this object does not.
pub const BEING_CUT: &str = "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-created";

/// The annotation by which the cluster says that the group may go.
const BEING_DELETED: &str = "groupsnapshot.storage.kubernetes.io/volumegroupsnapshot-being-deleted";

/// The annotations that name the secret.
pub const SECRET: [&str; 2] = [
    "groupsnapshot.storage.kubernetes.io/deletion-secret-name",
    "groupsnapshot.storage.kubernetes.io/deletion-secret-namespace",
];

/// A group that is there, as calls of the driver name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its id.
    pub id: String,
    /// The ids of its snapshots.
    pub members: Vec<String>,
}

/// What is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// Nothing.
    Nothing,
    /// A group is to be cut, or to be asked for until it is ready.
    Cut {
        /// Its name.
        name: String,
        /// The ids of the volumes it is of.
        volumes: Vec<String>,
    },
    /// It is said to be there.
    LookUp(Named),
    /// It is ready, and the word that it is being cut is still there.
    Settle,
    /// The object may go, and before it this group, if there is one.
    Delete(Option<Named>),
}

/// What is due for the content.
pub fn due(content: &DynamicObject) -> Due {
    let (spec, status) = (&content.data["spec"], &content.data["status"]);
    let given = given(spec);
    let owner = text(&spec["volumeGroupSnapshotRef"]["uid"]);
    let annotated = |key| content.annotations().contains_key(key);
    let never_bound = given.is_some() && owner.is_none();
    let may_go = content.metadata.deletion_timestamp.is_some()
        && (never_bound || annotated(BEING_DELETED) && !annotated(BEING_CUT));
    if may_go {
        let is_guarded = content.finalizers().iter().any(|name| name == FINALIZER);
        return match (is_guarded, spec["deletionPolicy"] == "Delete") {
            (false, _) => Due::Nothing,
            (true, true) => Due::Delete(held(status, given)),
            (true, false) => Due::Delete(None),
        };
    }
    if status["readyToUse"] == true {
        return if annotated(BEING_CUT) { Due::Settle } else { Due::Nothing };
    }
    let volumes = texts(&spec["source"]["volumeHandles"]);
    match (given, owner) {
        (Some(named), _) => Due::LookUp(named),
        (None, Some(owner)) if !volumes.is_empty() => {
            Due::Cut { name: format!("groupsnapshot-{owner}"), volumes }
        }
        _ => Due::Nothing,
    }
}

/// The group that was there before the object.
fn given(spec: &Value) -> Option<Named> {
    let handles = &spec["source"]["groupSnapshotHandles"];
    let id = text(&handles["volumeGroupSnapshotHandle"])?;
    Some(Named { id, members: texts(&handles["volumeSnapshotHandles"]) })
}

/// The group that the status tells of. Of one that was `given`, the status names no snapshots.
fn held(status: &Value, given: Option<Named>) -> Option<Named> {
    let id = text(&status["volumeGroupSnapshotHandle"])?;
    let list = list(&status["volumeSnapshotInfoList"]);
    let told: Vec<String> = list.iter().filter_map(|it| text(&it["snapshotHandle"])).collect();
    let members =
        if told.is_empty() { given.map(|it| it.members).unwrap_or_default() } else { told };
    Some(Named { id, members })
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn texts(value: &Value) -> Vec<String> {
    list(value).iter().filter_map(text).collect()
}

/// The content's status once the driver has told of the group, as a merge patch.
pub fn told(content: &DynamicObject, group: &Group) -> Value {
    let held = &content.data["status"];
    let mut status = json!({"volumeGroupSnapshotHandle": group.id, "readyToUse": group.is_ready});
    if held["creationTime"].is_null()
        && let Ok(time) = Timestamp::from_nanosecond(group.nanoseconds.into())
    {
        status["creationTime"] = json!(Time(time));
    }
    // The cluster makes the objects of snapshots that it has not made itself.
    let is_given = given(&content.data["spec"]).is_some();
    if !is_given && list(&held["volumeSnapshotInfoList"]).is_empty() {
        status["volumeSnapshotInfoList"] = members(group);
    }
    if group.is_ready {
        status["error"] = Value::Null;
    }
    json!({"status": status})
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn members(group: &Group) -> Value {
    let one = |(volume, cut): &(String, Cut)| {
        let mut one = json!({
            "volumeHandle": volume,
            "snapshotHandle": cut.id,
            "creationTime": cut.nanoseconds,
            "readyToUse": cut.is_ready,
        });
        if cut.bytes > 0 {
            one["restoreSize"] = json!(cut.bytes);
        }
        one
    };
    group.members.iter().map(one).collect()
}

/// The content's status when there is no group any more, as a merge patch.
pub fn deleted() -> Value {
    json!({"status": {
        "volumeGroupSnapshotHandle": null, "readyToUse": null, "creationTime": null, "error": null,
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(change: impl Fn(&mut Value)) -> DynamicObject {
        let mut whole = json!({
            "apiVersion": "groupsnapshot.storage.k8s.io/v1",
            "kind": "VolumeGroupSnapshotContent",
            "metadata": {"name": "groupsnapcontent-u1", "annotations": {}, "finalizers": [FINALIZER]},
            "spec": {
                "driver": "image.becket.dev",
                "deletionPolicy": "Delete",
                "source": {"volumeHandles": ["default/a", "default/b"]},
                "volumeGroupSnapshotRef": {"name": "g", "namespace": "shop", "uid": "u1"},
            },
        });
        change(&mut whole);
        serde_json::from_value(whole).unwrap()
    }

    fn named(id: &str, members: &[&str]) -> Named {
        Named { id: id.to_owned(), members: members.iter().map(|&it| it.to_owned()).collect() }
    }

    fn group() -> Group {
        let cut = |id: &str| Cut {
            id: id.to_owned(),
            bytes: 5,
            nanoseconds: 1_000_000_000,
            is_ready: true,
            group: Some("default/g".to_owned()),
        };
        Group {
            id: "default/g".to_owned(),
            nanoseconds: 1_000_000_000,
            is_ready: true,
            members: vec![
                ("default/a".to_owned(), cut("default/sa")),
                ("default/b".to_owned(), cut("default/sb")),
            ],
        }
    }

    fn deleting(whole: &mut Value) {
        whole["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        whole["metadata"]["annotations"][BEING_DELETED] = json!("yes");
        whole["status"] = told(&content(|_| {}), &group())["status"].clone();
    }

    #[test]
    fn a_group_is_cut_once_and_deleted_with_all_its_snapshots_when_the_cluster_says_so() {
        let volumes = || vec!["default/a".to_owned(), "default/b".to_owned()];
        let cut = || Due::Cut { name: "groupsnapshot-u1".to_owned(), volumes: volumes() };
        let all = || named("default/g", &["default/sa", "default/sb"]);
        let given = |it: &mut Value| {
            it["spec"]["source"] = json!({"groupSnapshotHandles": {
                "volumeGroupSnapshotHandle": "default/g",
                "volumeSnapshotHandles": ["default/sa", "default/sb"],
            }});
        };
        let being_cut = |it: &mut Value| it["metadata"]["annotations"][BEING_CUT] = json!("yes");
        type Change<'a> = &'a dyn Fn(&mut Value);
        let cases: [(&str, Change<'_>, Due); 12] = [
            ("it is new", &|_| {}, cut()),
            ("it failed", &|it| it["status"] = json!({"readyToUse": false}), cut()),
            ("it is ready", &|it| it["status"] = json!({"readyToUse": true}), Due::Nothing),
            (
                "it is ready, and who cut it was killed",
                &|it| {
                    it["status"] = json!({"readyToUse": true});
                    being_cut(it);
                },
                Due::Settle,
            ),
            (
                "it is not bound",
                &|it| it["spec"]["volumeGroupSnapshotRef"]["uid"] = json!(""),
                Due::Nothing,
            ),
            ("it was there before", &given, Due::LookUp(all())),
            ("it may go", &deleting, Due::Delete(Some(all()))),
            (
                "it was there before, and may go",
                &|it| {
                    given(it);
                    deleting(it);
                    it["status"] = json!({"volumeGroupSnapshotHandle": "default/g"});
                },
                Due::Delete(Some(all())),
            ),
            (
                "only the object may go",
                &|it| {
                    deleting(it);
                    it["spec"]["deletionPolicy"] = json!("Retain");
                },
                Due::Delete(None),
            ),
            (
                "the driver may still be cutting it",
                &|it| {
                    deleting(it);
                    being_cut(it);
                    it["status"] = json!({});
                },
                cut(),
            ),
            (
                "somebody deleted the object, and the group is in use",
                &|it| {
                    deleting(it);
                    it["metadata"]["annotations"] = json!({});
                },
                Due::Nothing,
            ),
            (
                "all is done",
                &|it| {
                    deleting(it);
                    it["metadata"]["finalizers"] = json!([]);
                },
                Due::Nothing,
            ),
        ];
        for (what, change, wanted) in cases {
            assert_eq!(due(&content(change)), wanted, "{what}");
        }
    }

    #[test]
    fn the_cluster_is_told_of_each_snapshot_once() {
        let status = told(&content(|_| {}), &group())["status"].clone();
        assert_eq!(status["creationTime"], "1970-01-01T00:00:01Z");
        let first = &status["volumeSnapshotInfoList"][0];
        assert_eq!(first["volumeHandle"], "default/a");
        assert_eq!(first["snapshotHandle"], "default/sa");
        assert_eq!(first["restoreSize"], 5);
        let again = told(&content(|it| it["status"] = status.clone()), &group());
        let again = &again["status"];
        assert!(again.get("volumeSnapshotInfoList").is_none(), "{again}");
        assert!(again.get("creationTime").is_none(), "{again}");
    }
}
