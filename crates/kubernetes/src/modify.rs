//! Giving the volumes of claims the attributes that their classes of attributes say.

use crate::driver::{Code, Driver, Refusal, Secrets, Words};
use crate::duties::Context;
use crate::events::Reason;
use crate::failure::Failure;
use crate::modification::{self, Change, Stage};
use crate::queue::Next;
use crate::secrets;
use crate::volume::MODIFICATION_SECRET;
use k8s_openapi::api::core::v1::{
    CSIPersistentVolumeSource, PersistentVolume, PersistentVolumeClaim, SecretReference,
};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, Resource, ResourceExt};
use serde_json::json;
use std::time::Duration;

/// How often it is looked whether a class that was missing is there.
const MISSING: Duration = Duration::from_secs(60);

/// The attributes of the class of this name.
///
/// `None` where there is no such class. An error where it is another driver's.
pub(crate) async fn attributes(
    client: &Client,
    name: &str,
    driver: &str,
) -> Result<Option<Words>, Failure> {
    let classes: Api<VolumeAttributesClass> = Api::all(client.clone());
    match classes.get_opt(name).await? {
        None => Ok(None),
        Some(class) if class.driver_name == driver => {
            Ok(Some(class.parameters.unwrap_or_default()))
        }
        Some(class) => Err(Failure::Wrong(format!(
            "VAC {name} referenced in PVC is for driver {} which does not match driver name {driver}",
            class.driver_name
        ))),
    }
}

/// Does what is due for the attributes of a bound claim's volume.
pub(crate) async fn claim<D: Driver>(
    context: &Context<D>,
    api: &Api<PersistentVolumeClaim>,
    claim: &PersistentVolumeClaim,
    volume: &PersistentVolume,
    source: &CSIPersistentVolumeSource,
) -> Next {
    let mut work = Modifying { context, api, claim: claim.clone(), volume, source };
    let done = match modification::due(claim, Timestamp::now()) {
        Change::Nothing => return Next::Done,
        Change::Hopeless(left) => return Next::After(left),
        Change::Withdrawn => work.withdraw().await,
        Change::To(class) => work.to(&class).await,
    };
    match done {
        Ok(next) => next,
        // The change that came between comes back as one.
        Err(failure) if failure.is_conflict() => Next::Retry,
        Err(failure) => {
            let words = failure.to_string();
            log::warn!("volume `{}` could not be modified: {words}", volume.name_any());
            work.event(Reason::VolumeModifyFailed, words).await;
            Next::Retry
        }
    }
}

/// A claim whose volume gets other attributes.
struct Modifying<'a, D> {
    context: &'a Context<D>,
    api: &'a Api<PersistentVolumeClaim>,
    /// As it is now.
    claim: PersistentVolumeClaim,
    volume: &'a PersistentVolume,
    source: &'a CSIPersistentVolumeSource,
}

impl<D: Driver> Modifying<'_, D> {
    async fn to(&mut self, class: &str) -> Result<Next, Failure> {
        let (client, driver) = (&self.context.client, &self.context.driver);
        let attributes = match attributes(client, class, driver.name()).await {
            Ok(Some(attributes)) => attributes,
            Ok(None) => {
                self.tell(Stage::Pending).await?;
                let words = format!("VAC \"{class}\" does not exist.");
                self.event(Reason::VolumeModifyFailed, words).await;
                return Ok(Next::After(MISSING));
            }
            // The claim says so, as it would of attributes that the driver does not know.
            Err(Failure::Wrong(message)) => {
                return self.refused(class, Refusal { code: Code::INVALID, message }).await;
            }
            Err(failure) => return Err(failure),
        };
        self.tell(Stage::Begun(class)).await?;
        let name = self.claim.name_any();
        let words = format!("external resizer is modifying volume {name} with vac {class}");
        self.event(Reason::VolumeModify, words).await;
        let secrets = self.secrets().await?;
        if let Err(refusal) = driver.modify(&self.source.volume_handle, attributes, secrets).await {
            return self.refused(class, refusal).await;
        }
        // The claim after its volume: who sees it there finds it here.
        let volumes: Api<PersistentVolume> = Api::all(self.context.client.clone());
        let patch = json!({"spec": {"volumeAttributesClassName": class}});
        let patch = Patch::Merge(patch);
        volumes.patch(&self.volume.name_any(), &PatchParams::default(), &patch).await?;
        self.tell(Stage::Finished(class)).await?;
        log::info!("volume of claim `{name}` has the attributes of `{class}`");
        let words =
            format!("external resizer modified volume {name} with vac {class} successfully");
        self.event(Reason::VolumeModifySuccessful, words).await;
        Ok(Next::Done)
    }

    async fn refused(&mut self, class: &str, refusal: Refusal) -> Result<Next, Failure> {
        self.tell(Stage::Refused(class, &refusal)).await?;
        log::warn!("volume of claim `{}` is not modified: {refusal}", self.claim.name_any());
        self.event(Reason::VolumeModifyFailed, refusal.to_string()).await;
        // A hopeless one is put off by what its claim now says.
        Ok(Next::Retry)
    }

    async fn withdraw(&mut self) -> Result<Next, Failure> {
        self.tell(Stage::Withdrawn).await?;
        self.event(Reason::VolumeModifyCanceled, "Cancelled modify.".to_owned()).await;
        Ok(Next::Done)
    }

    /// Those that the volume says, and else those for growing it.
    async fn secrets(&self) -> Result<Secrets, Failure> {
        let said = MODIFICATION_SECRET.map(|key| self.volume.annotations().get(key).cloned());
        let named = match said {
            [Some(name), Some(namespace)] => {
                Some(SecretReference { name: Some(name), namespace: Some(namespace) })
            }
            _ => self.source.controller_expand_secret_ref.clone(),
        };
        match named {
            Some(named) => secrets::read(&self.context.client, &named).await,
            None => Ok(Secrets::default()),
        }
    }

    /// Says in the claim how far it is.
    async fn tell(&mut self, stage: Stage<'_>) -> Result<(), Failure> {
        if let Some(patch) = modification::told(&self.claim, stage, Timestamp::now()) {
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
