//! One of several processes at a time: leadership by a `Lease`, as Kubernetes' own controllers have it
//! (client-go `tools/leaderelection`), with the times of the official sidecars.
//!
//! A holder that cannot renew gives up before anybody else may take over; one that ends says so, and the next
//! need not wait. Clocks of different machines are not compared: a lease is over when this process has not seen
//! it change for as long as it lasts.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use kube::ResourceExt;
use kube::api::{Api, ObjectMeta, PostParams};
use std::future::Future;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

/// How long a lease lasts that nobody renews.
const LASTS: Duration = Duration::from_secs(15);

/// How long a holder tries to renew before it gives up.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a holder renews, and another one looks.
const EVERY: Duration = Duration::from_secs(5);

/// A lease that this process wants.
pub(crate) struct Wanted {
    api: Api<Lease>,
    name: String,
    /// What names this process among all that want it.
    identity: String,
}

/// A lease as it was last seen to change.
struct Seen {
    /// Its version, and when that came.
    last: Option<(String, Instant)>,
}

impl Wanted {
    /// The lease of a driver, in the namespace that this process is in. It has the name that the official
    /// provisioner gives it, so that only one of the two is at work.
    pub(crate) fn of_driver(client: &Client, driver: &str) -> Wanted {
        let host = std::env::var("POD_NAME").unwrap_or_else(|_| "becket".to_owned());
        Wanted {
            api: Api::default_namespaced(client.clone()),
            name: name(driver),
            identity: format!("{host}_{}", uuid::Uuid::new_v4()),
        }
    }

    /// Waits until this process holds the lease, and gives the moment since which it surely does.
    pub(crate) async fn held(&self) -> Instant {
        let mut seen = Seen { last: None };
        loop {
            // The API server counts from when it was asked at the earliest.
            let asked = Instant::now();
            match timeout_at(asked + PATIENCE, self.try_to_take(&mut seen)).await {
                Ok(Ok(true)) => {
                    log::info!("this process has the lease `{}`", self.name);
                    return asked;
                }
                Ok(Ok(false)) => {}
                Ok(Err(error)) => log::warn!("the lease `{}` cannot be had: {error}", self.name),
                Err(_) => log::warn!("the lease `{}` cannot be had: no answer in time", self.name),
            }
            sleep(EVERY).await;
        }
    }

    /// Renews the lease for as long as that can be done; ends when it is lost, or may be soon. `since` is when
    /// it was taken.
    pub(crate) async fn lost(&self, since: Instant) {
        let mut until = since + PATIENCE;
        loop {
            sleep_until(until.min(Instant::now() + EVERY)).await;
            let asked = Instant::now();
            match timeout_at(until, self.renew()).await {
                Ok(Ok(true)) => until = asked + PATIENCE,
                Ok(Err(error)) if Instant::now() < until => {
                    log::warn!("the lease `{}` is not renewed: {error}", self.name);
                }
                Ok(Ok(false) | Err(_)) | Err(_) => break,
            }
        }
        log::error!("this process has lost the lease `{}`", self.name);
    }

    /// Gives it back, so that nobody waits for its end.
    pub(crate) async fn give_back(&self) {
        let Ok(Some(mut found)) = self.api.get_opt(&self.name).await else { return };
        if self.is_ours(&found) {
            let spec = found.spec.get_or_insert_default();
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            // Where that fails the lease just ends a little later.
            let _ = self.api.replace(&self.name, &PostParams::default(), &found).await;
        }
    }

    /// True when it is ours now.
    async fn try_to_take(&self, seen: &mut Seen) -> kube::Result<bool> {
        let Some(mut found) = self.api.get_opt(&self.name).await? else {
            let metadata = ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() };
            let new = Lease { metadata, spec: Some(self.spec(None)) };
            return changed(self.api.create(&PostParams::default(), &new).await);
        };
        if !self.is_ours(&found) && !seen.is_over(&found, Instant::now()) {
            return Ok(false);
        }
        found.spec = Some(self.spec(found.spec.as_ref()));
        changed(self.api.replace(&self.name, &PostParams::default(), &found).await)
    }

    /// False when another process has it.
    async fn renew(&self) -> kube::Result<bool> {
        let Some(mut found) = self.api.get_opt(&self.name).await? else { return Ok(false) };
        if !self.is_ours(&found) {
            return Ok(false);
        }
        found.spec = Some(self.spec(found.spec.as_ref()));
        self.api.replace(&self.name, &PostParams::default(), &found).await.map(|_| true)
    }

    fn is_ours(&self, lease: &Lease) -> bool {
        holder(lease) == Some(&self.identity)
    }

    /// The lease, held by this process from now on; `before` is what it was.
    fn spec(&self, before: Option<&LeaseSpec>) -> LeaseSpec {
        let now = Some(MicroTime(Timestamp::now()));
        let transitions = before.and_then(|spec| spec.lease_transitions).unwrap_or(0);
        let held = before.filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity));
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LASTS.as_secs()).ok(),
            acquire_time: held.map_or(now.clone(), |spec| spec.acquire_time.clone()),
            renew_time: now,
            lease_transitions: Some(transitions + i32::from(before.is_some() && held.is_none())),
            ..LeaseSpec::default()
        }
    }
}

impl Seen {
    /// True when nobody holds the lease, or its holder has not renewed it for as long as it lasts.
    fn is_over(&mut self, lease: &Lease, now: Instant) -> bool {
        if holder(lease).is_none_or(|holder| holder.is_empty()) {
            return true;
        }
        let version = lease.resource_version().unwrap_or_default();
        match &self.last {
            Some((last, since)) if *last == version => {
                let spec = lease.spec.as_ref();
                let lasts = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or(0);
                now >= *since + Duration::from_secs(u64::try_from(lasts).unwrap_or(0)).max(LASTS)
            }
            _ => {
                self.last = Some((version, now));
                false
            }
        }
    }
}

fn holder(lease: &Lease) -> Option<&String> {
    lease.spec.as_ref()?.holder_identity.as_ref()
}

/// True when it was written; false when somebody else was quicker.
fn changed(written: kube::Result<Lease>) -> kube::Result<bool> {
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(error),
    }
}

/// A driver's name, as the name of an object.
fn name(driver: &str) -> String {
    driver.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-")
}

/// Does `work` while this process has the lease, again whenever it comes back, until `end`.
pub(crate) async fn under<Work: Future<Output = ()>>(
    wanted: &Wanted,
    work: impl Fn() -> Work,
    end: impl Future<Output = ()>,
) {
    let mut end = std::pin::pin!(end);
    loop {
        let since = tokio::select! {
            () = &mut end => return,
            since = wanted.held() => since,
        };
        let over = tokio::select! {
            () = &mut end => true,
            () = wanted.lost(since) => false,
            () = work() => true,
        };
        if over {
            return wanted.give_back().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, version: &str) -> Lease {
        let metadata =
            ObjectMeta { resource_version: Some(version.to_owned()), ..ObjectMeta::default() };
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        };
        Lease { metadata, spec: Some(spec) }
    }

    #[test]
    fn a_lease_is_over_when_it_has_not_changed_for_as_long_as_it_lasts() {
        let (mut seen, now) = (Seen { last: None }, Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        assert!(!seen.is_over(&lease("other", "1"), now), "it may be renewed in a moment");
        assert!(!seen.is_over(&lease("other", "1"), after(14)));
        assert!(!seen.is_over(&lease("other", "2"), after(15)), "it was renewed");
        assert!(!seen.is_over(&lease("other", "2"), after(29)));
        assert!(seen.is_over(&lease("other", "2"), after(30)));
        assert!(seen.is_over(&lease("", "3"), after(31)), "it was given back");
        assert!(seen.is_over(&Lease::default(), after(31)), "nobody ever had it");
    }

    #[test]
    fn drivers_have_the_leases_of_the_official_provisioner() {
        assert_eq!(name("nfs.becket.dev"), "nfs-becket-dev");
    }
}
