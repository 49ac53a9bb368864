//! A CSI driver as a process with a socket: started, connected to, and ended.

use becket_csi::endpoint::Endpoint;
use becket_csi::protocol::csi::ProbeRequest;
use becket_csi::protocol::csi::identity_client::IdentityClient;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tonic::transport::Channel;

/// Between two looks at something that is about to happen.
const PAUSE: Duration = Duration::from_micros(200);

/// The process of a driver; dropping it kills it.
#[derive(Debug)]
pub struct Served {
    child: Child,
}

impl Served {
    /// Starts `command`, whose words go to the end of the file `log`.
    pub fn start(mut command: Command, log: &Path) -> std::io::Result<Served> {
        let log = std::fs::File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        // An interrupt at the terminal is for us; we end it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command.spawn().map(|child| Served { child })
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Kills it with the signal that cannot be refused, and waits for its end.
    pub fn kill(mut self) -> std::io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Asks it to end, and waits for that; `None` when it is still there after `longest`, and killed.
    pub async fn end(mut self, longest: Duration) -> std::io::Result<Option<ExitStatus>> {
        let process = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(process, rustix::process::Signal::TERM)?;
        let started = Instant::now();
        while started.elapsed() < longest {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Some(status));
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.kill().map(|()| None)
    }

    /// Waits until the driver at `socket` says that it is ready, and gives the connection.
    ///
    /// An error when the process ends, or has not said so within `longest`.
    pub async fn ready(&mut self, socket: &Path, longest: Duration) -> Result<Channel, String> {
        let started = Instant::now();
        loop {
            if let Some(channel) = answering(socket).await {
                return Ok(channel);
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("the driver ended with {status}"));
            }
            if started.elapsed() > longest {
                return Err(format!("the driver does not answer at `{}`", socket.display()));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection to the driver at `socket`, if one is there and ready.
async fn answering(socket: &Path) -> Option<Channel> {
    // Looked for first: a refused connection costs more than a missing file.
    if !socket.exists() {
        return None;
    }
    let endpoint = Endpoint::Unix(socket.to_owned());
    let channel = endpoint.connect(Duration::from_secs(1)).await.ok()?;
    let answer = IdentityClient::new(channel.clone()).probe(ProbeRequest {}).await.ok()?;
    // A driver that leaves it out is ready (message `ProbeResponse`).
    answer.into_inner().ready.unwrap_or(true).then_some(channel)
}
