//! Running programs, with the command line shown.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Why an action did not succeed.
#[derive(Debug)]
pub struct Failed(String);

impl Failed {
    pub fn new(reason: impl Into<String>) -> Failed {
        Failed(reason.into())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The result of an action.
pub type Outcome<T = ()> = Result<T, Failed>;

/// An error of the system with the path it is about.
pub fn failed(what: &str, path: &Path, error: &std::io::Error) -> Failed {
    Failed::new(format!("cannot {what} `{}`: {error}", path.display()))
}

/// Makes a directory, with those above it, if it is not there.
pub fn made(directory: &Path) -> Outcome {
    std::fs::create_dir_all(directory).map_err(|error| failed("make", directory, &error))
}

/// The top of the repository.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// A program to run at the top of the repository.
pub struct Program {
    command: Command,
    shown: String,
}

pub fn command(program: impl AsRef<Path>) -> Program {
    let program = program.as_ref();
    let mut command = Command::new(program);
    command.current_dir(root()).stdin(Stdio::null());
    let shown = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    Program { command, shown }
}

/// The cargo that runs this program.
pub fn cargo(arguments: &[&str]) -> Program {
    let cargo = std::env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from);
    command(cargo).args(arguments)
}

/// The program in a mount namespace of its own.
pub fn apart(program: Program) -> Program {
    let (inner, shown) = (program.command, program.shown);
    let mut apart = command("unshare").args(&["--mount", "--"]);
    apart.command.arg(inner.get_program()).args(inner.get_args());
    apart.shown = format!("{} {shown}", apart.shown);
    apart
}

impl Program {
    pub fn arg(mut self, argument: impl AsRef<Path>) -> Program {
        let argument = argument.as_ref();
        self.shown.push(' ');
        self.shown.push_str(&argument.strip_prefix(root()).unwrap_or(argument).to_string_lossy());
        self.command.arg(argument);
        self
    }

    pub fn args(self, arguments: &[&str]) -> Program {
        arguments.iter().fold(self, |program, argument| program.arg(argument))
    }

    pub fn env(mut self, name: &str, value: impl AsRef<Path>) -> Program {
        self.command.env(name, value.as_ref());
        self
    }

    pub fn directory(mut self, below_root: &str) -> Program {
        self.command.current_dir(root().join(below_root));
        self
    }

    /// Runs it with its output shown; anything but exit status 0 is a failure.
    pub fn run(self) -> Outcome {
        eprintln!("+ {}", self.shown);
        self.finish()
    }

    fn finish(mut self) -> Outcome {
        match self.command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(Failed(format!("`{}` ended with {status}", self.shown))),
            Err(error) => Err(Failed(format!("`{}` cannot be run: {error}", self.shown))),
        }
    }

    /// Runs it without saying so, and with its words on stderr; anything but exit status 0 is a failure.
    pub fn run_quietly(mut self) -> Outcome {
        self.command.stdout(std::io::stderr());
        self.finish()
    }

    /// Runs it quietly and gives what it wrote to stdout; `None` when it failed or is not there.
    pub fn read(mut self) -> Option<String> {
        let output = self.command.stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }
}

/// True when the program is on the search path.
pub fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(sbin).any(|directory| directory.join(program).is_file())
}

/// True for a process of root.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}
