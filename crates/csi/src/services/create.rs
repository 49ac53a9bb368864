//! `CreateVolume`: the same name and the same request are the same volume; everything else is told apart.

use crate::capability::Capability;
use crate::class::{self, Class};
use crate::identifier::Identifier;
use crate::plugin::Plugin;
use crate::protocol::csi::volume_content_source::{SnapshotSource, Type as Source, VolumeSource};
use crate::protocol::csi::{
    CreateVolumeRequest, CreateVolumeResponse, Volume, VolumeContentSource,
};
use crate::range::{self, Range};
use becket_core::engine::NewVolume;
use becket_core::record::{Content, Origin, OriginKind, VolumeRecord};
use becket_core::settings::Settings;
use becket_core::{Error, Kind, Name, Result, size};
use std::collections::HashMap;

/// The word of a volume's context that says which pool it is in, for pools that several nodes know.
pub const POOL_UUID: &str = "poolUuid";

/// Makes the volume, or finds that it is there already.
pub fn create(plugin: &Plugin, request: CreateVolumeRequest) -> Result<CreateVolumeResponse> {
    if request.name.is_empty() {
        return Err(Error::new(Kind::Invalid, "the volume's name is missing"));
    }
    let capabilities = Capability::read_all(&request.volume_capabilities)?;
    let class = Class::read(plugin.driver, &request.parameters)?;
    let usual = class.content.unwrap_or(class.usual(plugin.driver));
    for capability in &capabilities {
        capability.suits(plugin.driver, usual)?;
    }
    let range = Range::read(request.capacity_range.as_ref())?;
    let content = content(plugin, &capabilities, &class)?;
    let source = source(plugin, &request.name, request.volume_content_source.as_ref())?;
    let pool = pool(plugin, &class, source.as_ref())?;
    plugin.is_wanted_here("volume", request.accessibility_requirements.as_ref())?;
    let id = Identifier::of(pool.clone(), &request.name);
    refuse_elsewhere(plugin, &request.name, &pool)?;
    let kind = content.or(source.as_ref().map(|source| source.content));
    let kind = kind.unwrap_or(usual);
    let size = size(plugin, &id, &range, source.as_ref(), &class)?;
    let new = NewVolume {
        content,
        provisioning: class.provisioning,
        origin: source.as_ref().map(|source| source.origin.clone()),
        parameters: class.parameters,
        labels: class::labels(&request.name, &request.parameters),
        settings: Settings::read(&request.mutable_parameters, kind)?,
        ..NewVolume::new(id.name.clone(), size)
    };
    let record = plugin.engine.create(&pool, &new)?;
    Ok(CreateVolumeResponse { volume: Some(volume(plugin, &id, &record)) })
}

/// What the volume is to hold; `None` where that is open.
fn content(plugin: &Plugin, capabilities: &[Capability], class: &Class) -> Result<Option<Content>> {
    let mut content = None;
    let blocks = capabilities.iter().filter(|capability| capability.block).count();
    for capability in capabilities {
        let wanted = match capability.content(plugin.driver)? {
            Some(Content::Block) => Some(Content::Block),
            wanted => wanted.or(class.content),
        };
        if let (Some(one), Some(other)) = (content, wanted)
            && one != other
        {
            return Err(both(one, other));
        }
        content = content.or(wanted);
    }
    match blocks {
        0 => Ok(content),
        blocks if blocks == capabilities.len() => Ok(content),
        _ => Err(both(Content::Block, plugin.driver.filesystems()[0])),
    }
}

fn both(one: Content, other: Content) -> Error {
    let (one, other) = (one.name(), other.name());
    Error::new(Kind::Invalid, format!("a volume cannot be {one} and {other} at once"))
}

/// What a volume is copied from.
struct From {
    pool: Name,
    origin: Origin,
    size: u64,
    content: Content,
}

fn source(
    plugin: &Plugin,
    name: &str,
    given: Option<&VolumeContentSource>,
) -> Result<Option<From>> {
    let Some(given) = given else {
        return Ok(None);
    };
    let (kind, id, found) = match given.r#type.as_ref() {
        Some(Source::Snapshot(SnapshotSource { snapshot_id })) => {
            let found = plugin.snapshot(snapshot_id).map(|(_, found)| (found.size, found.content));
            (OriginKind::Snapshot, snapshot_id, found)
        }
        Some(Source::Volume(VolumeSource { volume_id })) => {
            let found = plugin.volume(volume_id).map(|(_, found)| (found.size, found.content));
            (OriginKind::Volume, volume_id, found)
        }
        None => return Err(Error::new(Kind::Invalid, "the type of the content source is missing")),
    };
    let id = Identifier::expect(id, "content source")?;
    // Of a copy that is there already, the source may be gone.
    let (size, content) = match found {
        Err(error) if error.kind() == Kind::NotFound => {
            copied_before(plugin, name, &id, kind).ok_or(error)?
        }
        found => found?,
    };
    Ok(Some(From { pool: id.pool, origin: Origin::named(kind, id.name), size, content }))
}

/// Size and content of the volume `name`, if it was made from that origin.
fn copied_before(
    plugin: &Plugin,
    name: &str,
    origin: &Identifier,
    kind: OriginKind,
) -> Option<(u64, Content)> {
    let id = Identifier::of(origin.pool.clone(), name);
    let found = plugin.engine.find_volume(&id.pool, &id.name).ok().flatten()?;
    let from = found.origin.as_ref()?;
    (from.kind == kind && from.name == origin.name).then_some((found.size, found.content))
}

/// A copy is made in its origin's pool.
fn pool(plugin: &Plugin, class: &Class, source: Option<&From>) -> Result<Name> {
    let pool = match (source, &class.named_pool) {
        (Some(source), Some(named)) if *named != source.pool => {
            let there = &source.pool;
            return Err(Error::new(
                Kind::Invalid,
                format!("the source is in pool `{there}`, and the class names pool `{named}`"),
            )
            .hint("use a class of the source's pool"));
        }
        (Some(source), _) => source.pool.clone(),
        (None, _) => class.pool(plugin.driver)?,
    };
    expect_pool(plugin, pool)
}

/// The pool, which must be of the driver's backend. `Invalid` when it is not, or not known here.
pub fn expect_pool(plugin: &Plugin, pool: Name) -> Result<Name> {
    match plugin.engine.open(&pool) {
        Ok(found) if found.record.backend == plugin.driver.backend() => Ok(pool),
        Ok(found) => Err(Error::new(
            Kind::Invalid,
            format!("pool `{pool}` is of the backend `{}`", found.record.backend),
        )),
        // A default pool is made with its first volume.
        Err(_) if plugin.engine.would_make(&pool)? => Ok(pool),
        Err(error) if error.kind() == Kind::NotFound => {
            Err(Error::new(Kind::Invalid, error.message().to_owned())
                .hint(error.advice().unwrap_or("name another pool").to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// A name stands for one volume, whatever pool another request would put it in. A pool that cannot be
/// looked into is no reason to make no volumes in the others.
fn refuse_elsewhere(plugin: &Plugin, name: &str, pool: &Name) -> Result<()> {
    for other in plugin.pools()?.0.into_iter().filter(|other| other != pool) {
        let id = Identifier::of(other, name);
        if let Ok(Some(_)) = plugin.engine.find_volume(&id.pool, &id.name) {
            return Err(Error::new(
                Kind::Conflict,
                format!("volume `{id}` has that name, and its parameters are others"),
            ));
        }
    }
    Ok(())
}

/// A volume that is there keeps its size where that is within the range; a copy is as large as its
/// source where nothing is said.
fn size(
    plugin: &Plugin,
    id: &Identifier,
    range: &Range,
    source: Option<&From>,
    class: &Class,
) -> Result<u64> {
    let known = plugin.engine.state().knows_pool(&id.pool)?;
    let found = if known { plugin.engine.find_volume(&id.pool, &id.name)? } else { None };
    if let Some(found) = found {
        return match range.holds(found.size) {
            true => Ok(found.size),
            false => Err(Error::new(
                Kind::Conflict,
                format!(
                    "volume `{id}` exists with {}, which is outside of the range",
                    size::display(found.size)
                ),
            )),
        };
    }
    let least = source.map_or(0, |source| source.size);
    // The default pool is made with its first volume.
    let granule = match known {
        true => plugin.engine.granularity(&id.pool, &class.parameters)?,
        false => size::GRANULE,
    };
    let open = if source.is_some() { least } else { range::DEFAULT };
    let chosen = range.choose(open, granule)?;
    match chosen < least {
        true => Err(Error::new(
            Kind::OutOfRange,
            format!("the source has {}, and a copy cannot be smaller", size::display(least)),
        )),
        false => Ok(chosen),
    }
}

/// The volume as every answer shows it.
pub fn volume(plugin: &Plugin, id: &Identifier, record: &VolumeRecord) -> Volume {
    let within = |name: &Name| Identifier { pool: id.pool.clone(), name: name.clone() }.to_string();
    let source = record.origin.as_ref().map(|origin| VolumeContentSource {
        r#type: Some(match origin.kind {
            OriginKind::Snapshot => {
                Source::Snapshot(SnapshotSource { snapshot_id: within(&origin.name) })
            }
            OriginKind::Volume => Source::Volume(VolumeSource { volume_id: within(&origin.name) }),
        }),
    });
    let mut context = HashMap::from([
        ("pool".to_owned(), id.pool.to_string()),
        ("content".to_owned(), record.content.name().to_owned()),
    ]);
    // On another node the pool's name might mean another pool.
    if plugin.driver.is_shared()
        && let Ok(uuid) = plugin.engine.pool_uuid(&id.pool)
    {
        context.insert(POOL_UUID.to_owned(), uuid.to_string());
    }
    Volume {
        capacity_bytes: i64::try_from(record.size).unwrap_or(i64::MAX),
        volume_id: id.to_string(),
        volume_context: context,
        content_source: source,
        accessible_topology: plugin.topologies(),
    }
}
