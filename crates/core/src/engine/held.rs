//! The devices of raw block volumes, which are held until neither their stage nor anything published of
//! them needs them.
//!
//! The kernel alone is asked, by what is written on the devices and by its mount table, so that neither a
//! damaged record nor a pool that is gone keeps a device attached.

use super::Engine;
use super::observe::{is_on, loop_number};
use super::remote::is_on_server;
use crate::device_label::DeviceLabel;
use crate::target::Target;
use crate::{Error, Name, Result};
use becket_sys::loop_device::{self, LoopDevice};
use becket_sys::mountinfo;
use std::path::{Path, PathBuf};

impl Engine {
    /// [`Engine::unstage`] of a volume that is gone, or whose record or pool cannot be read.
    pub fn unstage_unread(&self, pool: &Name, name: &Name, staging: &Target) -> Result<()> {
        // Without the pool nothing can be staged either, so nobody is in our way.
        let opened = self.open(pool).ok();
        let _lock = opened.as_ref().map(|pool| self.lock_volume(pool, name)).transpose()?;
        self.unmount_all_of(pool, staging)?;
        match self.say_unstaged(pool, name) {
            Ok(()) => self.let_go_unread(pool, name),
            Err(error) => kept(name, &error),
        }
        Ok(())
    }

    /// [`Engine::let_go`] where nothing may keep a pod from ending, not even a device that cannot be asked.
    pub(super) fn let_go_unread(&self, pool: &Name, name: &Name) {
        if let Err(error) = self.let_go(pool, name) {
            kept(name, &error);
        }
    }

    /// Writes on the devices of the volume that its stage needs them no more.
    pub(super) fn say_unstaged(&self, pool: &Name, name: &Name) -> Result<()> {
        let label = DeviceLabel::new(self.state().identity()?, pool, name);
        for (device, _) in held(&label, name)?.into_iter().filter(|(_, staged)| *staged) {
            device.hold(&label.unstaged())?;
        }
        Ok(())
    }

    /// Detaches the devices of the volume that are held, unless it is staged or published.
    pub(super) fn let_go(&self, pool: &Name, name: &Name) -> Result<()> {
        let held = held(&DeviceLabel::new(self.state().identity()?, pool, name), name)?;
        if held.is_empty() || held.iter().any(|(_, staged)| *staged) {
            return Ok(());
        }
        let paths: Vec<PathBuf> = held.iter().map(|(device, _)| device.path()).collect();
        if mountinfo::read()?.iter().any(|entry| is_on(entry, &paths)) {
            return Ok(());
        }
        held.into_iter().try_for_each(|(device, _)| Ok(device.detach()?))
    }
}

fn kept(name: &Name, error: &Error) {
    log::warn!("a device of volume `{name}` may stay attached: {error}");
}

/// The devices with the label, and whether it says that they are staged.
///
/// A device is asked for its label only if its file is in a directory of the volume's name: asking it
/// would ask the filesystem of its file, and that may be on a server that does not answer.
fn held(label: &DeviceLabel, name: &Name) -> Result<Vec<(LoopDevice, bool)>> {
    let mut held = Vec::new();
    for (number, file) in loop_device::attached()? {
        let own = file.parent().and_then(Path::file_name) == Some(name.as_str().as_ref());
        if !own || is_on_server(&file) {
            continue;
        }
        let Some(device) = LoopDevice::open(number)? else { continue };
        match device.status()? {
            Some(status) if status.label == label.staged() => held.push((device, true)),
            Some(status) if status.label == label.unstaged() => held.push((device, false)),
            _ => {}
        }
    }
    Ok(held)
}

/// True when one of the devices of a raw block volume is needed by its stage: not one that says otherwise,
/// nor one that was detached and goes with its last user.
pub(super) fn is_staged(devices: &[PathBuf]) -> Result<bool> {
    for device in devices {
        let Some(number) = loop_number(device) else { return Ok(true) };
        let status = match LoopDevice::open(number)? {
            Some(device) => device.status()?,
            None => None,
        };
        let needed = |status: loop_device::Status| {
            !status.autoclear && !DeviceLabel::says_unstaged(&status.label)
        };
        if status.is_some_and(needed) {
            return Ok(true);
        }
    }
    Ok(false)
}
