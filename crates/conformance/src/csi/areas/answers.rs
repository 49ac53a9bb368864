//! What holds for all answers of the whole run, whatever they were about.

use crate::csi::check::{Check, Verdict, check, want};
use crate::csi::ground::Ground;
use crate::csi::need::Need;
use becket_csi::protocol::csi;

pub(super) const CHECKS: &[Check] = &[
    check!("errors-have-messages", Must, [] => messages,
        "Error Scheme: the status message MUST contain a human readable description of error"),
    check!("errors-have-no-details", Must, [] => details,
        "Error Scheme: the status details MUST be empty"),
    check!("errors-have-no-secrets", Must, [Need::Secrets] => secrets,
        "Secrets Requirements: secrets are sensitive and MUST be treated as such, so no error \
         shows their values"),
    check!("everything-undone", Must, [] => undone,
        "DeleteVolume: what was made can be undone, by the opposite calls and in their order, \
         with nothing left behind"),
];

/// Makes at least one error, for runs of only these checks.
async fn provoke(g: &Ground) {
    let _ = g.calls.node_unpublish_volume(csi::NodeUnpublishVolumeRequest::default()).await;
    let _ = g.calls.delete_volume(csi::DeleteVolumeRequest::default()).await;
}

/// At most a few of many.
fn some(found: &[String]) -> String {
    const MOST: usize = 5;
    let mut words = found.to_vec();
    words.sort();
    words.dedup();
    let more = words.len().saturating_sub(MOST);
    words.truncate(MOST);
    match more {
        0 => words.join("; "),
        more => format!("{}; and {more} more", words.join("; ")),
    }
}

async fn messages(g: &Ground) -> Verdict {
    provoke(g).await;
    let errors = g.calls.errors();
    let asked = format!("look at all {} errors of this run", errors.seen);
    let got = format!("without message: {}", some(&errors.silent));
    want(errors.silent.is_empty(), asked, got, "a message in each")
}

async fn details(g: &Ground) -> Verdict {
    provoke(g).await;
    let errors = g.calls.errors();
    let asked = format!("look at all {} errors of this run", errors.seen);
    let got = format!("with details: {}", some(&errors.detailed));
    want(errors.detailed.is_empty(), asked, got, "no details")
}

async fn secrets(g: &Ground) -> Verdict {
    provoke(g).await;
    let errors = g.calls.errors();
    let asked = format!("look at all {} errors of this run", errors.seen);
    let got = format!("with the value of a secret: {}", some(&errors.leaking));
    want(errors.leaking.is_empty(), asked, got, "no secrets")
}

async fn undone(g: &Ground) -> Verdict {
    let troubles = g.troubles.borrow();
    let asked = "undo everything that the checks made, after each of them";
    want(troubles.is_empty(), asked, some(&troubles), "nothing left behind")
}
