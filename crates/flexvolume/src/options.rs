//! The JSON argument: a flat object of strings.

use becket_core::{Error, Kind, Result};
use std::collections::BTreeMap;
use std::fmt;

/// More than the kernel passes in one argument, so nothing real is ever larger.
const LARGEST: usize = 256 * 1024;

const KUBERNETES: &str = "kubernetes.io/";
const SECRET: &str = "kubernetes.io/secret/";

/// The options of a callout: what the volume says, and what the kubelet adds.
///
/// Secrets are dropped while reading: no driver of ours uses one, so none can reach a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Options(BTreeMap<String, String>);

impl Options {
    /// Reads the argument. `Invalid` unless it is one JSON object of strings; a `null` counts as unset.
    pub fn parse(bytes: &[u8]) -> Result<Options> {
        let wrong = |reason: String| {
            Err(Error::new(
                Kind::Invalid,
                format!("the options are not a flat JSON object of strings: {reason}"),
            ))
        };
        if bytes.len() > LARGEST {
            return wrong(format!("they have {} bytes, and {LARGEST} is the most", bytes.len()));
        }
        let values: BTreeMap<String, serde_json::Value> = match serde_json::from_slice(bytes) {
            Ok(values) => values,
            // The parser's own words could quote a value, and a value could be a secret.
            Err(error) => {
                return wrong(format!("line {}, column {} is wrong", error.line(), error.column()));
            }
        };
        let mut options = BTreeMap::new();
        for (key, value) in values.into_iter().filter(|(key, _)| !key.starts_with(SECRET)) {
            match value {
                serde_json::Value::String(text) => {
                    options.insert(key, text);
                }
                serde_json::Value::Null => {}
                other => {
                    let key: String = key.chars().take(60).flat_map(char::escape_debug).collect();
                    return wrong(format!("`{key}` is {}", kind_of(&other)));
                }
            }
        }
        Ok(Options(options))
    }

    /// The volume's own option `key`; an empty one counts as unset.
    pub fn own(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// What the kubelet says under `kubernetes.io/KEY`; empty counts as unset.
    pub fn kubernetes(&self, key: &str) -> Option<&str> {
        self.own(&format!("{KUBERNETES}{key}"))
    }

    /// Refuses options that the driver does not know: a misspelt one must not be lost silently.
    pub fn allow(&self, known: &[&str]) -> Result<()> {
        let own = self.0.keys().filter(|key| !key.starts_with(KUBERNETES));
        match own.into_iter().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => {
                let shown: String = key.chars().take(60).flat_map(char::escape_debug).collect();
                Err(Error::new(Kind::Invalid, format!("option `{shown}` is not known"))
                    .hint(format!("this driver knows {}", known.join(", "))))
            }
        }
    }

    /// True when the volume is wanted read-only.
    pub fn readonly(&self) -> Result<bool> {
        match self.kubernetes("readwrite") {
            None | Some("rw") => Ok(false),
            Some("ro") => Ok(true),
            Some(other) => Err(Error::new(
                Kind::Invalid,
                format!(
                    "`kubernetes.io/readwrite` is `{}`, neither ro nor rw",
                    other.escape_debug()
                ),
            )),
        }
    }

    /// The pod's fsGroup. Kubernetes 1.15 renamed the key by accident, so there are two.
    pub fn group(&self) -> Result<Option<u32>> {
        let text = self.kubernetes("mounterArgs.FsGroup").or_else(|| self.kubernetes("fsGroup"));
        text.map(|text| {
            text.parse().map_err(|_| {
                Error::new(
                    Kind::Invalid,
                    format!("fsGroup `{}` is no group id", text.escape_debug()),
                )
            })
        })
        .transpose()
    }
}

/// Keys only: values are the user's.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

fn kind_of(value: &serde_json::Value) -> &'static str {
    match value {
        serde_json::Value::Null => "null",
        serde_json::Value::Bool(_) => "a boolean",
        serde_json::Value::Number(_) => "a number",
        serde_json::Value::String(_) => "a string",
        serde_json::Value::Array(_) => "a list",
        serde_json::Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kubelet_sends_is_read() {
        let json = br#"{"kubernetes.io/fsType":"","kubernetes.io/mounterArgs.FsGroup":"2000","kubernetes.io/pod.name":"p","kubernetes.io/readwrite":"ro","name":"a\u0026b","size":"1Gi"}"#;
        let options = Options::parse(json).unwrap();
        assert_eq!(
            (options.own("name"), options.own("size"), options.own("pool")),
            (Some("a&b"), Some("1Gi"), None)
        );
        assert_eq!(
            (options.kubernetes("pod.name"), options.kubernetes("fsType")),
            (Some("p"), None)
        );
        assert!(options.readonly().unwrap());
        assert_eq!(options.group().unwrap(), Some(2000));
    }

    #[test]
    fn both_keys_of_the_group_are_read_and_the_newer_one_wins() {
        for (json, group) in [
            (r#"{"kubernetes.io/fsGroup":"1"}"#, Some(1)),
            (r#"{"kubernetes.io/fsGroup":"1","kubernetes.io/mounterArgs.FsGroup":"2"}"#, Some(2)),
            (r#"{}"#, None),
        ] {
            assert_eq!(Options::parse(json.as_bytes()).unwrap().group().unwrap(), group);
        }
        for bad in ["-1", "x", "4294967296"] {
            let json = format!(r#"{{"kubernetes.io/fsGroup":"{bad}"}}"#);
            assert!(Options::parse(json.as_bytes()).unwrap().group().is_err());
        }
    }

    #[test]
    fn no_secret_is_kept_or_shown() {
        let json = br#"{"kubernetes.io/secret/key":"aHVudGVyMg==","name":"hunter3"}"#;
        let options = Options::parse(json).unwrap();
        assert!(options.kubernetes("secret/key").is_none());
        assert_eq!(format!("{options:?}"), "{\"name\"}");
        let broken = Options::parse(br#"{"kubernetes.io/secret/key":"aHVudGVyMg==" "#).unwrap_err();
        assert!(!broken.to_string().contains("aHVu"));
    }

    #[test]
    fn anything_but_a_flat_object_of_strings_is_refused() {
        let large = format!("{{\"name\":\"{}\"}}", "x".repeat(1 << 20));
        for bad in [
            "",
            "null",
            "[]",
            "\"x\"",
            "{\"size\":1}",
            "{\"a\":{}}",
            "{\"a\":true}",
            "{}{}",
            "{'a':'b'}",
            &large,
        ] {
            assert_eq!(Options::parse(bad.as_bytes()).unwrap_err().kind(), Kind::Invalid);
        }
        assert!(Options::parse(b"\xff{}").is_err());
    }

    #[test]
    fn an_unknown_option_is_named() {
        let options = Options::parse(br#"{"name":"v","sise":"1Gi"}"#).unwrap();
        let error = options.allow(&["name", "size"]).unwrap_err();
        assert!(error.message().contains("`sise`"), "{error}");
    }
}
