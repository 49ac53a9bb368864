//! Where log lines go: stderr for people at the command line, syslog for callouts.

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::OnceLock;
use std::time::SystemTime;

/// Warnings to stderr; with `verbose` everything.
pub(crate) fn to_stderr(verbose: bool) {
    struct Stderr;
    impl Log for Stderr {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn log(&self, record: &Record<'_>) {
            let level = record.level().as_str().to_lowercase();
            let _ = writeln!(std::io::stderr(), "{level}: {}", record.args());
        }
        fn flush(&self) {}
    }
    let level = if verbose { LevelFilter::Info } else { LevelFilter::Warn };
    install(&Stderr, level);
}

/// A line of fields to stderr for each event, with the number of the request it belongs to; with
/// `verbose` also what was asked, and questions that went well.
pub(crate) fn of_server(verbose: bool) {
    struct Server;
    impl Log for Server {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            metadata.target().starts_with("becket") || metadata.level() <= Level::Warn
        }
        fn log(&self, record: &Record<'_>) {
            if !self.enabled(record.metadata()) {
                return;
            }
            let time = humantime::format_rfc3339_millis(SystemTime::now());
            let level = record.level().as_str().to_lowercase();
            let request = match becket_csi::work::request() {
                0 => String::new(),
                number => format!(" request={number}"),
            };
            let words = record.args().to_string();
            // Calls are told in fields already.
            let event = match record.target() {
                becket_csi::work::CALL => words,
                _ => format!("event={words:?}"),
            };
            let _ = writeln!(std::io::stderr(), "time={time} level={level}{request} {event}");
        }
        fn flush(&self) {}
    }
    install(&Server, if verbose { LevelFilter::Debug } else { LevelFilter::Info });
}

/// To the host's log (`/dev/log`, where syslog and journald listen) and, if asked, to a file; never to
/// stdout or stderr, which the kubelet reads. A log that cannot be reached is done without.
pub(crate) fn to_syslog(driver: &'static str, file: Option<&Path>) {
    static LOGGER: OnceLock<Syslog> = OnceLock::new();
    let open =
        |path: &Path| OpenOptions::new().create(true).append(true).mode(0o600).open(path).ok();
    let logger = LOGGER.get_or_init(|| Syslog {
        driver,
        socket: OnceLock::new(),
        file: file.and_then(open),
    });
    install(logger, LevelFilter::Info);
}

fn install(logger: &'static dyn Log, level: LevelFilter) {
    if log::set_logger(logger).is_ok() {
        log::set_max_level(level);
    }
}

struct Syslog {
    driver: &'static str,
    /// Opened by the first line: most callouts of a healthy node have only one.
    socket: OnceLock<Option<UnixDatagram>>,
    file: Option<File>,
}

impl Log for Syslog {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let (driver, process) = (self.driver, std::process::id());
        let words = record.args().to_string().replace('\n', " ");
        // RFC 3164: facility daemon (3) and the severity, without a time, which the receiver adds.
        let line =
            format!("<{}>becket-{driver}[{process}]: {words}", 3 << 3 | severity(record.level()));
        let socket = self.socket.get_or_init(|| {
            let socket = UnixDatagram::unbound().ok()?;
            socket.connect("/dev/log").ok()?;
            socket.set_nonblocking(true).ok()?;
            Some(socket)
        });
        if let Some(socket) = socket {
            let _ = socket.send(line.as_bytes());
        }
        if let Some(mut file) = self.file.as_ref() {
            let time = humantime::format_rfc3339_millis(SystemTime::now());
            let level = record.level();
            let _ = file.write_all(
                format!("{time} {level} becket-{driver}[{process}] {words}\n").as_bytes(),
            );
        }
    }

    fn flush(&self) {}
}

fn severity(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}
