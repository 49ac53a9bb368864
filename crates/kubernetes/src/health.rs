//! Telling people of volumes that something is wrong with: an event on the claim of each, as the official
//! health monitor writes them.
//!
//! The API server is asked only about volumes that are not well, or were not a moment ago.

use crate::driver::Driver;
use crate::duties::Context;
use crate::events::Reason;
use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume};
use kube::api::Api;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often volumes are looked at.
const EVERY: Duration = Duration::from_secs(60);

/// After how many looks what is still wrong is told again: events are forgotten after an hour.
const AGAIN: usize = 30;

/// What was told of each volume, by its id.
type Told = BTreeMap<String, String>;

/// Looks after the driver's volumes, for ever.
pub(crate) async fn keep<D: Driver>(context: &Context<D>) {
    let mut told = Told::new();
    for look in 1.. {
        tokio::time::sleep(EVERY).await;
        let mut now = match context.driver.complaints().await {
            Ok(complaints) => complaints,
            Err(refusal) => {
                log::warn!("the health of volumes is not known: {refusal}");
                continue;
            }
        };
        for (id, reason, words) in news(&told, &now, look % AGAIN == 0) {
            match claim_of(context, &id).await {
                Ok(Some(claim)) => context.events.tell(reason, &claim, words).await,
                // It is nobody's, or no object of Kubernetes is about it.
                Ok(None) => log::info!("volume `{id}`: {words}"),
                Err(error) => {
                    log::warn!("volume `{id}`: {words}; whose it is: {error}");
                    // It is news once more next time.
                    match told.get(&id) {
                        Some(before) => now.insert(id, before.clone()),
                        None => now.remove(&id),
                    };
                }
            }
        }
        told = now;
    }
}

/// What is to be told: what is wrong by now, what is not any more, and `again` what still is.
fn news(told: &Told, now: &Told, again: bool) -> Vec<(String, Reason, String)> {
    let wrong = now.iter().filter(|(id, words)| again || told.get(*id) != Some(*words));
    let well = told.keys().filter(|id| !now.contains_key(*id));
    let wrong =
        wrong.map(|(id, words)| (id.clone(), Reason::VolumeConditionAbnormal, words.clone()));
    let well = well.map(|id| {
        let words = "The Volume returns to the healthy state".to_owned();
        (id.clone(), Reason::VolumeConditionNormal, words)
    });
    wrong.chain(well).collect()
}

/// The claim whose volume it is: those that were made for claims have the name of their object.
async fn claim_of<D: Driver>(
    context: &Context<D>,
    id: &str,
) -> kube::Result<Option<ObjectReference>> {
    let name = id.rsplit_once('/').map_or(id, |(_, name)| name);
    let api: Api<PersistentVolume> = Api::all(context.client.clone());
    let found = api.get_opt(name).await?.filter(|volume| {
        let (driver, interface) = (context.driver.name(), context.driver.interface());
        interface.id(driver, volume).as_deref() == Some(id)
    });
    Ok(found.and_then(|volume| volume.spec).and_then(|spec| spec.claim_ref))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_is_told_once_and_what_stays_now_and_then() {
        let of = |pairs: &[(&str, &str)]| -> Told {
            pairs.iter().map(|(id, words)| ((*id).to_owned(), (*words).to_owned())).collect()
        };
        let said = |told: &[(&str, &str)], now: &[(&str, &str)], again| {
            let news = news(&of(told), &of(now), again);
            news.into_iter()
                .map(|(id, reason, _)| (id, reason == Reason::VolumeConditionAbnormal))
                .collect::<Vec<_>>()
        };
        let (a, b) = (("p/a", "gone"), ("p/b", "full"));
        let wrong = |id: &str| (id.to_owned(), true);
        let well = |id: &str| (id.to_owned(), false);
        assert_eq!(said(&[], &[a], false), [wrong("p/a")]);
        assert_eq!(said(&[a], &[a], false), []);
        assert_eq!(said(&[a], &[a], true), [wrong("p/a")]);
        assert_eq!(said(&[a], &[("p/a", "worse")], false), [wrong("p/a")]);
        assert_eq!(said(&[a, b], &[b], false), [well("p/a")]);
        assert_eq!(said(&[a], &[b], false), [wrong("p/b"), well("p/a")]);
    }
}
