//! What the kernel's device mapper has under a UUID, asked by ioctl (`linux/dm-ioctl.h`, since 2.6).
//!
//! Logical volumes are mapped devices whose UUID is made of the volume group's and their own, so the
//! kernel itself tells which device is whose, how many hold it open, and how full a thin pool is. Devices are
//! made and changed by LVM; here the kernel is only asked, and told when one is not needed any more.

use crate::error::{Context, Result};
use crate::point::DeviceNumber;
use crate::{Errno, Error};
use rustix::fs::{Mode, OFlags};
use rustix::ioctl::{Opcode, Updater, opcode};
use std::fs::File;
use std::path::{Path, PathBuf};

const CONTROL: &str = "/dev/mapper/control";

/// Room for the answer behind the header: a logical volume has few targets.
const ROOM: usize = 16 * 1024;

/// `DM_READONLY_FLAG`, `DM_SUSPEND_FLAG`, `DM_BUFFER_FULL_FLAG`, `DM_NOFLUSH_FLAG`,
/// `DM_DEFERRED_REMOVE`.
const READONLY: u32 = 1;
const SUSPENDED: u32 = 2;
const BUFFER_FULL: u32 = 1 << 8;
const NO_FLUSH: u32 = 1 << 11;
const DEFERRED: u32 = 1 << 17;

/// `struct dm_ioctl`, 312 bytes, with room for the answer.
#[repr(C)]
struct Request {
    version: [u32; 3],
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event: u32,
    padding: u32,
    device: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
    room: [u8; ROOM],
}

const HEADER: usize = 312;
const DEV_REMOVE: Opcode = opcode::read_write::<[u8; HEADER]>(0xfd, 4);
const TARGET_MESSAGE: Opcode = opcode::read_write::<[u8; HEADER]>(0xfd, 14);
const DEV_STATUS: Opcode = opcode::read_write::<[u8; HEADER]>(0xfd, 7);
const TABLE_STATUS: Opcode = opcode::read_write::<[u8; HEADER]>(0xfd, 12);

/// A mapped device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// Its number.
    pub number: DeviceNumber,
    /// Its name below `/dev/mapper`.
    pub name: String,
    /// How often it is open now, by mounts and other devices too.
    pub opened: u32,
    /// It refuses writes.
    pub readonly: bool,
    /// Its input and output are held back.
    pub suspended: bool,
}

/// One piece of a device's table, with its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its length in sectors of 512 bytes.
    pub sectors: u64,
    /// What does the mapping: `linear`, `thin`, `thin-pool`, `error`, …
    pub kind: String,
    /// Its state, in the target's own words.
    pub state: String,
}

impl Mapped {
    /// `/dev/dm-N`, the node that the kernel itself makes.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(format!("/dev/dm-{}", self.number.1))
    }
}

/// The device with this UUID; `None` when there is none, or this kernel has no device mapper at all.
pub fn find(uuid: &str) -> Result<Option<Mapped>> {
    match ask::<DEV_STATUS>(uuid, 0)? {
        None => Ok(None),
        Some(answer) => Ok(Some(Mapped {
            number: (rustix::fs::major(answer.device), rustix::fs::minor(answer.device)),
            name: text(&answer.name),
            opened: u32::try_from(answer.open_count).unwrap_or(0),
            readonly: answer.flags & READONLY != 0,
            suspended: answer.flags & SUSPENDED != 0,
        })),
    }
}

/// The table of the device with this UUID and the state of each piece, without waiting for what is being
/// written; empty when there is no such device.
pub fn state(uuid: &str) -> Result<Vec<Target>> {
    let Some(answer) = ask::<TABLE_STATUS>(uuid, NO_FLUSH)? else {
        return Ok(Vec::new());
    };
    if answer.flags & BUFFER_FULL != 0 {
        return Err(Error::new("read the table of", uuid, Errno::OVERFLOW));
    }
    let start = (answer.data_start as usize).saturating_sub(HEADER);
    let damaged = || Error::new("read the table of", uuid, Errno::BADMSG);
    targets(answer.room.get(start..).unwrap_or(&[]), answer.target_count).ok_or_else(damaged)
}

/// Lets the kernel remove the device when its last user closes it (Linux 3.13), at once where it has none.
pub fn remove_after_use(uuid: &str) -> Result<()> {
    ask::<DEV_REMOVE>(uuid, DEFERRED).map(drop)
}

/// Takes [`remove_after_use`] back. Fine where it was never said.
pub fn keep(uuid: &str) -> Result<()> {
    // `struct dm_target_msg`: the sector, any, and the words.
    let mut message = vec![0; 8];
    message.extend_from_slice(b"@cancel_deferred_remove\0");
    tell::<TARGET_MESSAGE>(uuid, 0, &message).map(drop)
}

/// Reads `count` times `struct dm_target_spec` (40 bytes) and the words behind it. `next` counts from
/// the start of them all.
fn targets(room: &[u8], count: u32) -> Option<Vec<Target>> {
    let mut found = Vec::new();
    let mut at = 0;
    for _ in 0..count {
        let spec = room.get(at..at + 40)?;
        let next = u32::from_ne_bytes(spec.get(20..24)?.try_into().ok()?) as usize;
        let state = room.get(at + 40..next.max(at + 40).min(room.len()))?;
        found.push(Target {
            sectors: u64::from_ne_bytes(spec.get(8..16)?.try_into().ok()?),
            kind: text(spec.get(24..40)?),
            state: text(state),
        });
        at = next;
    }
    Some(found)
}

fn ask<const COMMAND: Opcode>(uuid: &str, flags: u32) -> Result<Option<Box<Request>>> {
    tell::<COMMAND>(uuid, flags, &[])
}

fn tell<const COMMAND: Opcode>(
    uuid: &str,
    flags: u32,
    words: &[u8],
) -> Result<Option<Box<Request>>> {
    let Some(control) = open_control()? else {
        return Ok(None);
    };
    let mut request = Box::new(Request {
        version: [4, 0, 0],
        data_size: size_of::<Request>() as u32,
        data_start: HEADER as u32,
        target_count: 0,
        open_count: 0,
        flags,
        event: 0,
        padding: 0,
        device: 0,
        name: [0; 128],
        uuid: [0; 129],
        data: [0; 7],
        room: [0; ROOM],
    });
    request.room[..words.len()].copy_from_slice(words);
    let fits = request.uuid.get_mut(..uuid.len()).filter(|room| room.len() < 129);
    fits.ok_or_else(|| Error::new("ask the device mapper for", uuid, Errno::NAMETOOLONG))?
        .copy_from_slice(uuid.as_bytes());
    // SAFETY: the kernel reads and writes at most `data_size` bytes, all of which are the struct's, whose
    // first 312 bytes mirror `struct dm_ioctl` and which is plain bytes and numbers throughout.
    match unsafe { rustix::ioctl::ioctl(&control, Updater::<COMMAND, Request>::new(&mut request)) }
    {
        Ok(()) => Ok(Some(request)),
        Err(Errno::NXIO) => Ok(None),
        Err(errno) => Err(Error::new("ask the device mapper for", uuid, errno)),
    }
}

fn open_control() -> Result<Option<File>> {
    match rustix::fs::open(CONTROL, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()) {
        Ok(control) => Ok(Some(File::from(control))),
        Err(Errno::NOENT | Errno::NODEV | Errno::NXIO) => Ok(None),
        Err(errno) => Err(errno).on("open", Path::new(CONTROL)),
    }
}

/// Text up to the first NUL.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_starts_with_the_kernels_struct() {
        assert_eq!(std::mem::offset_of!(Request, room), HEADER);
        assert_eq!(std::mem::offset_of!(Request, uuid), 176);
    }

    #[test]
    fn a_table_is_read_and_a_short_one_is_not() {
        let mut room = vec![0u8; 128];
        room[8..16].copy_from_slice(&409_600u64.to_ne_bytes());
        room[20..24].copy_from_slice(&64u32.to_ne_bytes());
        room[24..28].copy_from_slice(b"thin");
        room[40..46].copy_from_slice(b"1280 9");
        let found = targets(&room, 1).unwrap();
        assert_eq!((found[0].sectors, found[0].kind.as_str()), (409_600, "thin"));
        assert_eq!(found[0].state, "1280 9");
        assert_eq!(targets(&room[..30], 1), None);
    }

    #[test]
    fn a_uuid_that_nothing_has_is_not_found() {
        assert_eq!(find("LVM-becket-no-such-device").unwrap(), None);
        assert_eq!(state("LVM-becket-no-such-device").unwrap(), []);
        remove_after_use("LVM-becket-no-such-device").unwrap();
    }
}
