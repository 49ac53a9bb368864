//! Encrypted volumes: the words for them, their mappings, and the passphrase, which is shown nowhere.

use crate::record::VolumeRecord;
use crate::{Error, Kind, Result};
use becket_sys::luks;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::BuildHasher;
use uuid::Uuid;

/// The parameter of a volume that says how its bytes are encrypted; [`LUKS`] is the only way.
pub const ENCRYPTION: &str = "encryption";

/// The value of [`ENCRYPTION`].
pub const LUKS: &str = "luks";

/// The key of a secret under which the passphrase is.
pub const PASSPHRASE: &str = "encryptionPassphrase";

/// No passphrase is longer.
const LONGEST: usize = 8 * 1024;

/// A passphrase. It goes to the program that wants it and into nothing else: it is neither shown nor
/// written, and its bytes are zeros when it is gone.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Vec<u8>);

impl Passphrase {
    /// These bytes, every one of them; `Invalid` where there are none, or more than 8 KiB.
    pub fn new(bytes: Vec<u8>) -> Result<Passphrase> {
        let passphrase = Passphrase(bytes);
        match passphrase.0.len() {
            1..=LONGEST => Ok(passphrase),
            length => Err(Error::new(
                Kind::Invalid,
                format!("the passphrase in `{PASSPHRASE}` of the secret has {length} bytes"),
            )
            .hint(format!("it has 1 to {LONGEST}"))),
        }
    }

    /// Takes the passphrase out of the secrets of a request; `None` where there is none.
    pub fn take<S: BuildHasher>(
        secrets: &mut HashMap<String, String, S>,
    ) -> Result<Option<Passphrase>> {
        secrets.remove(PASSPHRASE).map(|text| Passphrase::new(text.into_bytes())).transpose()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Passphrase {
    fn drop(&mut self) {
        self.0.fill(0);
        // Otherwise writing what nobody reads would be left out.
        std::hint::black_box(&self.0);
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(<stripped>)")
    }
}

/// True when parameters of a volume say that it is encrypted.
pub fn is_asked_for(parameters: &BTreeMap<String, String>) -> bool {
    parameters.contains_key(ENCRYPTION)
}

/// The mapping of an encrypted volume, told by the volume's UUID alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// The UUID of the header that it is opened by: made of the volume's, which its filesystem has already.
    pub header: String,
    /// Its name.
    pub name: String,
    /// The UUID under which the device mapper has it.
    pub uuid: String,
}

/// The mapping of the volume, open or not.
pub fn mapping_of(volume: &VolumeRecord) -> Mapping {
    let name = format!("becket-luks-{}", volume.uuid);
    let header = Uuid::new_v5(&volume.uuid, LUKS.as_bytes()).to_string();
    let uuid = luks::mapping_uuid(&header, &name);
    Mapping { header, name, uuid }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passphrase_is_never_shown_and_never_empty() {
        let mut secrets: HashMap<String, String> =
            [(PASSPHRASE.to_owned(), "hush".to_owned()), ("other".to_owned(), "x".to_owned())]
                .into();
        let passphrase = Passphrase::take(&mut secrets).unwrap().unwrap();
        assert_eq!(passphrase.bytes(), b"hush");
        assert!(!format!("{passphrase:?} {:#?}", Some(&passphrase)).contains("hush"));
        assert_eq!(Passphrase::take(&mut secrets).unwrap(), None, "it is still in the request");
        for bad in [Vec::new(), vec![b'x'; LONGEST + 1]] {
            let error = Passphrase::new(bad).unwrap_err();
            assert_eq!(error.kind(), Kind::Invalid);
            assert!(error.message().contains(PASSPHRASE) && !error.message().contains("xx"));
        }
    }
}
