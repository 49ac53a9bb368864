//! The driver's process, where the checker starts it itself: killed without warning, and started
//! again.

use super::check::{Verdict, cannot_run};
use becket_core::{Error, Kind, Result};
use becket_csi::endpoint::Endpoint;
use rustix::process::{Pid, Signal};
use std::cell::RefCell;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A driver that can be killed.
pub(crate) struct Driver {
    command: String,
    endpoints: Vec<Endpoint>,
    child: RefCell<Option<Child>>,
}

impl Driver {
    /// Starts `command` in a shell, and waits until the driver listens at all `endpoints`.
    pub(crate) async fn start(
        command: &str,
        endpoints: Vec<Endpoint>,
        wait: Duration,
    ) -> Result<Driver> {
        let driver = Driver { command: command.to_owned(), endpoints, child: RefCell::new(None) };
        driver.run(wait).await?;
        Ok(driver)
    }

    /// Kills the driver and all it runs in its process group, by SIGKILL.
    pub(crate) fn kill(&self) {
        let Some(mut child) = self.child.take() else { return };
        let _ = rustix::process::kill_process_group(Pid::from_child(&child), Signal::KILL);
        let _ = child.wait();
        // The shell is gone, and what it ran goes too, a moment later: until then it would be met
        // by its successor.
        let killed = Instant::now();
        while self.endpoints.iter().any(listens) && killed.elapsed() < Duration::from_secs(5) {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Starts it again, and waits until it listens.
    pub(crate) async fn restart(&self, wait: Duration) -> Verdict {
        self.kill();
        self.run(wait).await.map_err(|error| cannot_run(error.to_string()))
    }

    async fn run(&self, wait: Duration) -> Result<()> {
        // A group of its own: killed as a whole, and not interrupted together with the checker.
        let child = Command::new("/bin/sh")
            .args(["-c", &self.command])
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| failed(format!("cannot run the restart command: {error}")))?;
        *self.child.borrow_mut() = Some(child);
        let started = Instant::now();
        for endpoint in &self.endpoints {
            while let Err(error) = endpoint.connect(wait).await {
                if self.ended() {
                    return Err(failed("the restart command ended before the driver listened"));
                }
                if started.elapsed() > wait {
                    return Err(failed(format!("the driver does not come up: {error}")));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Ok(())
    }

    fn ended(&self) -> bool {
        let mut child = self.child.borrow_mut();
        child.as_mut().is_none_or(|child| matches!(child.try_wait(), Ok(Some(_)) | Err(_)))
    }

    /// Asks it to end, and waits a moment for it.
    pub(crate) fn end(&self) {
        if let Some(child) = self.child.borrow_mut().as_mut() {
            let _ = rustix::process::kill_process_group(Pid::from_child(child), Signal::TERM);
            for _ in 0..100 {
                if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        self.kill();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.kill();
    }
}

fn listens(endpoint: &Endpoint) -> bool {
    match endpoint {
        Endpoint::Unix(path) => UnixStream::connect(path).is_ok(),
        Endpoint::Tcp(address) => TcpStream::connect(address).is_ok(),
    }
}

fn failed(words: impl Into<String>) -> Error {
    Error::new(Kind::Unavailable, words)
        .hint("check --restart-command; it has to stay in the foreground")
}
