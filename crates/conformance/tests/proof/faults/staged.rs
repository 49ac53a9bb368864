//! Drivers that stage wrongly, or say wrong things of what is staged and published.

use super::node::{PUBLISH, STAGE, UNSTAGE, leaves, stages_again, staging};
use crate::fault::{Fault, fault};
use crate::proxy::Rule;
use crate::rules::{
    does_nothing, fails, fails_again, forgives, recodes, refuses_when, tells, then,
};
use becket_csi::protocol::csi;
use becket_sys::mount;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tonic::Code;

const STATS: &str = "NodeGetVolumeStats";

pub fn faults() -> Vec<Fault> {
    let mut all = stages();
    all.extend(stats());
    all
}

fn stages() -> Vec<Fault> {
    vec![
        fault(
            "what is staged cannot be staged again",
            || vec![fails_again::<csi::NodeStageVolumeRequest>(STAGE)],
            &["stage-twice"],
        ),
        fault("staging mounts again", stages_again, &["stage-twice", "burst-stage"]),
        fault(
            "what is staged otherwise is an internal error",
            || {
                vec![
                    recodes(STAGE, Code::AlreadyExists, Code::Internal),
                    recodes(STAGE, Code::FailedPrecondition, Code::Internal),
                ]
            },
            &["stage-other-flags", "stage-other-filesystem"],
        ),
        fault(
            "a refused stage stays mounted",
            || vec![leaves(STAGE, staging)],
            &["stage-unsupported"],
        ),
        fault(
            "the staging directory is removed",
            || {
                vec![then(UNSTAGE, |request: &csi::NodeUnstageVolumeRequest| {
                    let _ = std::fs::remove_dir(&request.staging_target_path);
                })]
            },
            &["stage-keeps-directory"],
        ),
        fault(
            "what is not staged cannot be unstaged",
            || {
                let staged: Arc<Mutex<Vec<String>>> = Arc::default();
                let known = Arc::clone(&staged);
                let note = move |request: &csi::NodeStageVolumeRequest| {
                    staged.lock().unwrap().push(request.staging_target_path.clone());
                };
                let strange = move |request: &csi::NodeUnstageVolumeRequest| {
                    let mut known = known.lock().unwrap();
                    let before = known.len();
                    known.retain(|path| *path != request.staging_target_path);
                    known.len() == before
                };
                vec![then(STAGE, note), refuses_when(UNSTAGE, Code::Internal, strange)]
            },
            &["unstage-twice", "unstage-never-staged"],
        ),
        fault(
            "nothing is unstaged",
            || vec![does_nothing::<csi::NodeUnstageVolumeResponse>(UNSTAGE)],
            &["unstage-leaves-nothing"],
        ),
        fault("unstaging takes the volume from its workload", unstages_all, &["unstage-published"]),
        fault("unstaging fails", || vec![fails(UNSTAGE, Code::Internal)], &["unstage-published"]),
        fault(
            "an unstaged volume may be published",
            || vec![forgives::<csi::NodePublishVolumeResponse>(PUBLISH)],
            &["publish-before-stage"],
        ),
    ]
}

fn unstages_all() -> Vec<Rule> {
    let published: Arc<Mutex<Vec<String>>> = Arc::default();
    let known = Arc::clone(&published);
    vec![
        then(PUBLISH, move |request: &csi::NodePublishVolumeRequest| {
            published.lock().unwrap().push(request.target_path.clone());
        }),
        forgives::<csi::NodeUnstageVolumeResponse>(UNSTAGE),
        then(UNSTAGE, move |_: &csi::NodeUnstageVolumeRequest| {
            for target in known.lock().unwrap().drain(..) {
                let _ = mount::unmount(Path::new(&target));
            }
        }),
    ]
}

fn stats() -> Vec<Fault> {
    let usage = |change: fn(&mut csi::VolumeUsage)| {
        vec![tells(STATS, move |answer: &mut csi::NodeGetVolumeStatsResponse| {
            answer.usage.iter_mut().for_each(change);
        })]
    };
    vec![
        fault("usage has no unit", move || usage(|one| one.unit = 0), &["stats"]),
        fault(
            "more is used than there is",
            move || usage(|one| one.used = one.total + 1),
            &["stats"],
        ),
        fault("nothing is ever used", move || usage(|one| one.used = 0), &["stats-true"]),
        fault(
            "the total is a guess",
            move || usage(|one| one.total += 4096),
            &["stats-true", "stats-block"],
        ),
        fault(
            "only publications have usage",
            || {
                vec![refuses_when(
                    STATS,
                    Code::NotFound,
                    |request: &csi::NodeGetVolumeStatsRequest| {
                        request.volume_path == request.staging_target_path
                    },
                )]
            },
            &["stats-of-staging-path"],
        ),
        fault(
            "usage is of whatever is there",
            || vec![forgives::<csi::NodeGetVolumeStatsResponse>(STATS)],
            &["stats-path-of-another"],
        ),
    ]
}
