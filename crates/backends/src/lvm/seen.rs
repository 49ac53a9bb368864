//! What was last told of each group, for as long as its devices say that nothing has changed since.
//!
//! Running LVM costs as much as all else together. Every change that it makes, whoever asked for it, ends with
//! new headers of the metadata areas on the group's devices (`struct mda_header` in `format-text.c` of LVM2),
//! which hold the place and the checksum of the new description. So a report is as good as new while
//! those headers are as they were before and after it was made. They are read past the kernel's cache: a
//! device that is gone or broken cannot seem to be there.

use super::group::Group;
use becket_core::Result;
use becket_sys::block_device;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// By the names of groups. A group that is being looked at is not in it, so that whoever finds a device that
/// does not answer waits alone; others ask LVM, which is given up after a while.
static SEEN: Mutex<BTreeMap<String, Seen>> = Mutex::new(BTreeMap::new());

struct Seen {
    group: Arc<Group>,
    /// Those of all its devices; `None` where they may have changed while the report was made.
    headers: Option<Vec<Header>>,
}

/// What every device with metadata starts with: the label, in one of four sectors, and at a fixed place the
/// header of the first metadata area. `pvcreate` puts both there.
type Header = Box<[u8; block_device::START]>;

const LABEL: &[u8] = b"LABELONE";
const LABEL_PLACES: [usize; 4] = [0, 512, 1024, 1536];
const MAGIC: &[u8] = b" LVM2 x[5A%r0N*>";
const MAGIC_PLACE: usize = 4096 + 4;

/// The group of this name: the one that was seen last, or the one that `report` gives.
pub(super) fn or_report(
    name: &str,
    report: impl FnOnce() -> Result<Option<Group>>,
) -> Result<Option<Arc<Group>>> {
    let known = seen().remove(name);
    let before = known.as_ref().and_then(|known| headers(&known.group.devices));
    if let Some(known) = known
        && before.is_some()
        && before == known.headers
    {
        let group = Arc::clone(&known.group);
        seen().insert(name.to_owned(), known);
        return Ok(Some(group));
    }
    let Some(group) = report()?.map(Arc::new) else { return Ok(None) };
    let headers = before.filter(|before| headers(&group.devices).as_ref() == Some(before));
    let mut seen = seen();
    // Another one's that is known to be good is better than one that is not.
    if headers.is_some() || !seen.contains_key(name) {
        seen.insert(name.to_owned(), Seen { group: Arc::clone(&group), headers });
    }
    Ok(Some(group))
}

fn seen() -> MutexGuard<'static, BTreeMap<String, Seen>> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The headers on these devices; `None` unless all have one and there is one.
fn headers(devices: &[PathBuf]) -> Option<Vec<Header>> {
    let headers = devices.iter().map(|device| {
        let start = block_device::start(device).ok()?;
        is_header(&start[..]).then_some(start)
    });
    headers.collect::<Option<Vec<Header>>>().filter(|headers| !headers.is_empty())
}

fn is_header(start: &[u8]) -> bool {
    let has = |what: &[u8], place: usize| start[place..].starts_with(what);
    LABEL_PLACES.iter().any(|place| has(LABEL, *place)) && has(MAGIC, MAGIC_PLACE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_starts_as_lvm_writes_it_is_a_header() {
        let mut start = [0; block_device::START];
        assert!(!is_header(&start));
        start[512..520].copy_from_slice(LABEL);
        assert!(!is_header(&start), "a device without metadata");
        start[MAGIC_PLACE..MAGIC_PLACE + MAGIC.len()].copy_from_slice(MAGIC);
        assert!(is_header(&start));
        start[512] = 0;
        assert!(!is_header(&start), "what is left of a device that was removed");
    }

    #[test]
    fn a_device_that_is_not_there_has_no_header() {
        assert!(headers(&[PathBuf::from("/dev/becket-is-not-there")]).is_none());
        assert!(headers(&[]).is_none(), "none is not all");
    }
}
