//! Removing logical volumes for good, and what becomes of their bytes.

use super::group::{Group, Logical, POOL, PREPARING, STATE, TRASH};
use super::options::{self, Wipe};
use super::{command, devices};
use becket_core::{Error, Kind, Pool, Result};
use becket_sys::{Errno, block_device, luks};
use rustix::fs::OFlags;

/// The one place where a logical volume is removed: one of this pool that is being made or lies in the
/// trash, as its tags say.
pub(super) fn remove(pool: &Pool, group: &Group, logical: &Logical) -> Result<()> {
    let ours = logical.tags.get(POOL) == Some(pool.record.uuid.to_string().as_str());
    let state = logical.tags.get(STATE);
    if !ours || !(state == Some(PREPARING) || state == Some(TRASH)) {
        return Err(Error::new(
            Kind::Internal,
            format!("logical volume `{}` is not to be removed", logical.place(group)),
        ));
    }
    group.refuse_partial()?;
    // What its volume, or the volume it is a snapshot of, asked for.
    let wipe = options::wipe(&options::parameters_of(logical))?;
    // Blocks of thin volumes are zeroed when they are handed out again, and shared ones are others' too.
    if wipe == Wipe::Zero && logical.thin_pool.is_none() && state == Some(TRASH) {
        let device = devices::open(group, logical, OFlags::RDWR)?;
        devices::zero(&device.file, 0, device.size, &device.path)?;
    }
    // Every copy has the key, one that was never finished too.
    if wipe == Wipe::CryptoErase {
        let device = devices::open(group, logical, OFlags::RDWR)?;
        devices::zero(&device.file, 0, luks::HEADER.min(device.size), &device.path)?;
    }
    if wipe == Wipe::Discard && logical.thin_pool.is_some() && state == Some(TRASH) {
        discard(group, logical)?;
    }
    let discards = format!("devices{{issue_discards={}}}", u8::from(wipe == Wipe::Discard));
    let place = logical.place(group);
    let what = format!("remove logical volume `{place}`");
    let removed = command::change_with(&discards, &what, &["lvremove", &place]);
    pool.memory.forget();
    removed
}

/// Gives the blocks of a thin volume back, down to the devices below its pool: removing it alone tells them
/// nothing. Blocks that others share stay.
fn discard(group: &Group, logical: &Logical) -> Result<()> {
    let device = devices::open(group, logical, OFlags::RDWR)?;
    match block_device::discard(&device.file, 0, device.size, &device.path) {
        Err(error) if error.errno != Errno::OPNOTSUPP => Err(error.into()),
        _ => Ok(()),
    }
}
