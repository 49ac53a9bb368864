//! The error of a system call: which call, on which object, what the kernel said.

use rustix::io::Errno;
use std::fmt;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failed system call or host program.
///
/// Displays as ``cannot OPERATION `OBJECT`: REASON``, which callers show to people as it is.
#[derive(Debug, Clone)]
pub struct Error {
    /// What was being done, as a verb phrase: `open`, `mount ext4 from`.
    pub operation: &'static str,
    /// The path, device or program it was done to.
    pub object: String,
    /// What the kernel answered. Host programs that ended with an error carry `EIO`.
    pub errno: Errno,
    /// The kernel's or the program's own words, where it gave any.
    pub detail: Option<String>,
}

impl Error {
    /// An error of `operation` on `object`.
    pub fn new(operation: &'static str, object: impl Into<String>, errno: Errno) -> Error {
        Error { operation, object: object.into(), errno, detail: None }
    }

    /// The same error with the words of the kernel or of a host program added.
    #[must_use]
    pub fn detail(mut self, words: impl Into<String>) -> Error {
        self.detail = Some(words.into());
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} `{}`: ", self.operation, self.object)?;
        match &self.detail {
            Some(words) => f.write_str(words),
            None => f.write_str(&reason(self.errno)),
        }
    }
}

impl std::error::Error for Error {}

/// The kernel's reason in words, without the ` (os error N)` that std appends.
fn reason(errno: Errno) -> String {
    let text = std::io::Error::from(errno).to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = words.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => format!("error {}", errno.raw_os_error()),
    }
}

/// Turns an `Errno` into an [`Error`] at the call, where operation and object are known.
pub(crate) trait Context<T> {
    /// Names the operation and the object of a failed call.
    fn on(self, operation: &'static str, object: impl AsRef<std::path::Path>) -> Result<T>;
}

impl<T> Context<T> for rustix::io::Result<T> {
    fn on(self, operation: &'static str, object: impl AsRef<std::path::Path>) -> Result<T> {
        self.map_err(|errno| {
            Error::new(operation, object.as_ref().to_string_lossy().into_owned(), errno)
        })
    }
}

impl<T> Context<T> for std::io::Result<T> {
    fn on(self, operation: &'static str, object: impl AsRef<std::path::Path>) -> Result<T> {
        self.map_err(|error| {
            let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
            let named =
                Error::new(operation, object.as_ref().to_string_lossy().into_owned(), errno);
            if error.raw_os_error().is_some() { named } else { named.detail(error.to_string()) }
        })
    }
}
