//! argv, read: which callout, with which arguments.

use crate::options::Options;
use becket_core::error::shown;
use becket_core::{Error, Kind, Result};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// One run of the driver's executable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Callout {
    /// `init`
    Init,
    /// `getvolumename JSON`
    GetVolumeName(Options),
    /// `attach JSON NODE`
    Attach(Options, String),
    /// `isattached JSON NODE`
    IsAttached(Options, String),
    /// `waitforattach DEVICE JSON`
    WaitForAttach(String, Options),
    /// `mountdevice DIR DEVICE JSON`
    MountDevice(PathBuf, String, Options),
    /// `mount DIR JSON`
    Mount(PathBuf, Options),
    /// `unmount DIR`, also written `umount`
    Unmount(PathBuf),
    /// `unmountdevice DIR`
    UnmountDevice(PathBuf),
    /// `detach VOLUME NODE`
    Detach(String, String),
    /// `expandvolume JSON DIR NEW OLD`
    ExpandVolume(Options, PathBuf, u64),
    /// `expandfs JSON DEVICE DIR NEW OLD`
    ExpandFs(Options, String, PathBuf, u64),
    /// Any other word. New callouts must not break old drivers.
    Unknown(String),
}

impl Callout {
    /// Reads the arguments that follow the executable. `Invalid` when they are not what the callout
    /// takes.
    pub fn parse(arguments: &[OsString]) -> Result<Callout> {
        let Some((name, arguments)) = arguments.split_first() else {
            return Err(Error::new(Kind::Invalid, "no callout is named").hint(
                "the kubelet runs this program as a FlexVolume driver: DRIVER CALLOUT ARGUMENTS…",
            ));
        };
        let name = name.to_string_lossy();
        let take = |wanted: &'static [&'static str]| Arguments::check(&name, wanted, arguments);
        Ok(match &*name {
            "init" => {
                take(&[])?;
                Callout::Init
            }
            "getvolumename" => Callout::GetVolumeName(take(&["options"])?.options(0)?),
            "attach" => {
                let taken = take(&["options", "node"])?;
                Callout::Attach(taken.options(0)?, taken.text(1)?)
            }
            "isattached" => {
                let taken = take(&["options", "node"])?;
                Callout::IsAttached(taken.options(0)?, taken.text(1)?)
            }
            "waitforattach" => {
                let taken = take(&["device", "options"])?;
                Callout::WaitForAttach(taken.text(0)?, taken.options(1)?)
            }
            "mountdevice" => {
                let taken = take(&["directory", "device", "options"])?;
                Callout::MountDevice(taken.path(0), taken.text(1)?, taken.options(2)?)
            }
            "mount" => {
                let taken = take(&["directory", "options"])?;
                Callout::Mount(taken.path(0), taken.options(1)?)
            }
            "unmount" | "umount" => Callout::Unmount(take(&["directory"])?.path(0)),
            "unmountdevice" => Callout::UnmountDevice(take(&["directory"])?.path(0)),
            "detach" => {
                let taken = take(&["volume", "node"])?;
                Callout::Detach(taken.text(0)?, taken.text(1)?)
            }
            "expandvolume" => {
                let taken = take(&["options", "directory", "new size", "old size"])?;
                taken.size(3)?;
                Callout::ExpandVolume(taken.options(0)?, taken.path(1), taken.size(2)?)
            }
            "expandfs" => {
                let taken = take(&["options", "device", "directory", "new size", "old size"])?;
                taken.size(4)?;
                Callout::ExpandFs(taken.options(0)?, taken.text(1)?, taken.path(2), taken.size(3)?)
            }
            _ => Callout::Unknown(shown(&name)),
        })
    }

    /// The path or the volume that it is about, for the log.
    pub fn object(&self) -> Option<String> {
        match self {
            Callout::MountDevice(path, ..)
            | Callout::Mount(path, _)
            | Callout::Unmount(path)
            | Callout::UnmountDevice(path)
            | Callout::ExpandVolume(_, path, _)
            | Callout::ExpandFs(_, _, path, _) => Some(shown(&path.to_string_lossy())),
            Callout::Attach(options, _)
            | Callout::IsAttached(options, _)
            | Callout::WaitForAttach(_, options) => options.own("name").map(shown),
            Callout::Detach(volume, _) => Some(shown(volume)),
            Callout::Init | Callout::GetVolumeName(_) | Callout::Unknown(_) => None,
        }
    }

    /// The callout's word, for the log.
    pub fn name(&self) -> &str {
        match self {
            Callout::Init => "init",
            Callout::GetVolumeName(..) => "getvolumename",
            Callout::Attach(..) => "attach",
            Callout::IsAttached(..) => "isattached",
            Callout::WaitForAttach(..) => "waitforattach",
            Callout::MountDevice(..) => "mountdevice",
            Callout::Mount(..) => "mount",
            Callout::Unmount(..) => "unmount",
            Callout::UnmountDevice(..) => "unmountdevice",
            Callout::Detach(..) => "detach",
            Callout::ExpandVolume(..) => "expandvolume",
            Callout::ExpandFs(..) => "expandfs",
            Callout::Unknown(name) => name,
        }
    }
}

/// The arguments of one callout, as many as it takes.
struct Arguments<'a> {
    wanted: &'static [&'static str],
    given: &'a [OsString],
}

impl<'a> Arguments<'a> {
    fn check(
        callout: &str,
        wanted: &'static [&'static str],
        given: &'a [OsString],
    ) -> Result<Arguments<'a>> {
        if wanted.len() == given.len() {
            return Ok(Arguments { wanted, given });
        }
        let takes = match wanted {
            [] => "no arguments".to_owned(),
            wanted => wanted.join(", "),
        };
        Err(Error::new(
            Kind::Invalid,
            format!("callout `{callout}` takes {takes}; it was given {} arguments", given.len()),
        ))
    }

    fn text(&self, index: usize) -> Result<String> {
        self.given[index].to_str().map(str::to_owned).ok_or_else(|| {
            Error::new(Kind::Invalid, format!("argument `{}` is not UTF-8", self.wanted[index]))
        })
    }

    fn path(&self, index: usize) -> PathBuf {
        PathBuf::from(&self.given[index])
    }

    fn options(&self, index: usize) -> Result<Options> {
        Options::parse(self.bytes(index))
    }

    /// Sizes are decimal bytes that fit an int64, as the kubelet's `resource.Quantity` gives them.
    fn size(&self, index: usize) -> Result<u64> {
        let refuse = |kind, reason: &str| {
            let shown = shown(&self.given[index].to_string_lossy());
            Err(Error::new(kind, format!("{} `{shown}` {reason}", self.wanted[index])))
        };
        match self.given[index].to_str().map(str::parse::<i128>) {
            Some(Ok(0)) => refuse(Kind::OutOfRange, "is zero"),
            Some(Ok(negative)) if negative < 0 => refuse(Kind::OutOfRange, "is negative"),
            Some(Ok(bytes)) if bytes > i128::from(i64::MAX) => {
                refuse(Kind::OutOfRange, "is too large")
            }
            Some(Ok(bytes)) => Ok(bytes as u64),
            _ => refuse(Kind::Invalid, "is not a number of bytes"),
        }
    }

    fn bytes(&self, index: usize) -> &[u8] {
        OsStr::as_bytes(&self.given[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(arguments: &[&str]) -> Result<Callout> {
        let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
        Callout::parse(&arguments)
    }

    #[test]
    fn each_callout_takes_its_arguments_in_the_kubelets_order() {
        let options = Options::parse(b"{\"name\":\"v\"}").unwrap();
        let json = "{\"name\":\"v\"}";
        let table: [(&[&str], Callout); 15] = [
            (&["init"], Callout::Init),
            (&["getvolumename", json], Callout::GetVolumeName(options.clone())),
            (&["attach", json, "n"], Callout::Attach(options.clone(), "n".into())),
            (&["isattached", json, "n"], Callout::IsAttached(options.clone(), "n".into())),
            (&["waitforattach", "/d", json], Callout::WaitForAttach("/d".into(), options.clone())),
            (
                &["mountdevice", "/g", "", json],
                Callout::MountDevice("/g".into(), "".into(), options.clone()),
            ),
            (&["mount", "/p", json], Callout::Mount("/p".into(), options.clone())),
            (&["unmount", "/p"], Callout::Unmount("/p".into())),
            (&["umount", "/p"], Callout::Unmount("/p".into())),
            (&["unmountdevice", "/g"], Callout::UnmountDevice("/g".into())),
            (&["detach", "v", "n"], Callout::Detach("v".into(), "n".into())),
            (
                &["expandvolume", json, "/g", "2", "1"],
                Callout::ExpandVolume(options.clone(), "/g".into(), 2),
            ),
            (
                &["expandfs", json, "", "/p", "2", "1"],
                Callout::ExpandFs(options, "".into(), "/p".into(), 2),
            ),
            (&["waitfordetach", "x"], Callout::Unknown("waitfordetach".into())),
            (&["provision", "{}"], Callout::Unknown("provision".into())),
        ];
        for (arguments, callout) in table {
            assert_eq!(parse(arguments).unwrap(), callout, "{arguments:?}");
        }
    }

    #[test]
    fn wrong_arguments_are_said_to_be_wrong() {
        let table: &[&[&str]] = &[
            &[],
            &["init", "extra"],
            &["mount"],
            &["mount", "/p"],
            &["mount", "/p", "{}", "extra"],
            &["mount", "/p", "not json"],
            &["mount", "/p", "[]"],
            &["unmount"],
            &["unmount", "/p", "/q"],
            &["expandfs", "{}", "", "/p", "x", "1"],
            &["expandfs", "{}", "", "/p", "0", "1"],
            &["expandfs", "{}", "", "/p", "-1", "1"],
            &["expandfs", "{}", "", "/p", "9223372036854775808", "1"],
            &["expandfs", "{}", "", "/p", "1e3", "1"],
        ];
        for arguments in table {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
    }

    proptest! {
        #[test]
        fn no_arguments_make_the_parser_panic(
            arguments in proptest::collection::vec(proptest::collection::vec(1..=255u8, 0..60), 0..7),
        ) {
            use std::os::unix::ffi::OsStringExt;
            let arguments: Vec<OsString> = arguments.into_iter().map(OsString::from_vec).collect();
            let _ = Callout::parse(&arguments);
        }
    }
}
