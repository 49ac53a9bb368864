//! The command line of `cargo xtask cluster`.

use crate::run::{Failed, Outcome};
use std::ffi::OsString;

pub const USAGE: &str = "\
cargo xtask cluster up      [--name NAME]              make a cluster and wait until it is ready
cargo xtask cluster down    [--name NAME]              end it and remove all that is left of it
cargo xtask cluster kubectl [--name NAME] ARGUMENT...  run kubectl
cargo xtask cluster exec    [--name NAME] COMMAND...   run a command on its node, as root
cargo xtask cluster image   [--name NAME]              build this repository's container image for it
cargo xtask cluster sidecars                           build the CSI sidecars and say in which directory

The name is `becket` unless said. Exit status: that of kubectl or the command; 77 where no cluster is
possible.";

/// The name of a cluster whose name is not said.
pub const NAME: &str = "becket";

/// What is asked for, of the cluster of which name.
#[derive(Debug, PartialEq, Eq)]
pub enum Words {
    Help,
    Up(String),
    Down(String),
    Image(String),
    Sidecars,
    /// A command in the cluster's namespaces.
    Run(String, Vec<OsString>),
}

pub fn parse(words: &[OsString]) -> Outcome<Words> {
    let Some((action, mut rest)) = words.split_first() else {
        return Err(Failed::new("`cluster` takes an action"));
    };
    let mut name = NAME.to_owned();
    if let [option, value, more @ ..] = rest
        && option == "--name"
    {
        name = value.to_string_lossy().into_owned();
        rest = more;
    }
    let alone = |words: Words| match rest.first() {
        None => Ok(words),
        Some(word) => Err(Failed::new(format!("`{}` is a word too many", word.display()))),
    };
    match action.to_string_lossy().as_ref() {
        "--help" | "help" => Ok(Words::Help),
        "up" => alone(Words::Up(name)),
        "down" => alone(Words::Down(name)),
        "image" => alone(Words::Image(name)),
        "sidecars" => alone(Words::Sidecars),
        "kubectl" => Ok(Words::Run(name, [&["kubectl".into()], rest].concat())),
        "exec" => {
            let command = rest.strip_prefix(&["--".into()]).unwrap_or(rest);
            match command {
                [] => Err(Failed::new("there is no command to run")),
                command => Ok(Words::Run(name, command.to_vec())),
            }
        }
        word => Err(Failed::new(format!("`{word}` is no action of `cluster`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Outcome<Words> {
        parse(&words.iter().map(OsString::from).collect::<Vec<_>>())
    }

    fn run(name: &str, words: &[&str]) -> Words {
        Words::Run(name.into(), words.iter().map(OsString::from).collect())
    }

    #[test]
    fn what_follows_the_action_and_the_name_is_the_commands() {
        for (words, wanted) in [
            (&["up"][..], Words::Up(NAME.into())),
            (&["down", "--name", "two"], Words::Down("two".into())),
            (&["kubectl", "get", "--name"], run(NAME, &["kubectl", "get", "--name"])),
            (&["kubectl", "--name", "a", "-n", "x"], run("a", &["kubectl", "-n", "x"])),
            (&["exec", "--name", "a", "--", "ls", "--"], run("a", &["ls", "--"])),
            (&["exec", "ls"], run(NAME, &["ls"])),
        ] {
            assert_eq!(parsed(words).unwrap(), wanted, "{words:?}");
        }
    }

    #[test]
    fn a_wrong_command_line_is_refused_with_the_word_that_is_wrong() {
        for (words, named) in [
            (&["start"][..], "`start`"),
            (&["up", "now"], "`now`"),
            (&["exec", "--name", "a"], "no command"),
            (&[], "takes an action"),
        ] {
            let failed = parsed(words).unwrap_err().to_string();
            assert!(failed.contains(named), "{words:?}: {failed}");
        }
    }
}
