//! Cutting and deleting the snapshots that `VolumeSnapshotContent`s stand for.

use crate::class;
use crate::content::{self, BEING_CUT, Due, FINALIZER, Place, SECRET};
use crate::contents::{Acted, Contents, Kind};
use crate::driver::{Cut, Driver, ToCut};
use crate::duties::Context;
use crate::events::Reason;
use crate::failure::Failure;
use crate::queue::Next;
use crate::source;
use crate::volume::is_reachable;
use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{Api, DynamicObject};
use kube::core::ApiResource;
use serde_json::Value;

/// The kind of the contents.
pub(crate) fn kind() -> ApiResource {
    source::kind("VolumeSnapshotContent")
}

/// Does what is due for the content of this name.
pub(crate) async fn serve<D: Driver>(context: &Context<D>, name: &str) -> Next {
    let work = Work { contents: Contents { context, kind: snapshots() } };
    let content = match work.contents.read(name).await {
        Ok(Some(content)) => content,
        Ok(None) => return Next::Done,
        Err(error) => return context.failed(&format!("read snapshot content `{name}`"), &error),
    };
    let due = content::due(&content);
    if due == Due::Nothing {
        return Next::Done;
    }
    match work.take(content, &due).await {
        Ok(None) => Next::Done,
        Ok(Some(content)) => match work.act(&content, due).await {
            Ok(next) => next,
            Err(refused) => work.contents.refused(&content, refused).await,
        },
        Err(failure) => {
            log::warn!("it is not known whose snapshot content `{name}` is: {failure}");
            Next::Retry
        }
    }
}

fn snapshots() -> Kind {
    Kind {
        contents: kind(),
        classes: source::kind("VolumeSnapshotClass"),
        class: "volumeSnapshotClassName",
        owner: "volumeSnapshotRef",
        own_keys: ["volumesnapshot/name", "volumesnapshot/namespace", "volumesnapshotcontent/name"],
        of_driver: class::of_snapshots,
        being_cut: BEING_CUT,
        secret: SECRET,
        finalizer: FINALIZER,
    }
}

struct Work<'a, D> {
    contents: Contents<'a, D>,
}

impl<D: Driver> Work<'_, D> {
    /// The content, if it is for this node.
    async fn take(
        &self,
        content: DynamicObject,
        due: &Due,
    ) -> Result<Option<DynamicObject>, Failure> {
        match self.contents.place(&content) {
            Place::Here => Ok(Some(content)),
            Place::Elsewhere => Ok(None),
            Place::Unsaid if self.is_here(&content, due).await? => {
                self.contents.mark(&content).await.map(Some)
            }
            Place::Unsaid => Ok(None),
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
            let known = self.driver().knows(volume).await.map_err(Failure::Refused)?;
            return Ok(known && self.is_of_own_volume(spec, volume).await?);
        }
        let id = match due {
            Due::LookUp(id) | Due::Delete(Some(id)) => id,
            Due::Cut { .. } | Due::Settle | Due::Delete(None) | Due::Nothing => return Ok(false),
        };
        let found = self.driver().snapshot(id).await.map_err(Failure::Refused)?;
        if found.is_some() && !content::is_of_one_node(id) {
            let words = format!(
                "another node may have a snapshot `{id}` too; the label `{}` says whose it is",
                content::NODE
            );
            self.contents.event(content, Reason::SnapshotLookUpFailed, words).await;
            return Ok(false);
        }
        Ok(found.is_some())
    }

    /// True when the claim that the snapshot is of has a volume of this node, of this id.
    async fn is_of_own_volume(&self, spec: &Value, volume: &str) -> Result<bool, Failure> {
        let client = || self.contents.context.client.clone();
        let of = &spec["volumeSnapshotRef"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (text(&of["namespace"]), text(&of["name"]));
        let snapshots: Api<DynamicObject> =
            Api::namespaced_with(client(), &namespace, &source::kind("VolumeSnapshot"));
        let Some(snapshot) = snapshots.get_opt(&name).await? else { return Ok(false) };
        let claim = text(&snapshot.data["spec"]["source"]["persistentVolumeClaimName"]);
        let claims: Api<PersistentVolumeClaim> = Api::namespaced(client(), &namespace);
        let Some(claim) = claims.get_opt(&claim).await? else { return Ok(false) };
        let name = claim.spec.and_then(|spec| spec.volume_name).unwrap_or_default();
        let volumes: Api<PersistentVolume> = Api::all(client());
        let Some(found) = volumes.get_opt(&name).await? else { return Ok(false) };
        let source = found.spec.as_ref().and_then(|spec| spec.csi.as_ref());
        let same = source.is_some_and(|source| {
            source.driver == self.driver().name() && source.volume_handle == volume
        });
        Ok(same && is_reachable(&found, &self.driver().segments()))
    }

    async fn act(&self, content: &DynamicObject, due: Due) -> Acted {
        let settling = |failure| (Reason::SnapshotCreationFailed, failure);
        match due {
            Due::Nothing => Ok(Next::Done),
            Due::Cut { name, volume } => self.cut(content, name, volume).await,
            Due::LookUp(id) => self.look_up(content, &id).await,
            // The change comes back as one, and with it what is due then.
            Due::Settle => {
                self.contents.settle(content).await.map_err(settling)?;
                Ok(Next::Done)
            }
            Due::Delete(id) => self.delete(content, id).await,
        }
    }

    async fn cut(&self, content: &DynamicObject, name: String, volume: String) -> Acted {
        let failed = |failure| (Reason::SnapshotCreationFailed, failure);
        let parameters = self.contents.parameters(content).await.map_err(failed)?;
        let secrets = self.contents.secrets(content).await.map_err(failed)?;
        // From here on there may be a snapshot of which only the driver knows.
        let begun = self.contents.begin(content).await.map_err(failed)?;
        let wanted = ToCut { name, volume, parameters, secrets };
        match self.driver().cut(wanted).await {
            Ok(cut) => self.told(&begun, &cut).await.map_err(failed),
            Err(refusal) => {
                let of = content.data["spec"]["source"]["volumeHandle"].as_str();
                log::warn!("no snapshot of `{}`: {refusal}", of.unwrap_or_default());
                Err(failed(self.contents.not_cut(&begun, refusal).await))
            }
        }
    }

    async fn look_up(&self, content: &DynamicObject, id: &str) -> Acted {
        let failed = |failure| (Reason::SnapshotLookUpFailed, failure);
        let found = self.driver().snapshot(id).await;
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
        if let Some(id) = id {
            let secrets = self.contents.secrets(content).await.map_err(failed)?;
            let deleted = self.driver().delete_snapshot(&id, secrets).await;
            deleted.map_err(|refusal| failed(Failure::Refused(refusal)))?;
            let cleared = self.contents.deleted(content, &id, content::deleted()).await;
            cleared.map_err(failed)?;
        }
        self.contents.release(content).await.map_err(failed)?;
        Ok(Next::Done)
    }

    async fn told(&self, content: &DynamicObject, cut: &Cut) -> Result<Next, Failure> {
        let (patch, what) = (content::told(content, cut), (cut.id.as_str(), cut.is_ready));
        self.contents.told(content, patch, what).await
    }

    fn driver(&self) -> &D {
        &self.contents.context.driver
    }
}
