//! The JSON argument: a flat object of strings.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use becket_core::encryption::{PASSPHRASE, Passphrase};
use becket_core::error::shown;
use becket_core::{Error, Kind, Result};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// More than the kernel passes in one argument, so nothing real is ever larger.
const LARGEST: usize = 256 * 1024;

const KUBERNETES: &str = "kubernetes.io/";
const SECRET: &str = "kubernetes.io/secret/";

/// The options of a callout: what the volume says, and what the kubelet adds.
///
/// Secrets are dropped while reading, so that none can reach a log; but for the one that opens an encrypted
/// volume, which is kept apart.
#[derive(Clone, PartialEq, Eq)]
pub struct Options {
    plain: BTreeMap<String, String>,
    passphrase: Option<Passphrase>,
}

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
        let Pairs(pairs) = match serde_json::from_slice(bytes) {
            Ok(pairs) => pairs,
            // The parser's own words could quote a value, and a value could be a secret.
            Err(error) => {
                return wrong(format!("line {}, column {} is wrong", error.line(), error.column()));
            }
        };
        let mut options = BTreeMap::new();
        let mut passphrase = None;
        for (key, value) in pairs {
            if let Some(secret) = key.strip_prefix(SECRET) {
                if secret == PASSPHRASE {
                    passphrase = Some(decoded(&value)?);
                }
                continue;
            }
            let value = match value {
                serde_json::Value::String(text) => Some(text),
                serde_json::Value::Null => None,
                other => return wrong(format!("`{}` is {}", shown(&key), kind_of(&other))),
            };
            // Which of the two was meant is not ours to guess.
            if options.contains_key(&key) {
                return wrong(format!("`{}` is in it twice", shown(&key)));
            }
            options.insert(key, value);
        }
        let set = options.into_iter().filter_map(|(key, value)| Some((key, value?)));
        Ok(Options { plain: set.collect(), passphrase })
    }

    /// What opens an encrypted volume, where the kubelet handed it on: with `mount` alone.
    pub fn passphrase(&self) -> Option<&Passphrase> {
        self.passphrase.as_ref()
    }

    /// The volume's own option `key`; an empty one counts as unset.
    pub fn own(&self, key: &str) -> Option<&str> {
        self.plain.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// What the kubelet says under `kubernetes.io/KEY`; empty counts as unset.
    pub fn kubernetes(&self, key: &str) -> Option<&str> {
        self.own(&format!("{KUBERNETES}{key}"))
    }

    /// Refuses options that the driver does not know: a misspelt one must not be lost silently.
    pub fn allow(&self, known: &[&str]) -> Result<()> {
        let own = self.plain.keys().filter(|key| !key.starts_with(KUBERNETES));
        match own.into_iter().find(|key| !known.contains(&key.as_str())) {
            None => Ok(()),
            Some(key) => {
                Err(Error::new(Kind::Invalid, format!("option `{}` is not known", shown(key)))
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
                format!("`kubernetes.io/readwrite` is `{}`, neither ro nor rw", shown(other)),
            )),
        }
    }

    /// The pod's fsGroup. Kubernetes 1.15 renamed the key by accident, so there are two.
    pub fn group(&self) -> Result<Option<u32>> {
        let text = self.kubernetes("mounterArgs.FsGroup").or_else(|| self.kubernetes("fsGroup"));
        text.map(|text| match text.parse() {
            // chown(2) takes the last one for "leave it as it is".
            Ok(group) if group != u32::MAX => Ok(group),
            _ => {
                Err(Error::new(Kind::Invalid, format!("fsGroup `{}` is no group id", shown(text))))
            }
        })
        .transpose()
    }
}

/// The members of one JSON object, in their order and with those that repeat a key.
struct Pairs(Vec<(String, serde_json::Value)>);

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Pairs, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Pairs;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Keys only: values are the user's.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.plain.keys()).finish()
    }
}

/// The kubelet encodes a secret's bytes in base64.
fn decoded(value: &serde_json::Value) -> Result<Passphrase> {
    let bytes = value.as_str().and_then(|text| STANDARD.decode(text).ok());
    let bytes = bytes.ok_or_else(|| {
        Error::new(Kind::Invalid, format!("`{SECRET}{PASSPHRASE}` is not text in base64"))
    })?;
    Passphrase::new(bytes)
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
        for bad in ["-1", "x", "4294967295", "4294967296"] {
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
    fn the_passphrase_is_decoded_and_kept_apart() {
        let of = |value: &str| {
            let json =
                format!("{{\"kubernetes.io/secret/encryptionPassphrase\":{value},\"name\":\"v\"}}");
            Options::parse(json.as_bytes())
        };
        let options = of("\"aHVudGVyMg==\"").unwrap();
        let wanted = Passphrase::new(b"hunter2".to_vec()).unwrap();
        assert_eq!(options.passphrase(), Some(&wanted));
        assert_eq!(format!("{options:?}"), "{\"name\"}");
        assert!(options.kubernetes("secret/encryptionPassphrase").is_none());
        for bad in ["\"aHVudGVyMg\"", "\"*\"", "7", "\"\""] {
            let error = of(bad).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid, "{bad}");
            assert!(!error.to_string().contains("aHVu"), "{error}");
        }
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
            "{\"a\":\"b\",\"a\":\"b\"}",
            "{\"a\":\"b\",\"a\":null}",
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
