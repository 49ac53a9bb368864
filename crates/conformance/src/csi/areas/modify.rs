//! `ControllerModifyVolume`: mutable parameters.

use crate::csi::answer::Answer;
use crate::csi::ask::UNKNOWN;
use crate::csi::check::{Check, Verdict, check};
use crate::csi::ground::{Ground, Volume};
use crate::csi::need::{CREATE, MODIFY, Need};
use becket_csi::protocol::csi;
use std::collections::HashMap;
use tonic::Code;

pub(super) const CHECKS: &[Check] = &[
    check!("modify-unknown-parameter", Must, [CREATE, MODIFY] => unknown,
        "ControllerModifyVolume: invalid mutable parameter keys or values are INVALID_ARGUMENT"),
    check!("modify-volume", Must, [CREATE, MODIFY, Need::MutableParameter] => modify,
        "ControllerModifyVolume: changes mutable parameters, and MUST be idempotent"),
    check!("modify-all-or-nothing", Must,
        [CREATE, MODIFY, Need::MutableParameter] => all_or_nothing,
        "ControllerModifyVolume: with INVALID_ARGUMENT the SP MUST NOT have applied any \
         modification"),
    check!("create-with-mutable-parameters", Must,
        [CREATE, MODIFY, Need::MutableParameter] => create,
        "CreateVolume: mutable_parameters are volume attributes defined at creation time, and the \
         call with them is idempotent"),
];

async fn changed(
    g: &Ground,
    volume: &Volume,
    parameters: HashMap<String, String>,
) -> Answer<csi::ControllerModifyVolumeResponse> {
    let request = csi::ControllerModifyVolumeRequest {
        volume_id: volume.id.clone(),
        mutable_parameters: parameters,
        ..Default::default()
    };
    g.calls.controller_modify_volume(request).await
}

fn nonsense() -> (String, String) {
    (UNKNOWN.to_owned(), "1".to_owned())
}

async fn unknown(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let answer = changed(g, &volume, [nonsense()].into()).await.when("an unknown parameter");
    answer.is(&[Code::InvalidArgument])
}

async fn modify(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let good = g.options.mutable_parameters.clone();
    changed(g, &volume, good.clone()).await.ok()?;
    changed(g, &volume, good).await.when("the same again").ok().map(drop)
}

async fn all_or_nothing(g: &Ground) -> Verdict {
    let volume = g.volume(g.access()).await?;
    let mut mixed = g.options.mutable_parameters.clone();
    mixed.extend([nonsense()]);
    let answer = changed(g, &volume, mixed).await.when("good parameters and an unknown one");
    answer.is(&[Code::InvalidArgument])?;
    // The volume is still what it was made as, so making it again finds it.
    let answer = g.calls.create_volume(volume.request).await;
    answer.when("again, after a refused ControllerModifyVolume").ok().map(drop)
}

async fn create(g: &Ground) -> Verdict {
    let mut request = g.create_request(g.access());
    request.mutable_parameters.clone_from(&g.options.mutable_parameters);
    let answer = g.calls.create_volume(request.clone()).await.when("with mutable_parameters");
    answer.ok()?;
    let answer = g.calls.create_volume(request).await;
    answer.when("with mutable_parameters, the same again").ok().map(drop)
}
