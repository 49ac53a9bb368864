//! What a workload writes, so that whoever reads it can tell whether it is whole and how new it is.
//!
//! A file, or a stretch of a raw block device, holds one number over and over.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes of a file: a few blocks, so that half of one would show.
const LENGTH: usize = 20 * 1024;

/// Bytes of a stretch of a device: a page, the least that is written at once.
const STRETCH: usize = 4096;

fn line(number: u64) -> String {
    format!("{number:015}\n")
}

/// Writes the number beside, syncs and renames it, as a careful workload does. False when the
/// filesystem is full.
pub fn write(directory: &Path, name: &str, number: u64) -> Result<bool, String> {
    let (beside, place) = (directory.join(format!(".{name}")), directory.join(name));
    let attempt = || {
        let mut file = File::create(&beside)?;
        file.write_all(line(number).repeat(LENGTH / line(number).len()).as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&beside, &place)?;
        File::open(directory)?.sync_all()
    };
    match attempt() {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::StorageFull => Ok(false),
        Err(error) => Err(format!("cannot write to `{}`: {error}", place.display())),
    }
}

/// The number in a file of [`write()`]; `None` where there is no file. An error when it is torn.
pub fn number_in(path: &Path) -> Result<Option<u64>, String> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|error| format!("cannot read `{}`: {error}", path.display()))?,
    };
    whole(&text, LENGTH, path).map(Some)
}

/// All files of [`write()`] in the directory are whole, or it is an error.
pub fn look(directory: &Path) -> Result<(), String> {
    let failed = |error| format!("cannot list `{}`: {error}", directory.display());
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let name = entry.map_err(failed)?.file_name().to_string_lossy().into_owned();
        if name != "lost+found" && !name.starts_with('.') {
            number_in(&directory.join(name))?;
        }
    }
    Ok(())
}

/// Writes the number to the stretch `index` of a device, and syncs it.
pub fn write_stretch(device: &Path, index: u64, number: u64) -> Result<(), String> {
    let failed = |error| format!("cannot write to `{}`: {error}", device.display());
    let file = File::options().write(true).open(device).map_err(failed)?;
    let text = line(number).repeat(STRETCH / line(number).len());
    file.write_all_at(text.as_bytes(), index * STRETCH as u64).map_err(failed)?;
    file.sync_all().map_err(failed)
}

/// The number in that stretch; `None` where it was never written. An error when it is torn.
pub fn number_in_stretch(device: &Path, index: u64) -> Result<Option<u64>, String> {
    let failed = |error| format!("cannot read `{}`: {error}", device.display());
    let mut bytes = vec![0; STRETCH];
    let file = File::open(device).map_err(failed)?;
    file.read_exact_at(&mut bytes, index * STRETCH as u64).map_err(failed)?;
    if bytes.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    whole(&String::from_utf8_lossy(&bytes), STRETCH, device).map(Some)
}

fn whole(text: &str, length: usize, path: &Path) -> Result<u64, String> {
    let first = text.get(..line(0).len()).unwrap_or_default();
    let whole = text.len() == length && text == first.repeat(length / line(0).len());
    let number = first.trim().parse().ok().filter(|_| whole);
    number
        .ok_or_else(|| format!("`{}` is torn: {} bytes from {first:?}", path.display(), text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_half_of_it_is_torn() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("file");
        assert_eq!(number_in(&path), Ok(None));
        assert_eq!(write(place.path(), "file", 7), Ok(true));
        assert_eq!(number_in(&path), Ok(Some(7)));
        look(place.path()).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(4096).unwrap();
        assert!(look(place.path()).unwrap_err().contains("torn"));
        File::create(&path).unwrap();
        assert!(number_in(&path).is_err());
    }

    #[test]
    fn stretches_of_a_device_do_not_touch_each_other() {
        let device = tempfile::NamedTempFile::new().unwrap();
        device.as_file().set_len(1 << 20).unwrap();
        write_stretch(device.path(), 3, 42).unwrap();
        let found = [2, 3, 4].map(|index| number_in_stretch(device.path(), index));
        assert_eq!(found, [Ok(None), Ok(Some(42)), Ok(None)]);
        device.as_file().write_all_at(b"x", 3 * 4096 + 100).unwrap();
        assert!(number_in_stretch(device.path(), 3).unwrap_err().contains("torn"));
    }
}
