//! The host's mounts, as the confined kernel sees them: read-only, and with no devices.

use crate::failure::{Doing, Result};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount_remount};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Gives every mount of this namespace the flags that `added` names for its path, beside its own.
pub(crate) fn restrict(added: impl Fn(&Path) -> MountFlags) -> Result {
    let table = std::fs::read_to_string("/proc/self/mountinfo").doing(|| "read the mount table")?;
    for (path, flags) in table.lines().filter_map(parse) {
        let added = added(&path);
        if added.is_empty() {
            continue;
        }
        match mount_remount(&path, flags | added | MountFlags::BIND, "") {
            // What is below another mount, or behind a directory that is closed to us, is out of the
            // kernel's reach too: it runs as who we are.
            Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::INVAL | Errno::ACCESS) => {}
            Err(error) => {
                return Err(error).doing(|| format!("restrict the mount `{}`", path.display()));
            }
        }
    }
    Ok(())
}

/// The path of a mount and the flags that a remount has to repeat, from a line of mountinfo (proc(5)).
fn parse(line: &str) -> Option<(PathBuf, MountFlags)> {
    let mut fields = line.split(' ').skip(4);
    let path = unescape(fields.next()?);
    let flags = fields.next()?.split(',').map(flag).fold(MountFlags::empty(), |all, one| all | one);
    Some((path, flags))
}

fn flag(option: &str) -> MountFlags {
    match option {
        "ro" => MountFlags::RDONLY,
        "nodev" => MountFlags::NODEV,
        "nosuid" => MountFlags::NOSUID,
        "noexec" => MountFlags::NOEXEC,
        "noatime" => MountFlags::NOATIME,
        "nodiratime" => MountFlags::NODIRATIME,
        "relatime" => MountFlags::RELATIME,
        _ => MountFlags::empty(),
    }
}

/// The kernel writes a blank as `\040`, and a few others so.
fn unescape(field: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = field.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'\\')
            .then(|| after.get(..3))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &after[3..] } else { after };
    }
    Path::new(&OsString::from_vec(bytes)).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_mount_table_gives_the_path_and_what_to_repeat() {
        let line = r"36 35 98:0 /x /mnt/a\040b\134c rw,nosuid,noatime master:1 - ext3 /dev/r rw";
        let (path, flags) = parse(line).unwrap();
        assert_eq!(path, Path::new(r"/mnt/a b\c"));
        assert_eq!(flags, MountFlags::NOSUID | MountFlags::NOATIME);
    }
}
