//! The CSI driver of the demo: this program, serving at a socket of its own, and a client of it.

use super::ground::{internal, own_group};
use becket_core::{Error, Kind, Result};
use becket_csi::client::{Client, Code, code_name};
use becket_csi::endpoint::Endpoint;
use becket_csi::shape::{Rpc, merge_json, to_json};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// No call of the demo takes longer, nor does the driver to start.
const DEADLINE: Duration = Duration::from_secs(20);

/// A driver that is being served. It ends when this is dropped.
pub(super) struct Served {
    process: Child,
    client: Option<Client>,
}

impl Served {
    /// Serves `image.becket.dev` over the state directory, at a socket in `root`.
    pub(super) fn start(root: &Path, state: &Path) -> Result<Served> {
        let program = std::env::current_exe().map_err(internal)?;
        let endpoint = Endpoint::Unix(root.join("csi.sock"));
        let process = own_group(&program)
            .arg("--state-dir")
            .arg(state)
            .args(["serve", "--node-id", "demo", "--drivers", "image", "--endpoint"])
            .arg(endpoint.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(internal)?;
        let mut served = Served { process, client: None };
        served.client = Some(served.reach(&endpoint)?);
        Ok(served)
    }

    fn reach(&mut self, endpoint: &Endpoint) -> Result<Client> {
        let until = Instant::now() + DEADLINE;
        loop {
            match Client::connect(endpoint, DEADLINE) {
                Err(error) if Instant::now() > until => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
                client => return client,
            }
            if let Some(status) = self.process.try_wait().map_err(internal)? {
                return Err(Error::new(Kind::Internal, format!("the driver ended: {status}")));
            }
        }
    }

    /// Calls an RPC; what it answers, or the code and the words it is refused with.
    pub(super) fn call(&self, rpc: &str, request: &Value) -> Result<Answered> {
        let rpc = Rpc::named(rpc)?;
        let mut message = rpc.empty_request();
        merge_json(&mut message, request)?;
        let Some(client) = &self.client else {
            return Err(Error::new(Kind::Internal, "the driver is not reached yet"));
        };
        let answer = client.call(&rpc, &message);
        let status = answer.outcome.status;
        match status.is_ok() {
            true => Ok(Ok(answer.messages.first().map(to_json).unwrap_or_default())),
            false => Ok(Err((status.code, status.message))),
        }
    }
}

/// What a call came to: the answer, or the code and the words of its refusal.
pub(super) type Answered = std::result::Result<Value, (Code, String)>;

/// A refusal that ends the demo.
pub(super) fn refused(rpc: &str, code: Code, words: &str) -> Error {
    Error::new(Kind::Internal, format!("`{rpc}` answered {}: {words}", code_name(code)))
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.process), Signal::TERM);
        let _ = self.process.wait();
    }
}
