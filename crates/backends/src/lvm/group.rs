//! A volume group as one report tells it, and which of its logical volumes are whose.

use super::command::{self, Rows, Tables};
use super::seen;
use super::tags::Tags;
use becket_core::error::shown;
use becket_core::record::Record;
use becket_core::{Error, Kind, Name, Pool, Result};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The parameter of a pool that names its volume group.
pub const GROUP: &str = "volumeGroup";

/// The parameter of a pool that holds the identity of its volume group.
pub const GROUP_UUID: &str = "volumeGroupUuid";

/// The parameter of a pool of thin volumes that names its thin pool in the group.
pub const THIN_POOL: &str = "thinPool";

/// The tag that says to which pool, by its UUID, something belongs.
pub(super) const POOL: &str = "pool";

/// The tag that says what a logical volume is: `volume` or `snapshot`.
pub(super) const KIND: &str = "kind";

/// The tag that says where it stands: [`PREPARING`], [`READY`] or [`TRASH`].
pub(super) const STATE: &str = "state";

pub(super) const PREPARING: &str = "preparing";
pub(super) const READY: &str = "ready";
pub(super) const TRASH: &str = "trash";

/// The area of tags with its record.
pub(super) const RECORD: &str = "r";

/// The area of tags with its record of the trash.
pub(super) const TRASHED: &str = "t";

/// What is asked of the group, of its devices, and of each logical volume; and nothing of the rest of a whole
/// report, which cannot be left out.
const COLUMNS: [&str; 20] = [
    "--configreport",
    "vg",
    "-o",
    "vg_name,vg_uuid,vg_tags,vg_size,vg_free,vg_extent_size,vg_missing_pv_count,vg_mda_free",
    "--configreport",
    "pv",
    "-o",
    "pv_name,pv_mda_count,pv_mda_used_count",
    "--configreport",
    "lv",
    "-o",
    "lv_name,lv_uuid,lv_tags,lv_size,lv_attr,lv_role,origin,pool_lv",
    "--configreport",
    "pvseg",
    "--select",
    "pvseg_size=0",
    "--configreport",
    "seg",
    "--select",
    "seg_size=0",
];

/// A volume group.
#[derive(Debug, Clone)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) uuid: String,
    pub(super) tags: Tags,
    /// Bytes in all, and bytes in no logical volume.
    pub(super) size: u64,
    pub(super) free: u64,
    /// Logical volumes are multiples of this many bytes.
    pub(super) extent: u64,
    /// Devices that are not there.
    pub(super) missing: u64,
    /// Bytes that the group's own description may still grow by.
    pub(super) room: u64,
    pub(super) volumes: Vec<Logical>,
    /// Its devices that hold all its metadata; none where it cannot be said of some which metadata they hold.
    pub(super) devices: Vec<PathBuf>,
}

/// A logical volume.
#[derive(Debug, Clone)]
pub(super) struct Logical {
    pub(super) name: String,
    pub(super) uuid: String,
    pub(super) tags: Tags,
    pub(super) size: u64,
    /// `lvs` describes it: the first letter is its type, the eighth says whether new blocks are zeroed.
    pub(super) attributes: String,
    /// True when a thin snapshot or clone shares blocks with it.
    pub(super) shared: bool,
    /// The thin pool that it is in.
    pub(super) thin_pool: Option<String>,
}

impl Group {
    /// The group of this name as it is now; `None` where there is none.
    pub(super) fn named(name: &str) -> Result<Option<Arc<Group>>> {
        seen::or_report(name, || {
            let arguments = [&COLUMNS[..], &[name]].concat();
            let told = command::report("fullreport", &arguments, name)?;
            told.map(|told| read(&told)).transpose().map(Option::flatten)
        })
    }

    /// The group of the pool, as it was when the operation took its lock.
    ///
    /// `Unavailable` where it is not there, `WrongState` where another one has its name: neither proves
    /// that a volume does not exist.
    pub(super) fn of(pool: &Pool) -> Result<Arc<Group>> {
        let group = pool.memory.or_read(|| {
            let name = name_of(pool)?;
            let found = Group::named(name)?.ok_or_else(|| {
                Error::new(
                    Kind::Unavailable,
                    format!("volume group `{name}` of pool `{}` is not there", pool.name()),
                )
                .hint("are its disks attached? `pvs` and `vgs` show what is")
            })?;
            match pool.record.parameters.get(GROUP_UUID) {
                Some(uuid) if *uuid != found.uuid => Err(Error::new(
                    Kind::WrongState,
                    format!("`{name}` is another volume group than that of pool `{}`", pool.name()),
                )
                .hint("two groups of one name? `vgs -o+uuid` tells them apart")),
                _ => Ok(found),
            }
        })?;
        Ok(Arc::clone(&group))
    }

    /// `Unavailable` where devices of the group are missing: nothing is made or removed until they are back.
    pub(super) fn refuse_partial(&self) -> Result<()> {
        match self.missing {
            0 => Ok(()),
            missing => Err(Error::new(
                Kind::Unavailable,
                format!("volume group `{}` misses {missing} of its devices", self.name),
            )
            .hint("nothing is made or deleted in it until they are back; `pvs` shows them")),
        }
    }

    /// The logical volume of this name.
    pub(super) fn logical(&self, name: &str) -> Option<&Logical> {
        self.volumes.iter().find(|logical| logical.name == name)
    }

    /// The group as it is once `place`, itself or a logical volume in it, has these tags.
    pub(super) fn retagged(&self, place: &str, tags: &Tags) -> Group {
        let mut new = self.clone();
        match new.volumes.iter_mut().find(|logical| logical.place(self) == place) {
            Some(logical) => logical.tags = tags.clone(),
            None => new.tags = tags.clone(),
        }
        new
    }

    /// The logical volumes of the pool that are of this kind and stand there.
    pub(super) fn owned<'a>(
        &'a self,
        pool: &Pool,
        kind: &'a str,
        state: &'a str,
    ) -> impl Iterator<Item = &'a Logical> {
        let pool = pool.record.uuid.to_string();
        self.volumes.iter().filter(move |logical| {
            let tag = |key| logical.tags.get(key);
            tag(POOL) == Some(pool.as_str()) && tag(KIND) == Some(kind) && tag(STATE) == Some(state)
        })
    }

    /// The one among them whose record has this name. The record need not be readable otherwise.
    pub(super) fn find<'a>(
        &'a self,
        pool: &Pool,
        kind: &'a str,
        state: &'a str,
        name: &Name,
    ) -> Result<Option<&'a Logical>> {
        let mut found =
            self.owned(pool, kind, state).filter(|one| one.record_name() == Some(name.as_str()));
        match (found.next(), found.next()) {
            (found, None) => Ok(found),
            (Some(one), Some(other)) => Err(Error::new(
                Kind::WrongState,
                format!(
                    "`{}` and `{}` both say that they are {kind} `{name}`",
                    one.name, other.name
                ),
            )
            .hint("nothing was changed; look at both with `lvs -o+tags`")),
            (None, Some(_)) => Ok(None),
        }
    }
}

impl Logical {
    /// `GROUP/NAME`, as LVM's commands take it.
    pub(super) fn place(&self, group: &Group) -> String {
        format!("{}/{}", group.name, self.name)
    }

    /// True when it is active only while it is used: raw block volumes and snapshots.
    pub(super) fn rests(&self) -> bool {
        self.attributes.chars().nth(9) == Some('k')
    }

    /// The name in its record.
    pub(super) fn record_name(&self) -> Option<&str> {
        let text = self.tags.get("r.name")?;
        // A name that reads as something else than text is quoted.
        Some(text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text))
    }

    /// Its record.
    pub(super) fn record<R: Record>(&self) -> Result<R> {
        self.tags.record(RECORD, &self.name)
    }

    /// The UUID under which the device mapper has it.
    pub(super) fn mapped_uuid(&self, group: &Group) -> String {
        let plain = |uuid: &str| uuid.replace('-', "");
        format!("LVM-{}{}", plain(&group.uuid), plain(&self.uuid))
    }
}

/// The name of the pool's group.
pub(super) fn name_of(pool: &Pool) -> Result<&str> {
    group_in(&pool.record.parameters).map_err(|_| {
        Error::new(Kind::WrongState, format!("pool `{}` names no volume group", pool.name()))
    })
}

/// The group that parameters of a pool name.
pub(super) fn group_in(parameters: &BTreeMap<String, String>) -> Result<&str> {
    let name = parameters.get(GROUP).ok_or_else(|| {
        Error::new(Kind::Invalid, "a pool of logical volumes needs a volume group")
            .hint("name it with --vg, or name devices for a new one with --device")
    })?;
    check_name(name)
}

/// A name as LVM takes it for groups and logical volumes.
pub(super) fn check_name(name: &str) -> Result<&str> {
    let letters = |letter: char| letter.is_ascii_alphanumeric() || "+_.-".contains(letter);
    let fine = (1..=127).contains(&name.len())
        && name.chars().all(letters)
        && !name.starts_with('-')
        && name != "."
        && name != "..";
    match fine {
        true => Ok(name),
        false => Err(Error::new(Kind::Invalid, format!("`{}` is no name for LVM", shown(name)))
            .hint("1 to 127 of A-Z a-z 0-9 + _ . -, not starting with a hyphen")),
    }
}

fn read(told: &Tables) -> Result<Option<Group>> {
    let (groups, devices, volumes) = (told.rows("vg"), told.rows("pv"), told.rows("lv"));
    let Some(group) = groups.first() else { return Ok(None) };
    Ok(Some(Group {
        name: text(group, "vg_name").to_owned(),
        uuid: text(group, "vg_uuid").to_owned(),
        tags: Tags::read(text(group, "vg_tags")),
        size: number(group, "vg_size")?,
        free: number(group, "vg_free")?,
        extent: number(group, "vg_extent_size")?,
        missing: number(group, "vg_missing_pv_count")?,
        room: number(group, "vg_mda_free")?,
        volumes: volumes.iter().map(logical).collect::<Result<_>>()?,
        devices: with_metadata(&devices),
    }))
}

/// The devices of the group that hold metadata. None at all while one is missing, or where one does not use
/// all areas that it has: then it cannot be told by those devices alone whether the group has changed.
fn with_metadata(devices: &Rows) -> Vec<PathBuf> {
    let (mut paths, mut certain) = (Vec::new(), true);
    for device in devices {
        let areas = ["pv_mda_count", "pv_mda_used_count"].map(|key| number(device, key).ok());
        let path = PathBuf::from(text(device, "pv_name"));
        certain &= path.is_absolute() && areas[0].is_some() && areas[0] == areas[1];
        if areas[0] != Some(0) {
            paths.push(path);
        }
    }
    if certain { paths } else { Vec::new() }
}

fn logical(row: &Map<String, Value>) -> Result<Logical> {
    let some = |key| Some(text(row, key).to_owned()).filter(|text| !text.is_empty());
    let role = text(row, "lv_role");
    Ok(Logical {
        name: text(row, "lv_name").to_owned(),
        uuid: text(row, "lv_uuid").to_owned(),
        tags: Tags::read(text(row, "lv_tags")),
        size: number(row, "lv_size")?,
        attributes: text(row, "lv_attr").to_owned(),
        shared: some("origin").is_some() || role.split(',').any(|role| role == "thinorigin"),
        thin_pool: some("pool_lv"),
    })
}

fn text<'a>(row: &'a Map<String, Value>, key: &str) -> &'a str {
    row.get(key).and_then(Value::as_str).unwrap_or("")
}

fn number(row: &Map<String, Value>, key: &str) -> Result<u64> {
    text(row, key).parse().map_err(|_| {
        Error::new(Kind::Unavailable, format!("LVM's report has no number `{key}`"))
            .hint("is this LVM older than 2.02.158?")
    })
}
