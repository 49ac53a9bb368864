//! What the duties of `VolumeSnapshotContent`s and of `VolumeGroupSnapshotContent`s have in common: how they
//! read such objects and what belongs to them, and write to them.

use crate::content::{self, NODE, Place};
use crate::driver::{Driver, Refusal, Secrets, Words};
use crate::duties::Context;
use crate::events::Reason;
use crate::failure::Failure;
use crate::queue::Next;
use crate::{class, finalizer, secrets};
use k8s_openapi::api::core::v1::SecretReference;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::ApiResource;
use serde_json::{Value, json};

/// What became of a piece of work.
pub(crate) type Acted = Result<Next, (Reason, Failure)>;

/// A kind of contents, by what is different about it.
pub(crate) struct Kind {
    pub(crate) contents: ApiResource,
    pub(crate) classes: ApiResource,
    /// Where contents name their class, and whose they are.
    pub(crate) class: &'static str,
    pub(crate) owner: &'static str,
    /// The keys of Kubernetes' own by which the driver is told whose they are.
    pub(crate) own_keys: [&'static str; 3],
    /// The parameters of a class that are for the driver.
    pub(crate) of_driver: fn(&Words) -> Result<Words, String>,
    /// The annotation that says that the driver may know of something of which the object does not.
    pub(crate) being_cut: &'static str,
    /// The annotations that name the secret.
    pub(crate) secret: [&'static str; 2],
    /// The finalizer of contents whose snapshots may still be to be deleted.
    pub(crate) finalizer: &'static str,
}

/// Contents of one kind, of whatever driver.
pub(crate) struct Contents<'a, D> {
    pub(crate) context: &'a Context<D>,
    pub(crate) kind: Kind,
}

impl<D: Driver> Contents<'_, D> {
    /// The content of this name, if there is one and it is the driver's.
    pub(crate) async fn read(&self, name: &str) -> kube::Result<Option<DynamicObject>> {
        let ours = |it: &DynamicObject| it.data["spec"]["driver"] == self.context.driver.name();
        Ok(self.api().get_opt(name).await?.filter(ours))
    }

    pub(crate) fn place(&self, content: &DynamicObject) -> Place {
        content::place(content.labels(), self.context.node.as_deref())
    }

    /// Has the content say from here on that it is this node's, so that whatever becomes of its volumes, its
    /// snapshots are found again.
    pub(crate) async fn mark(&self, content: &DynamicObject) -> Result<DynamicObject, Failure> {
        let labels = json!({NODE: self.context.node});
        let metadata = json!({"labels": labels, "resourceVersion": content.resource_version()});
        self.patch(content, json!({"metadata": metadata})).await
    }

    /// Says that the driver may know of more than the content.
    pub(crate) async fn begin(&self, content: &DynamicObject) -> Result<DynamicObject, Failure> {
        self.annotate(content, json!("yes")).await
    }

    /// Says that it does not.
    pub(crate) async fn settle(&self, content: &DynamicObject) -> Result<(), Failure> {
        match content.annotations().contains_key(self.kind.being_cut) {
            true => self.annotate(content, Value::Null).await.map(drop),
            false => Ok(()),
        }
    }

    async fn annotate(
        &self,
        content: &DynamicObject,
        value: Value,
    ) -> Result<DynamicObject, Failure> {
        let patch = json!({"metadata": {"annotations": {self.kind.being_cut: value}}});
        self.patch(content, patch).await
    }

    async fn patch(&self, content: &DynamicObject, patch: Value) -> Result<DynamicObject, Failure> {
        let name = content.name_any();
        Ok(self.api().patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    /// Changes the status by a merge patch.
    async fn tell(&self, content: &DynamicObject, patch: Value) -> Result<DynamicObject, Failure> {
        let (name, patch) = (content.name_any(), Patch::Merge(patch));
        Ok(self.api().patch_status(&name, &PatchParams::default(), &patch).await?)
    }

    /// Writes what the driver told of the snapshot or group of this id, which may have to be asked for again.
    pub(crate) async fn told(
        &self,
        content: &DynamicObject,
        patch: Value,
        (id, is_ready): (&str, bool),
    ) -> Result<Next, Failure> {
        let content = self.tell(content, patch).await?;
        if !is_ready {
            return Ok(Next::Retry);
        }
        self.settle(&content).await?;
        self.context.room_changed.notify_one();
        log::info!("{} `{}` has `{id}`", self.kind.contents.kind, content.name_any());
        Ok(Next::Done)
    }

    /// What follows when the driver did not cut what was begun. The word that it may have goes with the content,
    /// once the driver has surely failed.
    pub(crate) async fn not_cut(&self, begun: &DynamicObject, refusal: Refusal) -> Failure {
        let surely = !refusal.code.may_go_on();
        if surely
            && begun.metadata.deletion_timestamp.is_some()
            && let Err(failure) = self.settle(begun).await
        {
            return failure;
        }
        Failure::Refused(refusal)
    }

    /// Writes that the driver has deleted what had this id.
    pub(crate) async fn deleted(
        &self,
        content: &DynamicObject,
        id: &str,
        patch: Value,
    ) -> Result<(), Failure> {
        self.context.room_changed.notify_one();
        log::info!("`{id}` of {} `{}` is deleted", self.kind.contents.kind, content.name_any());
        self.tell(content, patch).await.map(drop)
    }

    /// Lets the object go.
    pub(crate) async fn release(&self, content: &DynamicObject) -> Result<(), Failure> {
        finalizer::remove(&self.api(), &content.name_any(), self.kind.finalizer).await
    }

    /// What the class says to the driver, and whose snapshot it is.
    pub(crate) async fn parameters(&self, content: &DynamicObject) -> Result<Words, Failure> {
        let spec = &content.data["spec"];
        let kind = &self.kind.classes.kind;
        let Some(name) = spec[self.kind.class].as_str() else {
            return Err(Failure::Wrong(format!("it has no {kind}")));
        };
        let wrong = |why: &str| Failure::Wrong(format!("{kind} `{name}` {why}"));
        let classes: Api<DynamicObject> =
            Api::all_with(self.context.client.clone(), &self.kind.classes);
        let class = classes.get_opt(name).await?.ok_or_else(|| wrong("is not there"))?;
        let given: Option<Words> = serde_json::from_value(class.data["parameters"].clone())
            .map_err(|error| wrong(&format!("has wrong parameters: {error}")))?;
        let mut parameters = (self.kind.of_driver)(&given.unwrap_or_default())?;
        let of = &spec[self.kind.owner];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let whose = [text(&of["name"]), text(&of["namespace"]), content.name_any()];
        let keys = self.kind.own_keys.map(class::own_key);
        parameters.extend(keys.into_iter().zip(whose));
        Ok(parameters)
    }

    pub(crate) async fn secrets(&self, content: &DynamicObject) -> Result<Secrets, Failure> {
        match self.kind.secret.map(|key| content.annotations().get(key).cloned()) {
            [None, None] => Ok(Secrets::default()),
            [name, namespace] => {
                let named = SecretReference { name, namespace };
                secrets::read(&self.context.client, &named).await
            }
        }
    }

    /// Says why it failed: as an event, and unless it was being deleted, in its status too.
    pub(crate) async fn refused(
        &self,
        content: &DynamicObject,
        (reason, failure): (Reason, Failure),
    ) -> Next {
        if failure.is_conflict() {
            // The change that came between comes back as one.
            return Next::Retry;
        }
        let words = reason.about_snapshot(&failure.to_string());
        log::warn!("{} `{}`: {words}", self.kind.contents.kind, content.name_any());
        self.event(content, reason, words.clone()).await;
        if !reason.is_of_deletion()
            && let Some(patch) = content::failed(content, &words, Timestamp::now())
            && let Err(error) = self.tell(content, patch).await
        {
            log::warn!("`{}` could not be told so: {error}", content.name_any());
        }
        Next::Retry
    }

    pub(crate) async fn event(&self, content: &DynamicObject, reason: Reason, words: String) {
        let about = kube::Resource::object_ref(content, &self.kind.contents);
        self.context.events.tell(reason, &about, words).await;
    }

    fn api(&self) -> Api<DynamicObject> {
        Api::all_with(self.context.client.clone(), &self.kind.contents)
    }
}
