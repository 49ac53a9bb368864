//! What is written into the volumes, to see whether it is there again.

use becket_core::{Error, Kind, Result, size};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// The file in a mounted volume.
const FILE: &str = "becket-lifecycle";

const LENGTH: u64 = 1 << 20;

/// Where a volume's content is: below its target, or the target itself, which is a device then.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) target: PathBuf,
    pub(super) block: bool,
}

impl Place {
    /// Writes what belongs to `seed`, down to the medium; of a device also at the end of its first
    /// `size` bytes. Gives what was done, in words.
    pub(super) fn write(&self, seed: &str, size: u64) -> Result<String> {
        let bytes = pattern(seed);
        let mut file = match self.block {
            true => self.open(OpenOptions::new().write(true))?,
            false => self.open(OpenOptions::new().write(true).create(true).truncate(true))?,
        };
        for start in self.starts(size) {
            file.seek(SeekFrom::Start(start))
                .and_then(|_| file.write_all(&bytes))
                .map_err(|error| self.failed("write to", &error))?;
        }
        file.sync_all().map_err(|error| self.failed("write to", &error))?;
        if !self.block {
            // The file's name is on the medium when its directory is.
            File::open(&self.target)
                .and_then(|directory| directory.sync_all())
                .map_err(|error| self.failed("write to", &error))?;
        }
        Ok(format!("{} {}", size::display(LENGTH), if self.block { "at both ends" } else { "" })
            .trim_end()
            .to_owned())
    }

    /// Reads what `write` wrote, and compares.
    pub(super) fn read(&self, seed: &str, size: u64) -> Result<String> {
        let expected = pattern(seed);
        let mut file = self.open(OpenOptions::new().read(true))?;
        for start in self.starts(size) {
            let mut found = Vec::with_capacity(expected.len());
            file.seek(SeekFrom::Start(start))
                .and_then(|_| (&file).take(LENGTH).read_to_end(&mut found))
                .map_err(|error| self.failed("read", &error))?;
            if found != expected {
                let at = found.iter().zip(&expected).position(|(one, other)| one != other);
                let at = start + at.unwrap_or(found.len()) as u64;
                let path = self.path();
                return Err(Error::new(
                    Kind::Internal,
                    format!("`{}` has another content, from byte {at} on", path.display()),
                ));
            }
        }
        Ok("the same".to_owned())
    }

    /// How large the volume is to its user: the device, or the filesystem it is on.
    pub(super) fn size(&self) -> Result<u64> {
        if self.block {
            let mut file = self.open(OpenOptions::new().read(true))?;
            return file.seek(SeekFrom::End(0)).map_err(|error| self.failed("measure", &error));
        }
        let found = rustix::fs::statvfs(&self.target)
            .map_err(|error| self.failed("measure", &error.into()))?;
        Ok(found.f_blocks * found.f_frsize)
    }

    fn starts(&self, size: u64) -> Vec<u64> {
        match self.block {
            true if size >= 2 * LENGTH => vec![0, size - LENGTH],
            _ => vec![0],
        }
    }

    fn path(&self) -> PathBuf {
        if self.block { self.target.clone() } else { self.target.join(FILE) }
    }

    fn open(&self, how: &OpenOptions) -> Result<File> {
        how.open(self.path()).map_err(|error| self.failed("open", &error))
    }

    fn failed(&self, what: &str, error: &std::io::Error) -> Error {
        let path = self.path();
        Error::new(Kind::Internal, format!("cannot {what} `{}`: {error}", path.display())).hint(
            "a driver in another mount namespace takes --staging-dir and --target-dir that both see",
        )
    }
}

/// Bytes that are different for each seed and do not repeat (xorshift64*).
fn pattern(seed: &str) -> Vec<u8> {
    let mut state = seed.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    }) | 1;
    let mut bytes = Vec::with_capacity(LENGTH as usize);
    while bytes.len() < LENGTH as usize {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend(state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes
}

/// Makes a directory, with those above it, and says whether it was not there.
pub(super) fn make(path: &Path) -> Result<bool> {
    let failed = |error: &std::io::Error| {
        Error::new(Kind::Invalid, format!("cannot make `{}`: {error}", path.display()))
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| failed(&error))?;
    }
    match std::fs::create_dir(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_recognised_and_a_changed_byte_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Place { target: directory.path().to_owned(), block: false };
        mounted.write("a", 1 << 30).unwrap();
        assert_eq!(mounted.read("a", 1 << 30).unwrap(), "the same");
        assert!(mounted.read("b", 1 << 30).is_err());
        let device = Place { target: directory.path().join("device"), block: true };
        assert!(device.write("a", 1 << 20).is_err(), "a device is not made by writing to it");
        File::create(&device.target).unwrap().set_len(3 << 20).unwrap();
        device.write("a", 3 << 20).unwrap();
        assert_eq!(
            (device.size().unwrap(), device.read("a", 3 << 20).unwrap().as_str()),
            (3 << 20, "the same")
        );
        let mut file = OpenOptions::new().write(true).open(&device.target).unwrap();
        file.seek(SeekFrom::End(-1)).unwrap();
        file.write_all(b"?").unwrap();
        let found = device.read("a", 3 << 20).unwrap_err();
        assert!(found.message().ends_with("from byte 3145727 on"), "{found}");
    }
}
