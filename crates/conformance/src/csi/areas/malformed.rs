//! Malformed capabilities and oversized fields.

use crate::csi::ask::{self, Access};
use crate::csi::check::{Check, Tally, Verdict, check};
use crate::csi::ground::{Ground, Volume};
use crate::csi::need::{ATTACH, CREATE, Need, SNAPSHOT, STAGE};
use becket_csi::protocol::csi;
use becket_csi::protocol::csi::volume_capability::access_mode::Mode;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("access-mode-unknown", Must, [CREATE] => mode_unknown,
        "VolumeCapability: access_mode is REQUIRED, and UNKNOWN is none: INVALID_ARGUMENT in \
         every RPC"),
    check!("access-mode-missing", Must, [CREATE] => mode_missing,
        "VolumeCapability: access_mode is REQUIRED: INVALID_ARGUMENT in every RPC without it"),
    check!("access-type-missing", Must, [CREATE] => type_missing,
        "VolumeCapability: one of block and mount MUST be specified: INVALID_ARGUMENT in every \
         RPC without it"),
    check!("name-too-long", Should, [CREATE] => name_too_long,
        "Size Limits: strings SHALL NOT exceed 128 bytes, so a longer name is INVALID_ARGUMENT"),
    check!("snapshot-name-too-long", Should, [CREATE, SNAPSHOT] => snapshot_name_too_long,
        "Size Limits: strings SHALL NOT exceed 128 bytes, so a longer name is INVALID_ARGUMENT"),
    check!("parameters-too-large", Should, [CREATE] => parameters_too_large,
        "Size Limits: maps SHALL NOT exceed 4 KiB, so larger parameters are INVALID_ARGUMENT"),
    check!("mount-flags-too-large", Should, [CREATE, Need::Mount] => flags_too_large,
        "VolumeCapability: the total size of mount_flags SHALL NOT exceed 4 KiB"),
    check!("id-too-long", Should, [CREATE] => id_too_long,
        "Size Limits: a volume_id of more than 128 bytes is INVALID_ARGUMENT, or an id that \
         nobody knows"),
];

/// Every RPC with a capability must refuse one that `spoil` made of a good one.
async fn refused_everywhere(
    g: &Ground,
    what: &str,
    spoil: fn(csi::VolumeCapability) -> csi::VolumeCapability,
) -> Verdict {
    let mut tally = Tally::default();
    let invalid = &[Code::InvalidArgument];
    let volume = g.volume(g.access()).await?;
    let bad = spoil(volume.capability.clone());
    let request = csi::CreateVolumeRequest {
        volume_capabilities: vec![bad.clone()],
        ..g.create_request(g.access())
    };
    tally.take(g.calls.create_volume(request).await.when(what).is(invalid))?;
    let request = csi::ValidateVolumeCapabilitiesRequest {
        volume_id: volume.id.clone(),
        volume_context: volume.context.clone(),
        volume_capabilities: vec![bad.clone()],
        ..Default::default()
    };
    tally.take(g.calls.validate_volume_capabilities(request).await.when(what).is(invalid))?;
    if g.has(ATTACH) {
        let mut request = g.attach_request(&volume, false);
        request.volume_capability = Some(bad.clone());
        tally.take(g.calls.controller_publish_volume(request).await.when(what).is(invalid))?;
    }
    if g.has(Need::NodeService) && g.has(Need::Here) {
        on_node(g, &mut tally, volume, what, &bad).await?;
    }
    tally.verdict()
}

async fn on_node(
    g: &Ground,
    tally: &mut Tally,
    volume: Volume,
    what: &str,
    bad: &csi::VolumeCapability,
) -> Verdict {
    let invalid = &[Code::InvalidArgument];
    let here = g.attached(volume).await?;
    if g.has(STAGE) {
        let mut request = here.stage_request();
        request.volume_capability = Some(bad.clone());
        tally.take(g.calls.node_stage_volume(request).await.when(what).is(invalid))?;
        g.calls.node_stage_volume(here.stage_request()).await.prepared()?;
    }
    let mut request = here.publish_request();
    request.volume_capability = Some(bad.clone());
    tally.take(g.calls.node_publish_volume(request).await.when(what).is(invalid))
}

async fn mode_unknown(g: &Ground) -> Verdict {
    refused_everywhere(g, "access mode UNKNOWN", |good| {
        let mode = csi::volume_capability::AccessMode { mode: Mode::Unknown.into() };
        csi::VolumeCapability { access_mode: Some(mode), ..good }
    })
    .await
}

async fn mode_missing(g: &Ground) -> Verdict {
    refused_everywhere(g, "without access_mode", |good| csi::VolumeCapability {
        access_mode: None,
        ..good
    })
    .await
}

async fn type_missing(g: &Ground) -> Verdict {
    refused_everywhere(g, "neither block nor mount", |good| csi::VolumeCapability {
        access_type: None,
        ..good
    })
    .await
}

async fn name_too_long(g: &Ground) -> Verdict {
    let mut request = g.create_request(g.access());
    request.name = lengthened(&request.name, 129);
    let answer = g.calls.create_volume(request).await.when("a name of 129 bytes");
    answer.is(&[Code::InvalidArgument])
}

/// `name` made `length` bytes long.
pub(super) fn lengthened(name: &str, length: usize) -> String {
    format!("{name:x<length$}")
}

async fn snapshot_name_too_long(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let mut request = g.snapshot_request(&volume);
    request.name = lengthened(&request.name, 129);
    let answer = g.calls.create_snapshot(request).await.when("a name of 129 bytes");
    answer.is(&[Code::InvalidArgument])
}

async fn parameters_too_large(g: &Ground) -> Verdict {
    let mut request = g.create_request(g.access());
    // As an orchestrator adds them, so that a driver that knows no such key has no other reason.
    for number in 0..64 {
        let key = format!("csi.storage.k8s.io/pvc/{number}");
        request.parameters.insert(key, "x".repeat(100));
    }
    let answer = g.calls.create_volume(request).await.when("parameters of 8 KiB");
    answer.is(&[Code::InvalidArgument])
}

async fn flags_too_large(g: &Ground) -> Verdict {
    let mut request = g.create_request(Access::Mount);
    let flags = vec!["noatime"; 1024];
    let capability = ask::with_flags(&request.volume_capabilities[0], &flags);
    request.volume_capabilities = vec![capability];
    let answer = g.calls.create_volume(request).await.when("mount_flags of 7 KiB");
    answer.is(&[Code::InvalidArgument])
}

async fn id_too_long(g: &Ground) -> Verdict {
    let request = csi::ValidateVolumeCapabilitiesRequest {
        volume_id: lengthened(ask::UNKNOWN, 4096),
        volume_capabilities: vec![g.capability(g.access())],
        ..Default::default()
    };
    let answer = g.calls.validate_volume_capabilities(request).await;
    answer.when("a volume_id of 4096 bytes").is(&[Code::InvalidArgument, Code::NotFound])
}
