//! One question to an RPC server: are you there? (RFC 5531, the NULL procedure over TCP.)
//!
//! A plain socket with deadlines, so that nothing in the kernel waits for a server that is not there.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The program number of NFS.
pub const NFS: u32 = 100_003;

/// The port NFS is served at.
pub const NFS_PORT: u16 = 2049;

/// Why a server did not say that it is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Silence {
    /// The host answers, and nothing listens at the port.
    Refused,
    /// There is no way to the host.
    Unreachable(String),
    /// No connection came about in time.
    NoConnection,
    /// It was connected to, and did not answer in time.
    NoAnswer,
    /// It closed the connection, or answered something that is no reply.
    Strange(String),
    /// It answered that it does not serve the program, or not in this version.
    Version(String),
}

const REPLY: u32 = 1;
const LAST_FRAGMENT: u32 = 1 << 31;

/// Calls procedure 0 of `program` in `version` at `address`, within `limit` altogether.
pub fn call_null(
    address: SocketAddr,
    program: u32,
    version: u32,
    limit: Duration,
) -> Result<(), Silence> {
    let deadline = Instant::now() + limit;
    let mut stream = TcpStream::connect_timeout(&address, limit).map_err(no_connection)?;
    let strange = |error: std::io::Error| match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Silence::NoAnswer,
        _ => Silence::Strange(error.to_string()),
    };
    let left = || deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    stream.set_write_timeout(Some(left())).map_err(strange)?;
    // Not a secret and nothing that has to be unlike others: one call per connection.
    const XID: u32 = 0x6265_636b;
    // xid, call, RPC version 2, program, version, procedure 0, and no credentials nor verifier.
    let call = [XID, 0, 2, program, version, 0, 0, 0, 0, 0];
    let mut message = words(&[LAST_FRAGMENT | (call.len() as u32 * 4)]);
    message.extend(words(&call));
    stream.write_all(&message).map_err(strange)?;
    // Fragment mark, xid, reply, accepted, verifier (flavour and length), how it was accepted.
    let mut reply = [0u8; 28];
    let mut filled = 0;
    while filled < reply.len() {
        stream.set_read_timeout(Some(left())).map_err(strange)?;
        match stream.read(&mut reply[filled..]).map_err(strange)? {
            0 => return Err(Silence::Strange("it closed the connection".to_owned())),
            length => filled += length,
        }
        if Instant::now() >= deadline && filled < reply.len() {
            return Err(Silence::NoAnswer);
        }
    }
    understand(&reply, XID)
}

fn no_connection(error: std::io::Error) -> Silence {
    match error.kind() {
        ErrorKind::ConnectionRefused => Silence::Refused,
        ErrorKind::TimedOut | ErrorKind::WouldBlock => Silence::NoConnection,
        _ => Silence::Unreachable(error.to_string()),
    }
}

fn words(numbers: &[u32]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

fn understand(reply: &[u8; 28], xid: u32) -> Result<(), Silence> {
    let word = |index: usize| {
        let at = index * 4;
        u32::from_be_bytes([reply[at], reply[at + 1], reply[at + 2], reply[at + 3]])
    };
    if (word(1), word(2)) != (xid, REPLY) {
        return Err(Silence::Strange("what it answers is no RPC".to_owned()));
    }
    match (word(3), word(6)) {
        (0, 0) => Ok(()),
        (0, 1) => Err(Silence::Version("it does not serve NFS".to_owned())),
        (0, 2) => Err(Silence::Version("it does not serve this version of NFS".to_owned())),
        _ => Err(Silence::Strange("it rejects the call".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const SOON: Duration = Duration::from_millis(200);

    fn answering(with: &'static [u32]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut call = [0; 44];
            stream.read_exact(&mut call).unwrap();
            stream.write_all(&words(with)).unwrap();
            std::thread::sleep(2 * SOON);
        });
        address
    }

    #[test]
    fn each_silence_is_told_from_the_others() {
        let reply = |end: &'static [u32]| call_null(answering(end), NFS, 4, SOON);
        assert_eq!(reply(&[24 | LAST_FRAGMENT, 0x6265_636b, 1, 0, 0, 0, 0]), Ok(()));
        let unserved = reply(&[24 | LAST_FRAGMENT, 0x6265_636b, 1, 0, 0, 0, 2]);
        assert!(matches!(unserved, Err(Silence::Version(_))), "{unserved:?}");
        assert!(matches!(reply(&[7, 7, 7, 7, 7, 7, 7]), Err(Silence::Strange(_))));
        assert_eq!(reply(&[]), Err(Silence::NoAnswer));
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert_eq!(call_null(closed, NFS, 4, SOON), Err(Silence::Refused));
    }
}
