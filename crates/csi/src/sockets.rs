//! Unix sockets as a driver has to make them: open to nobody else at any moment, in place of what a dead
//! process left, and removed only while they are still its own.

use crate::authority::AnyAuthority;
use becket_core::{Error, Kind, Result};
use becket_sys::Errno;
use rustix::fs::{AtFlags, CWD, FileType, FlockOperation, Mode, Statx, StatxFlags, StatxTimestamp};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::time::Sleep;
use tonic::codegen::tokio_stream::Stream;

/// The longest path of a socket, in bytes (unix(7), less the NUL at its end).
const LONGEST_PATH: usize = 107;

/// Connections that may wait to be accepted: a burst of the provisioner's 200 calls comes over one.
const BACKLOG: u32 = 128;

/// How long accepting pauses after an error, such as too many open files.
const PAUSE: Duration = Duration::from_millis(500);

/// Which socket file a path names: another one made there later differs, also where its inode number is
/// the old one's again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: (u32, u32),
    inode: u64,
    born: (i64, u32),
}

/// Listens at `path`, whose socket file has mode 0600 from its first moment. Within a tokio runtime.
///
/// The directory is made, with mode 0700, where only it is missing. A socket that nobody listens on is
/// replaced. `InUse` when somebody does; `Conflict` when something that is no socket is there; `Invalid`
/// when the path is longer than the 107 bytes that Linux allows.
pub fn bind_private(path: &Path) -> Result<UnixListener> {
    let directory = directory_of(path)?;
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => log::info!("made `{}`", directory.display()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed("make directory", directory, error)),
    }
    bind(path)
}

/// [`bind_private`], in a directory that is there: `Unavailable` when it is not.
pub fn bind(path: &Path) -> Result<UnixListener> {
    if path.as_os_str().len() > LONGEST_PATH {
        let long = format!("the path `{}` is too long for a socket", path.display());
        return Err(Error::new(Kind::Invalid, long)
            .hint(format!("choose one of at most {LONGEST_PATH} bytes")));
    }
    let directory = directory_of(path)?;
    // Two processes must not find the same stale socket, and the second remove what the first then made.
    // The lock lasts as long as the open directory.
    let opened = File::open(directory).map_err(|error| failed("open", directory, error))?;
    rustix::fs::flock(&opened, FlockOperation::LockExclusive)
        .map_err(|errno| failed("lock", directory, errno.into()))?;
    remove_stale(path)?;
    listen(path).map_err(|error| failed("listen at", path, error))
}

/// The socket file at `path`; `None` when there is none.
pub fn identity(path: &Path) -> Result<Option<Identity>> {
    let Some(found) = look(path)? else {
        return Ok(None);
    };
    let StatxTimestamp { tv_sec, tv_nsec, .. } = found.stx_btime;
    let identity = Identity {
        device: (found.stx_dev_major, found.stx_dev_minor),
        inode: found.stx_ino,
        born: (tv_sec, tv_nsec),
    };
    Ok(is_socket(&found).then_some(identity))
}

/// Removes the socket file at `path` if it is still `own`. Does nothing when it is another or gone.
pub fn remove_own(path: &Path, own: Identity) -> Result<()> {
    match identity(path)? {
        Some(found) if found == own => unlink(path),
        _ => Ok(()),
    }
}

fn directory_of(path: &Path) -> Result<&Path> {
    path.parent().filter(|directory| directory.is_absolute()).ok_or_else(|| {
        let relative = format!("`{}` is no absolute path", path.display());
        Error::new(Kind::Invalid, relative).hint("a socket is named by its absolute path")
    })
}

/// Removes a socket that nobody listens on.
fn remove_stale(path: &Path) -> Result<()> {
    let Some(found) = look(path)? else {
        return Ok(());
    };
    if !is_socket(&found) {
        let other = format!("`{}` is there and is no socket", path.display());
        return Err(Error::new(Kind::Conflict, other).hint("nothing was removed; move it away"));
    }
    match connect(path) {
        Err(Errno::CONNREFUSED) => {
            log::info!("removing `{}`, which nobody listens on", path.display());
            unlink(path)
        }
        Err(Errno::NOENT) => Ok(()),
        // Without room for one more connection, it has a listener too.
        Ok(()) | Err(Errno::AGAIN) => {
            let used = format!("another process listens at `{}`", path.display());
            Err(Error::new(Kind::InUse, used)
                .hint("one process at a time serves a driver on a node; end the other one"))
        }
        Err(errno) => Err(failed("connect to", path, errno.into())),
    }
}

/// One attempt, without waiting for a listener that is too busy to accept.
fn connect(path: &Path) -> std::result::Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = UnixSocket::new_stream()?;
    // The file gets the mode of the socket (`unix_bind_bsd` in Linux' net/unix/af_unix.c), so there is no
    // need to change the mask of the whole process, and no moment at which the file has another mode.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(path)?;
    let mode = look(path).ok().flatten().map(|found| found.stx_mode & 0o777);
    if mode.is_some_and(|mode| mode & 0o077 != 0) {
        rustix::fs::unlink(path)?;
        return Err(io::Error::other("this kernel gives a socket's file no mode of its own"));
    }
    socket.listen(BACKLOG)
}

fn look(path: &Path) -> Result<Option<Statx>> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
    match rustix::fs::statx(CWD, path, flags, wanted) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(failed("look at", path, errno.into())),
    }
}

fn is_socket(found: &Statx) -> bool {
    FileType::from_raw_mode(found.stx_mode.into()) == FileType::Socket
}

fn unlink(path: &Path) -> Result<()> {
    match rustix::fs::unlink(path) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(errno) => Err(failed("remove", path, errno.into())),
    }
}

fn failed(what: &str, path: &Path, error: io::Error) -> Error {
    let message = format!("cannot {what} `{}`: {error}", path.display());
    let kind = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Kind::Unavailable,
        io::ErrorKind::PermissionDenied => Kind::Denied,
        io::ErrorKind::ReadOnlyFilesystem => Kind::WrongState,
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Kind::NoSpace,
        _ => Kind::Internal,
    };
    Error::new(kind, message)
}

/// The connections of a listener, ready for tonic: with any authority, and without end.
#[derive(Debug)]
pub struct Incoming {
    listener: UnixListener,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Incoming {
    /// Of this listener.
    pub fn new(listener: UnixListener) -> Incoming {
        Incoming { listener, pause: None }
    }
}

impl Stream for Incoming {
    type Item = io::Result<AnyAuthority<UnixStream>>;

    /// Errors are logged, and what follows them waits: tonic would ask again at once, and again.
    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(context));
                self.pause = None;
            }
            match ready!(self.listener.poll_accept(context)) {
                Ok((connection, _)) => return Poll::Ready(Some(Ok(AnyAuthority::new(connection)))),
                Err(error) => {
                    log::warn!("cannot accept a connection: {error}");
                    self.pause = Some(Box::pin(tokio::time::sleep(PAUSE)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
