//! What people and programs see: data on stdout, words on stderr.

use becket_core::progress::Progress;
use becket_core::{Error, Kind, Result, size};
use clap::ValueEnum;
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The form of what goes to stdout: columns for people or JSON for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    Table,
    Json,
}

/// Writes `value` as JSON, or else the table of `rows` below `header`.
pub(crate) fn list<T: Serialize>(
    form: Form,
    value: &T,
    header: &[&str],
    rows: &[Vec<String>],
) -> Result<()> {
    match form {
        Form::Json => json(value),
        Form::Table => print(&table(header, rows)),
    }
}

/// Writes one object: as JSON, or its fields one a line.
pub(crate) fn object<T: Serialize>(form: Form, value: &T, fields: &[(&str, String)]) -> Result<()> {
    match form {
        Form::Json => json(value),
        Form::Table => print(&lines(fields)),
    }
}

/// Fields one a line, their values below each other.
pub(crate) fn lines<N: AsRef<str>>(fields: &[(N, String)]) -> String {
    let width = fields.iter().map(|(name, _)| name.as_ref().len()).max().unwrap_or(0);
    let line = |(name, value): &(N, String)| {
        format!("{:width$}  {value}", name.as_ref()).trim_end().to_owned() + "\n"
    };
    fields.iter().map(line).collect()
}

/// Writes one value as JSON, laid out for reading.
pub(crate) fn json<T: Serialize>(value: &T) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::new(Kind::Internal, format!("cannot write JSON: {error}")))?;
    print(&(text + "\n"))
}

/// Writes to stdout. A reader that went away is no error of ours.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(Kind::Internal, format!("cannot write to stdout: {error}")))
        }
        _ => Ok(()),
    }
}

/// A line of words for the person at the terminal.
pub(crate) fn say(words: impl std::fmt::Display) {
    let mut stderr = std::io::stderr();
    // What is left of a line of progress goes.
    let clear = if stderr.is_terminal() { "\x1b[K" } else { "" };
    let _ = writeln!(stderr, "{clear}{words}");
}

/// `error:` and, on a line of its own, `hint:`.
pub(crate) fn error(error: &Error) {
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let (red, cyan, plain) =
        if colour { ("\x1b[1;31m", "\x1b[1;36m", "\x1b[0m") } else { ("", "", "") };
    say(format_args!("{red}error{plain}: {}", error.message()));
    if let Some(hint) = error.advice() {
        say(format_args!("{cyan}hint{plain}: {hint}"));
    }
}

/// Columns, as wide as their widest cell, two spaces apart.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let header = header.iter().map(|name| name.to_uppercase()).collect::<Vec<_>>();
    let widths: Vec<usize> = (0..header.len())
        .map(|column| {
            let cells = std::iter::once(&header).chain(rows).map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        })
        .collect();
    let line = |row: &Vec<String>| {
        let cells: Vec<String> =
            row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    std::iter::once(&header).chain(rows).map(line).collect()
}

/// Progress as one line that is written over, on a terminal only.
#[derive(Default)]
pub(crate) struct TerminalProgress {
    last: Mutex<Option<Instant>>,
}

impl Progress for TerminalProgress {
    fn advance(&self, what: &str, done: u64, total: u64) -> ControlFlow<()> {
        let mut stderr = std::io::stderr();
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| last.elapsed() > Duration::from_millis(100));
        if stderr.is_terminal() && due {
            *last = Some(Instant::now());
            let shown = match total {
                0 => size::display(done),
                _ => {
                    let (of, percent) = (size::display(total), done.saturating_mul(100) / total);
                    format!("{} of {of} ({percent} %)", size::display(done))
                }
            };
            // The line is written over by the next one, or by what is said when it is done.
            let _ = write!(stderr, "\r\x1b[K{what}: {shown}\r");
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = vec![
            vec!["a".to_owned(), "1 GiB".to_owned()],
            vec!["longer".to_owned(), String::new()],
        ];
        assert_eq!(table(&["name", "size"], &rows), "NAME    SIZE\na       1 GiB\nlonger\n");
    }
}
