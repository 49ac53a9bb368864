//! Cutting and deleting the group snapshots that `VolumeGroupSnapshotContent`s stand for.

use crate::class;
use crate::content::{self, Place};
use crate::contents::{Acted, Contents, Kind};
use crate::driver::{Driver, Group, GroupToCut};
use crate::duties::Context;
use crate::events::Reason;
use crate::failure::Failure;
use crate::group_content::{self, BEING_CUT, Due, FINALIZER, Named, SECRET};
use crate::queue::Next;
use crate::source::group_kind;
use crate::volume::is_reachable;
use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::ApiResource;

/// The kind of the contents.
pub(crate) fn kind() -> ApiResource {
    group_kind("VolumeGroupSnapshotContent")
}

/// Does what is due for the content of this name.
pub(crate) async fn serve<D: Driver>(context: &Context<D>, name: &str) -> Next {
    let work = Work { contents: Contents { context, kind: groups() } };
    let content = match work.contents.read(name).await {
        Ok(Some(content)) => content,
        Ok(None) => return Next::Done,
        Err(error) => {
            return context.failed(&format!("read group snapshot content `{name}`"), &error);
        }
    };
    let due = group_content::due(&content);
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
            log::warn!("it is not known whose group snapshot content `{name}` is: {failure}");
            Next::Retry
        }
    }
}

fn groups() -> Kind {
    Kind {
        contents: kind(),
        classes: group_kind("VolumeGroupSnapshotClass"),
        class: "volumeGroupSnapshotClassName",
        owner: "volumeGroupSnapshotRef",
        own_keys: [
            "volumegroupsnapshot/name",
            "volumegroupsnapshot/namespace",
            "volumegroupsnapshotcontent/name",
        ],
        of_driver: class::of_groups,
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
            Place::Unsaid if self.is_here(due).await? => {
                self.contents.mark(&content).await.map(Some)
            }
            Place::Unsaid => Ok(None),
        }
    }

    /// True when it is certain that the group is this node's, or the first volume it is to be of: if others
    /// are another node's, it is this node that says so.
    async fn is_here(&self, due: &Due) -> Result<bool, Failure> {
        match due {
            Due::Nothing | Due::Settle => Ok(false),
            // There is no group: whoever comes first may let the object go.
            Due::Delete(None) => Ok(true),
            Due::Cut { volumes, .. } => match volumes.first() {
                Some(volume) => self.has(volume).await,
                None => Ok(false),
            },
            Due::LookUp(named) | Due::Delete(Some(named)) => {
                let found = self.driver().group(&named.id, &named.members).await;
                let found = found.map_err(Failure::Refused)?.is_some();
                Ok(found && content::is_of_one_node(&named.id))
            }
        }
    }

    /// True when the volume of this id is this node's.
    async fn has(&self, volume: &str) -> Result<bool, Failure> {
        if !self.driver().knows(volume).await.map_err(Failure::Refused)? {
            return Ok(false);
        }
        if content::is_of_one_node(volume) {
            return Ok(true);
        }
        // Another node may have one of that id too, so it is what the cluster calls so that has to be here.
        let volumes: Api<PersistentVolume> = Api::all(self.contents.context.client.clone());
        let all = volumes.list(&ListParams::default()).await?;
        Ok(all.items.iter().any(|found| {
            let source = found.spec.as_ref().and_then(|spec| spec.csi.as_ref());
            let same = source.is_some_and(|source| {
                source.driver == self.driver().name() && source.volume_handle == volume
            });
            same && is_reachable(found, &self.driver().segments())
        }))
    }

    async fn act(&self, content: &DynamicObject, due: Due) -> Acted {
        let settling = |failure| (Reason::GroupSnapshotCreationFailed, failure);
        match due {
            Due::Nothing => Ok(Next::Done),
            Due::Cut { name, volumes } => self.cut(content, name, volumes).await,
            Due::LookUp(named) => self.look_up(content, &named).await,
            // The change comes back as one, and with it what is due then.
            Due::Settle => {
                self.contents.settle(content).await.map_err(settling)?;
                Ok(Next::Done)
            }
            Due::Delete(named) => self.delete(content, named).await,
        }
    }

    async fn cut(&self, content: &DynamicObject, name: String, volumes: Vec<String>) -> Acted {
        let failed = |failure| (Reason::GroupSnapshotCreationFailed, failure);
        let parameters = self.contents.parameters(content).await.map_err(failed)?;
        let secrets = self.contents.secrets(content).await.map_err(failed)?;
        // From here on there may be a group of which only the driver knows.
        let begun = self.contents.begin(content).await.map_err(failed)?;
        let wanted = GroupToCut { name, volumes, parameters, secrets };
        match self.driver().cut_group(wanted).await {
            Ok(group) => self.told(&begun, &group).await.map_err(failed),
            Err(refusal) => Err(failed(self.contents.not_cut(&begun, refusal).await)),
        }
    }

    async fn look_up(&self, content: &DynamicObject, named: &Named) -> Acted {
        let failed = |failure| (Reason::GroupSnapshotLookUpFailed, failure);
        let found = self.driver().group(&named.id, &named.members).await;
        match found.map_err(|refusal| failed(Failure::Refused(refusal)))? {
            Some(group) => self.told(content, &group).await.map_err(failed),
            None => {
                let words = format!("group snapshot `{}` is not there", named.id);
                Err(failed(Failure::Wrong(words)))
            }
        }
    }

    async fn delete(&self, content: &DynamicObject, named: Option<Named>) -> Acted {
        let failed = |failure| (Reason::GroupSnapshotDeleteError, failure);
        if let Some(Named { id, members }) = named {
            let secrets = self.contents.secrets(content).await.map_err(failed)?;
            let deleted = self.driver().delete_group(&id, &members, secrets).await;
            deleted.map_err(|refusal| failed(Failure::Refused(refusal)))?;
            let cleared = self.contents.deleted(content, &id, group_content::deleted()).await;
            cleared.map_err(failed)?;
        }
        self.contents.release(content).await.map_err(failed)?;
        Ok(Next::Done)
    }

    async fn told(&self, content: &DynamicObject, group: &Group) -> Result<Next, Failure> {
        let (patch, what) =
            (group_content::told(content, group), (group.id.as_str(), group.is_ready));
        self.contents.told(content, patch, what).await
    }

    fn driver(&self) -> &D {
        &self.contents.context.driver
    }
}
