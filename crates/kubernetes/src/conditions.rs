//! What the conditions of a claim say. Nothing here talks to anybody.

use k8s_openapi::api::core::v1::{PersistentVolumeClaimCondition, PersistentVolumeClaimStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// How often at most a condition is written anew: each time comes back as a change of the claim.
pub(crate) const OFTEN: SignedDuration = SignedDuration::from_secs(60);

/// How long what cannot be is not tried again.
const SLOW: SignedDuration = SignedDuration::from_secs(300);

/// A condition that holds from now on.
#[derive(Debug)]
pub(crate) struct Said<'a> {
    /// Its type.
    pub(crate) kind: &'a str,
    /// Why, in one word; empty for none.
    pub(crate) reason: &'a str,
    /// Why, in words; empty for none. Those of a failure may be others each time, and are then no news.
    pub(crate) message: String,
}

/// The condition of this type, if it holds.
pub(crate) fn holding<'a>(
    status: &'a PersistentVolumeClaimStatus,
    kind: &str,
) -> Option<&'a PersistentVolumeClaimCondition> {
    let is = |found: &&PersistentVolumeClaimCondition| found.type_ == kind;
    status.conditions.iter().flatten().find(is).filter(|found| found.status == "True")
}

/// How long what the condition says cannot be is still not to be tried again; `None` from then on.
pub(crate) fn slow(condition: &PersistentVolumeClaimCondition, now: Timestamp) -> Option<Duration> {
    let times = [&condition.last_probe_time, &condition.last_transition_time];
    let since = times.into_iter().flatten().map(|time| time.0).max()?;
    Duration::try_from(SLOW - now.duration_since(since)).ok().filter(|left| !left.is_zero())
}

/// The conditions with what is said now. Those about other things stay; the others `about` the same do if
/// they are to be kept.
pub(crate) fn merged(
    held: &[PersistentVolumeClaimCondition],
    about: &[&str],
    said: Vec<Said<'_>>,
    keep: bool,
    now: Timestamp,
) -> Vec<PersistentVolumeClaimCondition> {
    let mut said: Vec<_> = said.into_iter().map(|said| condition(said, now)).collect();
    let mut conditions = Vec::new();
    for condition in held {
        let again = said.iter().position(|said| said.type_ == condition.type_);
        match again.map(|index| said.remove(index)) {
            Some(said) if says_the_same(condition, &said, now) => {
                conditions.push(condition.clone())
            }
            Some(said) => conditions.push(said),
            None if keep || !about.contains(&condition.type_.as_str()) => {
                conditions.push(condition.clone());
            }
            None => {}
        }
    }
    conditions.extend(said);
    conditions
}

fn condition(said: Said<'_>, now: Timestamp) -> PersistentVolumeClaimCondition {
    PersistentVolumeClaimCondition {
        type_: said.kind.to_owned(),
        status: "True".to_owned(),
        reason: Some(said.reason.to_owned()).filter(|reason| !reason.is_empty()),
        message: Some(said.message).filter(|message| !message.is_empty()),
        last_transition_time: Some(Time(now)),
        last_probe_time: None,
    }
}

/// True when the condition need not be written anew: it was a moment ago, for the same reason.
///
/// Other words alone are news only where nothing failed.
fn says_the_same(
    held: &PersistentVolumeClaimCondition,
    said: &PersistentVolumeClaimCondition,
    now: Timestamp,
) -> bool {
    let since = held.last_transition_time.as_ref();
    held.status == "True"
        && held.reason == said.reason
        && (held.message == said.message || said.type_.ends_with("Error"))
        && since.is_some_and(|since| now.duration_since(since.0) < OFTEN)
}
