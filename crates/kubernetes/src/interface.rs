//! Through which of Kubernetes' two interfaces nodes reach the volumes that are made for claims, and what a
//! persistent volume says about that. Nothing here talks to anybody.

use crate::class::{self, Purpose};
use crate::driver::{Form, Made, Wanted, Words};
use k8s_openapi::api::core::v1::{
    CSIPersistentVolumeSource, FlexPersistentVolumeSource, PersistentVolume, PersistentVolumeClaim,
    PersistentVolumeSpec,
};
use k8s_openapi::api::storage::v1::StorageClass;
use std::fmt;

/// The provisioner of classes whose volumes are reached through FlexVolume drivers.
pub const FLEXVOLUME: &str = "becket.dev/flexvolume";

/// The parameter of such a class that names the driver.
pub const DRIVER: &str = "driver";

/// The options by which our FlexVolume drivers find a volume.
const POOL: &str = "pool";
const NAME: &str = "name";

/// The attribute that says who made a volume.
const IDENTITY: &str = "storage.kubernetes.io/csiProvisionerIdentity";

/// One of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interface {
    /// CSI, with the driver of the duties.
    Csi,
    /// A FlexVolume driver of this name, such as `becket/image`.
    FlexVolume(String),
}

impl Interface {
    /// True when volumes of the class are reached so, its provisioner being ours.
    pub fn is_of(&self, class: &StorageClass) -> bool {
        match self {
            Interface::Csi => true,
            Interface::FlexVolume(driver) => {
                class.parameters.as_ref().and_then(|all| all.get(DRIVER)) == Some(driver)
            }
        }
    }

    /// An error, in words, for what a claim or its class wants and volumes that are reached so do not have.
    pub fn check(&self, claim: &PersistentVolumeClaim, class: &StorageClass) -> Result<(), String> {
        if *self == Interface::Csi {
            return Ok(());
        }
        let Some(spec) = &claim.spec else { return Ok(()) };
        let wants = [
            (spec.volume_mode.as_deref() == Some("Block"), "raw block volumes"),
            (spec.data_source_ref.is_some() || spec.data_source.is_some(), "data sources"),
            (crate::claim::attributes_class(claim).is_some(), "volume attributes classes"),
            (class.mount_options.as_ref().is_some_and(|all| !all.is_empty()), "mount options"),
        ];
        match wants.into_iter().find(|(wanted, _)| *wanted) {
            Some((_, what)) => {
                Err(format!("FlexVolume has no {what}: take a class of the CSI driver"))
            }
            None => Ok(()),
        }
    }

    /// Writes into the spec of a persistent volume how nodes reach what was `made`. `driver` is the name of
    /// the duties' driver.
    ///
    /// An error, in words, where the class's secrets cannot be.
    pub fn describe(
        &self,
        driver: &str,
        claim: &PersistentVolumeClaim,
        class: &StorageClass,
        (wanted, made): (&Wanted, &Made),
        spec: &mut PersistentVolumeSpec,
    ) -> Result<(), String> {
        let none = Words::new();
        let parameters = class.parameters.as_ref().unwrap_or(&none);
        let secret = |purpose| class::secret(purpose, parameters, claim, &wanted.name);
        match self {
            Interface::Csi => {
                let mut attributes = made.context.clone();
                attributes.insert(IDENTITY.to_owned(), driver.to_owned());
                spec.csi = Some(CSIPersistentVolumeSource {
                    driver: driver.to_owned(),
                    volume_handle: made.id.clone(),
                    fs_type: filesystem(wanted),
                    volume_attributes: Some(attributes),
                    controller_publish_secret_ref: secret(Purpose::ControllerPublish)?,
                    node_stage_secret_ref: secret(Purpose::NodeStage)?,
                    node_publish_secret_ref: secret(Purpose::NodePublish)?,
                    controller_expand_secret_ref: secret(Purpose::ControllerExpand)?,
                    node_expand_secret_ref: secret(Purpose::NodeExpand)?,
                    read_only: None,
                });
            }
            Interface::FlexVolume(driver) => {
                // Without a size: a volume that is gone must not come back empty.
                let (pool, name) = made.id.split_once('/').unwrap_or_default();
                let options = [(POOL, pool), (NAME, name)];
                spec.flex_volume = Some(FlexPersistentVolumeSource {
                    driver: driver.clone(),
                    fs_type: filesystem(wanted),
                    options: Some(options.map(|(key, it)| (key.to_owned(), it.to_owned())).into()),
                    read_only: None,
                    secret_ref: secret(Purpose::NodePublish)?,
                });
            }
        }
        Ok(())
    }

    /// The id of the volume that the object is about; `None` when nodes do not reach it through this driver.
    pub fn id(&self, driver: &str, volume: &PersistentVolume) -> Option<String> {
        let spec = volume.spec.as_ref()?;
        match self {
            Interface::Csi => {
                let source = spec.csi.as_ref().filter(|source| source.driver == driver)?;
                Some(source.volume_handle.clone())
            }
            Interface::FlexVolume(driver) => {
                let source = spec.flex_volume.as_ref().filter(|source| source.driver == *driver)?;
                let option = |key| source.options.as_ref()?.get(key);
                Some(format!("{}/{}", option(POOL)?, option(NAME)?))
            }
        }
    }
}

/// True when nodes reach the storage of this id, through whatever interface, by the object.
pub fn is_about(volume: &PersistentVolume, id: &str) -> bool {
    let Some(spec) = &volume.spec else { return false };
    let by_csi = spec.csi.as_ref().is_some_and(|source| source.volume_handle == id);
    let options = spec.flex_volume.as_ref().and_then(|source| source.options.as_ref());
    let named = options.and_then(|all| Some(format!("{}/{}", all.get(POOL)?, all.get(NAME)?)));
    by_csi || named.is_some_and(|named| named == id)
}

impl fmt::Display for Interface {
    /// What tells one of several that do the same duties apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Interface::Csi => Ok(()),
            Interface::FlexVolume(driver) => write!(f, ", through `{driver}`"),
        }
    }
}

fn filesystem(wanted: &Wanted) -> Option<String> {
    wanted.uses.iter().find_map(|it| match &it.form {
        Form::Mounted { filesystem, .. } => Some(filesystem.clone()).filter(|it| !it.is_empty()),
        Form::Block => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn flexvolume() -> Interface {
        Interface::FlexVolume("becket/image".to_owned())
    }

    fn class(change: Value) -> StorageClass {
        let mut whole = json!({
            "metadata": {"name": "old"},
            "provisioner": FLEXVOLUME,
            "parameters": {
                "driver": "becket/image",
                "csi.storage.k8s.io/node-publish-secret-name": "key",
                "csi.storage.k8s.io/node-publish-secret-namespace": "${pvc.namespace}",
            },
        });
        for (key, value) in change.as_object().unwrap() {
            whole[key] = value.clone();
        }
        serde_json::from_value(whole).unwrap()
    }

    fn claim(spec: Value) -> PersistentVolumeClaim {
        let mut spec = spec;
        spec["resources"] = json!({"requests": {"storage": "1Gi"}});
        spec["accessModes"] = json!(["ReadWriteOnce"]);
        let metadata = json!({"name": "data", "namespace": "shop", "uid": "u1"});
        serde_json::from_value(json!({"metadata": metadata, "spec": spec})).unwrap()
    }

    #[test]
    fn a_class_is_served_by_the_driver_that_it_names() {
        assert!(flexvolume().is_of(&class(json!({}))));
        assert!(!flexvolume().is_of(&class(json!({"parameters": {"driver": "becket/lvm"}}))));
        assert!(!flexvolume().is_of(&class(json!({"parameters": {}}))));
    }

    #[test]
    fn what_flexvolume_does_not_have_is_refused_in_words() {
        let source = json!({"kind": "PersistentVolumeClaim", "name": "other"});
        let cases = [
            (json!({}), json!({}), None),
            (json!({"volumeMode": "Filesystem"}), json!({"mountOptions": []}), None),
            (json!({"volumeMode": "Block"}), json!({}), Some("raw block")),
            (json!({"dataSource": source}), json!({}), Some("data sources")),
            (json!({"volumeAttributesClassName": "x"}), json!({}), Some("attributes")),
            (json!({}), json!({"mountOptions": ["noatime"]}), Some("mount options")),
        ];
        for (spec, change, wanted) in cases {
            let (claim, class) = (claim(spec), class(change));
            let found = flexvolume().check(&claim, &class).err();
            assert_eq!(found.is_some(), wanted.is_some(), "{claim:?}");
            assert!(found.unwrap_or_default().contains(wanted.unwrap_or_default()));
            assert_eq!(Interface::Csi.check(&claim, &class), Ok(()));
        }
    }

    #[test]
    fn a_volume_is_found_by_what_was_written_of_it() {
        let (claim, class) = (claim(json!({})), class(json!({})));
        let wanted = crate::claim::wanted(&claim, &class, Some("xfs")).unwrap();
        let made = Made {
            id: "default/pvc-u1".to_owned(),
            bytes: 0,
            context: Words::new(),
            topologies: Vec::new(),
            source: None,
        };
        let mut spec = PersistentVolumeSpec::default();
        flexvolume().describe(FLEXVOLUME, &claim, &class, (&wanted, &made), &mut spec).unwrap();
        let source = serde_json::to_value(&spec.flex_volume).unwrap();
        assert_eq!(
            source,
            json!({
                "driver": "becket/image",
                "fsType": "xfs",
                "options": {"pool": "default", "name": "pvc-u1"},
                "secretRef": {"name": "key", "namespace": "shop"},
            })
        );
        let volume = PersistentVolume { spec: Some(spec), ..PersistentVolume::default() };
        assert_eq!(flexvolume().id(FLEXVOLUME, &volume).as_deref(), Some("default/pvc-u1"));
        let other = Interface::FlexVolume("becket/lvm".to_owned());
        assert_eq!(other.id(FLEXVOLUME, &volume), None);
        assert_eq!(Interface::Csi.id("image.becket.dev", &volume), None);
    }
}
