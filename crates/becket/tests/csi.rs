//! `becket csi` as it is run, against a driver in this process.

// What serves a test and cannot do its work ends the test, with the place it happened at.
#![allow(clippy::unwrap_used)]

#[path = "csi/calls.rs"]
mod calls;
#[path = "csi/lifecycle.rs"]
mod lifecycle;

use becket_csi::fake::{Driver, Serving};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// A driver at its socket, and a directory for everything else.
struct Ground {
    serving: Serving,
    root: TempDir,
}

/// What a command wrote, and how it ended.
struct Ran {
    stdout: String,
    stderr: String,
    code: i32,
}

impl Ground {
    fn new(change: impl FnOnce(Driver) -> Driver) -> Ground {
        let root = tempfile::tempdir().unwrap();
        for directory in ["driver", "tmp"] {
            std::fs::create_dir(root.path().join(directory)).unwrap();
        }
        let driver = change(Driver::new(&root.path().join("driver")));
        let serving = Serving::start(driver, &root.path().join("csi.sock"));
        Ground { serving, root }
    }

    fn path(&self) -> &Path {
        self.root.path()
    }

    /// `becket csi` with the driver's endpoint in its environment.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_becket"));
        command.arg("csi").args(arguments).stdin(Stdio::null());
        command.env("CSI_ENDPOINT", self.serving.endpoint());
        command.env("TMPDIR", self.path().join("tmp")).env_remove("BECKET_STATE_DIR");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        run(self.command(arguments))
    }

    /// The requests of this RPC that have come so far.
    fn asked(&self, rpc: &str) -> Vec<Value> {
        let asked = self.serving.driver().asked().into_iter();
        asked.filter(|asked| asked.rpc == rpc).map(|asked| asked.request).collect()
    }
}

fn run(mut command: Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
        code: output.status.code().unwrap(),
    }
}

impl Ran {
    /// It must have ended with this status.
    fn ends(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "{}{}", self.stdout, self.stderr);
        self
    }

    /// Its output as JSON.
    fn json(self) -> Value {
        let ran = self.ends(0);
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stdout))
    }

    /// Its words must say this.
    fn says(self, words: &str) -> Ran {
        assert!(self.stderr.contains(words), "no `{words}` in: {}", self.stderr);
        self
    }
}
