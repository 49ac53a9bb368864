//! Publishing: the staged volume, at a pod's path. Inline volumes live as long as their pod's path.

use super::create::expect_pool;
use super::{attach, share, stage};
use crate::capability::Capability;
use crate::class::{Class, KUBERNETES, labels};
use crate::identifier::Identifier;
use crate::place;
use crate::plugin::Plugin;
use crate::protocol::csi::{
    NodePublishVolumeRequest, NodePublishVolumeResponse, NodeUnpublishVolumeRequest,
    NodeUnpublishVolumeResponse,
};
use crate::range;
use becket_backends::directory::TEMPLATE;
use becket_backends::directory::template::{self, Identity};
use becket_core::encryption::Passphrase;
use becket_core::engine::{INLINE, NewVolume, Publication};
use becket_core::mount_flags::MountFlags;
use becket_core::record::{Content, VolumeRecord};
use becket_core::settings::Settings;
use becket_core::target::Target;
use becket_core::{Error, Kind, Name, Result, size};
use std::collections::HashMap;

/// Says, in a volume's context, that the pod's own definition holds the volume.
const EPHEMERAL: &str = "csi.storage.k8s.io/ephemeral";

/// How large such a volume is to be.
const SIZE: &str = "size";

/// `NodePublishVolume`.
pub fn publish(
    plugin: &Plugin,
    mut request: NodePublishVolumeRequest,
) -> Result<NodePublishVolumeResponse> {
    if request.volume_id.is_empty() {
        return Err(Error::new(Kind::Invalid, "the volume's id is missing"));
    }
    let capability = Capability::read(request.volume_capability.as_ref())?;
    let target = place::read(&request.target_path, "target")?;
    match share::read(plugin, &request.volume_context)? {
        Some(found) => share::publish(plugin, &found, &capability, &target, request.readonly)?,
        None if is_ephemeral(&request.volume_context) => {
            let passphrase = Passphrase::take(&mut request.secrets)?;
            publish_ephemeral(plugin, &request, &capability, &target, passphrase)?;
        }
        None => publish_staged(plugin, &request, &capability, &target)?,
    }
    Ok(NodePublishVolumeResponse {})
}

fn publish_staged(
    plugin: &Plugin,
    request: &NodePublishVolumeRequest,
    capability: &Capability,
    target: &Target,
) -> Result<()> {
    let (id, record) = plugin.volume(&request.volume_id)?;
    stage::fits(plugin, &id, &record, capability, target)?;
    let claim = attach::claim(plugin, &record)?;
    if request.staging_target_path.is_empty() {
        return Err(Error::new(Kind::WrongState, "the volume's staging path is missing")
            .hint("this driver's volumes are staged before they are published"));
    }
    let staging = place::read(&request.staging_target_path, "staging")?;
    let readonly = request.readonly || claim.is_some_and(|claim| claim.readonly);
    let below = below(&record, &request.volume_context)?;
    let publication = publication(capability, record.content, readonly, below)?;
    plugin.engine.publish(&id.pool, &id.name, &staging, target, &publication)
}

pub(super) fn publication(
    capability: &Capability,
    content: Content,
    readonly: bool,
    below: Option<String>,
) -> Result<Publication> {
    let flags = MountFlags::read(&capability.flags, content)?;
    Ok(Publication {
        readonly: readonly || capability.reads_only() || flags.attributes().readonly(),
        group: capability.group()?,
        deep: true,
        flags,
        exclusive: capability.exclusive(),
        asked: capability.words(),
        below,
        // It is staged already.
        passphrase: None,
    })
}

/// The pod's own directory in the volume, where the volume has one for each pod.
fn below(record: &VolumeRecord, context: &HashMap<String, String>) -> Result<Option<String>> {
    let Some(template) = record.parameters.get(TEMPLATE) else {
        return Ok(None);
    };
    let of_pod = |key: &str| context.get(&format!("{KUBERNETES}{key}")).map(String::as_str);
    if of_pod("pod.uid").is_none() {
        return Err(Error::new(
            Kind::WrongState,
            format!("volume `{}` has a directory for each pod, and no pod is named", record.name),
        )
        .hint("set podInfoOnMount in the driver's CSIDriver object"));
    }
    let identity = Identity {
        namespace: of_pod("pod.namespace").unwrap_or_default(),
        pod: of_pod("pod.name").unwrap_or_default(),
        uid: of_pod("pod.uid").unwrap_or_default(),
        volume: record.name.as_str(),
    };
    template::render(template, &identity).map(Some)
}

fn is_ephemeral(context: &HashMap<String, String>) -> bool {
    context.get(EPHEMERAL).is_some_and(|value| value == "true")
}

/// An inline volume is made, staged and published at once.
fn publish_ephemeral(
    plugin: &Plugin,
    request: &NodePublishVolumeRequest,
    capability: &Capability,
    target: &Target,
    passphrase: Option<Passphrase>,
) -> Result<()> {
    if capability.block {
        return Err(Error::new(Kind::Invalid, "an inline volume cannot be raw block"));
    }
    let mut attributes = request.volume_context.clone();
    let wanted = attributes.remove(SIZE).map(|text| size::parse(&text)).transpose()?;
    let class = Class::read(plugin.driver, &attributes)?;
    let usual = class.content.unwrap_or(class.usual(plugin.driver));
    capability.suits(plugin.driver, usual)?;
    let pool = expect_pool(plugin, class.pool(plugin.driver)?)?;
    let id = Identifier::of(pool, &request.volume_id);
    let content = capability.content(plugin.driver)?.or(class.content);
    let kept = HashMap::from([(EPHEMERAL.to_owned(), "true".to_owned())]);
    let mut labels = labels(&request.volume_id, &kept);
    labels.insert(INLINE.to_owned(), "true".to_owned());
    let new = NewVolume {
        content,
        provisioning: class.provisioning,
        parameters: class.parameters,
        labels,
        // It ends with its pod, so it is not kept for second thoughts.
        settings: Settings { trash_retention_seconds: Some(0), ..Settings::default() },
        ..NewVolume::new(id.name.clone(), wanted.unwrap_or(range::DEFAULT))
    };
    let kind = content.unwrap_or(usual);
    let publication = publication(capability, kind, request.readonly, None)?;
    // It is staged at a place of our own, so nothing is known of other paths.
    let publication = Publication { exclusive: false, passphrase, ..publication };
    plugin.engine.mount_inline(&id.pool, &new, target, &publication)
}

/// `NodeUnpublishVolume`: what is not there is unpublished; and the target goes with it.
pub fn unpublish(
    plugin: &Plugin,
    request: NodeUnpublishVolumeRequest,
) -> Result<NodeUnpublishVolumeResponse> {
    let target = stage::to_leave(&request.volume_id, &request.target_path, "target")?;
    let inline = || may_be_inline(plugin, &request.volume_id, target.as_ref());
    if share::may_be(plugin, &request.volume_id)? && !inline()? {
        if let Some(target) = target {
            share::unpublish(plugin, &request.volume_id, &target)?;
        }
        return Ok(NodeUnpublishVolumeResponse {});
    }
    match (Identifier::parse(&request.volume_id), target) {
        (Some(id), Some(target)) => plugin.engine.withdraw(&id.pool, &id.name, &target)?,
        (Some(_), None) => {}
        (None, target) => unpublish_ephemeral(plugin, &request.volume_id, target.as_ref())?,
    }
    Ok(NodeUnpublishVolumeResponse {})
}

/// How the kubelet's own ids of inline volumes begin.
const KUBELETS: &str = "csi-";

/// True when what is, or was, at the target may be an inline volume and not a share: by what is mounted there,
/// and by the id where nothing is.
fn may_be_inline(plugin: &Plugin, id: &str, target: Option<&Target>) -> Result<bool> {
    if Identifier::parse(id).is_some() {
        return Ok(false);
    }
    let Some(shown) = target.map(share::at).transpose()?.flatten() else {
        return Ok(id.starts_with(KUBELETS));
    };
    let (pools, _) = plugin.pools()?;
    // Its directory in a pool is named after it.
    let shows = |name: &Name| shown.iter().any(|part| part == name.as_str());
    Ok(pools.into_iter().any(|pool| shows(&Identifier::of(pool, id).name)))
}

/// Ends the inline volume that Kubernetes knows by `id`, in whatever pool it was made. One that is gone
/// already is ended; while a pool cannot be looked into, that is not known.
fn unpublish_ephemeral(plugin: &Plugin, id: &str, target: Option<&Target>) -> Result<()> {
    let (pools, mut broken) = plugin.pools()?;
    for pool in pools {
        let id = Identifier::of(pool, id);
        match plugin.engine.end_inline(&id.pool, &id.name, target) {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // Its server does not answer.
            Err(error) if error.kind() == Kind::Unavailable => broken.push((id.pool, error)),
            Err(error) => return Err(error),
        }
    }
    if let Some(target) = target {
        // Its pod ends although the volume cannot be found.
        match id.starts_with(KUBELETS) && !broken.is_empty() {
            true => plugin.engine.unpublish(target)?,
            false => stage::nothing_at(target, id)?,
        }
        target.remove()?;
    }
    match broken.into_iter().next() {
        None => Ok(()),
        Some((pool, error)) => Err(Error::new(
            Kind::Unavailable,
            format!("volume `{id}` may be in pool `{pool}`: {}", error.message()),
        )
        .hint("`becket pool delete --forget` forgets a pool that is gone for good")),
    }
}
