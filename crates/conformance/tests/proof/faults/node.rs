//! Drivers that do not do on the node what they say.

use crate::fault::{Fault, fault};
use crate::proxy::{Effect, Message, Rule};
use crate::rules::{asks, does_nothing, fails_again, refuses_when, then};
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::volume_capability::AccessType;
use becket_sys::mount;
use std::os::fd::AsFd;
use std::path::Path;
use tonic::{Code, Status};

pub const STAGE: &str = "NodeStageVolume";
pub const UNSTAGE: &str = "NodeUnstageVolume";
pub const PUBLISH: &str = "NodePublishVolume";

/// Mounts what is at `from` over `to`.
pub fn bind(from: &Path, to: &Path) {
    let open = |path: &Path| {
        use std::os::unix::fs::OpenOptionsExt;
        let path_only = rustix::fs::OFlags::PATH.bits().cast_signed();
        std::fs::File::options().read(true).custom_flags(path_only).open(path)
    };
    if let (Ok(from_file), Ok(to_file)) = (open(from), open(to)) {
        let view = mount::view_of(from_file.as_fd(), from).unwrap();
        view.attach(to_file.as_fd(), to).unwrap();
    }
}

/// Every capability in requests that have one is changed.
pub fn capabilities(change: fn(&mut csi::VolumeCapability)) -> Vec<Rule> {
    vec![
        asks("CreateVolume", move |request: &mut csi::CreateVolumeRequest| {
            request.volume_capabilities.iter_mut().for_each(change);
        }),
        asks(
            "ControllerPublishVolume",
            move |request: &mut csi::ControllerPublishVolumeRequest| {
                request.volume_capability.iter_mut().for_each(change);
            },
        ),
        asks(STAGE, move |request: &mut csi::NodeStageVolumeRequest| {
            request.volume_capability.iter_mut().for_each(change);
        }),
        asks(PUBLISH, move |request: &mut csi::NodePublishVolumeRequest| {
            request.volume_capability.iter_mut().for_each(change);
        }),
    ]
}

fn mount_part(
    change: fn(&mut csi::volume_capability::MountVolume),
) -> impl Fn(&mut csi::VolumeCapability) {
    move |capability| {
        if let Some(AccessType::Mount(mount)) = &mut capability.access_type {
            change(mount);
        }
    }
}

/// Staging mounts over what is staged already.
pub fn stages_again() -> Vec<Rule> {
    vec![then(STAGE, |request: &csi::NodeStageVolumeRequest| {
        let path = Path::new(&request.staging_target_path);
        bind(path, path);
        bind(path, path);
    })]
}

/// Mounts a new filesystem in memory at `to`.
fn mount_memory(to: &Path) {
    let memory = mount::filesystem("tmpfs", Path::new("none"), &[]).unwrap();
    if let Ok(directory) = std::fs::File::open(to) {
        memory.attach(directory.as_fd(), to).unwrap();
    }
}

/// Publishing mounts memory over the volume.
fn publishes_memory() -> Vec<Rule> {
    vec![then(PUBLISH, |request: &csi::NodePublishVolumeRequest| {
        mount_memory(Path::new(&request.target_path));
    })]
}

/// A volume loses its file each time it is published.
fn loses_content() -> Vec<Rule> {
    vec![then(PUBLISH, |request: &csi::NodePublishVolumeRequest| {
        let _ = std::fs::remove_file(Path::new(&request.target_path).join("content"));
    })]
}

/// OK to what was refused, with something left at the path.
pub fn leaves(rpc: &'static str, path: fn(&dyn std::any::Any) -> String) -> Rule {
    let change = move |request: &dyn std::any::Any, answer: &mut Result<Message, Status>| {
        if answer.is_err() {
            let path = path(request);
            let _ = std::fs::create_dir(&path);
            mount_memory(Path::new(&path));
        }
    };
    Rule { rpc, effect: Effect::Answer(Box::new(change)) }
}

pub fn staging(request: &dyn std::any::Any) -> String {
    let request = request.downcast_ref::<csi::NodeStageVolumeRequest>().unwrap();
    request.staging_target_path.clone()
}

fn target(request: &dyn std::any::Any) -> String {
    request.downcast_ref::<csi::NodePublishVolumeRequest>().unwrap().target_path.clone()
}

pub fn faults() -> Vec<Fault> {
    vec![
        fault(
            "nothing is published",
            || vec![does_nothing::<csi::NodePublishVolumeResponse>(PUBLISH)],
            &[
                "publish",
                "publish-over-empty-directory",
                "publish-long-path",
                "publish-persists",
                "publish-readonly",
                "publish-writer-same",
                "ephemeral-publish",
            ],
        ),
        fault("a plain directory is published", plain_directory, &["publish"]),
        fault(
            "what is published cannot be published again",
            || vec![fails_again::<csi::NodePublishVolumeRequest>(PUBLISH)],
            &["publish-twice", "ephemeral-publish"],
        ),
        fault(
            "content is lost",
            loses_content,
            &["publish-persists", "expand-unpublished", "restore-content", "clone-content"],
        ),
        fault(
            "readonly is ignored",
            || {
                vec![asks(PUBLISH, |request: &mut csi::NodePublishVolumeRequest| {
                    request.readonly = false;
                })]
            },
            &["publish-readonly", "publish-readonly-block", "publish-writer-other-arguments"],
        ),
        fault(
            "readers may write",
            || {
                capabilities(|capability| {
                    if let Some(mode) = &mut capability.access_mode
                        && mode.mode == 2
                    {
                        mode.mode = 1;
                    }
                })
            },
            &["publish-reader-only-mode"],
        ),
        fault(
            "a refused publication leaves something",
            || vec![leaves(PUBLISH, target)],
            &["publish-unsupported", "publish-before-stage"],
        ),
        fault(
            "a target that is there is refused",
            existing_refused,
            &["publish-over-empty-directory"],
        ),
        fault(
            "long paths are refused",
            || {
                vec![refuses_when(
                    PUBLISH,
                    Code::InvalidArgument,
                    |request: &csi::NodePublishVolumeRequest| request.target_path.len() > 128,
                )]
            },
            &["publish-long-path"],
        ),
        fault(
            "memory is published",
            publishes_memory,
            &["mount-size", "mount-full-at-capacity", "mount-filesystem", "stats-true"],
        ),
        fault(
            "mount flags are ignored",
            || capabilities(|capability| mount_part(|mount| mount.mount_flags.clear())(capability)),
            &["mount-flags-applied", "mount-flags-unknown"],
        ),
        fault(
            "the mount group is ignored",
            || {
                capabilities(|capability| {
                    mount_part(|mount| mount.volume_mount_group.clear())(capability);
                })
            },
            &["mount-group"],
        ),
        fault(
            "devices are larger than is said",
            || device(64 << 20),
            &["block-size", "block-exact-size", "block-full-at-capacity"],
        ),
        fault(
            "devices are smaller than is said",
            || device(-(32 << 20)),
            &["block-size", "block-exact-size", "block-last-byte"],
        ),
    ]
}

/// Volumes are made with this much more than is asked for and said.
fn device(more: i64) -> Vec<Rule> {
    vec![
        asks("CreateVolume", move |request: &mut csi::CreateVolumeRequest| {
            if let Some(range) = &mut request.capacity_range {
                range.required_bytes += more;
                range.limit_bytes = 0;
            }
        }),
        super::create::says_as_asked(),
    ]
}

fn plain_directory() -> Vec<Rule> {
    let effect = Effect::Instead(Box::new(|request| {
        let request = request.downcast_ref::<csi::NodePublishVolumeRequest>().unwrap();
        let _ = std::fs::create_dir(&request.target_path);
        Some(Ok(Box::new(csi::NodePublishVolumeResponse {}) as Message))
    }));
    vec![Rule { rpc: PUBLISH, effect }]
}

fn existing_refused() -> Vec<Rule> {
    let refused =
        |request: &csi::NodePublishVolumeRequest| Path::new(&request.target_path).exists();
    vec![refuses_when(PUBLISH, Code::Internal, refused)]
}
