//! Growing the volumes of claims that ask for more than they have.

use crate::driver::{Driver, Grown, Secrets};
use crate::duties::Context;
use crate::events::Reason;
use crate::failure::Failure;
use crate::growth::{self, Growth, Stage};
use crate::queue::Next;
use crate::secrets;
use crate::volume::quantity;
use k8s_openapi::api::core::v1::{
    CSIPersistentVolumeSource, PersistentVolume, PersistentVolumeClaim,
};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde_json::json;

/// Does what is due for the size of a bound claim's volume.
pub(crate) async fn claim<D: Driver>(
    context: &Context<D>,
    api: &Api<PersistentVolumeClaim>,
    claim: &PersistentVolumeClaim,
    volume: &PersistentVolume,
    source: &CSIPersistentVolumeSource,
) -> Next {
    match growth::due(claim, volume, Timestamp::now()) {
        Growth::Enough => Next::Done,
        Growth::Hopeless(left) => Next::After(left),
        Growth::To(bytes) => {
            let volumes: Api<PersistentVolume> = Api::all(context.client.clone());
            let mut growing = Growing { context, api, claim: claim.clone() };
            match growing.to(bytes, &volumes, volume, source).await {
                Ok(()) => Next::Done,
                Err(failure) => growing.refused(volume, &failure).await,
            }
        }
    }
}

/// False for claims that have what they ask for, as nearly all have.
pub(crate) fn may_ask_for_more(claim: &PersistentVolumeClaim) -> bool {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let capacity = claim.status.as_ref().and_then(|status| status.capacity.as_ref());
    let size = |of: Option<&std::collections::BTreeMap<_, _>>| of?.get("storage").cloned();
    size(requests) != size(capacity)
}

/// A claim whose volume grows.
struct Growing<'a, D> {
    context: &'a Context<D>,
    api: &'a Api<PersistentVolumeClaim>,
    /// As it is now.
    claim: PersistentVolumeClaim,
}

impl<D: Driver> Growing<'_, D> {
    async fn to(
        &mut self,
        bytes: u64,
        volumes: &Api<PersistentVolume>,
        volume: &PersistentVolume,
        source: &CSIPersistentVolumeSource,
    ) -> Result<(), Failure> {
        self.tell(Stage::Begun(bytes)).await?;
        let name = volume.name_any();
        let words = format!("External resizer is resizing volume {name}");
        self.event(Reason::Resizing, words).await;
        let secrets = match &source.controller_expand_secret_ref {
            Some(named) => secrets::read(&self.context.client, named).await?,
            None => Secrets::default(),
        };
        let expanded = self.context.driver.expand(&source.volume_handle, bytes, secrets).await;
        let Grown { bytes, node_is_next } = expanded.map_err(Failure::Refused)?;
        let patch = json!({"spec": {"capacity": {"storage": quantity(bytes)}}});
        volumes.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        self.context.room_changed.notify_one();
        log::info!("volume `{name}` has {bytes} bytes");
        if node_is_next {
            self.tell(Stage::Grown).await?;
            let words = "Require file system resize of volume on node".to_owned();
            self.event(Reason::FileSystemResizeRequired, words).await;
        } else {
            self.tell(Stage::Finished(bytes)).await?;
            self.event(Reason::Resized, "Resize volume succeeded".to_owned()).await;
        }
        Ok(())
    }

    /// Tells why the volume did not grow, and says when to try again.
    async fn refused(&mut self, volume: &PersistentVolume, failure: &Failure) -> Next {
        let (name, driver) = (volume.name_any(), self.context.driver.name());
        if failure.is_conflict() {
            // The change that came between comes back as one.
            return Next::Retry;
        }
        let words = format!("resize volume \"{name}\" by resizer \"{driver}\" failed: {failure}");
        log::warn!("{words}");
        self.event(Reason::ResizeFailed, words).await;
        let why = failure.to_string();
        let stage = match failure {
            Failure::Refused(refusal) if refusal.code.is_hopeless() => Stage::Hopeless(&why),
            Failure::Refused(refusal) if !refusal.code.may_go_on() => Stage::Failed(&why),
            Failure::Refused(_) => Stage::Uncertain,
            Failure::Api(_) | Failure::Wrong(_) => return Next::Retry,
        };
        if let Err(failure) = self.tell(stage).await {
            log::warn!("claim `{}` could not be told so: {failure}", self.claim.name_any());
        }
        // A hopeless one is put off by what its claim now says.
        Next::Retry
    }

    /// Says in the claim where its growing is.
    async fn tell(&mut self, stage: Stage<'_>) -> Result<(), Failure> {
        if let Some(patch) = growth::told(&self.claim, stage, Timestamp::now()) {
            let name = self.claim.name_any();
            let patch = Patch::Merge(patch);
            self.claim = self.api.patch_status(&name, &PatchParams::default(), &patch).await?;
        }
        Ok(())
    }

    async fn event(&self, reason: Reason, words: String) {
        self.context.events.tell(reason, &self.claim.object_ref(&()), words).await;
    }
}
