//! What a client sends, in any pieces: without a field that may be the authority's, nothing is changed.
#![no_main]

use becket_csi::authority::Walk;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

fn walked<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut walk, mut out) = (Walk::default(), Vec::new());
    for piece in pieces {
        walk.feed(piece, &mut out);
    }
    walk.end(&mut out);
    out
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let Some((size, frames)) = data.split_first() else {
        return;
    };
    let bytes = [PREFACE, frames].concat();
    let whole = walked([bytes.as_slice()].into_iter());
    assert_eq!(walked(bytes.chunks(usize::from(*size).max(1))), whole);
    assert!(whole.len() <= bytes.len());
    if !frames.iter().any(|byte| matches!(byte, 0x01 | 0x11 | 0x41)) {
        assert_eq!(whole, bytes);
    }
    if !data.starts_with(PREFACE) {
        assert_eq!(walked(data.chunks(7)), data);
    }
});
