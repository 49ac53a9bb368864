//! Records: what is read is written and read the same.
#![no_main]

use becket_core::record::{self, PoolRecord, SnapshotRecord, TrashRecord, VolumeRecord};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    if let Ok(volume) = record::read::<VolumeRecord>(data, "fuzz") {
        let bytes = record::write(&volume).expect("a record can be written");
        assert_eq!(record::read::<VolumeRecord>(&bytes, "fuzz").expect("and read again"), volume);
    }
    let _ = record::read::<SnapshotRecord>(data, "fuzz");
    let _ = record::read::<PoolRecord>(data, "fuzz");
    let _ = record::read::<TrashRecord>(data, "fuzz");
});
