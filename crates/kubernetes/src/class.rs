//! What a StorageClass's parameters say: some to the driver, some to Kubernetes.

use crate::driver::Words;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, SecretReference};

/// Prefix of the keys that are not for the driver.
const KUBERNETES: &str = "csi.storage.k8s.io/";

/// The filesystem's type, and its key from before there was a prefix.
const FILESYSTEM: &str = "csi.storage.k8s.io/fstype";
const OLD_FILESYSTEM: &str = "fstype";

/// The keys of Kubernetes' own in a class of snapshots.
const OF_SNAPSHOTS: [&str; 4] = [
    "snapshotter-secret-name",
    "snapshotter-secret-namespace",
    "snapshotter-list-secret-name",
    "snapshotter-list-secret-namespace",
];

/// The keys of Kubernetes' own in a class of group snapshots.
const OF_GROUPS: [&str; 4] = [
    "group-snapshotter-secret-name",
    "group-snapshotter-secret-namespace",
    "group-snapshotter-get-secret-name",
    "group-snapshotter-get-secret-namespace",
];

/// What a secret of a class is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Making and deleting the volume.
    Provision,
    /// Attaching it.
    ControllerPublish,
    /// Staging it.
    NodeStage,
    /// Publishing it.
    NodePublish,
    /// Growing it, at the controller.
    ControllerExpand,
    /// Growing it, at the node.
    NodeExpand,
    /// Giving it other attributes.
    ControllerModify,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Purpose; 7] = [
        Purpose::Provision,
        Purpose::ControllerPublish,
        Purpose::NodeStage,
        Purpose::NodePublish,
        Purpose::ControllerExpand,
        Purpose::NodeExpand,
        Purpose::ControllerModify,
    ];

    /// How its keys begin; `-name` and `-namespace` follow.
    fn key(self) -> &'static str {
        match self {
            Purpose::Provision => "csi.storage.k8s.io/provisioner-secret",
            Purpose::ControllerPublish => "csi.storage.k8s.io/controller-publish-secret",
            Purpose::NodeStage => "csi.storage.k8s.io/node-stage-secret",
            Purpose::NodePublish => "csi.storage.k8s.io/node-publish-secret",
            Purpose::ControllerExpand => "csi.storage.k8s.io/controller-expand-secret",
            Purpose::NodeExpand => "csi.storage.k8s.io/node-expand-secret",
            Purpose::ControllerModify => "csi.storage.k8s.io/controller-modify-secret",
        }
    }

    fn name_key(self) -> String {
        format!("{}-name", self.key())
    }

    fn namespace_key(self) -> String {
        format!("{}-namespace", self.key())
    }
}

/// The filesystem that the class names.
pub fn filesystem(parameters: &Words) -> Option<&str> {
    let named = parameters.get(FILESYSTEM).or_else(|| parameters.get(OLD_FILESYSTEM));
    named.map(String::as_str)
}

/// What the driver is told: the parameters that are for it, and whose volume it makes.
///
/// An error, in words, for a key that claims to be Kubernetes' own and is not known.
pub fn for_driver(
    parameters: &Words,
    claim: &PersistentVolumeClaim,
    volume: &str,
) -> Result<Words, String> {
    let mut words = of_driver(parameters)?;
    let whose = [
        ("pvc/name", claim.metadata.name.as_deref().unwrap_or_default()),
        ("pvc/namespace", claim.metadata.namespace.as_deref().unwrap_or_default()),
        ("pv/name", volume),
    ];
    words.extend(whose.map(|(key, value)| (own_key(key), value.to_owned())));
    Ok(words)
}

/// The parameters that are for the driver.
///
/// An error, in words, for a key that claims to be Kubernetes' own and is not known.
pub fn of_driver(parameters: &Words) -> Result<Words, String> {
    let of_purpose = |key: &str, it: &Purpose| it.name_key() == key || it.namespace_key() == key;
    let is_known =
        |key: &str| key == FILESYSTEM || Purpose::ALL.iter().any(|it| of_purpose(key, it));
    let mut words = without_own(parameters, is_known)?;
    words.remove(OLD_FILESYSTEM);
    Ok(words)
}

/// The parameters of a class of snapshots that are for the driver.
///
/// An error, in words, for a key that claims to be Kubernetes' own and is not known.
pub fn of_snapshots(parameters: &Words) -> Result<Words, String> {
    without_own(parameters, |key| OF_SNAPSHOTS.iter().any(|known| own_key(known) == key))
}

/// The parameters of a class of group snapshots that are for the driver. An error as of [`of_driver`].
pub fn of_groups(parameters: &Words) -> Result<Words, String> {
    without_own(parameters, |key| OF_GROUPS.iter().any(|known| own_key(known) == key))
}

fn without_own(parameters: &Words, is_known: impl Fn(&str) -> bool) -> Result<Words, String> {
    let mut words = Words::new();
    for (key, value) in parameters {
        if !key.starts_with(KUBERNETES) {
            words.insert(key.clone(), value.clone());
        } else if !is_known(key) {
            return Err(format!(
                "found unknown parameter key `{key}` with reserved namespace {KUBERNETES}"
            ));
        }
    }
    Ok(words)
}

/// The key by which Kubernetes itself says something to a driver.
pub fn own_key(key: &str) -> String {
    format!("{KUBERNETES}{key}")
}

/// The secret that the class names for this purpose, its templates filled in; `None` where it names none.
///
/// An error, in words, for half a name, an unknown template, or what cannot be a name.
pub fn secret(
    purpose: Purpose,
    parameters: &Words,
    claim: &PersistentVolumeClaim,
    volume: &str,
) -> Result<Option<SecretReference>, String> {
    let of = |key: String| parameters.get(&key);
    let (name, namespace) = match (of(purpose.name_key()), of(purpose.namespace_key())) {
        (None, None) => return Ok(None),
        (Some(name), Some(namespace)) => (name, namespace),
        _ => {
            let key = purpose.key();
            return Err(format!("the class needs both `{key}-name` and `{key}-namespace`"));
        }
    };
    let own = |token: &str| match token {
        "pv.name" => Some(volume.to_owned()),
        "pvc.namespace" => claim.metadata.namespace.clone(),
        _ => None,
    };
    let of_claim = |token: &str| match token {
        "pvc.name" => claim.metadata.name.clone(),
        // Whoever makes claims may choose a secret of theirs for the node, and none that makes volumes.
        other if purpose != Purpose::Provision => {
            annotation(other).and_then(|key| claim.metadata.annotations.as_ref()?.get(key).cloned())
        }
        _ => None,
    };
    let namespace = filled(namespace, own)?;
    let name = filled(name, |token| own(token).or_else(|| of_claim(token)))?;
    for word in [&name, &namespace] {
        if !is_name(word) {
            return Err(format!(
                "`{}` of the class gives `{word}`, which is no name",
                purpose.key()
            ));
        }
    }
    Ok(Some(SecretReference { name: Some(name), namespace: Some(namespace) }))
}

/// The annotation that a token such as `pvc.annotations['team.example/key']` names.
fn annotation(token: &str) -> Option<&str> {
    token.strip_prefix("pvc.annotations['")?.strip_suffix("']")
}

/// The template with what stands between `${` and `}` replaced.
fn filled(template: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut parts = template.split("${");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let Some((token, rest)) = part.split_once('}') else {
            return Err(format!("`{template}` has a `${{` without its `}}`"));
        };
        let Some(value) = value(token) else {
            return Err(format!("`${{{token}}}` in `{template}` is not known"));
        };
        text.push_str(&value);
        text.push_str(rest);
    }
    Ok(text)
}

/// A DNS subdomain, as names of objects are.
fn is_name(text: &str) -> bool {
    let letters = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    (1..=253).contains(&text.len())
        && text.split('.').all(|label| {
            label.starts_with(letters)
                && label.ends_with(letters)
                && label.chars().all(|letter| letters(letter) || letter == '-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::ObjectMeta;

    fn claim() -> PersistentVolumeClaim {
        let annotations = [("team/key".to_owned(), "blue".to_owned())].into();
        PersistentVolumeClaim {
            metadata: ObjectMeta {
                name: Some("data".to_owned()),
                namespace: Some("shop".to_owned()),
                annotations: Some(annotations),
                ..ObjectMeta::default()
            },
            ..PersistentVolumeClaim::default()
        }
    }

    fn words(given: &[(&str, &str)]) -> Words {
        given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_driver_gets_its_own_parameters_and_whose_volume_it_is() {
        let given = words(&[
            ("pool", "fast"),
            ("csi.storage.k8s.io/fstype", "xfs"),
            ("csi.storage.k8s.io/node-stage-secret-name", "a"),
            ("csi.storage.k8s.io/node-stage-secret-namespace", "b"),
        ]);
        assert_eq!(
            for_driver(&given, &claim(), "pvc-1").unwrap(),
            words(&[
                ("pool", "fast"),
                ("csi.storage.k8s.io/pvc/name", "data"),
                ("csi.storage.k8s.io/pvc/namespace", "shop"),
                ("csi.storage.k8s.io/pv/name", "pvc-1"),
            ])
        );
        assert_eq!(filesystem(&given), Some("xfs"));
        let unknown = words(&[("csi.storage.k8s.io/frobnicate", "1")]);
        assert!(of_snapshots(&unknown).is_err());
        let own = words(&[("csi.storage.k8s.io/snapshotter-secret-name", "a"), ("speed", "2")]);
        assert_eq!(of_snapshots(&own).unwrap(), words(&[("speed", "2")]));
        assert!(of_groups(&own).is_err(), "a key of another kind of class");
        let own = words(&[("csi.storage.k8s.io/group-snapshotter-secret-name", "a")]);
        assert_eq!(of_groups(&own).unwrap(), Words::new());
        assert!(for_driver(&unknown, &claim(), "pvc-1").unwrap_err().contains("frobnicate"));
    }

    #[test]
    fn templates_of_secrets_are_filled_in() {
        let cases = [
            (Purpose::NodeStage, "key-${pvc.name}", "${pvc.namespace}", Ok(("key-data", "shop"))),
            (Purpose::NodeStage, "${pvc.annotations['team/key']}", "sys", Ok(("blue", "sys"))),
            (Purpose::Provision, "${pv.name}", "${pvc.namespace}", Ok(("pvc-1", "shop"))),
            (Purpose::Provision, "${pvc.annotations['team/key']}", "sys", Err("is not known")),
            (Purpose::NodeStage, "a", "${pvc.name}", Err("is not known")),
            (Purpose::NodeStage, "${pvc.annotations['none']}", "sys", Err("is not known")),
            (Purpose::NodeStage, "${pvc.name", "sys", Err("without its")),
            (Purpose::NodeStage, "Upper", "sys", Err("is no name")),
            (Purpose::NodeStage, "a..b", "sys", Err("is no name")),
        ];
        for (purpose, name, namespace, wanted) in cases {
            let given = Words::from([
                (purpose.name_key(), name.to_owned()),
                (purpose.namespace_key(), namespace.to_owned()),
            ]);
            let found = secret(purpose, &given, &claim(), "pvc-1");
            match (found, wanted) {
                (Ok(Some(found)), Ok((name, namespace))) => {
                    let pair = (found.name.as_deref(), found.namespace.as_deref());
                    assert_eq!(pair, (Some(name), Some(namespace)));
                }
                (Err(said), Err(words)) => assert!(said.contains(words), "{said}"),
                (found, wanted) => panic!("{name}: {found:?}, not {wanted:?}"),
            }
        }
        assert_eq!(secret(Purpose::NodeStage, &Words::new(), &claim(), "v"), Ok(None));
        let half = Words::from([(Purpose::NodeStage.name_key(), "a".to_owned())]);
        assert!(secret(Purpose::NodeStage, &half, &claim(), "v").is_err());
    }
}
