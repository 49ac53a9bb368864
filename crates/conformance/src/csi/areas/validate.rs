//! `ValidateVolumeCapabilities`: confirms what fits, and nothing else.

use crate::csi::ask::{self, Access};
use crate::csi::check::{Check, Verdict, check, fail, want};
use crate::csi::ground::{Ground, Volume};
use crate::csi::need::{CREATE, Need};
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::validate_volume_capabilities_response::Confirmed;

pub(super) const CHECKS: &[Check] = &[
    check!("validate-confirms", Must, [CREATE] => confirms,
        "ValidateVolumeCapabilities: confirms what the volume was made for, and says which \
         capabilities that are"),
    check!("validate-other-access-type", Must, [CREATE, Need::Mount] => other_access_type,
        "ValidateVolumeCapabilities: SHALL return confirmed only if all the volume capabilities \
         are supported"),
    check!("validate-mixed", Must, [CREATE, Need::Mount] => mixed,
        "ValidateVolumeCapabilities: SHALL return confirmed only if all the volume capabilities \
         are supported"),
    check!("validate-unknown-filesystem", Judgement, [CREATE, Need::Mount] => unknown_filesystem,
        "ValidateVolumeCapabilities: SHALL return confirmed only for an fs_type that the volume \
         can have"),
    check!("validate-says-why", Judgement, [CREATE, Need::Mount] => says_why,
        "ValidateVolumeCapabilities: where nothing is confirmed, message tells the orchestrator \
         why"),
];

async fn answered(
    g: &Ground,
    volume: &Volume,
    capabilities: Vec<csi::VolumeCapability>,
    what: &str,
) -> Verdict<csi::ValidateVolumeCapabilitiesResponse> {
    let request = csi::ValidateVolumeCapabilitiesRequest {
        volume_id: volume.id.clone(),
        volume_context: volume.context.clone(),
        volume_capabilities: capabilities,
        parameters: volume.request.parameters.clone(),
        ..Default::default()
    };
    g.calls.validate_volume_capabilities(request).await.when(what).ok()
}

async fn confirms(g: &Ground) -> Verdict {
    for access in g.access_types() {
        let volume = g.volume(access).await?;
        let what = format!("the {} capability it was made with", access.word());
        let asked = format!("ValidateVolumeCapabilities: {what}");
        let capabilities = vec![volume.capability.clone()];
        let answer = answered(g, &volume, capabilities.clone(), &what).await?;
        let message = answer.message;
        let Some(confirmed) = answer.confirmed else {
            return Err(fail(asked, format!("not confirmed: {message}"), "confirmed"));
        };
        let same = confirmed.volume_capabilities == capabilities;
        want(same, asked, "confirmed other capabilities", "confirmed the capabilities asked for")?;
    }
    Ok(())
}

/// Fails when the driver confirms `capabilities`.
async fn not_confirmed(
    g: &Ground,
    volume: &Volume,
    capabilities: Vec<csi::VolumeCapability>,
    what: &str,
) -> Verdict<String> {
    let answer = answered(g, volume, capabilities, what).await?;
    let empty = |confirmed: &Confirmed| confirmed.volume_capabilities.is_empty();
    let asked = format!("ValidateVolumeCapabilities: {what}");
    want(answer.confirmed.as_ref().is_none_or(empty), asked, "confirmed", "not confirmed")?;
    Ok(answer.message)
}

async fn other_access_type(g: &Ground) -> Verdict {
    let volume = g.volume(Access::Mount).await?;
    let block = vec![g.capability(Access::Block)];
    not_confirmed(g, &volume, block, "block access to a mount volume").await.map(drop)
}

async fn mixed(g: &Ground) -> Verdict {
    let volume = g.volume(Access::Mount).await?;
    let both = vec![volume.capability.clone(), g.capability(Access::Block)];
    not_confirmed(g, &volume, both, "what it was made with, and block access").await.map(drop)
}

async fn unknown_filesystem(g: &Ground) -> Verdict {
    let volume = g.volume(Access::Mount).await?;
    let strange = vec![ask::capability(Access::Mount, "no-such-fs")];
    not_confirmed(g, &volume, strange, "fs_type `no-such-fs`").await.map(drop)
}

async fn says_why(g: &Ground) -> Verdict {
    let volume = g.volume(Access::Mount).await?;
    let what = "block access to a mount volume";
    let block = vec![g.capability(Access::Block)];
    let answer = answered(g, &volume, block, what).await?;
    if answer.confirmed.is_some() {
        return crate::csi::check::skip("the driver confirms everything");
    }
    let asked = format!("ValidateVolumeCapabilities: {what}");
    want(!answer.message.trim().is_empty(), asked, "neither confirmed nor a message", "a message")
}
