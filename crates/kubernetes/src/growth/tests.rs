//! Claims that ask for more, at every point of their growing.

use super::*;
use serde_json::{Value, json};

const NOW: &str = "2026-01-01T01:00:00Z";

fn now() -> Timestamp {
    NOW.parse().unwrap()
}

/// A bound claim of 1 GiB that asks for 2, with this in its status.
fn claim(status: Value) -> PersistentVolumeClaim {
    let mut whole = json!({
        "metadata": {"name": "data", "namespace": "shop", "uid": "u1", "resourceVersion": "7"},
        "spec": {"volumeName": "pvc-u1", "resources": {"requests": {"storage": "2Gi"}}},
        "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}},
    });
    whole["status"].as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

fn volume(capacity: &str) -> PersistentVolume {
    serde_json::from_value(json!({
        "metadata": {"name": "pvc-u1"},
        "spec": {
            "capacity": {"storage": capacity},
            "claimRef": {"name": "data", "namespace": "shop", "uid": "u1"},
        },
    }))
    .unwrap()
}

fn far(stage: &str, begun: &str) -> Value {
    json!({
        "allocatedResourceStatuses": {"storage": stage},
        "allocatedResources": {"storage": begun},
    })
}

fn failed(mut status: Value, since: &str) -> Value {
    status["conditions"] = json!([{
        "type": CONTROLLER_FAILED, "status": "True", "lastTransitionTime": since, "message": "no",
    }]);
    status
}

const GI: u64 = 1 << 30;

#[test]
fn the_driver_is_asked_for_what_was_begun_unless_that_surely_failed() {
    let cases = [
        ("nothing was begun", json!({}), "1Gi", Growth::To(2 * GI)),
        ("it is at work", far(CONTROLLER_AT_WORK, "3Gi"), "1Gi", Growth::To(3 * GI)),
        (
            "it failed, and less is asked for",
            failed(far(CONTROLLER_AT_WORK, "3Gi"), "2026-01-01T00:59:59Z"),
            "1Gi",
            Growth::To(2 * GI),
        ),
        (
            "it has grown, and nobody heard",
            far(CONTROLLER_AT_WORK, "2Gi"),
            "2Gi",
            Growth::To(2 * GI),
        ),
        ("it has grown further", far(CONTROLLER_AT_WORK, "3Gi"), "3Gi", Growth::To(3 * GI)),
        ("the kubelet is next", far(NODE_IS_NEXT, "2Gi"), "2Gi", Growth::Enough),
        ("the kubelet is at work", far(NODE_AT_WORK, "2Gi"), "2Gi", Growth::Enough),
        ("the kubelet is at work on less", far(NODE_AT_WORK, "1536Mi"), "1536Mi", Growth::Enough),
        ("the kubelet could not", far(NODE_CANNOT, "2Gi"), "2Gi", Growth::To(2 * GI)),
        ("the kubelet could not, with less", far(NODE_CANNOT, "1536Mi"), "1536Mi", {
            Growth::To(3 * GI / 2)
        }),
        (
            "it cannot be, and that is new",
            failed(far(CONTROLLER_CANNOT, "2Gi"), "2026-01-01T00:59:00Z"),
            "1Gi",
            Growth::Hopeless(Duration::from_secs(240)),
        ),
        (
            "it cannot be, and that is long ago",
            failed(far(CONTROLLER_CANNOT, "2Gi"), "2026-01-01T00:54:00Z"),
            "1Gi",
            Growth::To(2 * GI),
        ),
        (
            "it cannot be, and now another size is asked for",
            failed(far(CONTROLLER_CANNOT, "9Ei"), "2026-01-01T00:59:00Z"),
            "1Gi",
            Growth::To(2 * GI),
        ),
    ];
    for (what, status, capacity, wanted) in cases {
        assert_eq!(due(&claim(status), &volume(capacity), now()), wanted, "{what}");
    }
}

#[test]
fn a_claim_that_is_not_bound_to_the_volume_or_has_enough_is_left_alone() {
    let capacity = json!({"capacity": {"storage": "2Gi"}});
    assert_eq!(due(&claim(capacity), &volume("2Gi"), now()), Growth::Enough);
    let pending = json!({"phase": "Pending"});
    assert_eq!(due(&claim(pending), &volume("1Gi"), now()), Growth::Enough);
    let mut other = volume("1Gi");
    other.spec.as_mut().unwrap().claim_ref.as_mut().unwrap().uid = Some("u2".to_owned());
    assert_eq!(due(&claim(json!({})), &other, now()), Growth::Enough);
    other.spec.as_mut().unwrap().claim_ref = None;
    assert_eq!(due(&claim(json!({})), &other, now()), Growth::Enough);
}

/// The claim after a change, as the API server merges it.
fn after(claim: &PersistentVolumeClaim, stage: Stage<'_>) -> Option<Value> {
    let mut whole = serde_json::to_value(claim).unwrap();
    merge(&mut whole, told(claim, stage, now())?);
    Some(whole)
}

/// RFC 7386.
fn merge(into: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *into = patch;
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let into = into.as_object_mut().unwrap();
    for (key, value) in patch {
        match value {
            Value::Null => drop(into.remove(&key)),
            value => merge(into.entry(key).or_insert(Value::Null), value),
        }
    }
}

fn back(whole: Value) -> PersistentVolumeClaim {
    serde_json::from_value(whole).unwrap()
}

fn kinds(whole: &Value) -> Vec<&str> {
    let conditions = whole["status"]["conditions"].as_array().unwrap();
    conditions.iter().map(|condition| condition["type"].as_str().unwrap()).collect()
}

#[test]
fn a_claim_says_where_its_growing_is_from_beginning_to_end() {
    let other = json!({"conditions": [{"type": "Mine", "status": "True"}]});
    let begun = after(&claim(other), Stage::Begun(2 * GI)).unwrap();
    assert_eq!(begun["status"]["allocatedResources"]["storage"], "2Gi");
    assert_eq!(begun["status"]["allocatedResourceStatuses"]["storage"], CONTROLLER_AT_WORK);
    assert_eq!(kinds(&begun), ["Mine", RESIZING]);
    assert_eq!(begun["metadata"]["resourceVersion"], "7");
    let begun = back(begun);
    assert_eq!(told(&begun, Stage::Begun(2 * GI), now()), None, "it says so already");

    let grown = after(&begun, Stage::Grown).unwrap();
    assert_eq!(grown["status"]["allocatedResourceStatuses"]["storage"], NODE_IS_NEXT);
    assert_eq!(kinds(&grown), ["Mine", RESIZING, PENDING]);
    assert_eq!(grown["status"]["capacity"]["storage"], "1Gi", "the kubelet says that");

    let finished = after(&begun, Stage::Finished(2 * GI)).unwrap();
    assert_eq!(finished["status"]["capacity"]["storage"], "2Gi");
    assert_eq!(finished["status"]["allocatedResourceStatuses"], json!({}));
    assert_eq!(kinds(&finished), ["Mine"]);
    assert_eq!(finished["metadata"]["annotations"][NODE_HAS_NONE], "true");
    let again = after(&back(finished), Stage::Begun(3 * GI)).unwrap();
    assert_eq!(again["metadata"]["annotations"], json!({}), "the next time it may have some");
}

#[test]
fn a_failure_is_told_and_is_forgotten_when_another_size_is_tried() {
    let begun = back(after(&claim(json!({})), Stage::Begun(2 * GI)).unwrap());
    let told_so = after(&begun, Stage::Failed("no room")).unwrap();
    assert_eq!(kinds(&told_so), [RESIZING, CONTROLLER_FAILED]);
    let message = &told_so["status"]["conditions"][1]["message"];
    assert_eq!(message, "failed to expand pvc with no room");
    let told_so = back(told_so);
    assert_eq!(
        told(&told_so, Stage::Failed("no room, again"), now()),
        None,
        "each change comes back, so there are not many of them"
    );
    let later = now() + conditions::OFTEN;
    assert!(told(&told_so, Stage::Failed("no room, again"), later).is_some());

    let cannot = back(after(&begun, Stage::Hopeless("too large")).unwrap());
    assert_eq!(super::far(cannot.status.as_ref().unwrap()), Some(CONTROLLER_CANNOT));
    let smaller = after(&cannot, Stage::Begun(3 * GI / 2)).unwrap();
    assert_eq!(kinds(&smaller), [RESIZING]);

    let unsure = after(&told_so, Stage::Uncertain).unwrap();
    assert_eq!(kinds(&unsure), [RESIZING], "nobody may ask for less now");
    assert_eq!(told(&back(unsure), Stage::Uncertain, now()), None);
}
