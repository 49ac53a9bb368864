//! What `cargo xtask guest` wants: `key=value` records, each ended by a NUL, because names of files and
//! arguments may hold everything else.

use crate::failure::{Doing, Result};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// A directory of the host that the guest sees at the same path.
pub(crate) struct Share {
    pub(crate) path: PathBuf,
    /// Written through to the host.
    pub(crate) writable: bool,
}

/// The settings of one guest; see `xtask/src/guest/settings.rs`, which writes them.
#[derive(Default)]
pub(crate) struct Settings {
    /// The directory with the kernel, the shim and the packages' files.
    pub(crate) tree: PathBuf,
    /// The guest's memory, in the words of the kernel's `mem=`.
    pub(crate) memory: String,
    /// This program, on the host.
    pub(crate) program: PathBuf,
    /// Run systemd-udevd.
    pub(crate) udev: bool,
    /// Start the kernel's NFS server before the command.
    pub(crate) nfs_server: bool,
    /// Outermost first.
    pub(crate) shares: Vec<Share>,
    /// The command's working directory.
    pub(crate) directory: PathBuf,
    /// Variables of the command, beside those that every command gets.
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// The command and its arguments.
    pub(crate) command: Vec<OsString>,
}

/// Reads settings.
pub(crate) fn parse(bytes: &[u8]) -> Result<Settings> {
    let mut settings = Settings::default();
    for record in bytes.split(|byte| *byte == 0).filter(|record| !record.is_empty()) {
        let (key, value) = split(record).ok_or("a setting has no `=`")?;
        let key = std::str::from_utf8(key).doing(|| "read the name of a setting")?;
        let value = OsString::from_vec(value.to_vec());
        let share = |writable| Share { path: value.clone().into(), writable };
        match key {
            "tree" => settings.tree = value.into(),
            "memory" => settings.memory = value.to_string_lossy().into_owned(),
            "program" => settings.program = value.into(),
            "udev" => settings.udev = true,
            "nfsd" => settings.nfs_server = true,
            "ro" => settings.shares.push(share(false)),
            "rw" => settings.shares.push(share(true)),
            "directory" => settings.directory = value.into(),
            "variable" => {
                let (name, value) = split(value.as_bytes()).ok_or("a variable has no value")?;
                let text = |bytes| OsStr::from_bytes(bytes).to_owned();
                settings.variables.push((text(name), text(value)));
            }
            "argument" => settings.command.push(value),
            _ => return Err(format!("the setting `{key}` is unknown").into()),
        }
    }
    Ok(settings)
}

fn split(record: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..at], &record[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_every_byte_and_repeated_settings_keep_their_order() {
        let settings = parse(
            b"memory=1G\0ro=/a b\0rw=/a\nb/\xff\0udev=\0variable=X=a=b\0argument=echo\0argument=\0",
        )
        .unwrap();
        assert_eq!(settings.memory, "1G");
        assert!(settings.udev && !settings.nfs_server);
        let shares: Vec<(&[u8], bool)> = settings
            .shares
            .iter()
            .map(|share| (share.path.as_os_str().as_bytes(), share.writable))
            .collect();
        assert_eq!(shares, [(&b"/a b"[..], false), (&b"/a\nb/\xff"[..], true)]);
        assert_eq!(settings.variables, [("X".into(), "a=b".into())]);
        assert_eq!(settings.command, ["echo", ""]);
    }

    #[test]
    fn what_is_unknown_is_refused() {
        assert!(parse(b"colour=red\0").is_err());
        assert!(parse(b"memory\0").is_err());
    }
}
