//! The mount table.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = becket_sys::mountinfo::parse(data);
});
