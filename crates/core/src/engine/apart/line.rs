//! What the two processes say to each other: one JSON value a line.

use crate::Kind;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Error, ErrorKind, Read, Result, Write};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A line that is longer is none of ours.
const LONGEST: u64 = 64 << 20;

/// What the second process says. It waits for `true` or `false` after `Progress` and `Wanted`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Message {
    /// The operation's result.
    Done(serde_json::Value),
    /// Its error.
    Failed { kind: Kind, message: String, hint: Option<String> },
    /// Something for the log.
    Log { level: String, text: String },
    /// How far it has come; is it to go on?
    Progress { what: String, done: u64, total: u64 },
    /// It is about to begin; is it still wanted?
    Wanted,
}

/// One end.
pub(super) struct Line {
    reader: Mutex<BufReader<UnixStream>>,
    writer: Mutex<UnixStream>,
    told: Mutex<Option<Instant>>,
}

impl Line {
    /// The end at `socket`; whatever is heard or said takes at most `limit`.
    pub(super) fn over(socket: &UnixStream, limit: Option<Duration>) -> Result<Line> {
        let (reader, writer) = (socket.try_clone()?, socket.try_clone()?);
        reader.set_read_timeout(limit)?;
        writer.set_write_timeout(limit)?;
        Ok(Line {
            reader: Mutex::new(BufReader::new(reader)),
            writer: Mutex::new(writer),
            told: Mutex::new(None),
        })
    }

    /// Says something.
    pub(super) fn say(&self, what: &impl Serialize) -> Result<()> {
        let mut bytes = serde_json::to_vec(what)?;
        bytes.push(b'\n');
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).write_all(&bytes)
    }

    /// Hears the next thing said.
    pub(super) fn hear<T: DeserializeOwned>(&self) -> Result<T> {
        let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let mut bytes = Vec::new();
        reader.by_ref().take(LONGEST).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Err(Error::new(ErrorKind::UnexpectedEof, "it said nothing"));
        }
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Asks a question and hears the answer; `None` when nobody is there any more.
    pub(super) fn question(&self, question: &Message) -> Option<bool> {
        self.say(question).and_then(|()| self.hear()).ok()
    }

    /// True five times a second at most: how often progress is worth a question.
    pub(super) fn is_due(&self) -> bool {
        const EVERY: Duration = Duration::from_millis(200);
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let due = told.is_none_or(|last| last.elapsed() >= EVERY);
        if due {
            *told = Some(Instant::now());
        }
        due
    }
}

/// The level of that name.
pub(super) fn level(name: &str) -> log::Level {
    name.parse().unwrap_or(log::Level::Info)
}
