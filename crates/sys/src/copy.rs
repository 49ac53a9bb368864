//! Copies of image files: a reflink where the filesystem can, else byte for byte with the holes kept; and
//! of devices, whole.

use crate::Errno;
use crate::error::{Context, Result};
use rustix::fs::SeekFrom;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

/// Told now and then how many bytes have been dealt with; `Break` stops the copy with `CANCELED`.
pub type Advance<'a> = &'a mut dyn FnMut(u64) -> ControlFlow<()>;

/// Makes `to` share all of `from`'s blocks (`FICLONE`, ioctl_ficlone(2)). False when the
/// filesystem, or the pair of filesystems, cannot.
pub fn reflink(from: &File, to: &File, name: &Path) -> Result<bool> {
    match rustix::fs::ioctl_ficlone(to, from) {
        Ok(()) => Ok(true),
        Err(Errno::OPNOTSUPP | Errno::XDEV | Errno::NOTTY | Errno::INVAL | Errno::NOSYS) => {
            Ok(false)
        }
        Err(errno) => Err(errno).on("reflink", name),
    }
}

/// True when two new files in the directory `dir` can share blocks, found out by doing it.
pub fn can_reflink(dir: &crate::beneath::Dir) -> Result<bool> {
    use rustix::fs::OFlags;
    let unnamed = || dir.open_file(".", OFlags::TMPFILE | OFlags::RDWR);
    let (from, to) = match (unnamed(), unnamed()) {
        (Ok(from), Ok(to)) => (from, to),
        _ => return Ok(false),
    };
    rustix::io::pwrite(&from, &[1; 4096], 0).on("write a probe below", dir.path())?;
    reflink(&from, &to, dir.path())
}

/// Copies the data of `from` into the empty file `to` and gives it the same length. Holes stay
/// holes (`SEEK_DATA`, lseek(2)); the copy is synced before this returns.
pub fn sparse(from: &File, to: &File, name: &Path, advance: Advance<'_>) -> Result<()> {
    let length = from.metadata().on("read size of", name)?.len();
    to.set_len(length).on("set size of copy of", name)?;
    let mut place = 0;
    while let Some((start, end)) = next_data(from, place, length).on("find data in", name)? {
        copy_range(from, to, start, end, name, advance)?;
        place = end;
    }
    told(advance, length, name)?;
    to.sync_data().on("sync copy of", name)
}

/// Copies the first `length` bytes of the device `from` to the device `to`, all of them: what a device
/// holds where nothing was written is not known. The copy is synced before this returns.
///
/// Both must be open with `O_DIRECT` (open(2)): the kernel keeps pages of a device apart from those of the
/// filesystem on it, and what it has read of the device once may be older than what is there.
pub fn device(
    from: &File,
    to: &File,
    length: u64,
    name: &Path,
    advance: Advance<'_>,
) -> Result<()> {
    use std::os::unix::fs::FileExt;
    const CHUNK: usize = 4 * 1024 * 1024;
    let mut room = vec![0; CHUNK + ALIGNED];
    let first = room.as_ptr().align_offset(ALIGNED);
    let buffer = &mut room[first..first + CHUNK];
    let mut place = 0;
    while place < length {
        let size = CHUNK.min((length - place) as usize);
        from.read_exact_at(&mut buffer[..size], place).on("read", name)?;
        to.write_all_at(&buffer[..size], place).on("write a copy of", name)?;
        place += size as u64;
        told(advance, place, name)?;
    }
    to.sync_data().on("sync copy of", name)
}

/// What the memory for direct reading and writing has to start at a multiple of, at most.
const ALIGNED: usize = 4096;

/// Passes progress on and hears whether to go on.
fn told(advance: Advance<'_>, done: u64, name: &Path) -> Result<()> {
    match advance(done) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Errno::CANCELED).on("go on copying", name),
    }
}

/// The next stretch of data at or after `place`. A device is data from end to end.
pub(crate) fn next_data(
    file: &File,
    place: u64,
    length: u64,
) -> rustix::io::Result<Option<(u64, u64)>> {
    if place >= length {
        return Ok(None);
    }
    let start = match rustix::fs::seek(file, SeekFrom::Data(place)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL) if is_device(file) => return Ok(Some((place, length))),
        Err(errno) => return Err(errno),
    };
    let end = rustix::fs::seek(file, SeekFrom::Hole(start))?.min(length);
    Ok((start < end).then_some((start, end)))
}

fn is_device(file: &File) -> bool {
    use std::os::unix::fs::FileTypeExt;
    file.metadata().is_ok_and(|found| found.file_type().is_block_device())
}

fn copy_range(
    from: &File,
    to: &File,
    start: u64,
    end: u64,
    name: &Path,
    advance: Advance<'_>,
) -> Result<()> {
    // Small enough for regular reports and to notice that a freeze has expired.
    const CHUNK: u64 = 16 * 1024 * 1024;
    let (mut read, mut write) = (start, start);
    while read < end {
        let chunk = CHUNK.min(end - read) as usize;
        let copied =
            rustix::fs::copy_file_range(from, Some(&mut read), to, Some(&mut write), chunk)
                .on("copy", name)?;
        if copied == 0 {
            // The file became shorter while it was copied.
            return Err(Errno::IO).on("copy", name);
        }
        told(advance, read, name)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileExt, MetadataExt};

    #[test]
    fn a_sparse_copy_has_the_same_bytes_and_keeps_the_holes() {
        let (from, to) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
        from.set_len(64 << 20).unwrap();
        from.write_all_at(b"near the start", 5).unwrap();
        from.write_all_at(b"far out", 40 << 20).unwrap();
        let mut reports = 0;
        sparse(&from, &to, Path::new("test"), &mut |_| {
            reports += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
        let (mut one, mut other) = (vec![0; 64 << 20], vec![0; 64 << 20]);
        from.read_exact_at(&mut one, 0).unwrap();
        to.read_exact_at(&mut other, 0).unwrap();
        assert!(one == other);
        assert!(to.metadata().unwrap().blocks() * 512 < 1 << 20, "the holes were filled");
        assert!(reports >= 3);
    }
}
