//! The command line of `cargo xtask guest`.

use super::Options;
use crate::run::{Failed, Outcome};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

pub const USAGE: &str = "\
cargo xtask guest [OPTIONS] [--] COMMAND [ARGUMENT...]
cargo xtask guest --check

  --mem SIZE         the guest's memory: 2G unless said
  --rw DIRECTORY     write through to this directory of the host; may be repeated
  --ro DIRECTORY     show this directory of the host, if it is below /tmp or /run; may be repeated
  --env NAME[=VALUE] a variable for the command, from here if it has no value; may be repeated
  --udev             run systemd-udevd
  --nfsd             start the kernel's NFS server, with no exports
  --timeout SECONDS  end the guest after this long: 600 unless said

Exit status: the command's; 128 and the signal's number if one ended it; 77 when no guest is possible
on this machine, 124 when the time was over, 125 when the guest could not be set up or died.";

/// Reads options up to the first word that is none, which begins the command.
pub fn parse(words: &[OsString]) -> Outcome<(Options, Vec<OsString>)> {
    let mut options = Options::default();
    let mut words = words.iter();
    while let Some(word) = words.as_slice().first() {
        if !word.as_bytes().starts_with(b"-") {
            break;
        }
        words.next();
        let name = word.to_string_lossy();
        let mut value =
            || words.next().ok_or_else(|| Failed::new(format!("`{name}` takes a value")));
        match name.as_ref() {
            "--" => break,
            "--mem" => options.memory = memory(value()?)?,
            "--rw" => options.writable.push(directory(value()?)?),
            "--ro" => options.readable.push(directory(value()?)?),
            "--env" => options.variables.push(variable(value()?)),
            "--udev" => options.udev = true,
            "--nfsd" => options.nfs_server = true,
            "--timeout" => options.timeout = seconds(value()?)?,
            _ => return Err(Failed::new(format!("`{name}` is no option of `guest`"))),
        }
    }
    let command = words.as_slice().to_vec();
    if command.is_empty() {
        return Err(Failed::new("there is no command to run in the guest"));
    }
    Ok((options, command))
}

fn memory(value: &OsStr) -> Outcome<String> {
    let text = value.to_string_lossy();
    let digits = text.strip_suffix(['K', 'M', 'G', 'k', 'm', 'g']).unwrap_or(&text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failed::new(format!("`{text}` is no amount of memory such as 2G")));
    }
    Ok(text.into_owned())
}

/// A directory by its real path, so that the guest has it under one name.
fn directory(value: &OsStr) -> Outcome<PathBuf> {
    let shown = value.display();
    let path = std::fs::canonicalize(value)
        .map_err(|error| Failed::new(format!("cannot show `{shown}`: {error}")))?;
    if path.is_dir() {
        Ok(path)
    } else {
        Err(Failed::new(format!("cannot show `{shown}`: it is no directory")))
    }
}

fn variable(value: &OsStr) -> (OsString, OsString) {
    let bytes = value.as_bytes();
    match bytes.iter().position(|byte| *byte == b'=') {
        Some(at) => {
            let text = |bytes| OsStr::from_bytes(bytes).to_owned();
            (text(&bytes[..at]), text(&bytes[at + 1..]))
        }
        None => (value.to_owned(), std::env::var_os(value).unwrap_or_default()),
    }
}

fn seconds(value: &OsStr) -> Outcome<Duration> {
    let text = value.to_string_lossy();
    match text.parse() {
        Ok(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err(Failed::new(format!("`{text}` is no number of seconds"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Outcome<(Options, Vec<OsString>)> {
        parse(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_command_begins_at_the_first_word_that_is_no_option() {
        let words = ["--mem", "512M", "--env", "A=b=c", "--udev", "ls", "--mem", "x"];
        let (options, command) = parsed(&words).unwrap();
        assert_eq!(options.memory, "512M");
        assert_eq!(options.variables, [("A".into(), "b=c".into())]);
        assert!(options.udev && !options.nfs_server);
        assert_eq!(command, ["ls", "--mem", "x"]);
    }

    #[test]
    fn after_two_dashes_everything_is_the_command() {
        let (_, command) = parsed(&["--rw", "/", "--", "--udev"]).unwrap();
        assert_eq!(command, ["--udev"]);
    }

    #[test]
    fn a_wrong_command_line_is_refused_with_the_word_that_is_wrong() {
        for (words, named) in [
            (&["--colour", "ls"][..], "--colour"),
            (&["--mem"], "--mem"),
            (&["--mem", "much", "ls"], "much"),
            (&["--timeout", "0", "ls"], "`0`"),
            (&["--ro", "/no/such", "ls"], "/no/such"),
            (&["--udev"], "no command"),
            (&[], "no command"),
        ] {
            let failed = parsed(words).unwrap_err().to_string();
            assert!(failed.contains(named), "{words:?}: {failed}");
        }
    }
}
