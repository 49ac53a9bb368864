//! What a device holds: whatever is called blank must be blank.
#![no_main]

use becket_sys::superblock::{Content, identify};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (head, tail) = data.split_at(data.len() - data.len() / 4);
    if identify(head, tail) == Content::Blank {
        assert!(data.iter().all(|byte| *byte == 0));
    }
});
