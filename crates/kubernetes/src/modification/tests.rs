//! Claims that ask for other attributes, at every point of their change.

use super::*;
use serde_json::{Value, json};

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

/// A bound claim with this in its status, that asks for a class.
fn claim(asked: &str, status: Value) -> PersistentVolumeClaim {
    let mut whole = json!({
        "metadata": {"name": "data", "namespace": "shop", "uid": "u1", "resourceVersion": "7"},
        "spec": {"volumeName": "pvc-u1"},
        "status": {"phase": "Bound"},
    });
    if !asked.is_empty() {
        whole["spec"]["volumeAttributesClassName"] = json!(asked);
    }
    whole["status"].as_object_mut().unwrap().extend(status.as_object().unwrap().clone());
    serde_json::from_value(whole).unwrap()
}

fn far(word: &str, target: &str) -> Value {
    json!({
        "currentVolumeAttributesClassName": "has",
        "modifyVolumeStatus": {"status": word, "targetVolumeAttributesClassName": target},
        "conditions": [{"type": MODIFYING, "status": "True", "lastTransitionTime": "2026-01-01T00:59:00Z"}],
    })
}

/// The same, and the last call for it failed at this time.
fn failed(word: &str, target: &str, reason: &str, time: &str) -> Value {
    let mut status = far(word, target);
    status["conditions"].as_array_mut().unwrap().push(json!({
        "type": FAILED, "status": "True", "reason": reason, "message": "no", "lastTransitionTime": time,
    }));
    status
}

#[test]
fn what_was_begun_is_finished_unless_it_surely_failed() {
    let has = json!({"currentVolumeAttributesClassName": "has"});
    let to = |class: &str| Change::To(class.to_owned());
    let (fresh, old) = ("2026-01-01T00:59:00Z", "2026-01-01T00:54:00Z");
    let left = Change::Hopeless(Duration::from_secs(240));
    let cases = [
        ("it has what it asks for", "has", has.clone(), Change::Nothing),
        ("it asks for none and has none", "", json!({}), Change::Nothing),
        ("it asks for a first one", "new", json!({}), to("new")),
        ("it asks for another one", "new", has.clone(), to("new")),
        ("it is not bound", "new", json!({"phase": "Pending"}), Change::Nothing),
        ("the call may go on", "new", far(AT_WORK, "old"), to("old")),
        ("nothing is known of it", "new", failed(AT_WORK, "old", "Aborted", fresh), to("old")),
        ("it surely failed", "new", failed(AT_WORK, "old", "Internal", fresh), to("new")),
        (
            "the same is asked for again",
            "old",
            failed(AT_WORK, "old", "Internal", fresh),
            to("old"),
        ),
        (
            "none is asked for, and it failed",
            "",
            failed(AT_WORK, "old", "Internal", fresh),
            to("old"),
        ),
        (
            "it cannot be, and that is new",
            "old",
            failed(CANNOT, "old", "InvalidArgument", fresh),
            left,
        ),
        ("it cannot be, and that is old", "old", failed(CANNOT, "old", "InvalidArgument", old), {
            to("old")
        }),
        (
            "what it has is asked for again",
            "has",
            failed(CANNOT, "old", "InvalidArgument", fresh),
            { to("has") },
        ),
        ("there was no such class", "new", far(PENDING, ""), to("new")),
        ("it is withdrawn", "", far(CANNOT, "old"), Change::Withdrawn),
        (
            "it was withdrawn",
            "",
            json!({"modifyVolumeStatus": {"status": CANNOT}}),
            Change::Nothing,
        ),
    ];
    for (what, asked, status, wanted) in cases {
        assert_eq!(due(&claim(asked, status), now()), wanted, "{what}");
    }
}

/// The claim after the patch, as the API server merges it.
fn patched(claim: &PersistentVolumeClaim, stage: Stage<'_>) -> PersistentVolumeClaim {
    fn merge(into: &mut Value, patch: Value) {
        match patch {
            Value::Object(entries) => {
                for (key, value) in entries {
                    match value {
                        Value::Null => drop(into.as_object_mut().map(|map| map.remove(&key))),
                        value => {
                            if !into.is_object() {
                                *into = json!({});
                            }
                            merge(&mut into[key], value);
                        }
                    }
                }
            }
            value => *into = value,
        }
    }
    let mut whole = serde_json::to_value(claim).unwrap();
    merge(&mut whole, told(claim, stage, now()).expect("something to tell"));
    serde_json::from_value(whole).unwrap()
}

fn kinds(claim: &PersistentVolumeClaim) -> Vec<String> {
    let conditions = claim.status.as_ref().unwrap().conditions.iter().flatten();
    conditions.map(|condition| condition.type_.clone()).collect()
}

#[test]
fn a_claim_says_how_far_it_is_and_at_last_what_it_has() {
    let other = json!({"conditions": [{"type": "Resizing", "status": "True"}]});
    let asking = claim("new", other);
    let begun = patched(&asking, Stage::Begun("new"));
    assert_eq!(kinds(&begun), ["Resizing", MODIFYING]);
    assert_eq!(due(&begun, now()), Change::To("new".to_owned()));
    assert!(told(&begun, Stage::Begun("new"), now()).is_none(), "a second try says nothing new");

    let refusal = Refusal { code: Code::INVALID, message: "no such dial".to_owned() };
    let refused = patched(&begun, Stage::Refused("new", &refusal));
    assert_eq!(kinds(&refused), ["Resizing", MODIFYING, FAILED]);
    assert_eq!(due(&refused, now()), Change::Hopeless(Duration::from_secs(300)));

    let refusal = Refusal { code: Code::UNAVAILABLE, message: "gone".to_owned() };
    let uncertain = patched(&begun, Stage::Refused("new", &refusal));
    let text = serde_json::to_string(&uncertain).unwrap();
    assert!(text.contains("is still in progress.") && text.contains("Unavailable"), "{text}");

    let finished = patched(&uncertain, Stage::Finished("new"));
    assert_eq!(kinds(&finished), ["Resizing"]);
    assert_eq!(due(&finished, now()), Change::Nothing);
    let status = finished.status.unwrap();
    assert_eq!(status.current_volume_attributes_class_name.as_deref(), Some("new"));
    assert_eq!(status.modify_volume_status, None);
}

#[test]
fn a_class_that_is_missing_is_waited_for_and_one_that_is_withdrawn_forgotten() {
    let asking = claim("new", json!({}));
    let pending = patched(&asking, Stage::Pending);
    assert_eq!(
        pending.status.as_ref().unwrap().modify_volume_status.as_ref().unwrap().status,
        PENDING
    );
    assert!(told(&pending, Stage::Pending, now()).is_none());
    let withdrawn = patched(&claim("", far(CANNOT, "old")), Stage::Withdrawn);
    assert_eq!(kinds(&withdrawn), Vec::<String>::new());
    assert_eq!(due(&withdrawn, now()), Change::Nothing);
}
