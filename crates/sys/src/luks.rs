//! LUKS2: what a header says, read from its own bytes, and `cryptsetup`, which makes and opens one.
//!
//! A passphrase reaches `cryptsetup` by its standard input and by nothing else. What it makes is a mapped
//! device, of which [`crate::device_mapper`] tells; the node that it leaves in `/dev/mapper` is removed,
//! because it would outlive the device, whose own node is the kernel's.

use crate::error::{Context, Result};
use crate::{Errno, Error, child};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

/// The program; the package has its name.
pub const PROGRAM: &str = "cryptsetup";

/// Bytes in front of the encrypted ones: both copies of the header, and the slots of its keys.
pub const HEADER: u64 = 16 * 1024 * 1024;

/// AES-256 in XTS, as processors have it. What it costs to try a passphrase is bounded: 64 MiB and four
/// rounds of Argon2id on up to four processors, whatever the node has when the header is made.
const FORMAT: [&str; 12] = [
    "luksFormat",
    "--batch-mode",
    "--type=luks2",
    "--cipher=aes-xts-plain64",
    "--key-size=512",
    "--hash=sha256",
    "--pbkdf=argon2id",
    "--pbkdf-memory=65536",
    "--pbkdf-parallel=4",
    "--pbkdf-force-iterations=4",
    // [`HEADER`], in sectors.
    "--offset=32768",
    "--key-file=-",
];

/// How long a passphrase may take to be tried: the header may have been made by others, with other costs.
const LONGEST: Duration = Duration::from_secs(60);

/// The device mapper's library waits for no udev, which may be in another container and never answer.
const VARIABLES: [(&str, &str); 1] = [("DM_DISABLE_UDEV", "1")];

/// What a header says in front of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Its UUID, as text.
    pub uuid: String,
    /// Its label, empty where it has none.
    pub label: String,
}

/// The LUKS2 header of a device; `None` where it has none. The second copy is looked at where the first one
/// is damaged, as `cryptsetup` does, which alone checks their sums.
pub fn header(device: &File, name: &Path) -> Result<Option<Header>> {
    const COPIES: [(u64, &[u8; 6]); 2] = [(0, b"LUKS\xba\xbe"), (16 * 1024, b"SKUL\xba\xbe")];
    for (start, magic) in COPIES {
        let mut bytes = [0; 512];
        device.read_exact_at(&mut bytes, start).on("read the header of", name)?;
        // `struct luks2_hdr_disk`: magic, version, size, sequence, label[48], …, uuid[40] at 168.
        if bytes.starts_with(magic) && bytes[6..8] == [0, 2] {
            return Ok(Some(Header { uuid: text(&bytes[168..208]), label: text(&bytes[24..72]) }));
        }
    }
    Ok(None)
}

fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// Makes a header with one passphrase. Whatever was there is overwritten: the caller knows that it may be.
pub fn format(device: &Path, uuid: &str, label: &str, passphrase: &[u8]) -> Result<()> {
    let words = [&FORMAT[..], &["--uuid", uuid, "--label", label]].concat();
    change(&with(&words, device.as_os_str()), passphrase)
}

/// Changes the label.
pub fn set_label(device: &Path, label: &str) -> Result<()> {
    let words = ["config", "--batch-mode", "--label", label];
    change(&with(&words, device.as_os_str()), &[])
}

/// Changes the UUID.
pub fn set_uuid(device: &Path, uuid: &str) -> Result<()> {
    let words = ["luksUUID", "--batch-mode", "--uuid", uuid];
    change(&with(&words, device.as_os_str()), &[])
}

/// Opens the device as the mapping `name`, whose UUID is [`mapping_uuid`]. `KEYREJECTED` where the
/// passphrase is another one.
pub fn open(device: &Path, name: &str, passphrase: &[u8], discards: bool) -> Result<()> {
    let mut words = vec!["open", "--type=luks2", "--key-file=-"];
    if discards {
        words.push("--allow-discards");
    }
    let arguments = [with(&words, device.as_os_str()), vec![name.as_ref()]].concat();
    let opened = change(&arguments, passphrase);
    remove_node(name);
    opened
}

/// Tries the passphrase and opens nothing. `KEYREJECTED` where it is another one.
pub fn verify(device: &Path, passphrase: &[u8]) -> Result<()> {
    let words = ["open", "--type=luks2", "--key-file=-", "--test-passphrase"];
    let arguments = with(&words, device.as_os_str());
    let told = child::ask_fed(PROGRAM, &arguments, &VARIABLES, passphrase, LONGEST)?;
    judge(told.status, &told.stderr)
}

/// Lets the open mapping show all that its device has by now. The kernel keeps the key to itself, so the
/// passphrase is needed again.
pub fn resize(name: &str, passphrase: &[u8]) -> Result<()> {
    let resized = change(&with(&["resize", "--key-file=-"], name.as_ref()), passphrase);
    remove_node(name);
    resized
}

/// The UUID under which the device mapper has the mapping `name` of the device with the LUKS UUID `uuid`.
pub fn mapping_uuid(uuid: &str, name: &str) -> String {
    format!("CRYPT-LUKS2-{}-{name}", uuid.replace('-', ""))
}

fn with<'a>(words: &[&'a str], last: &'a OsStr) -> Vec<&'a OsStr> {
    words.iter().map(|word| OsStr::new(*word)).chain([last]).collect()
}

fn change(arguments: &[&OsStr], input: &[u8]) -> Result<()> {
    let ended = child::run_fed(PROGRAM, arguments, &VARIABLES, input)?;
    judge(ended.status, &ended.words)
}

/// What the status means (`cryptsetup(8)`, RETURN CODES).
fn judge(status: i32, words: &str) -> Result<()> {
    let errno = match status {
        0 => return Ok(()),
        2 => Errno::KEYREJECTED,
        3 => Errno::NOMEM,
        5 => Errno::BUSY,
        _ => Errno::IO,
    };
    let last = words.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("");
    Err(Error::new("run", PROGRAM, errno).detail(format!("it ended with {status}: {last}")))
}

fn remove_node(name: &str) {
    // One that stays does no harm: nothing of ours goes by it.
    let _ = std::fs::remove_file(Path::new("/dev/mapper").join(name));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> Option<Header> {
        let path = std::env::temp_dir().join(format!("becket-luks-{}", std::process::id()));
        std::fs::write(&path, bytes).unwrap();
        let found = header(&File::open(&path).unwrap(), &path);
        std::fs::remove_file(&path).unwrap();
        found.unwrap()
    }

    #[test]
    fn a_header_is_read_from_either_copy_and_nothing_else_is_taken_for_one() {
        let mut bytes = vec![0; 32 * 1024];
        assert_eq!(of(&bytes), None);
        let wanted = Header { uuid: "1-2".into(), label: "here".into() };
        for (start, magic) in [(16 * 1024, b"SKUL\xba\xbe\x00\x02"), (0, b"LUKS\xba\xbe\x00\x02")] {
            bytes[start..start + 8].copy_from_slice(magic);
            bytes[start + 24..start + 28].copy_from_slice(b"here");
            bytes[start + 168..start + 171].copy_from_slice(b"1-2");
            assert_eq!(of(&bytes), Some(wanted.clone()));
        }
        let old = [&b"LUKS\xba\xbe\x00\x01"[..], &[0; 32 * 1024]].concat();
        assert_eq!(of(&old), None, "LUKS1 is another format");
    }

    #[test]
    fn a_wrong_passphrase_is_told_from_every_other_failure() {
        for (status, errno) in
            [(1, Errno::IO), (2, Errno::KEYREJECTED), (3, Errno::NOMEM), (137, Errno::IO)]
        {
            assert_eq!(judge(status, "x\n").unwrap_err().errno, errno);
        }
        judge(0, "").unwrap();
    }
}
