//! The JSON argument of a callout, as the kubelet writes it.

use std::collections::BTreeMap;

/// A flat object of strings, compact and with sorted keys.
#[derive(Debug, Clone, Default)]
pub struct Options(BTreeMap<String, String>);

/// What the kubelet sends for a volume of this name, and no more.
pub fn volume(name: &str) -> Options {
    Options::default()
        .with("kubernetes.io/fsType", "")
        .with("kubernetes.io/pvOrVolumeName", "vol")
        .with("kubernetes.io/readwrite", "rw")
        .with("name", name)
}

impl Options {
    /// With `key` set to `value`.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Options {
        self.0.insert(key.to_owned(), value.to_owned());
        self
    }

    /// With a size, so that the first mount makes the volume.
    #[must_use]
    pub fn size(self, size: &str) -> Options {
        self.with("size", size)
    }

    /// With a filesystem type.
    #[must_use]
    pub fn fs_type(self, kind: &str) -> Options {
        self.with("kubernetes.io/fsType", kind)
    }

    /// Read-only.
    #[must_use]
    pub fn read_only(self) -> Options {
        self.with("kubernetes.io/readwrite", "ro")
    }

    /// With the pod's identity.
    #[must_use]
    pub fn pod(self, namespace: &str, name: &str, uid: &str) -> Options {
        self.with("kubernetes.io/pod.namespace", namespace)
            .with("kubernetes.io/pod.name", name)
            .with("kubernetes.io/pod.uid", uid)
    }

    /// The argument.
    pub fn json(&self) -> String {
        let text = serde_json::to_string(&self.0).unwrap();
        // Go's encoder escapes these, and no string but a value can hold them.
        text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
    }
}
