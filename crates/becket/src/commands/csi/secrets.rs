//! Secrets for requests: read from a file, and kept out of everything that is shown.

use crate::output;
use becket_core::{Error, Kind, Result};
use becket_csi::shape::{DynamicMessage, Rpc, STRIPPED, fill_secrets, secret_texts};
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Texts by their keys.
pub(crate) type Texts = BTreeMap<String, String>;

/// The secrets of a file: for all RPCs, or by RPC. It has no `Debug`, so that nothing shows them.
#[derive(Default)]
pub(crate) struct Secrets {
    all: Texts,
    by_rpc: BTreeMap<String, Texts>,
}

impl Secrets {
    /// Reads the file, where one is given: a JSON object of texts, which all RPCs get, or, as csi-sanity
    /// has it, of such objects by RPC (`CreateVolumeSecret`), also in the YAML that csi-sanity takes.
    /// Says so when others can read the file. No error shows what is in it.
    pub(crate) fn read(path: Option<&Path>) -> Result<Secrets> {
        let Some(path) = path else {
            return Ok(Secrets::default());
        };
        let shown = path.display();
        let failed = |error: std::io::Error| {
            Error::new(Kind::Invalid, format!("cannot read secrets from `{shown}`: {error}"))
        };
        let mut file = std::fs::File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let mode = metadata.permissions().mode();
        if metadata.is_file() && mode & 0o044 != 0 {
            output::say(format_args!(
                "warning: others can read the secrets in `{shown}` (mode {:03o}); chmod 600 it",
                mode & 0o777
            ));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        Secrets::parse(&text).ok_or_else(|| {
            Error::new(Kind::Invalid, format!("`{shown}` has no secrets that can be understood"))
                .hint("write a JSON object of texts, or csi-sanity's YAML: maps of texts by RPC")
        })
    }

    fn parse(text: &str) -> Option<Secrets> {
        let entries = match serde_json::from_str(text) {
            Ok(Value::Object(object)) => object,
            _ => yaml(text)?,
        };
        let mut secrets = Secrets::default();
        for (key, value) in entries {
            match value {
                Value::String(text) => {
                    secrets.all.insert(key, text);
                }
                Value::Object(texts) => {
                    let text = |(key, value): (String, Value)| Some((key, value.as_str()?.into()));
                    let texts = texts.into_iter().map(text).collect::<Option<Texts>>()?;
                    secrets.by_rpc.insert(rpc_of(&key)?, texts);
                }
                _ => return None,
            }
        }
        Some(secrets)
    }

    /// What all RPCs get, and what only one gets, by its name.
    pub(crate) fn into_parts(self) -> (Texts, BTreeMap<String, Texts>) {
        (self.all, self.by_rpc)
    }

    /// Fills in the request what the file has for its RPC.
    pub(super) fn fill(&self, rpc: &Rpc, request: &mut DynamicMessage) {
        fill_secrets(request, &self.all);
        if let Some(texts) = self.by_rpc.get(rpc.name()) {
            fill_secrets(request, texts);
        }
    }
}

/// The RPC that csi-sanity means by a name such as `ControllerValidateVolumeCapabilitiesSecret`.
fn rpc_of(name: &str) -> Option<String> {
    let name = name.strip_suffix("Secret").or(name.strip_suffix("Secrets")).unwrap_or(name);
    let rpc = Rpc::named(name).or_else(|error| match name.strip_prefix("Controller") {
        Some(name) => Rpc::named(name),
        None => Err(error),
    });
    Some(rpc.ok()?.name().to_owned())
}

/// The YAML of a map of texts, or of one level of maps of texts: what csi-sanity's file is. Anything
/// else is nothing, rather than something half understood.
fn yaml(text: &str) -> Option<serde_json::Map<String, Value>> {
    let mut entries = serde_json::Map::new();
    let mut within: Option<String> = None;
    for line in text.lines().filter(|line| !["", "---"].contains(&line.trim())) {
        if line.trim_start().starts_with('#') {
            continue;
        }
        let (key, value) = line.split_once(':')?;
        let value = scalar(value.trim())?;
        let indented = key.starts_with([' ', '\t']);
        let key = scalar(key.trim())?;
        match (indented, value.is_empty() && !line.trim_end().ends_with(['"', '\''])) {
            (false, true) => {
                entries.insert(key.clone(), Value::Object(serde_json::Map::new()));
                within = Some(key);
            }
            (false, false) => {
                entries.insert(key, value.into());
                within = None;
            }
            (true, _) => {
                let inner = entries.get_mut(within.as_ref()?)?.as_object_mut()?;
                inner.insert(key, value.into());
            }
        }
    }
    (!entries.is_empty()).then_some(entries)
}

/// A plain or simply quoted text. YAML's other forms begin with a sign of their own.
fn scalar(text: &str) -> Option<String> {
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote) {
            let inner = inner.strip_suffix(quote)?;
            return (!inner.contains([quote, '\\'])).then(|| inner.to_owned());
        }
    }
    let plain = !text
        .starts_with(['{', '[', '&', '*', '!', '|', '>', '%', '@', '`', '?', '-', ','])
        && !text.contains(" #")
        && !text.contains(": ");
    plain.then(|| text.to_owned())
}

/// What no output may show, although a driver may say it: the secrets of a request.
#[derive(Default)]
pub(super) struct Hidden {
    texts: Vec<String>,
}

impl Hidden {
    /// Those of this request. Texts so short that they are part of many words are not looked for.
    pub(super) fn of(request: &DynamicMessage) -> Hidden {
        const SHORTEST: usize = 4;
        let mut texts = secret_texts(request);
        texts.retain(|text| text.len() >= SHORTEST);
        // As JSON and tables write them.
        let escaped: Vec<String> =
            texts.iter().map(|text| Value::from(text.as_str()).to_string()).collect();
        texts.extend(escaped.iter().map(|text| text.trim_matches('"').to_owned()));
        // A longer secret may contain a shorter one.
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        Hidden { texts }
    }

    /// The text without them.
    pub(super) fn strip(&self, text: &str) -> String {
        self.texts.iter().fold(text.to_owned(), |text, hidden| text.replace(hidden, STRIPPED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use becket_csi::shape::to_json;
    use serde_json::json;

    fn filled(secrets: &Secrets, rpc: &str) -> Value {
        let rpc = Rpc::named(rpc).unwrap();
        let mut request = rpc.empty_request();
        secrets.fill(&rpc, &mut request);
        to_json(&request)["secrets"].take()
    }

    #[test]
    fn secrets_are_read_in_each_form_and_reach_the_rpcs_they_are_for() {
        let flat = Secrets::parse("{\"user\": \"a\"}").unwrap();
        assert_eq!(filled(&flat, "CreateVolume"), json!({"user": "a"}));
        assert_eq!(filled(&flat, "NodeStageVolume"), json!({"user": "a"}));
        let by_rpc = json!({"CreateVolumeSecret": {"k": "1"}, "NodeStageVolumeSecret": {"k": "2"}});
        let yaml = "# of csi-sanity\nCreateVolumeSecret:\n  k: \"1\"\n\nNodeStageVolumeSecret:\n  k: 2\n\
                    ControllerValidateVolumeCapabilitiesSecret:\n  k: 'a#: b'\n";
        for text in [by_rpc.to_string(), yaml.to_owned()] {
            let secrets = Secrets::parse(&text).unwrap();
            assert_eq!(filled(&secrets, "CreateVolume"), json!({"k": "1"}));
            assert_eq!(filled(&secrets, "NodeStageVolume"), json!({"k": "2"}));
            assert_eq!(filled(&secrets, "DeleteVolume"), json!({}));
        }
        let yaml = Secrets::parse(yaml).unwrap();
        assert_eq!(filled(&yaml, "ValidateVolumeCapabilities"), json!({"k": "a#: b"}));
        let flat = Secrets::parse("user: a\nkey: ''\n").unwrap();
        assert_eq!(filled(&flat, "DeleteVolume"), json!({"user": "a", "key": ""}));
    }

    #[test]
    fn what_is_half_understood_is_refused() {
        for text in [
            "",
            "[]",
            "{\"a\": 1}",
            "{\"NoSuchRpcSecret\": {\"a\": \"b\"}}",
            "a: |\n  b\n",
            "a: &x b",
            "a: {b: c}",
            "a: \"b",
            "a: \"\\n\"",
            "  a: b",
            "- a",
            "words",
        ] {
            assert!(Secrets::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn secrets_are_stripped_however_they_are_written() {
        let secrets = Secrets::parse("{\"a\": \"hu\\\"sh\\nhush\", \"b\": \"hush\", \"c\": \"x\"}");
        let rpc = Rpc::named("DeleteVolume").unwrap();
        let mut request = rpc.empty_request();
        secrets.unwrap().fill(&rpc, &mut request);
        let hidden = Hidden::of(&request);
        let said = "x: hu\"sh\nhush hush hu\\\"sh\\nhush";
        assert_eq!(hidden.strip(said), "x: <stripped> <stripped> <stripped>");
    }
}
