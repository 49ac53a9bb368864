//! What a volume's options ask for.

use crate::driver::Driver;
use crate::options::Options;
use becket_backends::directory::template::{self, Identity};
use becket_backends::directory::{LIMIT, TEMPLATE};
use becket_backends::lvm::{LVCREATE_OPTIONS, WIPE};
use becket_backends::nfs::{ON_DELETE, SUBDIRECTORY};
use becket_core::encryption::ENCRYPTION;
use becket_core::engine::{NewVolume, ON_UNMOUNT, Publication};
use becket_core::error::shown;
use becket_core::record::{Content, Provisioning, VolumeRecord};
use becket_core::{Engine, Error, Kind, Name, Result, size};
use std::collections::BTreeMap;

/// The volume that a callout is about.
pub(super) struct Request {
    /// Whose volume it is.
    driver: Driver,
    pub(super) pool: Name,
    pub(super) name: Name,
    /// What the options say of its content; `None` where they leave it open.
    content: Option<Content>,
    size: Option<u64>,
    provisioning: Option<Provisioning>,
    parameters: BTreeMap<String, String>,
}

impl Request {
    /// Reads and checks all options of the volume.
    pub(super) fn read(driver: Driver, options: &Options) -> Result<Request> {
        options.allow(driver.options())?;
        // The name is never guessed from `pvOrVolumeName`: for a volume written into a pod that is
        // the name in the pod's spec, which other pods use for other volumes.
        let name = either(options, "name", "volumeID")?.ok_or_else(|| {
            Error::new(Kind::Invalid, "option `name` is missing")
                .hint("set it in the volume's options to the name of the volume in its pool")
        })?;
        let pool = either(options, "pool", "volumegroup")?;
        let content = match (driver, options.kubernetes("fsType")) {
            // The type that manifests of Kubernetes' own NFS example give says nothing new.
            (Driver::Directory, _) | (Driver::Nfs, Some("nfs" | "nfs4")) => {
                Some(Content::Directory)
            }
            (Driver::Image | Driver::Lvm | Driver::Nfs, None) => None,
            (_, Some(kind)) => Some(Content::of_filesystem(kind)?),
        };
        let parameters = [
            LIMIT,
            TEMPLATE,
            ON_UNMOUNT,
            LVCREATE_OPTIONS,
            WIPE,
            ENCRYPTION,
            SUBDIRECTORY,
            ON_DELETE,
        ];
        let parameters = parameters
            .iter()
            .filter_map(|key| Some((key.to_string(), options.own(key)?.to_owned())));
        Ok(Request {
            driver,
            pool: Name::new(pool.unwrap_or(driver.default_pool()))?,
            name: Name::new(name)?,
            content,
            size: options.own("size").map(|size| read_size(driver, size)).transpose()?,
            provisioning: provisioning(options.own("provisioning"))?,
            parameters: parameters.collect(),
        })
    }

    /// The volume to make where it does not exist, if the options say enough for that.
    pub(super) fn new_volume(&self) -> Result<Option<NewVolume>> {
        let unlimited = self.parameters.get(LIMIT).is_some_and(|limit| limit == "none");
        let size = match self.size {
            Some(size) => size,
            None if unlimited => 0,
            None => return Ok(None),
        };
        Ok(Some(NewVolume {
            content: self.content,
            provisioning: self.provisioning,
            parameters: self.parameters.clone(),
            ..NewVolume::new(self.name.clone(), size)
        }))
    }

    /// The volume as it is; `None` when its healthy pool does not have it. It must not contradict
    /// the options.
    pub(super) fn existing(&self, engine: &Engine) -> Result<Option<VolumeRecord>> {
        // The default pool is one of images, and is made with its first volume.
        if self.driver == Driver::Image && engine.would_make(&self.pool)? {
            return Ok(None);
        }
        let Some(record) = engine.find_volume(&self.pool, &self.name)? else {
            return Ok(None);
        };
        if record.content == Content::Block {
            return Err(Error::new(
                Kind::Invalid,
                format!(
                    "volume `{}` is raw block, which FlexVolume cannot give to a pod",
                    self.name
                ),
            )
            .hint("make a volume with a filesystem"));
        }
        if let Some(content) = self.content.filter(|content| *content != record.content) {
            return Err(Error::new(
                Kind::Conflict,
                format!(
                    "volume `{}` is {}, not {}",
                    self.name,
                    record.content.name(),
                    content.name()
                ),
            )
            .hint("leave fsType empty to take the volume as it is"));
        }
        for (key, value) in &self.parameters {
            if record.parameters.get(key) != Some(value) {
                return Err(Error::new(
                    Kind::Conflict,
                    format!(
                        "volume `{}` was made with another `{key}` than `{}`",
                        self.name,
                        shown(value)
                    ),
                ));
            }
        }
        Ok(Some(record))
    }

    /// How the volume is to be published: the template is the volume's, or the one it will be made
    /// with.
    pub(super) fn publication(
        &self,
        options: &Options,
        record: Option<&VolumeRecord>,
    ) -> Result<Publication> {
        let parameters = record.map_or(&self.parameters, |record| &record.parameters);
        let identity = Identity {
            namespace: options.kubernetes("pod.namespace").unwrap_or_default(),
            pod: options.kubernetes("pod.name").unwrap_or_default(),
            uid: options.kubernetes("pod.uid").unwrap_or_default(),
            volume: options.kubernetes("pvOrVolumeName").unwrap_or_default(),
        };
        let below = parameters.get(TEMPLATE).map(|template| template::render(template, &identity));
        Ok(Publication {
            readonly: options.readonly()?,
            group: options.group()?,
            below: below.transpose()?,
            passphrase: options.passphrase().cloned(),
            ..Publication::default()
        })
    }

    /// Refuses an encrypted volume where the device callouts are used: the kubelet hands secrets on with
    /// `mount` alone, and `mountdevice` would need one.
    pub(super) fn refuse_encrypted(&self, record: Option<&VolumeRecord>) -> Result<()> {
        let parameters = record.map_or(&self.parameters, |record| &record.parameters);
        match parameters.contains_key(ENCRYPTION) {
            false => Ok(()),
            true => Err(Error::new(
                Kind::Invalid,
                format!("volume `{}` is encrypted, which this driver cannot attach", self.name),
            )
            .hint("install the driver without --attachable, or use CSI")),
        }
    }

    /// Nothing is there, and the options do not say that it shall be made.
    pub(super) fn missing(&self) -> Error {
        Error::new(Kind::NotFound, format!("volume `{}` does not exist in pool `{}`", self.name, self.pool))
            .hint("make it with `becket volume create`, or add `size` to its options to have it made by its first mount")
    }
}

/// One option by either of its names. The second is that of Kubernetes' own example of such a driver, whose
/// manifests are to run as they are; a driver that has no such option has refused it by now.
fn either<'a>(options: &'a Options, name: &str, classic: &str) -> Result<Option<&'a str>> {
    match (options.own(name), options.own(classic)) {
        (Some(one), Some(other)) if one != other => Err(Error::new(
            Kind::Invalid,
            format!("options `{name}` and `{classic}` are the same and say different things"),
        )),
        (one, other) => Ok(one.or(other)),
    }
}

/// A size; for logical volumes also as LVM writes it, `1000m` being 1,000 MiB.
fn read_size(driver: Driver, text: &str) -> Result<u64> {
    let unit = text.char_indices().last().filter(|_| driver == Driver::Lvm);
    match unit {
        Some((end, 'k' | 'm' | 'g' | 't' | 'p')) => {
            let (number, unit) = text.split_at(end);
            size::parse(&format!("{number}{}i", unit.to_ascii_uppercase()))
        }
        _ => size::parse(text),
    }
}

fn provisioning(text: Option<&str>) -> Result<Option<Provisioning>> {
    match text {
        None => Ok(None),
        Some("thin") => Ok(Some(Provisioning::Thin)),
        Some("thick") => Ok(Some(Provisioning::Thick)),
        Some(other) => Err(Error::new(
            Kind::Invalid,
            format!("provisioning `{}` is neither thin nor thick", shown(other)),
        )),
    }
}
