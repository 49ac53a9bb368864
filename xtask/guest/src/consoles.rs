//! The command's output on its way to the host: terminals of the kernel that are pipes over there.

use crate::failure::{Doing, Result};
use rustix::fs::{Mode, OFlags, open};
use rustix::termios::{OptionalActions, tcdrain, tcgetattr, tcsetattr};
use std::fs::File;
use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;

/// One stream of output.
pub(crate) struct Console {
    terminal: OwnedFd,
}

impl Console {
    /// Opens a terminal and makes it pass every byte on as it is. A terminal that nobody has open
    /// forgets that, so it is kept open.
    pub(crate) fn open(path: &str) -> Result<Console> {
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = open(path, flags, Mode::empty()).doing(|| format!("open `{path}`"))?;
        let mut settings = tcgetattr(&terminal).doing(|| format!("ask `{path}`"))?;
        settings.make_raw();
        tcsetattr(&terminal, OptionalActions::Now, &settings)
            .doing(|| format!("set `{path}` up"))?;
        Ok(Console { terminal })
    }

    /// Passes on what comes out of `pipe`, on a thread of its own, until its writers are gone. The
    /// command gets pipes and no terminal: programs write to those as they do everywhere else.
    pub(crate) fn pass_on(&self, mut pipe: PipeReader) -> Result<JoinHandle<()>> {
        let terminal = self.terminal.try_clone().doing(|| "share a console")?;
        let mut terminal = File::from(terminal);
        Ok(std::thread::spawn(move || {
            let _ = std::io::copy(&mut pipe, &mut terminal);
        }))
    }

    /// Waits until the host has everything.
    pub(crate) fn drain(&self) -> Result {
        tcdrain(&self.terminal).doing(|| "pass the last output on")
    }
}
