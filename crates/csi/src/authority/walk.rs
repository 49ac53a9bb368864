//! A walk over the bytes a client sends: frames (RFC 9113, sections 3.4, 4.1 and 6.2) and the fields in
//! frames of headers (RFC 7541, sections 5 and 6), with one value replaced.

/// What every HTTP/2 client sends first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The shortest authority there is, as a string literal of HPACK.
///
/// It has to be short. Client and server keep the same table of fields and refer to its entries by their
/// age; the one whose entries are smaller keeps them longer. A value that is never longer than the
/// client's keeps every entry here that the client still has. And no frame grows by it.
const AUTHORITY: &[u8] = b"\x01x";

/// `:authority` in HPACK's static table.
const AUTHORITY_NAME: usize = 1;

const FRAME_HEADER: usize = 9;
const HEADERS: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// The largest frame that h2 takes unless it is told otherwise; larger ones are left to it to refuse.
const LARGEST_FRAME: usize = 16 * 1024;

/// Takes a connection's bytes in pieces of any size and gives them with the authority replaced.
///
/// Replaced is the value, unless empty, of each literal field whose name is entry 1 of the static table,
/// in frames that hold all headers of a request. Whatever else comes, and above all what is malformed, is
/// given as it came: judging it is h2's part.
#[derive(Debug, Default)]
pub struct Walk {
    place: Place,
    /// A frame's header, or a whole frame of headers, of which more is to come.
    held: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// In the preface, behind this many bytes of it.
    Preface(usize),
    /// In a frame's header.
    Header,
    /// In a frame of headers that is this long, its own header included.
    Fields(usize),
    /// In a frame that passes, before this many bytes of it.
    Payload(usize),
    /// In something that is no HTTP/2.
    Elsewhere,
}

impl Default for Place {
    fn default() -> Place {
        Place::Preface(0)
    }
}

impl Walk {
    /// Takes the next bytes, and appends to `out` what can be given by now.
    pub fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        while !bytes.is_empty() {
            match self.place {
                Place::Preface(matched) => {
                    let part = cut(&mut bytes, PREFACE.len() - matched);
                    let end = matched + part.len();
                    out.extend_from_slice(part);
                    self.place = match part == &PREFACE[matched..end] {
                        true if end == PREFACE.len() => Place::Header,
                        true => Place::Preface(end),
                        false => Place::Elsewhere,
                    };
                }
                Place::Header => {
                    self.held.extend_from_slice(cut(&mut bytes, FRAME_HEADER - self.held.len()));
                    if self.held.len() == FRAME_HEADER {
                        self.begin_frame(out);
                    }
                }
                Place::Fields(length) => {
                    self.held.extend_from_slice(cut(&mut bytes, length - self.held.len()));
                    if self.held.len() == length {
                        self.give_fields(out);
                    }
                }
                Place::Payload(left) => {
                    let part = cut(&mut bytes, left);
                    out.extend_from_slice(part);
                    self.place = payload(left - part.len());
                }
                Place::Elsewhere => out.extend_from_slice(cut(&mut bytes, usize::MAX)),
            }
        }
    }

    /// Appends to `out` what is held: the connection has ended in the middle of it.
    pub fn end(&mut self, out: &mut Vec<u8>) {
        out.append(&mut self.held);
        self.place = Place::Elsewhere;
    }

    fn begin_frame(&mut self, out: &mut Vec<u8>) {
        let length = usize::from(self.held[0]) << 16
            | usize::from(self.held[1]) << 8
            | usize::from(self.held[2]);
        let (kind, flags) = (self.held[3], self.held[4]);
        // Headers that go on in a CONTINUATION frame may be cut within a field; no client of ours sends
        // so many.
        let walked = kind == HEADERS && flags & END_HEADERS != 0 && length <= LARGEST_FRAME;
        match walked {
            true if length > 0 => self.place = Place::Fields(FRAME_HEADER + length),
            _ => {
                out.append(&mut self.held);
                self.place = payload(length);
            }
        }
    }

    fn give_fields(&mut self, out: &mut Vec<u8>) {
        let start = out.len();
        if replaced(&self.held, out).is_none() {
            out.truncate(start);
            out.extend_from_slice(&self.held);
        }
        self.held.clear();
        self.place = Place::Header;
    }
}

fn payload(left: usize) -> Place {
    match left {
        0 => Place::Header,
        left => Place::Payload(left),
    }
}

/// Cuts at most `count` bytes off the front.
fn cut<'a>(bytes: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (part, rest) = bytes.split_at(count.min(bytes.len()));
    *bytes = rest;
    part
}

/// Appends a whole frame of headers to `out`, with the authority replaced. `None` when it is malformed.
fn replaced(frame: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let start = out.len();
    let (header, payload) = frame.split_at_checked(FRAME_HEADER)?;
    let flags = header[4];
    let (mut at, mut padding) = (0, 0);
    if flags & PADDED != 0 {
        padding = usize::from(*payload.first()?);
        at += 1;
    }
    if flags & PRIORITY != 0 {
        at += 5;
    }
    let (block, padding) = payload.split_at_checked(payload.len().checked_sub(padding)?)?;
    out.extend_from_slice(header);
    out.extend_from_slice(block.get(..at)?);
    while at < block.len() {
        let field = Field::read(block, at)?;
        match field.authority {
            Some(value) => {
                out.extend_from_slice(&block[at..value]);
                out.extend_from_slice(AUTHORITY);
            }
            None => out.extend_from_slice(&block[at..field.end]),
        }
        at = field.end;
    }
    out.extend_from_slice(padding);
    let length = u32::try_from(out.len() - start - FRAME_HEADER).ok()?.to_be_bytes();
    out[start..start + 3].copy_from_slice(&length[1..]);
    Some(())
}

/// One field of a header block, or one change of the table's size.
struct Field {
    /// Where the value begins, if it is a literal, not empty, and the authority's.
    authority: Option<usize>,
    end: usize,
}

impl Field {
    fn read(block: &[u8], at: usize) -> Option<Field> {
        let (prefix, literal) = match *block.get(at)? {
            0x80.. => (7, false),
            0x40.. => (6, true),
            0x20.. => (5, false),
            _ => (4, true),
        };
        let (name, mut value) = integer(block, at, prefix)?;
        if !literal {
            return Some(Field { authority: None, end: value });
        }
        if name == 0 {
            value = string(block, value)?;
        }
        let end = string(block, value)?;
        let authority = (name == AUTHORITY_NAME && end > value + 1).then_some(value);
        Some(Field { authority, end })
    }
}

/// The end of the string literal at `at`.
fn string(block: &[u8], at: usize) -> Option<usize> {
    let (length, start) = integer(block, at, 7)?;
    start.checked_add(length).filter(|end| *end <= block.len())
}

/// An integer whose first byte has `prefix` bits for it, and where it ends.
fn integer(block: &[u8], at: usize, prefix: u32) -> Option<(usize, usize)> {
    let most = (1usize << prefix) - 1;
    let mut value = usize::from(*block.get(at)?) & most;
    let mut end = at + 1;
    if value < most {
        return Some((value, end));
    }
    // Four more bytes say more than any frame holds.
    for shift in [0, 7, 14, 21] {
        let byte = usize::from(*block.get(end)?);
        end += 1;
        value += (byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, end));
        }
    }
    None
}
