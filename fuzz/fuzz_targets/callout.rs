//! argv of a callout: arguments are separated by NUL, as in the kernel's own form of it.
#![no_main]

use becket_flexvolume::Callout;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let arguments: Vec<OsString> =
        data.split(|byte| *byte == 0).map(|part| OsString::from_vec(part.to_vec())).collect();
    if let Err(error) = Callout::parse(&arguments) {
        // What is said of bad input is itself safe to print on one line.
        assert!(!error.message().contains('\n'));
    }
});
