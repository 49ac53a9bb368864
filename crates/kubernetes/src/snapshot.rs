//! Cutting and deleting the snapshots that `VolumeSnapshotContent`s stand for.

use crate::class;
use crate::content::{self, BEING_CUT, Due, FINALIZER, Place, SECRET};
use crate::driver::{Cut, Driver, Secrets, ToCut, Words};
use crate::duties::Context;
use crate::events::Reason;
use crate::failure::Failure;
use crate::queue::Next;
use crate::source::kind;
use crate::volume::is_reachable;
use crate::{finalizer, secrets};
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, SecretReference};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use serde_json::{Value, json};

/// Contents, of whatever driver.
pub(crate) fn contents(client: &kube::Client) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &kind("VolumeSnapshotContent"))
}

/// Does what is due for the content of this name.
pub(crate) async fn serve<D: Driver>(context: &Context<D>, name: &str) -> Next {
    let api = contents(&context.client);
    let content = match api.get_opt(name).await {
        Ok(Some(content)) => content,
        Ok(None) => return Next::Done,
        Err(error) => return context.failed(&format!("read snapshot content `{name}`"), &error),
    };
    let due = content::due(&content);
    if content.data["spec"]["driver"] != context.driver.name() || due == Due::Nothing {
        return Next::Done;
    }
    let work = Work { context, api };
    match work.take(content, &due).await {
        Ok(None) => Next::Done,
        Ok(Some(content)) => match work.act(&content, due).await {
            Ok(next) => next,
            Err((reason, failure)) => work.refused(&content, reason, &failure).await,
        },
        Err(failure) => {
            log::warn!("it is not known whose snapshot content `{name}` is: {failure}");
            Next::Retry
        }
    }
}

struct Work<'a, D> {
    context: &'a Context<D>,
    api: Api<DynamicObject>,
}

type Acted = Result<Next, (Reason, Failure)>;

impl<D: Driver> Work<'_, D> {
    /// The content, if it is for this node. One that does not say for which it is says so from here on, so
    /// that whatever becomes of its volume, its snapshot is found again.
    async fn take(
        &self,
        content: DynamicObject,
        due: &Due,
    ) -> Result<Option<DynamicObject>, Failure> {
        let node = self.context.node.as_deref();
        match (content::place(content.labels(), node), node) {
            (Place::Here, _) | (_, None) => Ok(Some(content)),
            (Place::Elsewhere, _) => Ok(None),
            (Place::Unsaid, Some(node)) => {
                if !self.is_here(&content, due).await? {
                    return Ok(None);
                }
                let metadata = json!({
                    "labels": {content::NODE: node},
                    "resourceVersion": content.resource_version(),
                });
                Ok(Some(self.patch(&content, json!({"metadata": metadata})).await?))
            }
        }
    }

    /// True when it is certain that the snapshot is this node's, or the volume it is to be of.
    async fn is_here(&self, content: &DynamicObject, due: &Due) -> Result<bool, Failure> {
        let spec = &content.data["spec"];
        if *due == Due::Delete(None) {
            // There is no snapshot: whoever comes first may let the object go.
            return Ok(true);
        }
        if let Some(volume) = spec["source"]["volumeHandle"].as_str() {
            let known = self.context.driver.knows(volume).await.map_err(Failure::Refused)?;
            return Ok(known && self.is_of_own_volume(spec, volume).await?);
        }
        let id = match due {
            Due::LookUp(id) | Due::Delete(Some(id)) => id,
            Due::Cut { .. } | Due::Delete(None) | Due::Nothing => return Ok(false),
        };
        let found = self.context.driver.snapshot(id).await.map_err(Failure::Refused)?;
        if found.is_some() && !content::is_of_one_node(id) {
            let words = format!(
                "another node may have a snapshot `{id}` too; the label `{}` says whose it is",
                content::NODE
            );
            self.event(content, Reason::SnapshotLookUpFailed, words).await;
            return Ok(false);
        }
        Ok(found.is_some())
    }

    /// True when the claim that the snapshot is of has a volume of this node, of this id.
    async fn is_of_own_volume(&self, spec: &Value, volume: &str) -> Result<bool, Failure> {
        let client = || self.context.client.clone();
        let of = &spec["volumeSnapshotRef"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (text(&of["namespace"]), text(&of["name"]));
        let snapshots: Api<DynamicObject> =
            Api::namespaced_with(client(), &namespace, &kind("VolumeSnapshot"));
        let Some(snapshot) = snapshots.get_opt(&name).await? else { return Ok(false) };
        let claim = text(&snapshot.data["spec"]["source"]["persistentVolumeClaimName"]);
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client(), &namespace);
        let Some(claim) = claims.get_opt(&claim).await? else { return Ok(false) };
        let name = claim.spec.and_then(|spec| spec.volume_name).unwrap_or_default();
        let volumes: Api<PersistentVolume> = Api::all(client());
        let Some(found) = volumes.get_opt(&name).await? else { return Ok(false) };
        let source = found.spec.as_ref().and_then(|spec| spec.csi.as_ref());
        let same = source.is_some_and(|source| {
            source.driver == self.context.driver.name() && source.volume_handle == volume
        });
        Ok(same && is_reachable(&found, &self.context.driver.segments()))
    }

    async fn act(&self, content: &DynamicObject, due: Due) -> Acted {
        match due {
            Due::Nothing => Ok(Next::Done),
            Due::Cut { name, volume } => self.cut(content, name, volume).await,
            Due::LookUp(id) => self.look_up(content, &id).await,
            Due::Delete(id) => self.delete(content, id).await,
        }
    }

    async fn cut(&self, content: &DynamicObject, name: String, volume: String) -> Acted {
        let failed = |failure| (Reason::SnapshotCreationFailed, failure);
        let parameters = self.parameters(content).await.map_err(failed)?;
        let secrets = self.secrets(content).await.map_err(failed)?;
        // From here on there may be a snapshot of which only the driver knows. The word for that goes when
        // the driver has told of it; or with the content, once the driver has surely failed.
        let annotated = self.annotate(content, json!("yes")).await.map_err(failed)?;
        let wanted = ToCut { name, volume, parameters, secrets };
        match self.context.driver.cut(wanted).await {
            Ok(cut) => self.told(&annotated, &cut).await.map_err(failed),
            Err(refusal) => {
                let ended = !refusal.code.may_go_on();
                if ended && annotated.metadata.deletion_timestamp.is_some() {
                    self.annotate(&annotated, Value::Null).await.map_err(failed)?;
                }
                let of = content.data["spec"]["source"]["volumeHandle"].as_str();
                log::warn!("no snapshot of `{}`: {refusal}", of.unwrap_or_default());
                Err(failed(Failure::Refused(refusal)))
            }
        }
    }

    async fn look_up(&self, content: &DynamicObject, id: &str) -> Acted {
        let failed = |failure| (Reason::SnapshotLookUpFailed, failure);
        let found = self.context.driver.snapshot(id).await;
        match found.map_err(|refusal| failed(Failure::Refused(refusal)))? {
            Some(cut) => self.told(content, &cut).await.map_err(failed),
            None => {
                let words = format!("can not find snapshot for snapshotID {id}");
                Err(failed(Failure::Wrong(words)))
            }
        }
    }

    async fn delete(&self, content: &DynamicObject, id: Option<String>) -> Acted {
        let failed = |failure| (Reason::SnapshotDeleteError, failure);
        let name = content.name_any();
        if let Some(id) = id {
            let secrets = self.secrets(content).await.map_err(failed)?;
            let deleted = self.context.driver.delete_snapshot(&id, secrets).await;
            deleted.map_err(|refusal| failed(Failure::Refused(refusal)))?;
            self.context.room_changed.notify_one();
            log::info!("snapshot `{id}` of `{name}` is deleted");
            let patch = Patch::Merge(content::deleted());
            let cleared = self.api.patch_status(&name, &PatchParams::default(), &patch).await;
            cleared.map_err(|error| failed(error.into()))?;
        }
        finalizer::remove(&self.api, &name, FINALIZER).await.map_err(failed)?;
        Ok(Next::Done)
    }

    /// Writes what the driver told of the snapshot.
    async fn told(&self, content: &DynamicObject, cut: &Cut) -> Result<Next, Failure> {
        let patch = Patch::Merge(content::told(content, cut));
        let name = content.name_any();
        let content = self.api.patch_status(&name, &PatchParams::default(), &patch).await?;
        if !cut.is_ready {
            return Ok(Next::Retry);
        }
        if content.annotations().contains_key(BEING_CUT) {
            self.annotate(&content, Value::Null).await?;
        }
        self.context.room_changed.notify_one();
        log::info!("snapshot content `{name}` has snapshot `{}`", cut.id);
        Ok(Next::Done)
    }

    async fn refused(&self, content: &DynamicObject, reason: Reason, failure: &Failure) -> Next {
        if failure.is_conflict() {
            // The change that came between comes back as one.
            return Next::Retry;
        }
        let words = reason.about_snapshot(&failure.to_string());
        log::warn!("snapshot content `{}`: {words}", content.name_any());
        self.event(content, reason, words.clone()).await;
        if reason != Reason::SnapshotDeleteError
            && let Some(patch) = content::failed(content, &words, Timestamp::now())
        {
            let patch = Patch::Merge(patch);
            let name = content.name_any();
            if let Err(error) = self.api.patch_status(&name, &PatchParams::default(), &patch).await
            {
                log::warn!("snapshot content `{name}` could not be told so: {error}");
            }
        }
        Next::Retry
    }

    /// What the class says to the driver, and whose snapshot it is.
    async fn parameters(&self, content: &DynamicObject) -> Result<Words, Failure> {
        let spec = &content.data["spec"];
        let name = spec["volumeSnapshotClassName"].as_str();
        let name = name.ok_or_else(|| Failure::Wrong("it has no snapshot class".to_owned()))?;
        let classes: Api<DynamicObject> =
            Api::all_with(self.context.client.clone(), &kind("VolumeSnapshotClass"));
        let class = classes.get_opt(name).await?;
        let class =
            class.ok_or_else(|| Failure::Wrong(format!("snapshot class `{name}` is not there")))?;
        let given = class.data["parameters"].clone();
        let given: Option<Words> = serde_json::from_value(given)
            .map_err(|error| Failure::Wrong(format!("snapshot class `{name}`: {error}")))?;
        let mut parameters = class::of_snapshots(&given.unwrap_or_default())?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of = &spec["volumeSnapshotRef"];
        parameters.extend(
            [
                ("volumesnapshot/name", text(&of["name"])),
                ("volumesnapshot/namespace", text(&of["namespace"])),
                ("volumesnapshotcontent/name", content.name_any()),
            ]
            .map(|(key, value)| (class::own_key(key), value)),
        );
        Ok(parameters)
    }

    async fn secrets(&self, content: &DynamicObject) -> Result<Secrets, Failure> {
        match SECRET.map(|key| content.annotations().get(key).cloned()) {
            [None, None] => Ok(Secrets::default()),
            [name, namespace] => {
                let named = SecretReference { name, namespace };
                secrets::read(&self.context.client, &named).await
            }
        }
    }

    /// Says that the driver may know of more than the content, or no longer does.
    async fn annotate(
        &self,
        content: &DynamicObject,
        value: Value,
    ) -> Result<DynamicObject, Failure> {
        let patch = json!({"metadata": {"annotations": {BEING_CUT: value}}});
        self.patch(content, patch).await
    }

    async fn patch(&self, content: &DynamicObject, patch: Value) -> Result<DynamicObject, Failure> {
        let name = content.name_any();
        Ok(self.api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    async fn event(&self, content: &DynamicObject, reason: Reason, words: String) {
        let about = kube::Resource::object_ref(content, &kind("VolumeSnapshotContent"));
        self.context.events.tell(reason, &about, words).await;
    }
}
