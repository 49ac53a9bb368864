//! What a StorageClass's parameters, or the attributes of an inline volume, ask for.

use crate::capability::content_of;
use crate::driver::Driver;
use crate::identifier;
use becket_backends::directory::{LIMIT, TEMPLATE};
use becket_backends::lvm::{LVCREATE_OPTIONS, WIPE};
use becket_backends::nfs::{CLAIM, HARD, NAMESPACE, ON_DELETE, SUBDIRECTORY};
use becket_core::encryption::ENCRYPTION;
use becket_core::engine::ON_UNMOUNT;
use becket_core::error::shown;
use becket_core::record::{Content, Provisioning};
use becket_core::{Error, Kind, Name, Result};
use std::collections::{BTreeMap, HashMap};

/// Prefix of the keys that belong to Kubernetes: what is not known of them is for others.
pub const KUBERNETES: &str = "csi.storage.k8s.io/";

/// The filesystem's type, from callers that do not put it into the capability.
const FILESYSTEM: &str = "csi.storage.k8s.io/fstype";

/// The pool.
const POOL: &str = "pool";

/// `thin` or `thick`.
const PROVISIONING: &str = "provisioning";

/// Prefix of a class's parameters among the labels of a volume.
pub const LABEL: &str = "class.";

/// The label that holds the name that a volume or snapshot was asked for by.
pub const NAME_LABEL: &str = "csi.name";

/// A class, read.
#[derive(Debug, Clone)]
pub struct Class {
    /// The pool that it names, if it does.
    pub named_pool: Option<Name>,
    /// When space is taken; `None` for what is usual in the pool.
    pub provisioning: Option<Provisioning>,
    /// The filesystem that it names, if it does.
    pub content: Option<Content>,
    /// What the backend wants to know.
    pub parameters: BTreeMap<String, String>,
}

impl Class {
    /// Reads parameters. `Invalid` for a key that is none of the driver's, and for a value that cannot be.
    pub fn read(driver: Driver, given: &HashMap<String, String>) -> Result<Class> {
        let mut class = Class {
            named_pool: None,
            provisioning: None,
            content: None,
            parameters: BTreeMap::new(),
        };
        for (key, value) in given {
            match (key.as_str(), driver) {
                (POOL, _) => class.named_pool = Some(identifier::pool(driver, Some(value))?),
                (PROVISIONING, Driver::Image | Driver::Lvm) => {
                    class.provisioning = Some(provisioning(value)?)
                }
                (LIMIT | TEMPLATE | ON_UNMOUNT, Driver::Directory)
                | (LVCREATE_OPTIONS | WIPE | ENCRYPTION, Driver::Lvm)
                | (LIMIT | SUBDIRECTORY | ON_DELETE, Driver::Nfs) => {
                    class.parameters.insert(key.clone(), value.clone());
                }
                (FILESYSTEM, _) => class.content = content_of(driver, value)?,
                (other, _) if other.starts_with(KUBERNETES) => {}
                (other, _) => {
                    let (shown, name) = (shown(other), driver.name());
                    let known = known(driver).join(", ");
                    return Err(Error::new(
                        Kind::Invalid,
                        format!("`{name}` knows no parameter `{shown}`"),
                    )
                    .hint(format!("it knows {known}")));
                }
            }
        }
        if class.parameters.contains_key(SUBDIRECTORY) {
            class.name_claim(given);
        }
        Ok(class)
    }

    /// Whose volume it is, for a subdirectory that is named after that.
    fn name_claim(&mut self, given: &HashMap<String, String>) {
        for (key, claim) in [(CLAIM, "pvc/name"), (NAMESPACE, "pvc/namespace")] {
            if let Some(value) = given.get(&format!("{KUBERNETES}{claim}")) {
                self.parameters.insert(key.to_owned(), value.clone());
            }
        }
    }

    /// What a volume holds that nobody says anything of.
    pub fn usual(&self, driver: Driver) -> Content {
        let hard = driver == Driver::Nfs && self.parameters.get(LIMIT).is_some_and(|is| is == HARD);
        if hard { Content::Ext4 } else { driver.filesystems()[0] }
    }

    /// The pool: the one it names, or the driver's own.
    pub fn pool(&self, driver: Driver) -> Result<Name> {
        self.named_pool.clone().map_or_else(|| identifier::pool(driver, None), Ok)
    }
}

fn known(driver: Driver) -> &'static [&'static str] {
    match driver {
        Driver::Image => &[POOL, PROVISIONING, FILESYSTEM],
        Driver::Directory => &[POOL, LIMIT, TEMPLATE, ON_UNMOUNT],
        Driver::Nfs => &[POOL, LIMIT, FILESYSTEM, SUBDIRECTORY, ON_DELETE],
        Driver::Lvm => &[POOL, PROVISIONING, FILESYSTEM, LVCREATE_OPTIONS, WIPE, ENCRYPTION],
    }
}

fn provisioning(text: &str) -> Result<Provisioning> {
    match text {
        "thin" => Ok(Provisioning::Thin),
        "thick" => Ok(Provisioning::Thick),
        other => {
            let shown = shown(other);
            Err(Error::new(Kind::Invalid, format!("provisioning `{shown}` is not known"))
                .hint("use thin or thick"))
        }
    }
}

/// What is kept of a request with its volume: to be compared with a repeat, and for people.
pub fn labels(name: &str, parameters: &HashMap<String, String>) -> BTreeMap<String, String> {
    let class = parameters.iter().map(|(key, value)| (format!("{LABEL}{key}"), value.clone()));
    class.chain([(NAME_LABEL.to_owned(), name.to_owned())]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(driver: Driver, given: &[(&str, &str)]) -> Result<Class> {
        let given = given.iter().map(|(key, value)| (key.to_string(), value.to_string()));
        Class::read(driver, &given.collect())
    }

    #[test]
    fn each_driver_takes_its_own_parameters() {
        let pvc = ("csi.storage.k8s.io/pvc/name", "claim");
        let class = [("pool", "fast"), ("provisioning", "thick"), (FILESYSTEM, "xfs"), pvc];
        let class = read(Driver::Image, &class).unwrap();
        assert_eq!(class.pool(Driver::Image).unwrap().as_str(), "fast");
        assert_eq!(class.content, Some(Content::Xfs));
        assert!(read(Driver::Directory, &[("limit", "none"), ("template", "{pod}")]).is_ok());
        assert!(read(Driver::Lvm, &[(WIPE, "zero"), (ENCRYPTION, "luks")]).is_ok());
        let share =
            [(SUBDIRECTORY, "{namespace}/{claim}"), ("csi.storage.k8s.io/pvc/name", "data")];
        assert_eq!(read(Driver::Nfs, &share).unwrap().parameters[CLAIM], "data");
        for (driver, given) in [
            (Driver::Image, ("limit", "none")),
            (Driver::Image, (WIPE, "zero")),
            (Driver::Image, (ENCRYPTION, "luks")),
            (Driver::Directory, ("provisioning", "thin")),
            (Driver::Image, ("provisioning", "fat")),
            (Driver::Image, ("pool", "../x")),
            (Driver::Image, ("surprise", "")),
            (Driver::Image, (FILESYSTEM, "zfs")),
        ] {
            assert_eq!(read(driver, &[given]).unwrap_err().kind(), Kind::Invalid, "{given:?}");
        }
    }
}
