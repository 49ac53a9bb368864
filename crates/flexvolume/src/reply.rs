//! What a callout answers: exactly one JSON object.

use becket_core::{Error, Kind};
use serde::Serialize;

/// The answer to a callout.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// How it went.
    pub status: Status,
    /// Why, when it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// `attach` and `waitforattach`: the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// `isattached`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attached: Option<bool>,
    /// `expandvolume` and `expandfs`: bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_new_size: Option<u64>,
    /// `init`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<Capabilities>,
}

/// The three words the kubelet knows. Any other string is a failure to it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub enum Status {
    /// It is done.
    #[default]
    Success,
    /// It is not done.
    Failure,
    /// This driver never does that. The kubelet remembers it for the callout, for all volumes, so
    /// it may only state a fixed fact.
    #[serde(rename = "Not supported")]
    NotSupported,
}

/// What a driver tells of itself at `init`. All are written out: the kubelet's defaults differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Capabilities {
    /// The attach and device callouts are used.
    pub attach: bool,
    /// The container runtime may relabel the volume's files.
    pub selinux_relabel: bool,
    /// The kubelet may read usage by statfs(2).
    pub supports_metrics: bool,
    /// The kubelet may change the group of the volume's files.
    pub fs_group: bool,
    /// `expandfs` is called; without it a claim's expansion never completes.
    #[serde(rename = "requiresFSResize")]
    pub requires_fs_resize: bool,
}

impl Reply {
    /// It is done, and there is nothing more to say.
    pub fn success() -> Reply {
        Reply::default()
    }

    /// The driver never does that.
    pub fn not_supported() -> Reply {
        Reply { status: Status::NotSupported, ..Reply::default() }
    }

    /// It is not done, and this is why.
    pub fn failure(message: impl Into<String>) -> Reply {
        Reply { status: Status::Failure, message: Some(message.into()), ..Reply::default() }
    }

    /// The exit status that goes with it. Success with another one would be taken for a failure.
    pub fn exit_status(&self) -> u8 {
        match self.status {
            Status::Success => 0,
            Status::Failure | Status::NotSupported => 1,
        }
    }

    /// The bytes for stdout, with a newline.
    pub fn to_line(&self) -> String {
        // No value in it can fail to serialize; a hand-written failure stands in all the same.
        let json = serde_json::to_string(self).unwrap_or_else(|_| {
            r#"{"status":"Failure","message":"the reply cannot be written"}"#.to_owned()
        });
        json + "\n"
    }
}

impl From<Error> for Reply {
    fn from(error: Error) -> Reply {
        match error.kind() {
            // An error is about one volume, and the kubelet would take "Not supported" for a fact about
            // the driver and remember it for all. Such facts are stated by `serve` alone.
            Kind::Unsupported
            | Kind::Invalid
            | Kind::NotFound
            | Kind::Conflict
            | Kind::InUse
            | Kind::WrongState
            | Kind::Busy
            | Kind::Timeout
            | Kind::Unavailable
            | Kind::NoSpace
            | Kind::OutOfRange
            | Kind::Denied
            | Kind::Internal => Reply::failure(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_are_the_bytes_the_kubelet_reads() {
        let init = Reply {
            capabilities: Some(Capabilities {
                attach: false,
                selinux_relabel: true,
                supports_metrics: true,
                fs_group: true,
                requires_fs_resize: true,
            }),
            ..Reply::default()
        };
        let attached = Reply { attached: Some(true), ..Reply::default() };
        for (reply, line) in [
            (Reply::success(), "{\"status\":\"Success\"}\n"),
            (Reply::not_supported(), "{\"status\":\"Not supported\"}\n"),
            (Reply::failure("no `x`\n"), "{\"status\":\"Failure\",\"message\":\"no `x`\\n\"}\n"),
            (attached, "{\"status\":\"Success\",\"attached\":true}\n"),
            (
                init,
                "{\"status\":\"Success\",\"capabilities\":{\"attach\":false,\"selinuxRelabel\":true,\
                 \"supportsMetrics\":true,\"fsGroup\":true,\"requiresFSResize\":true}}\n",
            ),
        ] {
            assert_eq!(reply.to_line(), line);
        }
    }
}
