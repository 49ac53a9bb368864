//! Running the program: as the kubelet runs a driver, and as a person does.

use serde_json::Value;
use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Nothing may take longer.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a callout answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The arguments, cut, for messages.
    pub call: String,
    /// stdout and stderr, which the kubelet reads as one.
    pub text: String,
    /// The object in it.
    pub value: Value,
    /// The exit status.
    pub code: i32,
}

/// Runs `command` as the kubelet does, with one pipe for stdout and stderr, and reads it to its end.
/// Panics unless what was written is exactly one JSON object.
pub fn talk(mut command: Command) -> Reply {
    let (mut reader, writer) = std::io::pipe().unwrap();
    command.stdin(Stdio::null()).stdout(writer.try_clone().unwrap()).stderr(writer);
    let call = shown(&command);
    let child = command.process_group(0).spawn();
    let child = child.unwrap_or_else(|error| panic!("{call} cannot be run: {error}"));
    // The last of our own writers: the reader ends with the program.
    drop(command);
    let read = in_time(&child, &call, DEADLINE, move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes)
    });
    let status = wait(child);
    let text = String::from_utf8(read.unwrap())
        .unwrap_or_else(|error| panic!("{call} did not answer UTF-8: {error}"));
    let value: Value = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{call} did not answer one JSON object: {error}: {text:?}"));
    assert!(value.is_object(), "{call} answered {text:?}");
    let code = status.code().unwrap_or_else(|| panic!("{call} ended with {status}"));
    Reply { call, text, value, code }
}

/// What a command wrote, and how it ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The arguments, for messages.
    pub call: String,
    /// Data.
    pub stdout: String,
    /// Words.
    pub stderr: String,
    /// The exit status; 128 + the signal's number when a signal ended it.
    pub code: i32,
}

/// Runs `command` with separate pipes.
pub fn start(command: Command) -> Ran {
    start_within(command, DEADLINE)
}

/// [`start`], for what takes longer than anything else.
pub fn start_within(mut command: Command, deadline: Duration) -> Ran {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let call = shown(&command);
    let mut child = command.process_group(0).spawn().unwrap();
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let texts = in_time(&child, &call, deadline, move || {
        let words = std::thread::spawn(move || {
            let mut words = String::new();
            stderr.read_to_string(&mut words).map(|_| words)
        });
        let mut data = String::new();
        stdout.read_to_string(&mut data)?;
        Ok((data, words.join().unwrap()?))
    });
    let (stdout, stderr) = texts.unwrap();
    Ran { call, stdout, stderr, code: status_of(wait(child)) }
}

/// The status as a shell gives it.
pub fn status_of(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
}

fn wait(mut child: Child) -> ExitStatus {
    child.wait().unwrap()
}

/// Runs `read` until it is done or the deadline ends it together with the whole process group.
fn in_time<T: Send + 'static>(
    child: &Child,
    call: &str,
    deadline: Duration,
    read: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(read()));
    receiver.recv_timeout(deadline).unwrap_or_else(|_| {
        let group = rustix::process::Pid::from_child(child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        panic!("{call} did not end within {deadline:?}")
    })
}

fn shown(command: &Command) -> String {
    let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
    let words: Vec<String> = words.map(|word| word.chars().take(160).collect()).collect();
    format!("`{}`", words.join(" ").escape_debug())
}

impl Reply {
    /// Its status word.
    pub fn status(&self) -> &str {
        self.value["status"].as_str().unwrap_or_else(|| panic!("{} has no status", self.call))
    }

    /// Its message, empty where it has none.
    pub fn message(&self) -> &str {
        self.value["message"].as_str().unwrap_or_default()
    }

    /// It must be success, and nothing may contradict that.
    pub fn succeeds(self) -> Reply {
        assert_eq!((self.status(), self.code), ("Success", 0), "{}: {}", self.call, self.text);
        self
    }

    /// It must be a failure whose message is fit for a log line and says all of `words`.
    pub fn fails(self, words: &[&str]) -> Reply {
        assert_eq!((self.status(), self.code), ("Failure", 1), "{}: {}", self.call, self.text);
        let message = self.message();
        for word in words {
            let said = message.to_lowercase().contains(&word.to_lowercase());
            assert!(said, "{}: no `{word}` in: {message}", self.call);
        }
        let fit = message.len() > 8 && message.len() < 1500;
        assert!(fit, "{}: message of {} bytes: {message}", self.call, message.len());
        assert!(!message.chars().any(char::is_control), "{}: {message:?}", self.call);
        self
    }

    /// It must be "Not supported".
    pub fn is_not_supported(self) -> Reply {
        let expected = ("Not supported", 1);
        assert_eq!((self.status(), self.code), expected, "{}: {}", self.call, self.text);
        self
    }
}

impl Ran {
    /// It must have ended well.
    pub fn succeeds(self) -> Ran {
        assert_eq!(self.code, 0, "{}: {}{}", self.call, self.stdout, self.stderr);
        self
    }

    /// It must have ended with `code`, `error:` on stderr with all of `words`, and no data.
    pub fn fails(self, code: i32, words: &[&str]) -> Ran {
        let (stdout, stderr) = (&self.stdout, &self.stderr);
        assert_eq!(self.code, code, "{}: {stdout}{stderr}", self.call);
        assert!(stderr.lines().any(|line| line.starts_with("error: ")), "{}: {stderr}", self.call);
        assert_eq!(stdout, "", "{}", self.call);
        for word in words {
            assert!(stderr.contains(word), "{}: no `{word}` in: {stderr}", self.call);
        }
        self
    }

    /// Its data as JSON.
    pub fn json(self) -> Value {
        let ran = self.succeeds();
        serde_json::from_str(&ran.stdout)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", ran.call, ran.stdout))
    }
}
