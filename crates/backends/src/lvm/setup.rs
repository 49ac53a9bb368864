//! Making the ground of a pool: a volume group on devices, and a thin pool in it.
//!
//! It is planned first and shown, because it is the one thing here that can destroy what others wrote: a
//! device that holds anything is named with what it holds, and one in use is refused.

use super::group::{self, GROUP, GROUP_UUID, Group, THIN_POOL};
use super::{command, thin};
use becket_core::{Error, Kind, Name, Result};
use becket_sys::superblock::{self, Content};
use becket_sys::{Errno, block_device};
use rustix::fs::OFlags;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The size of the area on each device in which a new group describes itself: room for some ten thousand
/// volumes. LVM's own choice, 1 MiB, has room for five hundred.
const METADATA: &str = "32m";

/// The part of a group's free space that a new thin pool takes; the rest lets its metadata grow.
const THIN_PART: &str = "95%FREE";

/// The ground that a pool is to have.
#[derive(Debug, Clone)]
pub struct Ground {
    /// The pool's name, of which names are made that are not given.
    pub pool: Name,
    /// The volume group: a new one where `devices` are named, else one that is there.
    pub group: Option<String>,
    /// Devices for a new group.
    pub devices: Vec<PathBuf>,
    /// Thin volumes, in the thin pool of this name, which is made where it is not there.
    pub thin_pool: Option<String>,
}

/// What has to be done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
    group: String,
    thin_pool: Option<String>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// A device is given to LVM.
    Device {
        /// Its path.
        path: PathBuf,
        /// What it holds now and will lose; `None` when it is blank.
        holds: Option<String>,
    },
    /// A volume group is made of these devices.
    Group(Vec<PathBuf>),
    /// A thin pool is made in the group.
    ThinPool(String),
}

impl Plan {
    /// Devices that hold something now, which the plan destroys.
    pub fn destroyed(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.steps.iter().filter_map(|step| match step {
            Step::Device { path, holds: Some(holds) } => Some((path.as_path(), holds.as_str())),
            _ => None,
        })
    }

    /// The step in words.
    pub fn words(&self, step: &Step) -> String {
        match step {
            Step::Device { path, holds: Some(holds) } => {
                format!("give `{}` to LVM, which DESTROYS what it holds: {holds}", path.display())
            }
            Step::Device { path, holds: None } => {
                format!("give `{}` to LVM; it holds nothing", path.display())
            }
            Step::Group(devices) => {
                let devices: Vec<_> = devices.iter().map(|one| one.display().to_string()).collect();
                format!("make volume group `{}` of {}", self.group, devices.join(", "))
            }
            Step::ThinPool(name) => {
                format!("make thin pool `{name}` of {THIN_PART} of volume group `{}`", self.group)
            }
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "  {}", self.words(step)))
    }
}

/// Looks at what is there and says what has to be done. Nothing is changed.
///
/// `InUse` for a device that something uses, `NotFound` for a group that is not there.
pub fn plan(ground: &Ground) -> Result<Plan> {
    let group = match &ground.group {
        Some(name) => group::check_name(name)?.to_owned(),
        None if ground.devices.is_empty() => {
            return Err(Error::new(
                Kind::Invalid,
                "a pool of logical volumes needs a volume group",
            )
            .hint("name it with --vg, or name devices for a new one with --device"));
        }
        None => format!("becket-{}", ground.pool),
    };
    if let Some(name) = &ground.thin_pool {
        group::check_name(name)?;
    }
    let found = Group::named(&group)?;
    let mut steps = Vec::new();
    match &found {
        None if ground.devices.is_empty() => {
            return Err(Error::new(
                Kind::NotFound,
                format!("volume group `{group}` does not exist"),
            )
            .hint("`vgs` shows those that do; --device makes one"));
        }
        None => {
            for path in &ground.devices {
                steps.push(Step::Device { path: path.clone(), holds: look_at(path)? });
            }
            steps.push(Step::Group(ground.devices.clone()));
        }
        // Made by an earlier try that was cut short, or by people for this very pool.
        Some(_) if ground.devices.is_empty() || holds_all(&group, &ground.devices)? => {}
        Some(_) => {
            return Err(Error::new(
                Kind::Conflict,
                format!("volume group `{group}` exists already"),
            )
            .hint("leave --device out to use it as it is, or choose another name with --vg"));
        }
    }
    if let Some(name) = &ground.thin_pool {
        match found.as_ref().and_then(|found| Some((found, found.logical(name)?))) {
            None => steps.push(Step::ThinPool(name.clone())),
            Some((found, _)) => check_thin_pool(found, name)?,
        }
    }
    Ok(Plan { steps, group, thin_pool: ground.thin_pool.clone() })
}

/// Takes the steps and gives the pool's parameters. The caller has asked whoever decides about what is
/// destroyed.
pub fn carry_out(plan: &Plan) -> Result<BTreeMap<String, String>> {
    let name = &plan.group;
    for step in &plan.steps {
        let what = plan.words(step);
        match step {
            Step::Device { path, .. } => {
                let path = path.to_string_lossy();
                let arguments = ["pvcreate", "--metadatasize", METADATA, &path];
                command::change(&what, &arguments)?;
            }
            Step::Group(devices) => {
                let devices: Vec<_> = devices.iter().map(|one| one.to_string_lossy()).collect();
                let devices = devices.iter().map(AsRef::as_ref);
                let arguments: Vec<&str> = ["vgcreate", name].into_iter().chain(devices).collect();
                command::change(&what, &arguments)?;
            }
            Step::ThinPool(pool) => {
                let arguments = ["lvcreate", "--type", "thin-pool", "--zero", "y", "--extents"];
                let rest = [THIN_PART, "--name", pool, name];
                command::change(&what, &[&arguments[..], &rest].concat())?;
            }
        }
    }
    let group = Group::named(name)?.ok_or_else(|| {
        Error::new(Kind::Unavailable, format!("volume group `{name}` is not there"))
    })?;
    let mut parameters = BTreeMap::from([
        (GROUP.to_owned(), name.clone()),
        (GROUP_UUID.to_owned(), group.uuid.clone()),
    ]);
    if let Some(name) = &plan.thin_pool {
        check_thin_pool(&group, name)?;
        parameters.insert(THIN_POOL.to_owned(), name.clone());
    }
    Ok(parameters)
}

/// A thin pool that does not zero the blocks it hands out would show one volume's data to another.
fn check_thin_pool(group: &Group, name: &str) -> Result<()> {
    let pool = thin::expect_pool(group, name)?;
    match pool.attributes.chars().nth(7) {
        Some('z') => Ok(()),
        _ => Err(Error::new(
            Kind::WrongState,
            format!("thin pool `{}` hands out blocks with old data in them", pool.place(group)),
        )
        .hint(format!("make it zero them: `lvchange --zero y {}`", pool.place(group)))),
    }
}

/// What the device holds; `None` when it is blank.
fn look_at(path: &Path) -> Result<Option<String>> {
    if !path.is_absolute() || !is_block_device(path) {
        return Err(Error::new(Kind::Invalid, format!("`{}` is no block device", path.display()))
            .hint("name it by its path in /dev"));
    }
    // Opened for itself alone: the kernel refuses that for what is mounted or part of something else.
    let flags = OFlags::RDONLY | OFlags::EXCL | OFlags::CLOEXEC;
    let device = match rustix::fs::open(path, flags, rustix::fs::Mode::empty()) {
        Ok(device) => std::fs::File::from(device),
        Err(Errno::BUSY) => {
            return Err(Error::new(Kind::InUse, format!("`{}` is in use", path.display()))
                .hint("it is mounted, or part of something else; `lsblk` shows of what"));
        }
        Err(errno) => {
            return Err(becket_sys::Error::new("open", path.to_string_lossy(), errno).into());
        }
    };
    let size = block_device::size_of(&device, path)?;
    match superblock::probe(&device, size, path)? {
        Content::Blank => Ok(None),
        found => Ok(Some(found.to_string())),
    }
}

fn is_block_device(path: &Path) -> bool {
    let found = rustix::fs::stat(path);
    found.is_ok_and(|found| {
        rustix::fs::FileType::from_raw_mode(found.st_mode) == rustix::fs::FileType::BlockDevice
    })
}

/// True when all the devices are in the group.
fn holds_all(group: &str, devices: &[PathBuf]) -> Result<bool> {
    let select = format!("vg_name={group}");
    let told = command::report("pvs", &["-o", "pv_name", "--select", &select], group)?;
    let rows = told.map(|told| told.rows("pv")).unwrap_or_default();
    let has = |device: &Path| {
        let device = device.canonicalize().unwrap_or_else(|_| device.to_owned());
        rows.iter()
            .filter_map(|row| row.get("pv_name")?.as_str())
            .any(|name| Path::new(name).canonicalize().unwrap_or_else(|_| name.into()) == device)
    };
    Ok(devices.iter().all(|device| has(device)))
}
