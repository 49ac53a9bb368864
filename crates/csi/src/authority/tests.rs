//! Frames by hand, frames by chance, and h2 itself behind the walk.

use super::*;
use proptest::prelude::*;

mod server;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEADERS: u8 = 0x1;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// What the walk gives for `bytes` that arrive in pieces of these sizes, over and over.
fn walked(bytes: &[u8], pieces: &[usize]) -> Vec<u8> {
    let (mut walk, mut out, mut rest) = (Walk::default(), Vec::new(), bytes);
    for size in pieces.iter().cycle() {
        let (piece, more) = rest.split_at(rest.len().min(*size));
        walk.feed(piece, &mut out);
        rest = more;
        if rest.is_empty() {
            break;
        }
    }
    walk.end(&mut out);
    out
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &[0, 0, 0, 1], payload].concat()
}

/// A connection with one frame.
fn connection(frame: &[u8]) -> Vec<u8> {
    [PREFACE, frame].concat()
}

/// A string literal of fewer than 127 bytes, not Huffman-coded.
fn literal(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

#[test]
fn the_authority_is_replaced_in_each_form_of_literal_and_the_length_corrected() {
    let path = literal("%2Fvar%2Flib%2Fkubelet%2Fplugins_registry%2Fx-reg.sock");
    // Huffman-coded, as grpc-go sends it; only the bit that says so matters here.
    let coded = [&[0x80 | 4], [1, 2, 3, 4].as_slice()].concat();
    for form in [0x41, 0x01, 0x11] {
        for value in [&path, &coded] {
            let before = [&[0x83, 0x86, form], value.as_slice(), &[0x84]].concat();
            let after = [0x83, 0x86, form, 1, b'x', 0x84];
            for (flags, front, back) in [
                (0, [].as_slice(), [].as_slice()),
                (END_STREAM, &[], &[]),
                (PADDED, &[3], &[0, 0, 0]),
                (PRIORITY, &[0, 0, 0, 0, 16], &[]),
                (PADDED | PRIORITY, &[2, 0x80, 0, 0, 0, 16], &[0x41, 0x41]),
            ] {
                let flags = flags | END_HEADERS;
                let given = frame(HEADERS, flags, &[front, &before, back].concat());
                let wanted = frame(HEADERS, flags, &[front, &after, back].concat());
                assert_eq!(walked(&connection(&given), &[usize::MAX]), connection(&wanted));
                assert_eq!(walked(&connection(&given), &[1]), connection(&wanted));
            }
        }
    }
}

#[test]
fn only_the_authority_is_replaced_among_all_kinds_of_fields() {
    let new_name = [&[0x40], literal("x-te").as_slice(), &literal("\u{1}A")].concat();
    // Names beyond the prefix's bits: 61 for six of them, 15 + 46 for four.
    let far_names = [&[0x40 | 61], literal("v").as_slice(), &[0x0f, 46], &literal("v")].concat();
    let long = [&[0x00, 127, 0x80, 0x01], vec![b'n'; 255].as_slice(), &[0]].concat();
    let resize = [0x3f, 0xe1, 0x1f];
    let others = [&resize, new_name.as_slice(), &far_names, &long, &[0xff, 0x00]].concat();
    let authority = [&[0x41], literal("a.sock").as_slice()].concat();
    let given = [others.as_slice(), &authority, &others, &authority, &[0x41, 0]].concat();
    let replaced = [0x41, 1, b'x'];
    let wanted = [others.as_slice(), &replaced, &others, &replaced, &[0x41, 0]].concat();
    assert_eq!(
        walked(&connection(&frame(HEADERS, END_HEADERS, &given)), &[7]),
        connection(&frame(HEADERS, END_HEADERS, &wanted))
    );
}

#[test]
fn what_is_no_whole_and_sound_frame_of_headers_passes_untouched() {
    let authority = [&[0x41], literal("%2Fa.sock").as_slice()].concat();
    let sound = frame(HEADERS, END_HEADERS, &authority);
    let with = |bytes: &[u8]| [authority.as_slice(), bytes].concat();
    let table = [
        ("another protocol", [b"GET / HTTP/1.1\r\n\r\n", sound.as_slice()].concat()),
        ("a preface that is wrong at its end", [&PREFACE[..23], b"\r", &sound].concat()),
        ("a preface that is cut", PREFACE[..20].to_vec()),
        ("no headers", connection(&frame(HEADERS, END_HEADERS, &[]))),
        ("headers that go on", connection(&frame(HEADERS, 0, &authority))),
        ("data", connection(&frame(0, END_HEADERS, &authority))),
        ("a continuation", connection(&frame(9, END_HEADERS, &authority))),
        ("a frame that is cut", connection(&sound[..sound.len() - 1])),
        ("a frame's header that is cut", connection(&sound[..8])),
        ("a string beyond the end", connection(&frame(HEADERS, END_HEADERS, &with(&[0, 9, 1])))),
        ("an integer without end", connection(&frame(HEADERS, END_HEADERS, &with(&[0xff; 9])))),
        ("a literal without value", connection(&frame(HEADERS, END_HEADERS, &with(&[0x42])))),
        ("more padding than frame", {
            connection(&frame(
                HEADERS,
                END_HEADERS | PADDED,
                &[&[99], authority.as_slice()].concat(),
            ))
        }),
        ("padding without its length", connection(&frame(HEADERS, END_HEADERS | PADDED, &[]))),
        ("a priority that is cut", connection(&frame(HEADERS, END_HEADERS | PRIORITY, &[0; 4]))),
        ("a frame larger than allowed", {
            let large = with(&[0x84; 16 * 1024]);
            connection(&frame(HEADERS, END_HEADERS, &large))
        }),
    ];
    for (what, bytes) in table {
        for piece in [1, 5, usize::MAX] {
            assert!(walked(&bytes, &[piece]) == bytes, "{what}, in pieces of {piece}");
        }
    }
}

#[test]
fn a_large_frame_of_data_is_given_as_it_arrives() {
    let bytes = connection(&frame(0, 0, &[7; 70_000]));
    let (mut walk, mut out) = (Walk::default(), Vec::new());
    let (front, back) = bytes.split_at(40_000);
    walk.feed(front, &mut out);
    assert_eq!(out.len(), front.len());
    walk.feed(back, &mut out);
    assert!(out == bytes);
}

/// A field as bytes, and as the walk should give it.
fn any_field() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let text = "[ -~]{0,100}";
    let name = prop_oneof![(2u8..=14), Just(0)];
    let forms = prop_oneof![Just(0x40u8), Just(0x00), Just(0x10)];
    prop_oneof![
        (0x81u8..=0xfe).prop_map(|byte| (vec![byte], vec![byte])),
        (0x20u8..=0x3e).prop_map(|byte| (vec![byte], vec![byte])),
        (forms.clone(), name, text, text).prop_map(|(form, name, first, second)| {
            let named = if name == 0 { literal(&first) } else { Vec::new() };
            let field = [&[form | name], named.as_slice(), &literal(&second)].concat();
            (field.clone(), field)
        }),
        (forms, text).prop_map(|(form, value)| {
            let short = if value.is_empty() { "" } else { "x" };
            let field = |value| [&[form | 1], literal(value).as_slice()].concat();
            (field(&value), field(short))
        }),
    ]
}

/// A frame as bytes, and as the walk should give it.
fn any_frame() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let headers = (proptest::collection::vec(any_field(), 0..8), any::<u8>(), 0u8..20);
    let headers = headers.prop_map(|(fields, flags, padding)| {
        let mut front = Vec::new();
        if flags & PADDED != 0 {
            front.push(padding);
        }
        if flags & PRIORITY != 0 {
            front.extend([0, 0, 0, 0, 1]);
        }
        let back = vec![0x41; if flags & PADDED != 0 { padding.into() } else { 0 }];
        let (given, wanted): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
        let whole = |fields: Vec<Vec<u8>>| {
            frame(HEADERS, flags, &[front.as_slice(), &fields.concat(), &back].concat())
        };
        let given = whole(given);
        let wanted = if flags & END_HEADERS != 0 { whole(wanted) } else { given.clone() };
        (given, wanted)
    });
    let other = (any::<u8>(), any::<u8>(), proptest::collection::vec(any::<u8>(), 0..300));
    let other = other.prop_map(|(kind, flags, payload)| {
        let bytes = frame(if kind == HEADERS { 0 } else { kind }, flags, &payload);
        (bytes.clone(), bytes)
    });
    prop_oneof![headers, other]
}

fn any_pieces() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1usize..90, 1..6)
}

proptest! {
    #[test]
    fn frames_of_any_kind_in_any_pieces_keep_all_but_the_authority(
        frames in proptest::collection::vec(any_frame(), 0..6),
        pieces in any_pieces(),
    ) {
        let (given, wanted): (Vec<_>, Vec<_>) = frames.into_iter().unzip();
        prop_assert_eq!(walked(&connection(&given.concat()), &pieces), connection(&wanted.concat()));
    }

    #[test]
    fn any_bytes_in_any_pieces_give_the_same_and_what_is_no_http_2_itself(
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        pieces in any_pieces(),
    ) {
        prop_assert_eq!(&walked(&bytes, &pieces), &bytes);
        let after = connection(&bytes);
        let whole = walked(&after, &[usize::MAX]);
        prop_assert!(whole.len() <= after.len());
        prop_assert_eq!(&walked(&after, &pieces), &whole);
    }

    #[test]
    fn damaged_frames_in_any_pieces_give_the_same(
        frames in proptest::collection::vec(any_frame(), 1..4),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        pieces in any_pieces(),
    ) {
        let mut bytes = frames.into_iter().flat_map(|(given, _)| given).collect::<Vec<u8>>();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let bytes = connection(&bytes);
        prop_assert_eq!(walked(&bytes, &pieces), walked(&bytes, &[usize::MAX]));
    }
}
