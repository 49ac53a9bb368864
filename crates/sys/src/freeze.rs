//! A filesystem held still (`FIFREEZE`, ioctl_fs(2)), and thawed whatever happens.
//!
//! A frozen filesystem outlives the process that froze it, and every writer on it hangs until
//! somebody thaws it. So a guard, a forked child, freezes it and thaws what it froze: when its pipe
//! closes, be it because we are done or because we were killed, and at its deadline. A freeze by
//! somebody else is never thawed.

use crate::error::{Context, Result};
use crate::{Errno, Error};
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant};

const FIFREEZE: u64 = 0xC004_5877;
const FITHAW: u64 = 0xC004_5878;

/// How a guard ends that thawed because it was told to, and what was frozen until then.
const TOLD: i32 = 0;

/// A frozen filesystem; dropping it thaws.
#[derive(Debug)]
pub struct Frozen {
    guard: Guard,
    until: Instant,
    name: String,
}

#[derive(Debug)]
struct Guard {
    pipe: Option<OwnedFd>,
    process: libc::pid_t,
    root: File,
}

/// Freezes the filesystem that `root` is on for at most `longest`.
///
/// `BUSY` means somebody else froze it; `OPNOTSUPP` that it cannot be frozen.
pub fn freeze(root: &File, name: &Path, longest: Duration) -> Result<Frozen> {
    let (told, tell) = pipe_with(PipeFlags::CLOEXEC).on("make a pipe for", name)?;
    let (answer, answered) = pipe_with(PipeFlags::CLOEXEC).on("make a pipe for", name)?;
    let root = root.try_clone().on("duplicate handle of", name)?;
    let milliseconds = i32::try_from(longest.as_millis()).unwrap_or(i32::MAX);
    let process = start(root.as_raw_fd(), told.as_raw_fd(), answered.as_raw_fd(), milliseconds)
        .on("start a guard for", name)?;
    // From here on the drop of `guard` ends the process.
    let guard = Guard { pipe: Some(tell), process, root };
    drop((told, answered));
    let mut number = [0; 4];
    File::from(answer).read_exact(&mut number).on("hear from the guard of", name)?;
    match i32::from_ne_bytes(number) {
        0 => {}
        number => return Err(Errno::from_raw_os_error(number)).on("freeze", name),
    }
    let until = Instant::now() + longest;
    Ok(Frozen { guard, until, name: name.to_string_lossy().into_owned() })
}

/// Thaws what a guard left frozen that was killed together with its process. False for a filesystem that
/// is not frozen.
pub fn thaw(root: &File, name: &Path) -> Result<bool> {
    // SAFETY: FITHAW ignores its argument.
    match unsafe { libc::ioctl(root.as_raw_fd(), FITHAW as _, 0) } {
        0 => Ok(true),
        _ => match Errno::from_io_error(&std::io::Error::last_os_error()) {
            Some(Errno::INVAL) => Ok(false),
            errno => Err(errno.unwrap_or(Errno::IO)).on("thaw", name),
        },
    }
}

/// Forks the guard. It holds nothing but the three descriptors: a copy of another's pipe, lock or
/// device would outlive its owner. It takes no signal but the one that cannot be refused.
fn start(root: RawFd, told: RawFd, answered: RawFd, longest: i32) -> std::io::Result<libc::pid_t> {
    let mut kept = [root, told, answered];
    kept.sort_unstable();
    // SAFETY: the sets are plain data that the calls fill. The child of a fork may be a copy of one
    // thread of many, so it calls only async-signal-safe functions (signal-safety(7)) and touches
    // only locals; it never returns.
    unsafe {
        let (mut all, mut before) = std::mem::zeroed::<(libc::sigset_t, libc::sigset_t)>();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        let process = libc::fork();
        if process == 0 {
            libc::setsid();
            let mut first = 0;
            for fd in kept {
                if first < fd {
                    libc::syscall(libc::SYS_close_range, first, fd - 1, 0);
                }
                first = fd + 1;
            }
            libc::syscall(libc::SYS_close_range, first, u32::MAX, 0);
            guard(root, told, answered, longest);
        }
        let failed = std::io::Error::last_os_error();
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, std::ptr::null_mut());
        if process < 0 { Err(failed) } else { Ok(process) }
    }
}

/// The guard's life.
///
/// # Safety
///
/// For the child of a fork only: it ends the process.
unsafe fn guard(root: RawFd, told: RawFd, answered: RawFd, longest: i32) -> ! {
    // SAFETY: only async-signal-safe functions, on open descriptors and locals.
    unsafe {
        let number = match libc::ioctl(root, FIFREEZE as _, 0) {
            0 => 0,
            _ => *libc::__errno_location(),
        };
        libc::write(answered, (&raw const number).cast(), size_of::<i32>());
        if number != 0 {
            libc::_exit(1);
        }
        let mut wait = libc::pollfd { fd: told, events: libc::POLLIN, revents: 0 };
        let ready = libc::poll(&raw mut wait, 1, longest);
        // It fails where somebody else has thawed it meanwhile: an operator, or the late guard of a
        // freeze before ours.
        let thawed = libc::ioctl(root, FITHAW as _, 0) == 0;
        libc::_exit(if ready == 1 && thawed { TOLD } else { 2 });
    }
}

impl Guard {
    /// Tells the guard to thaw; true when the filesystem was frozen until now.
    fn dismiss(&mut self) -> bool {
        if self.pipe.take().is_none() {
            return true;
        }
        let mut status = 0;
        // SAFETY: `process` is our own child and not waited for elsewhere.
        while unsafe { libc::waitpid(self.process, &raw mut status, 0) } < 0
            && std::io::Error::last_os_error().kind() == std::io::ErrorKind::Interrupted
        {}
        if libc::WIFSIGNALED(status) {
            // Somebody killed the guard, so we thaw in its place.
            // SAFETY: FITHAW ignores its argument.
            return unsafe { libc::ioctl(self.root.as_raw_fd(), FITHAW as _, 0) } == 0;
        }
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == TOLD
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.dismiss();
    }
}

impl Frozen {
    /// Thaws, and fails with `TIMEDOUT` when the guard had done so at the deadline, or anybody else had
    /// before, so that what was read since the freeze may be torn.
    pub fn thaw(mut self) -> Result<()> {
        match self.guard.dismiss() {
            true => Ok(()),
            false => Err(Error::new("keep frozen", &*self.name, Errno::TIMEDOUT)),
        }
    }

    /// True once the guard has thawed because time was up.
    pub fn expired(&self) -> bool {
        Instant::now() >= self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{filesystem, loop_device, mount, superblock};
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    const DEVICE: &str = "BECKET_TEST_DEVICE";

    fn mounted(device: &Path) -> (mount::Detached, File) {
        let mounted = mount::filesystem("ext4", device, &[]).unwrap();
        let root = mounted.root().unwrap();
        (mounted, root)
    }

    /// Not a test of its own: the process that the next one kills.
    #[test]
    fn a_process_that_freezes_and_waits() {
        let Some(device) = std::env::var_os(DEVICE) else { return };
        let (_mounted, root) = mounted(Path::new(&device));
        let _frozen = freeze(&root, Path::new("test"), Duration::from_secs(60)).unwrap();
        println!("frozen");
        std::thread::sleep(Duration::from_secs(60));
    }

    #[test]
    fn a_freeze_ends_with_its_process_and_leaves_others_alone() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: freezing needs root");
            return;
        }
        let image = tempfile::NamedTempFile::new().unwrap();
        image.as_file().set_len(16 << 20).unwrap();
        let uuid = uuid::Uuid::new_v4().into_bytes();
        filesystem::make(superblock::Kind::Ext4, image.path(), uuid, true).unwrap();
        let options = loop_device::Options { readonly: false, autoclear: true, label: "" };
        let device = loop_device::attach(image.as_file(), image.path(), options).unwrap();
        let (_mounted, root) = mounted(&device.path());
        let name = Path::new("test");
        let try_freeze = || freeze(&root, name, Duration::from_secs(60));

        let mut killed = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "freeze::tests::a_process_that_freezes_and_waits", "--nocapture"])
            .env(DEVICE, device.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(killed.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("frozen")), "it was never frozen");
        // Refused twice: the first refusal must not thaw what somebody else froze.
        for _ in 0..2 {
            assert_eq!(try_freeze().unwrap_err().errno, Errno::BUSY);
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        let frozen = loop {
            match try_freeze() {
                Ok(frozen) => break frozen,
                Err(error) => assert!(Instant::now() < deadline, "still frozen: {error}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        drop(frozen);
        try_freeze().unwrap().thaw().unwrap();

        let broken = try_freeze().unwrap();
        assert!(thaw(&root, name).unwrap() && !thaw(&root, name).unwrap());
        assert_eq!(broken.thaw().unwrap_err().errno, Errno::TIMEDOUT, "it was not held still");

        let short = freeze(&root, name, Duration::from_millis(20)).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        assert!(short.expired());
        assert_eq!(short.thaw().unwrap_err().errno, Errno::TIMEDOUT);
    }
}
