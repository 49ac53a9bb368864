//! `becket volume`.

use crate::args::{VolumeCommand, VolumeCreate};
use crate::output::{self, Form};
use becket_core::engine::NewVolume;
use becket_core::error::shown;
use becket_core::record::{Birth, Content, Origin, OriginKind, Provisioning, VolumeRecord};
use becket_core::{Engine, Name, Result, size};
use serde::Serialize;

pub(super) fn run(engine: &Engine, command: &VolumeCommand, form: Form) -> Result<()> {
    match command {
        VolumeCommand::Create(new) => create(engine, new, form),
        VolumeCommand::List(at) => list(engine, &at.pool, form),
        VolumeCommand::Show { name, at } => show(engine, &at.pool, name, form),
        VolumeCommand::Expand { name, at, size } => {
            let record = engine.expand(&at.pool, name, *size)?;
            let granule = engine.granularity(&at.pool, &record.parameters)?;
            let has = size::display(record.size);
            match record.size > *size && record.size - *size >= granule {
                true => output::say(format_args!(
                    "volume `{name}` stays at {has}: volumes never shrink"
                )),
                false => output::say(format_args!("volume `{name}` has {has}")),
            }
            show(engine, &at.pool, name, form)
        }
        VolumeCommand::Release { name, at, node } => release(engine, &at.pool, name, node, form),
        VolumeCommand::Delete { name, at } => {
            let existed = engine.delete(&at.pool, name)?;
            super::say_deleted(engine, &at.pool, "volume", name, existed)?;
            Ok(())
        }
    }
}

/// Takes back the claim of one node. A volume that does not exist is an error: nothing of it is to be had.
fn release(engine: &Engine, pool: &Name, name: &Name, node: &str, form: Form) -> Result<()> {
    engine.volume(pool, name)?;
    let shown = shown(node);
    match engine.release_claim(pool, name, Some(node))? {
        true => {
            output::say(format_args!("volume `{name}` is not claimed by node `{shown}` any more"))
        }
        false => output::say(format_args!(
            "volume `{name}` is not claimed by node `{shown}`; nothing was released"
        )),
    }
    show(engine, pool, name, form)
}

fn create(engine: &Engine, new: &VolumeCreate, form: Form) -> Result<()> {
    let origin = |kind, name: &Name| Origin::named(kind, name.clone());
    let from_snapshot = new.from_snapshot.as_ref().map(|name| origin(OriginKind::Snapshot, name));
    let from_volume = new.from_volume.as_ref().map(|name| origin(OriginKind::Volume, name));
    let content = match new.block {
        true => Some(Content::Block),
        false => new.filesystem.map(Content::from),
    };
    engine.create(
        &new.at.pool,
        &NewVolume {
            content,
            provisioning: new.thick.then_some(Provisioning::Thick),
            origin: from_snapshot.or(from_volume),
            parameters: new.parameters.iter().cloned().collect(),
            ..NewVolume::new(new.name.clone(), new.size.unwrap_or(0))
        },
    )?;
    output::say(format_args!("volume `{}` is ready", new.name));
    show(engine, &new.at.pool, &new.name, form)
}

/// A volume as `-o json` shows it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct VolumeView {
    #[serde(flatten)]
    record: VolumeRecord,
    pool: Name,
    allocated: u64,
    /// Left out of lists, where finding them would cost a look at the whole node for each volume.
    #[serde(skip_serializing_if = "Option::is_none")]
    mounts: Option<Vec<String>>,
}

/// What the volume is limited to: a size that is not enforced is no limit.
fn limit(record: &VolumeRecord) -> String {
    let unlimited = record.parameters.get("limit").is_some_and(|limit| limit == "none");
    match (record.size, unlimited) {
        (0, _) => "none".to_owned(),
        (size, true) => format!("none ({})", size::display(size)),
        (size, false) => size::display(size),
    }
}

/// What is not done yet of an encrypted volume, because it takes its passphrase.
fn unfinished(birth: Birth) -> Option<&'static str> {
    match birth {
        Birth::Preparing | Birth::Ready => None,
        Birth::Blank => Some("empty until it is staged"),
        Birth::Formatting => Some("its first stage was cut short, and is finished by the next one"),
        Birth::Copied => Some("made its own when it is staged"),
    }
}

fn list(engine: &Engine, pool: &Name, form: Form) -> Result<()> {
    let records = engine.volumes(pool)?;
    let allocated = engine.allocated(pool, &records)?;
    let views: Vec<VolumeView> = records
        .into_iter()
        .zip(allocated)
        .map(|(record, allocated)| VolumeView {
            record,
            pool: pool.clone(),
            allocated,
            mounts: None,
        })
        .collect();
    let rows: Vec<Vec<String>> = views
        .iter()
        .map(|view| {
            vec![
                view.record.name.to_string(),
                limit(&view.record),
                size::display(view.allocated),
                view.record.content.name().to_owned(),
                if view.record.provisioning == Provisioning::Thick { "thick" } else { "thin" }
                    .to_owned(),
                view.record.created.clone(),
            ]
        })
        .collect();
    output::list(form, &views, &["name", "size", "allocated", "content", "space", "created"], &rows)
}

fn show(engine: &Engine, pool: &Name, name: &Name, form: Form) -> Result<()> {
    let record = engine.volume(pool, name)?;
    let allocated = engine.allocated(pool, std::slice::from_ref(&record))?.into_iter().sum();
    let mounts: Vec<String> =
        engine.mounts(pool, &record)?.into_iter().map(|path| path.display().to_string()).collect();
    let view = VolumeView { record, pool: pool.clone(), allocated, mounts: Some(mounts) };
    let record = &view.record;
    let origin = record.origin.as_ref().map(|origin| match origin.kind {
        OriginKind::Snapshot => format!("snapshot {}", origin.name),
        OriginKind::Volume => format!("volume {}", origin.name),
    });
    let mut fields = vec![
        ("name", record.name.to_string()),
        ("pool", pool.to_string()),
        ("uuid", record.uuid.to_string()),
        ("size", limit(record)),
        ("allocated", size::display(view.allocated)),
        ("content", record.content.name().to_owned()),
        (
            "space",
            if record.provisioning == Provisioning::Thick { "thick" } else { "thin" }.to_owned(),
        ),
        ("origin", origin.unwrap_or_else(|| "-".to_owned())),
        ("created", record.created.clone()),
    ];
    fields.extend(unfinished(record.birth).map(|words| ("state", words.to_owned())));
    fields.extend(record.parameters.iter().map(|(key, value)| (key.as_str(), value.clone())));
    fields.extend(record.claims.iter().map(|claim| {
        let access = if claim.readonly { ", read-only" } else { "" };
        ("claimed by", format!("node {}{access}", shown(&claim.node)))
    }));
    fields.extend(view.mounts.iter().flatten().map(|path| ("mounted at", path.clone())));
    output::object(form, &view, &fields)
}
